/* Where container logs lie: ROOT/var/log/atoll/pods/<ns>_<pod>_<uid>/<container>/<attempt>.log */
#pragma once

#include "base/arena.h"
#include "base/err.h"

struct broker;
struct broker_container;

/* Makes the directories; *ret_path is the file the shim will write. */
int logs_prepare(struct broker *b, const struct broker_container *c, struct arena *a,
                 const char **ret_path, struct err *err);
