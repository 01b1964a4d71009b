/* Other names: to the host's resolvers, from a fresh source port and with a fresh id each, over the
 * transport the client used. */
#pragma once

#include "base/slice.h"
#include "proc/loop.h"

enum { FORWARD_SERVERS_MAX = 3, FORWARD_PENDING_MAX = 512, FORWARD_TIMEOUT_MS = 2000 };

struct forward;

/* resolv_conf: the text of the host's file; its own answering addresses (avoid) are left out, so
 * that no query comes back. */
struct forward *forward_new(struct loop *l, const char *resolv_conf, const char *const *avoid,
                            size_t n_avoid);

/* Sends the message; done gets the answer with the client's id, or an empty slice when no server
 * answered. */
typedef void forward_fn(void *user, struct slice answer);
void forward_query(struct forward *f, struct slice message, bool tcp, forward_fn *done, void *user);
