/* An API server for tests: one world behind HTTP/1.1 on a unix socket, on the loop of the test. */
#pragma once

#include "client/world.h"
#include "proc/loop.h"

struct fake_api;

struct fake_api *fake_api_new(struct loop *l);
void fake_api_free(struct fake_api *f);
const char *fake_api_socket(const struct fake_api *f);
struct world *fake_api_world(struct fake_api *f); /* changes reach the watches */
/* Cuts every connection; refuse: new ones are closed at once, too. */
void fake_api_cut(struct fake_api *f, bool refuse);
/* Watches that start behind this revision get 410. */
void fake_api_compact(struct fake_api *f);
/* GET of this target (all of it, as it is sent) answers with that JSON; NULL: 404 again. */
void fake_api_answer(struct fake_api *f, const char *target, const char *json);
/* Events are held back until released. */
void fake_api_hold_events(struct fake_api *f, bool hold);
/* Sends a bookmark with a fresh revision to every watch; returns the revision. */
uint64_t fake_api_bookmark(struct fake_api *f);
/* Events are neither counted nor failed. The next n writes are answered with that HTTP status and
 * reason. */
void fake_api_fail_writes(struct fake_api *f, unsigned n, enum err_reason reason);

struct fake_api_counts {
    unsigned lists, watches, writes, connections;
};
struct fake_api_counts fake_api_counts(const struct fake_api *f);
const char *fake_api_last_watch(const struct fake_api *f); /* target of the last watch request */
