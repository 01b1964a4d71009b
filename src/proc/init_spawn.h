/* Starts one service process: this executable again, with an empty environment, the handover and
 * nothing else. */
#pragma once

#include <sys/types.h>

#include "base/err.h"
#include "proc/handover.h"

/* *ret_ready_fd gets the reading end of the readiness pipe: "\n" = ready, "!why\n" = it gave up,
 * end = it is gone. log_fd becomes its standard output and error. */
int spawn_service(const char *name, const struct handover *h, int log_fd, pid_t *ret_pid,
                  int *ret_ready_fd, struct err *err);
