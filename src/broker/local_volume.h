/* Local volumes: directories of the node that outlive pods. Their names are checked by the caller
 * (check_subdomain). */
#pragma once

#include "base/err.h"

struct broker;

/* Makes the directory when it is absent; who may write to it, its pods agree upon. */
int local_volume_make(struct broker *b, const char *name, struct err *err);
