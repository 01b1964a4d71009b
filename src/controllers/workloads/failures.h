/*
 * Patience with pods that fail at once, again and again: how often is noted down in the world, and
 * the next attempt waits for a second, then two, four, up to a quarter of an hour. What has not
 * failed for twice that long is forgotten. Pure.
 */
#pragma once

#include "controllers/common.h"

struct failures {
    const char *note, *uid;
    bool changed;
    int64_t now_ms;
    struct arena *a;
    struct failure {
        const char *key;
        int64_t n, last_ms, seen;
    } * v;
    size_t n;
};

/* Of that owner's pods. Keys below are chosen by its controller and hold no spaces. */
void failures_read(struct failures *f, const struct world *w, const struct api_object *owner,
                   struct arena *a);
/* 0: what has failed may be replaced now, which is counted; else milliseconds to wait. */
uint64_t failures_wait_ms(struct failures *f, const char *key);
/* For failed pods that stay: so many are to be seen. Milliseconds until there may be another one
 * instead, 0: now. */
uint64_t failures_pause_ms(struct failures *f, const char *key, size_t seen);
void failures_write(const struct failures *f, struct plan *p);
/* Of an owner that is gone. */
void failures_drop(const struct world *w, const char *kind, const char *ns, const char *name,
                   struct plan *p);
