#include "client/engine.h"

#include <malloc.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/map.h"
#include "base/own.h"
#include "base/vec.h"
#include "client/client_private.h"
#include "client/world_private.h"

enum {
    BACKOFF_MIN_MS = 5,
    BACKOFF_MAX_MS = 60 * 1000,
    PARALLEL_WRITES = 16,
    KEYS_PER_TURN = 64,
    IDLE_MS = 1000,
};

/* A write of ours that the world does not show yet. */
struct await {
    const struct api_kind *kind;
    uint64_t revision; /* the informer must have come so far; 0: the object must be gone */
    char *ns, *name, *uid;
};

enum key_state {
    KEY_QUEUED,  /* in the reconciler's queue */
    KEY_RUNNING, /* its plan is being applied */
    KEY_DELAYED, /* in the heap until due_ms */
    KEY_WAITING, /* until the world shows its writes */
};

struct key {
    struct controller *controller;
    char *text;
    enum key_state state;
    bool again; /* changed while running or waiting */
    unsigned failures;
    uint64_t due_ms;
    uint64_t requeue_ms; /* asked for by the last run; UINT64_MAX: no */
    VEC(struct await) awaits;
};

struct controller {
    struct engine *engine;
    const struct reconciler *r;
    struct map keys; /* text → struct key */
    struct {
        struct key **v;
        size_t n, cap;
    } queue;
    size_t queue_head;
};

/* A kind that is watched. */
struct source {
    struct engine *engine;
    const struct api_kind *kind;
    struct cache *cache; /* the world's */
    struct informer *informer;
};

/* A plan on its way. */
struct run {
    struct engine *engine;
    struct key *key;
    struct plan *plan;
    size_t next, outstanding;
    bool failed;
    struct err err;
    struct run *list_next, **list_prev;
};

struct step_call {
    struct run *run;
    const struct plan_step *step;
};

struct engine {
    struct loop *loop;
    struct api_client *client;
    struct world *world;
    struct event_recorder *recorder;
    VEC(struct source *) sources;
    VEC(struct controller *) controllers;
    VEC(struct key *) heap; /* delayed keys by due_ms */
    VEC(struct key *) waiting;
    struct run *runs;
    struct timer *turn, *delay, *idle;
    struct engine_stats stats;
    bool check_waiting;
};

struct keys {
    struct controller *controller;
};

/* ---- registry ---- */

extern const struct reconciler *const __start_atoll_reconcilers[] __attribute__((weak));
extern const struct reconciler *const __stop_atoll_reconcilers[] __attribute__((weak));

static int by_name(const void *x, const void *y) {
    return strcmp((*(const struct reconciler *const *)x)->name,
                  (*(const struct reconciler *const *)y)->name);
}

const struct reconciler **reconcilers(size_t *ret_n) {
    size_t n = (size_t)(__stop_atoll_reconcilers - __start_atoll_reconcilers);
    const struct reconciler **list = calloc(n + 1, sizeof *list);
    if (!list) abort();
    for (size_t i = 0; i < n; i++) list[i] = __start_atoll_reconcilers[i];
    qsort(list, n, sizeof *list, by_name);
    *ret_n = n;
    return list;
}

/* ---- keys ---- */

static void turn_soon(struct engine *e) {
    if (!timer_active(e->turn)) timer_start(e->turn, 0, 0);
}

