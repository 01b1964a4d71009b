/*
 * Descriptors that are asked about together, apart from all others of the loop: in each turn it
 * tells once that some of them are ready, however many, and which ones is asked for piece by piece.
 */
#pragma once

#include "proc/loop.h"

struct fd_group;
struct fd_ready {
    void *user;
    unsigned events; /* FD_READ, FD_WRITE; errors and ends as both */
};

/* fn(user, FD_READ) is called in each turn in which some are ready. NULL: there are too many
 * descriptors. */
struct fd_group *fd_group_new(struct loop *l, fd_fn *fn, void *user);
void fd_group_free(struct fd_group *g); /* without descriptors; NULL is allowed */
/* Whether fn is called; not before it has been once. */
void fd_group_tell(struct fd_group *g, bool tell);
/* Of a descriptor which has been watched for `before` (0: it is not in the group) from now on
 * `events` are told (0: none, not even errors). It is borrowed: take it out before closing it. */
void fd_group_watch(struct fd_group *g, int fd, unsigned before, unsigned events, void *user);
/* At most max of those that are ready, in turns. They are told again as long as they are ready. */
size_t fd_group_take(struct fd_group *g, struct fd_ready *ret, size_t max);
