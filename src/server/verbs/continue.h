/* Where a list begins and at which revision: resourceVersion, resourceVersionMatch, limit and the
 * continue token. */
#pragma once

#include "server/api.h"

struct list_position {
    uint64_t revision;  /* of the answer */
    bool exact;         /* as of exactly that revision */
    struct slice start; /* only keys after this one; empty = from the first */
    uint64_t limit;     /* 0 = all */
};

/* On failure the request has been answered. */
int list_position_parse(struct call *c, struct list_position *ret);
/* 422: an option of a list or watch; reason as of a cause, why with its beginning. -EINVAL. */
int list_options_refuse(struct call *c, const char *field, const char *reason, const char *why);
/* The token for what follows `last` at the revision; revision 0: at whatever is newest then. */
const char *continue_encode(struct arena *a, uint64_t revision, struct slice last);
int continue_decode(struct arena *a, const char *token, uint64_t *ret_revision,
                    struct slice *ret_start);
/* 410 Expired: the token's revision is compacted. */
void continue_expired(struct call *c);
/* A resourceVersion that is no number (400) or lies in the future (504). */
void revision_refuse(struct call *c, const char *text, uint64_t revision);
