/* System headers of the preloaded calls, whose fortified and renamed forms would stand in their
 * way. */
#pragma once

#undef _FORTIFY_SOURCE
#undef _FILE_OFFSET_BITS /* fcntl and fcntl64 are two calls */

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
