/* GET on a unix socket: is the API ready? */
#pragma once

#include "base/err.h"

/* Asks for path until the answer is 200 or the time is over. */
int http_probe_wait(const char *socket_path, const char *path, unsigned timeout_ms,
                    struct err *err);