static void key_queue(struct key *k) {
    k->state = KEY_QUEUED;
    k->again = false;
    vec_push(&k->controller->queue, k);
    turn_soon(k->controller->engine);
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

static void on_delay(void *user) {
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

static void key_free(struct key *k) {
    awaits_clear(k);
    free(k->text);
    free(k);
}

static void key_forget(struct key *k) {
    map_del(&k->controller->keys, slice_of(k->text));
    key_free(k);
}

/* ---- changes of the world ---- */

void reconciler_default_map(const struct reconciler *r, const struct world *w,
                            const struct api_kind *k, const struct api_object *now,
                            const struct api_object *old, struct keys *out) {
    const struct api_object *both[] = {now, old};
    for (size_t i = 0; i < ARRAY_LEN(both); i++) {
        if (!both[i]) continue;
        if (str_eq(k->kind, r->kind)) {
            keys_add_object(out, both[i]);
            continue;
        }
        const struct meta_v1_owner_reference *owner = api_controller_of(both[i]);
        if (owner && str_eq(owner->kind, r->kind)) {
            const struct api_kind *ok = api_kind_by_api_version(owner->api_version, owner->kind);
            bool namespaced = !ok || ok->flags & API_NAMESPACED;
            keys_add_name(out, namespaced ? both[i]->metadata.namespace : NULL, owner->name);
        }
    }
}

/* Whether the kind is watched, by its name or, where any is set, by "*". */
static bool watches(const struct reconciler *r, const struct api_kind *k, bool any) {
    for (const char *const *w = r->watches; *w; w++) {
        if (any && str_eq(*w, "*")) return true;
        const char *dot = strchr(*w, '.');
        size_t n = dot ? (size_t)(dot - *w) : strlen(*w);
        if (strncmp(k->kind, *w, n) == 0 && !k->kind[n] && (!dot || str_eq(k->group, dot + 1)))
            return true;
    }
    return false;
}

static void on_change(void *user, const struct api_kind *k, const struct api_object *now,
                      const struct api_object *old) {
    struct engine *e = user;
    world_set_now(e->world, loop_wall_ns(e->loop));
    for (size_t i = 0; i < e->controllers.n; i++) {
        struct controller *c = e->controllers.v[i];
        if (!watches(c->r, k, true)) continue;
        struct keys out = {c};
        (c->r->map ? c->r->map : reconciler_default_map)(c->r, e->world, k, now, old, &out);
    }
}

static void on_informer(void *user, enum informer_event ev, const struct api_object *now,
                        const struct api_object *old) {
    struct source *s = user;
    struct engine *e = s->engine;
    e->check_waiting = true;
    turn_soon(e);
    if (ev == INFORMER_SYNCED) return;
    world_changed(e->world, s->kind, ev == INFORMER_DELETED ? NULL : now, old);
}

static struct source *source_of(const struct engine *e, const struct api_kind *k) {
    for (size_t i = 0; i < e->sources.n; i++)
        if (e->sources.v[i]->kind == k) return e->sources.v[i];
    return NULL;
}

static bool controller_synced(const struct controller *c) {
    const struct engine *e = c->engine;
    for (size_t i = 0; i < e->sources.n; i++)
        if (watches(c->r, e->sources.v[i]->kind, true) &&
            !informer_synced(e->sources.v[i]->informer))
            return false;
    return true;
}

/* ---- own writes ---- */

static char *copy_str(const char *s) {
    char *p = strdup(str_or(s, ""));
    if (!p) abort();
    return p;
}

static void await_add(struct key *k, const struct plan_step *s, const struct api_object *answer) {
    const struct api_kind *kind = s->kind;
    if (!kind || !source_of(k->controller->engine, kind)) return;
    uint64_t revision = 0;
    if (answer) slice_u64(slice_of(str_or(answer->metadata.resource_version, "")), &revision);
    if (!revision && s->op != PLAN_DELETE) return;
    const char *uid = s->object ? s->object->metadata.uid : NULL;
    vec_push(&k->awaits,
             (struct await){kind, revision, copy_str(s->ns), copy_str(s->name), copy_str(uid)});
}

static bool await_seen(const struct engine *e, const struct await *w) {
    const struct source *s = source_of(e, w->kind);
    if (w->revision) return informer_revision(s->informer) >= w->revision;
    const struct api_object *o = cache_get(s->cache, w->ns, w->name);
    return !o || !str_eq(o->metadata.uid, w->uid) || !str_empty(o->metadata.deletion_timestamp);
}

static bool awaits_seen(struct key *k) {
    for (size_t i = 0; i < k->awaits.n; i++)
        if (!await_seen(k->controller->engine, &k->awaits.v[i])) return false;
    awaits_clear(k);
    return true;
}

/* ---- after a run ---- */

/* Nothing is under way for the key any more and its writes have been seen. */
static void key_settle(struct key *k) {
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

static void key_failed(struct key *k, const struct err *err) {
    struct engine *e = k->controller->engine;
    unsigned shift = MIN_OF(k->failures, 14u);
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

static void waiting_check(struct engine *e) {
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

static void run_end(struct run *run) {
    struct engine *e = run->engine;
    struct key *k = run->key;
    *run->list_prev = run->list_next;
    if (run->list_next) run->list_next->list_prev = run->list_prev;
    if (!plan_requeue_ms(run->plan, &k->requeue_ms)) k->requeue_ms = UINT64_MAX;
    plan_free(run->plan);
    e->stats.running--;
    if (run->failed) {
        key_failed(k, &run->err);
    } else {
        k->failures = 0;
        if (awaits_seen(k)) {
            key_settle(k);
        } else {
            k->state = KEY_WAITING;
            vec_push(&e->waiting, k);
        }
    }
    free(run);
}

/* ---- applying a plan ---- */

static void run_continue(struct run *run);

/* The engine has gone; answers may still be on their way. */
static void run_orphan_free(struct run *run) {
    if (run->outstanding) return;
    plan_free(run->plan);
    free(run);
}

/* Failures that mean that the wish has come true already. */
static bool is_success(const struct plan_step *s, const struct err *err) {
    return !err ||
           (s->op == PLAN_DELETE && (err->reason == ERR_NOT_FOUND || err->reason == ERR_CONFLICT));
}

static void on_step(void *user, const struct api_object *obj, struct slice body,
                    const struct err *err) {
    struct step_call *call = user;
    struct run *run = call->run;
    const struct plan_step *s = call->step;
    free(call);
    run->outstanding--;
    if (!run->engine) {
        run_orphan_free(run);
        return;
    }
    run->engine->stats.writes++;
    if (is_success(s, err)) {
        await_add(run->key, s, err ? NULL : obj);
    } else if (!run->failed) {
        run->failed = true;
        run->err = *err;
    }
    run_continue(run);
}

static void send_create(struct engine *e, const struct plan_step *s, struct step_call *call) {
    api_create(e->client, s->kind, s->object, on_step, call);
}

static void send_update(struct engine *e, const struct plan_step *s, struct step_call *call) {
    api_update(e->client, s->kind, s->subresource, s->object, on_step, call);
}

static void send_patch(struct engine *e, const struct plan_step *s, struct step_call *call) {
    api_patch(e->client, s->kind, s->ns, s->name, s->subresource, s->content_type, s->body, on_step,
              call);
}

static void send_delete(struct engine *e, const struct plan_step *s, struct step_call *call) {
    struct api_delete_opts opts = {.uid = s->object->metadata.uid,
                                   .propagation = s->propagation,
                                   .grace_period_s = s->grace_period_s};
    api_delete(e->client, s->kind, s->ns, s->name, &opts, on_step, call);
}

static void send_request(struct engine *e, const struct plan_step *s, struct step_call *call) {
    api_request(e->client, s->method, s->path, s->content_type, s->body, on_step, call);
}

static const struct {
    void (*send)(struct engine *e, const struct plan_step *s, struct step_call *call);
    bool parallel; /* with others of the same operation */
} step_ops[] = {
    [PLAN_CREATE] = {send_create, true},
    [PLAN_UPDATE] = {send_update, false},
    [PLAN_UPDATE_STATUS] = {send_update, false},
    [PLAN_PATCH] = {send_patch, false},
    [PLAN_DELETE] = {send_delete, true},
    [PLAN_REQUEST] = {send_request, false},
    [PLAN_EVENT] = {NULL, false},
};

static bool may_start(const struct run *run, const struct plan_step *s) {
    if (run->outstanding == 0) return true;
    const struct plan_step *before = plan_at(run->plan, run->next - 1);
    return step_ops[s->op].parallel && before->op == s->op && run->outstanding < PARALLEL_WRITES;
}

static void step_start(struct run *run, const struct plan_step *s) {
    struct engine *e = run->engine;
    run->next++;
    if (s->op == PLAN_EVENT) {
        event_record(e->recorder, s->object, s->event_type, s->reason, "%s", s->message);
        return;
    }
    if (s->op != PLAN_REQUEST && !s->kind) {
        run->failed = true;
        err_set(&run->err, ERR_INTERNAL, "the plan names an unknown kind %s %s",
                str_or(s->object->api_version, "?"), str_or(s->object->kind, "?"));
        return;
    }
    struct step_call *call = calloc(1, sizeof *call);
    if (!call) abort();
    *call = (struct step_call){run, s};
    run->outstanding++;
    step_ops[s->op].send(e, s, call);
}

static void run_continue(struct run *run) {
    const struct plan_step *s;
    while (!run->failed && (s = plan_at(run->plan, run->next)) && may_start(run, s))
        step_start(run, s);
    if (run->outstanding == 0) run_end(run);
}

static void key_run(struct key *k) {
    struct engine *e = k->controller->engine;
    struct run *run = calloc(1, sizeof *run);
    if (!run) abort();
    run->engine = e;
    run->key = k;
    run->plan = plan_new();
    run->list_next = e->runs;
    run->list_prev = &e->runs;
    if (e->runs) e->runs->list_prev = &run->list_next;
    e->runs = run;
    k->state = KEY_RUNNING;
    k->again = false;
    e->stats.running++;
    e->stats.reconciles++;
    if (k->controller->r->reconcile(e->world, k->text, run->plan, &run->err) < 0)
        run->failed = true;
    else
        plan_detach(run->plan);
    run_continue(run);
}

/* ---- turns ---- */

/* After a failure in the middle of a plan there may still be writes that have not been seen. */
static void key_run_or_wait(struct key *k) {
    if (awaits_seen(k)) {
        key_run(k);
        return;
    }
    k->state = KEY_WAITING;
    k->again = true;
    vec_push(&k->controller->engine->waiting, k);
}

static struct key *queue_pop(struct controller *c) {
    if (c->queue_head == c->queue.n) return NULL;
    struct key *k = c->queue.v[c->queue_head++];
    if (c->queue_head == c->queue.n) {
        c->queue.n = c->queue_head = 0;
        if (c->queue.cap > 1024) vec_done(&c->queue);
    } else if (c->queue_head > 1024 && c->queue_head > c->queue.n / 2) {
        memmove(c->queue.v, c->queue.v + c->queue_head,
                (c->queue.n - c->queue_head) * sizeof *c->queue.v);
        c->queue.n -= c->queue_head;
        c->queue_head = 0;
    }
    return k;
}

/* Some keys of every reconciler, in rotation, so that none starves. */
static void on_turn(void *user) {
    struct engine *e = user;
    if (e->check_waiting) waiting_check(e);
    world_set_now(e->world, loop_wall_ns(e->loop));
    int budget = KEYS_PER_TURN;
    bool more = true;
    while (budget > 0 && more) {
        more = false;
        for (size_t i = 0; i < e->controllers.n; i++) {
            struct controller *c = e->controllers.v[i];
            struct key *k;
            if (c->queue_head == c->queue.n || !controller_synced(c)) continue;
            if (!(k = queue_pop(c))) continue;
            more = true;
            budget--;
            key_run_or_wait(k);
        }
    }
    if (more) turn_soon(e);
    timer_start(e->idle, IDLE_MS, 0);
}

/* A burst of plans leaves much free memory behind. */
static void on_idle(void *user) { malloc_trim(0); }

/* ---- life ---- */

static void source_make(struct engine *e, const struct api_kind *k) {
    bool named = false, any = false;
    for (size_t i = 0; i < e->controllers.n; i++) {
        any = any || watches(e->controllers.v[i]->r, k, true);
        named = named || watches(e->controllers.v[i]->r, k, false);
    }
    if (!any) return;
    struct source *s = calloc(1, sizeof *s);
    if (!s) abort();
    s->engine = e;
    s->kind = k;
    s->cache = world_cache(e->world, k, !named);
    s->informer = informer_new_into(e->client, s->cache, NULL, NULL, on_informer, s);
    vec_push(&e->sources, s);
}

static void sources_make(struct engine *e) {
    size_t n;
    const struct api_kind *const *kinds = api_kinds(&n);
    for (size_t i = 0; i < n; i++)
        if (!(kinds[i]->flags & API_VIRTUAL)) source_make(e, kinds[i]);
}

struct engine *engine_new(struct loop *l, struct api_client *c,
                          const struct reconciler *const *list, size_t n, const char *component) {
    struct engine *e = calloc(1, sizeof *e);
    if (!e) abort();
    e->loop = l;
    e->client = c;
    e->world = world_new();
    e->recorder = event_recorder_new(c, component, NULL);
    e->turn = timer_new(l, on_turn, e);
    e->delay = timer_new(l, on_delay, e);
    e->idle = timer_new(l, on_idle, e);
    world_on_change(e->world, on_change, e);
    for (size_t i = 0; i < n; i++) {
        struct controller *ctl = calloc(1, sizeof *ctl);
        if (!ctl) abort();
        ctl->engine = e;
        ctl->r = list[i];
        vec_push(&e->controllers, ctl);
    }
    sources_make(e);
    return e;
}

struct world *engine_world(struct engine *e) {
    return e->world;
}

static void controller_free(struct controller *c) {
    struct map_entry *m;
    for (size_t i = 0; (m = map_next(&c->keys, &i));) key_free(m->value);
    map_done(&c->keys);
    vec_done(&c->queue);
    free(c);
}

void engine_free(struct engine *e) {
    if (!e) return;
    for (size_t i = 0; i < e->sources.n; i++) {
        informer_free(e->sources.v[i]->informer);
        free(e->sources.v[i]);
    }
    vec_done(&e->sources);
    while (e->runs) {
        struct run *run = e->runs;
        e->runs = run->list_next;
        run->engine = NULL;
        run_orphan_free(run);
    }
    for (size_t i = 0; i < e->controllers.n; i++) controller_free(e->controllers.v[i]);
    vec_done(&e->controllers);
    vec_done(&e->heap);
    vec_done(&e->waiting);
    timer_free(e->turn);
    timer_free(e->delay);
    timer_free(e->idle);
    event_recorder_free(e->recorder);
    world_free(e->world);
    free(e);
}

void engine_stats(const struct engine *e, struct engine_stats *ret) {
    *ret = e->stats;
    ret->queued = 0;
    for (size_t i = 0; i < e->controllers.n; i++)
        ret->queued += e->controllers.v[i]->queue.n - e->controllers.v[i]->queue_head;
    ret->delayed = e->heap.n + e->waiting.n;
    ret->synced = true;
    for (size_t i = 0; i < e->sources.n; i++)
        ret->synced = ret->synced && informer_synced(e->sources.v[i]->informer);
}
