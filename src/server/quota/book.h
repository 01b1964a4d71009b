/*
 * The books of ResourceQuotas: per namespace its quotas, what each object there is charged, and
 * what was promised to writes that are on their way. No I/O; quota_ledger.c keeps it in step with
 * the cache. A write is checked against used + promised and promised its share in one step, so no
 * order of parallel writes gets past a limit.
 */
#pragma once

#include "base/map.h"
#include "base/vec.h"
#include "server/quota/usage.h"

struct quota_line {
    const char *resource;
    struct quantity hard, used;
};

struct quota {
    struct quota_space *space;
    struct arena *arena; /* holds object and lines */
    const struct core_v1_resource_quota *object;
    struct quota_line *lines;
    size_t n;
    bool writing, again; /* the ledger's: status is on its way to the store, and old already */
    bool gone;           /* dropped while writing */
};

struct quota_promise;

struct quota_space {
    char *ns;
    VEC(struct quota *) quotas; /* by name */
    struct map charges;         /* what measured objects use, by "plural/name" */
    struct quota_promise *promises;
    bool changed; /* the ledger's: status is to be written */
};

struct quota_book {
    struct map spaces; /* by namespace; only those with quotas or promises */
};

struct quota_space *quota_space_find(const struct quota_book *b, struct slice ns); /* or NULL */
struct quota_space *quota_space_open(struct quota_book *b, struct slice ns);
/* Forgets the namespace when it has neither quotas nor promises. */
void quota_space_tidy(struct quota_book *b, struct quota_space *s);
void quota_book_done(struct quota_book *b);

/* Takes the arena, which holds o. A quota of that name is replaced, nothing is used yet. */
struct quota *quota_put(struct quota_space *s, struct arena *a,
                        const struct core_v1_resource_quota *o);
void quota_drop(struct quota_space *s, const char *name);
void quota_discard(struct quota *q); /* dropped while writing, and written now */
struct quota *quota_find(const struct quota_space *s, const char *name);
/* Adds what all charged objects use: for a quota that was just put. */
void quota_add_charges(struct quota *q);

/* Charges a measured object (again). Takes the arena, which holds what u points to. */
void quota_charge(struct quota_space *s, const char *key, struct arena *a,
                  const struct quota_usage *u);
void quota_uncharge(struct quota_space *s, const char *key);
/* Objects that are only counted, on every quota or (q given) on one. */
void quota_count(struct quota_space *s, struct quota *q, const char *const names[2], int64_t by);
/* Walks the charges that lapse by now_ns: the caller measures these objects again. */
const char *quota_lapsed(struct quota_space *s, int64_t now_ns, size_t *at);

/* NULL: allowed. Else why not, in the arena, as upstream says it. pod may be NULL. `asked` is what
 * the write adds; `u` says what scopes look at. */
const char *quota_refusal(struct quota_space *s, struct arena *a, const struct quota_usage *u,
                          const struct quota_amounts *asked, const struct core_v1_pod_spec *pod);

/* Counts as used from now on. p is the caller's memory until quota_fulfil or quota_release has
 * taken it out; u and key too. */
struct quota_promise {
    struct quota_promise *next;
    struct quota_space *space; /* NULL: not in the books any more */
    const char *key;           /* "plural.group/name" */
    struct quota_usage usage;  /* amounts: what was asked for */
};
void quota_promise(struct quota_space *s, struct quota_promise *p);
/* The write has been stored and charged: the oldest promise of that key is over. */
void quota_fulfil(struct quota_space *s, const char *key);
/* The write is over, whichever way. Returns the space if the promise was still open. */
struct quota_space *quota_release(struct quota_promise *p);
