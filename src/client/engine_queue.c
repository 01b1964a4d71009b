/* Engine: which key runs when. */
#include <stdlib.h>

#include "base/log.h"
#include "base/own.h"
#include "client/engine_private.h"
#include "client/skim.h"

enum {
    BACKOFF_MIN_MS = 5,
    BACKOFF_MAX_MS = 60 * 1000,
    BACKOFF_SHIFT_MAX = 14,
    KEYS_ROOM_KEPT = 64 /* slots of an empty map */
};

/* ---- keys ---- */

static void key_queue(struct key *k) {
    k->state = KEY_QUEUED;
    k->again = false;
    vec_push(&k->controller->queue, k);
    engine_turn_soon(k->controller->engine);
}

static void heap_swap(struct engine *e, size_t i, size_t j) {
    struct key *t = e->heap.v[i];
    e->heap.v[i] = e->heap.v[j];
    e->heap.v[j] = t;
}

static void heap_up(struct engine *e, size_t i) {
    for (; i && e->heap.v[i]->due_ms < e->heap.v[(i - 1) / 2]->due_ms; i = (i - 1) / 2)
        heap_swap(e, i, (i - 1) / 2);
}

static void heap_down(struct engine *e, size_t i) {
    for (;;) {
        size_t least = i;
        for (size_t c = 2 * i + 1; c <= 2 * i + 2 && c < e->heap.n; c++)
            if (e->heap.v[c]->due_ms < e->heap.v[least]->due_ms) least = c;
        if (least == i) return;
        heap_swap(e, i, least);
        i = least;
    }
}

static void heap_remove(struct engine *e, size_t i) {
    e->heap.v[i] = e->heap.v[--e->heap.n];
    if (i < e->heap.n) {
        heap_up(e, i);
        heap_down(e, i);
    }
}

static void delay_arm(struct engine *e) {
    if (!e->heap.n) return;
    uint64_t now = loop_now_ms(e->loop), due = e->heap.v[0]->due_ms;
    timer_start(e->delay, due > now ? due - now : 0, 0);
}

static void key_delay(struct key *k, uint64_t after_ms) {
    struct engine *e = k->controller->engine;
    k->state = KEY_DELAYED;
    k->due_ms = loop_now_ms(e->loop) + after_ms;
    vec_push(&e->heap, k);
    heap_up(e, e->heap.n - 1);
    delay_arm(e);
}

void engine_delay_over(void *user) {
    struct engine *e = user;
    uint64_t now = loop_now_ms(e->loop);
    while (e->heap.n && e->heap.v[0]->due_ms <= now) {
        struct key *k = e->heap.v[0];
        heap_remove(e, 0);
        key_queue(k);
    }
    delay_arm(e);
}

/* A requeue time gives way to a change, a back-off does not. */
static void key_wake(struct key *k) {
    struct engine *e = k->controller->engine;
    if (k->state == KEY_DELAYED && !k->failures) {
        for (size_t i = 0; i < e->heap.n; i++)
            if (e->heap.v[i] == k) {
                heap_remove(e, i);
                break;
            }
        key_queue(k);
    } else if (k->state != KEY_QUEUED) {
        k->again = true;
    }
}

void keys_add(struct keys *out, const char *text) {
    struct controller *c = out->controller;
    struct key *k = map_gets(&c->keys, text);
    if (k) {
        key_wake(k);
        return;
    }
    k = calloc(1, sizeof *k);
    if (!k || !(k->text = strdup(text))) abort();
    k->controller = c;
    k->requeue_ms = UINT64_MAX;
    map_put(&c->keys, slice_of(text), k);
    key_queue(k);
}

void keys_add_name(struct keys *out, const char *ns, const char *name) {
    OWN(buf_done) struct buf b = {0};
    if (!str_empty(ns)) buf_printf(&b, "%s/", ns);
    buf_str(&b, str_or(name, ""));
    if (b.n) keys_add(out, b.p);
}

void keys_add_object(struct keys *out, const struct api_object *o) {
    keys_add_name(out, o->metadata.namespace, o->metadata.name);
}

void key_split(struct arena *a, const char *key, const char **ret_ns, const char **ret_name) {
    const char *slash = strchr(key, '/');
    *ret_ns = slash ? arena_strn(a, slice_from(key, (size_t)(slash - key))) : "";
    *ret_name = arena_str(a, slash ? slash + 1 : key);
}

