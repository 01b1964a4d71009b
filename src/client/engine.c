#include <stdlib.h>

#include "base/own.h"
#include "client/engine_private.h"
#include "client/projection.h"

enum { KEYS_PER_TURN = 64, IDLE_MS = 1000, COOL_MS = 5000 };

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

/* ---- changes of the world ---- */

void engine_turn_soon(struct engine *e) {
    if (!timer_active(e->turn)) timer_start(e->turn, 0, 0);
}

struct source *engine_source(const struct engine *e, const struct api_kind *k) {
    for (size_t i = 0; i < e->sources.n; i++)
        if (e->sources.v[i]->kind == k) return e->sources.v[i];
    return NULL;
}

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
    const struct source *s = e->telling;
    if (s && s->kind != k) s = engine_source(e, k);
    world_set_now(e->world, loop_wall_ns(e->loop));
    size_t n = s ? s->watchers.n : e->controllers.n;
    for (size_t i = 0; i < n; i++) {
        struct controller *c = s ? s->watchers.v[i] : e->controllers.v[i];
        if (!s && !watches(c->r, k, true)) continue; /* a kind that has just been lost */
        struct keys out = {c};
        (c->r->map ? c->r->map : reconciler_default_map)(c->r, e->world, k, now, old, &out);
    }
}

static void update_complete(struct engine *e) {
    bool complete = !e->dynamic || e->discovered;
    for (size_t i = 0; complete && i < e->sources.n; i++)
        complete = !e->sources.v[i]->dynamic || informer_synced(e->sources.v[i]->informer);
    world_set_complete(e->world, complete);
}

static void on_informer(void *user, enum informer_event ev, const struct api_object *now,
                        const struct api_object *old) {
    struct source *s = user;
    struct engine *e = s->engine;
    e->check_waiting = true;
    engine_turn_soon(e);
    if (ev == INFORMER_SYNCED) {
        update_complete(e);
        return;
    }
    bool definition = str_eq(s->kind->plural, "customresourcedefinitions");
    if (definition && e->dynamic) dynamic_kinds_refresh(e->dynamic);
    e->telling = s;
    world_set_now(e->world, loop_wall_ns(e->loop));
    world_changed(e->world, s->kind, ev == INFORMER_DELETED ? NULL : now, old);
    e->telling = NULL;
}

static bool controller_synced(struct controller *c) {
    const struct engine *e = c->engine;
    if (c->synced) return true;
    for (size_t i = 0; i < e->sources.n; i++)
        if (!e->sources.v[i]->dynamic && watches(c->r, e->sources.v[i]->kind, true) &&
            !informer_synced(e->sources.v[i]->informer))
            return false;
    return c->synced = true; /* first lists stay, and those kinds neither come nor go */
}

/* ---- turns ---- */

/* After a failure in the middle of a plan there may still be writes that have not been seen. */
static void key_run_or_wait(struct key *k) {
    if (awaits_seen(k)) {
        key_run(k);
        return;
    }
    key_wait(k);
    k->again = true;
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

/* What no reconciler has looked at for a while rests packed. */
static void engine_cool(struct engine *e) {
    uint64_t now_ms = loop_now_ms(e->loop);
    if (now_ms - e->cooled_ms < COOL_MS) return;
    e->cooled_ms = now_ms;
    world_cool(e->world, false);
}

/* Some keys of every reconciler, in rotation, so that none starves; no more than what can soon be
 * written, because requests that have been handed out are answered in their order. */
static void on_turn(void *user) {
    struct engine *e = user;
    if (e->check_waiting) engine_waiting_check(e);
    engine_cool(e);
    world_set_now(e->world, loop_wall_ns(e->loop));
    int budget = KEYS_PER_TURN;
    size_t n = e->controllers.n, idle = 0;
    while (budget > 0 && idle < n && e->stats.running < ENGINE_RUNS_MAX) {
        struct controller *c = e->controllers.v[e->rotation++ % n];
        struct key *k = controller_synced(c) ? queue_pop(c) : NULL;
        idle = k ? 0 : idle + 1;
        if (!k) continue;
        budget--;
        key_run_or_wait(k);
    }
    if (idle < n && e->stats.running < ENGINE_RUNS_MAX) engine_turn_soon(e);
    timer_start(e->idle, IDLE_MS, 0);
}

/* A burst of plans leaves much free memory behind. */
static void on_idle(void *user) {
    struct engine *e = user;
    world_cool(e->world, true);
    loop_trim(e->loop);
}

/* ---- life ---- */

static void source_make(struct engine *e, const struct api_kind *k, bool dynamic) {
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
    s->dynamic = dynamic;
    s->cache = world_cache(e->world, k, dynamic || !named);
    cache_keep(s->cache, projection_of(k));
    cache_pack(s->cache);
    for (size_t i = 0; i < e->controllers.n; i++)
        if (watches(e->controllers.v[i]->r, k, true)) vec_push(&s->watchers, e->controllers.v[i]);
    s->informer = informer_new_into(e->client, s->cache, NULL, NULL, on_informer, s);
    vec_push(&e->sources, s);
}

/* ---- custom kinds ---- */

static void on_found(void *user, const struct api_kind *k) { source_make(user, k, true); }

static void on_lost(void *user, const struct api_kind *k) {
    struct engine *e = user;
    for (size_t i = e->sources.n; i-- > 0;) {
        struct source *s = e->sources.v[i];
        if (s->kind != k) continue;
        informer_free(s->informer);
        vec_remove(&e->sources, i);
        vec_done(&s->watchers);
        free(s);
        world_drop_kind(e->world, k);
    }
}

static void on_complete(void *user) {
    struct engine *e = user;
    e->discovered = true;
    update_complete(e);
    e->check_waiting = true;
    engine_turn_soon(e);
}

/* Only who watches every kind needs the custom ones. */
static void dynamic_make(struct engine *e) {
    bool any = false;
    for (size_t i = 0; i < e->controllers.n; i++)
        for (const char *const *w = e->controllers.v[i]->r->watches; *w; w++)
            any = any || str_eq(*w, "*");
    if (!any) return;
    struct dynamic_events ev = {on_found, on_lost, on_complete, e};
    e->dynamic = dynamic_kinds_new(e->client, &ev);
    world_set_complete(e->world, false);
}

static void sources_make(struct engine *e) {
    size_t n;
    const struct api_kind *const *kinds = api_kinds(&n);
    for (size_t i = 0; i < n; i++)
        if (!(kinds[i]->flags & (API_VIRTUAL | API_CONVERTED))) source_make(e, kinds[i], false);
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
    e->delay = timer_new(l, engine_delay_over, e);
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
    dynamic_make(e);
    return e;
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
    dynamic_kinds_free(e->dynamic);
    for (size_t i = 0; i < e->sources.n; i++) {
        informer_free(e->sources.v[i]->informer);
        vec_done(&e->sources.v[i]->watchers);
        free(e->sources.v[i]);
    }
    vec_done(&e->sources);
    engine_runs_abandon(e);
    polls_free(e->polls);
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
