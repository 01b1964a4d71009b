/* Events live for an hour after their last occurrence, as upstream's do; else they would fill the
 * store. */
#pragma once

#include "server/api.h"

void event_expiry_start(struct api *api);
