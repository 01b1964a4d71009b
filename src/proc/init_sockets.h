/* All listening sockets, bound once by init and kept open across restarts of services. */
#pragma once

#include "base/err.h"
#include "proc/authority.h"
#include "proc/handover.h"
#include "proc/service.h"

/* Binds what a row names: its unix socket (working directory = run/atoll) as "listen", further
 * ones by name. Entries are appended to fds; those absent on this machine are left out. */
int init_sockets_open(const struct authority *row, const struct settings *s,
                      struct handover_fd fds[HANDOVER_FDS_MAX], size_t *n_fds, struct err *err);