static void awaits_clear(struct key *k) {
    for (size_t i = 0; i < k->awaits.n; i++) {
        free(k->awaits.v[i].ns);
        free(k->awaits.v[i].name);
        free(k->awaits.v[i].uid);
    }
    vec_done(&k->awaits);
}

void key_free(struct key *k) {
    awaits_clear(k);
    free(k->text);
    free(k->last_failure);
    free(k);
}

static void key_forget(struct key *k) {
    struct map *keys = &k->controller->keys;
    map_del(keys, slice_of(k->text));
    if (keys->n == 0 && keys->cap > KEYS_ROOM_KEPT) map_done(keys); /* a burst is over */
    key_free(k);
}

/* ---- own writes ---- */

static char *copy_str(const char *s) {
    char *p = strdup(str_or(s, ""));
    if (!p) abort();
    return p;
}

/* The revision of what was written; the answer of some subresources is another kind of object. */
static uint64_t answer_revision(const struct api_object *o, struct slice body) {
    uint64_t revision = 0;
    if (o)
        slice_u64(slice_of(str_or(o->metadata.resource_version, "")), &revision);
    else if (body.n)
        slice_u64(skim_string(skim_get(skim_get(body, "metadata"), "resourceVersion")), &revision);
    return revision;
}

void await_add(struct key *k, const struct plan_step *s, const struct api_object *answer,
               struct slice body) {
    const struct api_kind *kind = s->kind;
    if (!kind || !engine_source(k->controller->engine, kind)) return;
    uint64_t revision = s->op == PLAN_DELETE && !answer ? 0 : answer_revision(answer, body);
    if (!revision && s->op != PLAN_DELETE && s->op != PLAN_EVICT) return;
    const char *uid = s->object ? s->object->metadata.uid : NULL;
    vec_push(&k->awaits,
             (struct await){kind, revision, copy_str(s->ns), copy_str(s->name), copy_str(uid)});
}

static bool await_seen(const struct engine *e, const struct await *w) {
    const struct source *s = engine_source(e, w->kind);
    if (!s) return true; /* the kind is gone */
    if (w->revision) return informer_revision(s->informer) >= w->revision;
    const struct api_object *o = cache_get(s->cache, w->ns, w->name);
    return !o || !str_eq(o->metadata.uid, w->uid) || !str_empty(o->metadata.deletion_timestamp);
}

bool awaits_seen(struct key *k) {
    for (size_t i = 0; i < k->awaits.n; i++)
        if (!await_seen(k->controller->engine, &k->awaits.v[i])) return false;
    awaits_clear(k);
    return true;
}

/* ---- after a run ---- */

void key_settle(struct key *k) {
    if (k->again) {
        key_queue(k);
    } else if (k->requeue_ms != UINT64_MAX) {
        uint64_t ms = k->requeue_ms;
        k->requeue_ms = UINT64_MAX;
        key_delay(k, ms);
    } else {
        key_forget(k);
    }
}

void key_failed(struct key *k, const struct err *err) {
    struct engine *e = k->controller->engine;
    unsigned shift = MIN_OF(k->failures, (unsigned)BACKOFF_SHIFT_MAX);
    uint64_t ms = MIN_OF((uint64_t)BACKOFF_MIN_MS << shift, (uint64_t)BACKOFF_MAX_MS);
    k->failures++;
    if (err->reason == ERR_CONFLICT || err->reason == ERR_ALREADY_EXISTS) {
        e->stats.conflicts++;
    } else {
        e->stats.failures++;
        log_warn("reconcile_failed", "controller=%s key=%s failures=%u error=\"%s\"",
                 k->controller->r->name, k->text, k->failures, err->text);
    }
    key_delay(k, ms);
}

void key_wait(struct key *k) {
    k->state = KEY_WAITING;
    vec_push(&k->controller->engine->waiting, k);
}

void engine_waiting_check(struct engine *e) {
    e->check_waiting = false;
    for (size_t i = 0; i < e->waiting.n;) {
        struct key *k = e->waiting.v[i];
        if (!awaits_seen(k)) {
            i++;
            continue;
        }
        vec_swap_remove(&e->waiting, i);
        key_settle(k);
    }
}
