/*
 * The api service's one connection to the store: feeds the watch cache and carries writes and
 * ranges. After a lost connection it reconnects with back-off and goes on where it was. Writes wait
 * for that a little; one whose answer was lost is sent again, and when the store refuses it then
 * because it was done the first time, that counts as success.
 */
#pragma once

#include "proc/loop.h"
#include "server/storage/cache.h"
#include "server/storage/seal.h"
#include "wire/store.h"

struct store_link;

/* synced: called once, when the cache holds the first snapshot. lost: the store cannot continue
 * from our revision; the process should start anew. */
struct store_link_events {
    void (*synced)(void *user);
    void (*lost)(void *user, const struct err *err);
    void *user;
};
/* What belongs to sealed resources goes out sealed and comes in opened. */
struct store_link *store_link_new(struct loop *l, const char *path, struct cache *c,
                                  struct seal *seal, const struct store_link_events *ev);
void store_link_free(struct store_link *s); /* what is under way fails */
bool store_link_connected(const struct store_link *s);

/* value: what was written, with its revision inside; the cache has it by now. On failure err says
 * why: ERR_ALREADY_EXISTS, ERR_CONFLICT, ERR_NOT_FOUND, ERR_UNAVAILABLE… */
typedef void store_write_fn(void *user, struct slice value, const struct err *err);
void store_link_write(struct store_link *s, const struct store_write *w, store_write_fn *fn,
                      void *user);

/* A creation in this namespace has been submitted and not answered: the cache may lack it. */
bool store_link_creates_in(const struct store_link *s, const char *ns);

/* row for each row, borrowed; then done exactly once. */
typedef void store_row_fn(void *user, const struct store_event *row);
typedef void store_done_fn(void *user, const struct err *err);
void store_link_range(struct store_link *s, const struct store_range *r, store_row_fn *row,
                      store_done_fn *done, void *user);
/* The store forgets its log: what was written before is nowhere any more. After it, every write
 * that was submitted before is in the cache. */
void store_link_compact(struct store_link *s, store_done_fn *done, void *user);
/* Counters for /metrics. */
uint64_t store_link_writes(const struct store_link *s);
