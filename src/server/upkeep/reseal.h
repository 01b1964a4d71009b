/* Writes every sealed object anew with the newest key and makes the store forget the old rows. */
#pragma once

#include "server/api.h"

/* At start: when rows were found in the clear or under an older key. */
void reseal_if_stale(struct api *api);
/* POST /atoll/secrets/reseal?key=ID, by `atoll secrets rotate`: takes the keys from the keys
 * service again, of which ID must be the newest. Answers {"keyId":…,"rewritten":…}. False: another
 * path. */
bool reseal_handle(struct call *c);
