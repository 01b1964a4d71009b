/* How long requests may take, and how the service ends. */
#pragma once

#include "server/api.h"

/* Watches, streams, proxies: nobody waits for their end. */
bool request_is_long_running(const struct route *r);
/* Sets the request's deadline: ?timeout=, at most LIMIT_HTTP_REQUEST_MS. ERR_BAD_REQUEST. */
int request_set_deadline(struct call *c, struct err *err);
/* Takes no more requests, ends the watches so that their clients go on elsewhere, lets what runs
 * finish for a bounded time, then stops the loop. */
void api_finish(struct api *api);
