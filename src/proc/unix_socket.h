/*
 * Unix stream sockets by path of any length: sun_path holds only 107 bytes, so longer paths go
 * through a descriptor of their directory.
 */
#pragma once

#include "base/err.h"

/* Connects; *ret_fd is blocking unless `nonblocking`, always O_CLOEXEC. A full backlog waits. */
int unix_connect(const char *path, bool nonblocking, int *ret_fd, struct err *err);
/* Replaces what lies at path by a listening, non-blocking socket with the given mode. */
int unix_listen(const char *path, unsigned mode, int *ret_fd, struct err *err);
