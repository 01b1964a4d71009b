/*
 * Names for the machine's own resolvers: /etc/hosts first, then A and AAAA asked of the nameservers
 * in /etc/resolv.conf by UDP, one after the other. Both files are read anew for each name that is
 * no address.
 */
#pragma once

#include <sys/socket.h>

#include "base/err.h"
#include "proc/loop.h"

enum { RESOLVE_ADDRESSES_MAX = 8 };

struct resolved {
    struct sockaddr_storage v[RESOLVE_ADDRESSES_MAX];
    size_t n; /* 0: err says why */
};
/* Called once, from the loop or before resolve_start returns. */
typedef void resolve_fn(void *user, const struct resolved *r, const struct err *err);

struct resolve;
/* *ret is what resolve_cancel needs; NULL when fn was called already. */
void resolve_start(struct loop *l, const char *host, uint16_t port, resolve_fn *fn, void *user,
                   struct resolve **ret);
void resolve_cancel(struct resolve *q); /* no callback any more; NULL is allowed */
