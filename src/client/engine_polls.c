/*
 * Engine: API paths that plans want to know of, asked again and again as long as somebody does, and
 * put into the world as facts. Requests do not share connections with the writes, nor API groups
 * with one another: an aggregated server that hangs holds up nobody else.
 */
#include <stdlib.h>

#include "base/own.h"
#include "client/engine_private.h"

enum { FAILED_MAX_MS = 4000, LANES_MAX = 8 };

struct wanter; /* a key */

struct poll {
    struct polls *polls;
    char *path;
    uint64_t period_ms, due_ms;
    int64_t asked_ns;
    unsigned failures;
    struct poll_call *call; /* on its way; NULL: none */
    VEC(struct wanter *) wanters;
};

struct wanter {
    struct controller *controller;
    char *text;
    VEC(struct poll *) polls;
};

/* A request on its way; may outlive its poll. */
struct poll_call {
    struct polls *polls;
    struct poll *poll; /* NULL: nobody wants the answer any more */
};

/* A client of its own for one API group. */
struct lane {
    char *prefix;
    struct api_client *client;
};

struct polls {
    struct engine *engine;
    struct map by_path; /* path → struct poll */
    struct map wanters; /* controller and key → struct wanter */
    VEC(struct lane) lanes;
    VEC(struct poll_call *) calls; /* a client that is freed drops its own without an answer */
    struct timer *timer;
};

/* ---- asking ---- */

static struct api_client *lane_of(struct polls *p, const char *path) {
    const char *end = str_starts(path, "/apis/") ? strchr(path + 6, '/') : NULL;
    struct slice prefix = slice_from(path, end ? (size_t)(end - path) : 0);
    for (size_t i = 0; i < p->lanes.n; i++)
        if (slice_is(prefix, p->lanes.v[i].prefix)) return p->lanes.v[i].client;
    if (p->lanes.n == LANES_MAX) return p->lanes.v[LANES_MAX - 1].client;
    char *copy = strndup(prefix.p, prefix.n);
    if (!copy) abort();
    const char *socket = api_client_socket(p->engine->client);
    vec_push(&p->lanes, (struct lane){copy, api_client_new(p->engine->loop, socket)});
    return p->lanes.v[p->lanes.n - 1].client;
}

static void arm(struct polls *p) {
    uint64_t now = loop_now_ms(p->engine->loop), due = UINT64_MAX;
    struct map_entry *m;
    for (size_t i = 0; (m = map_next(&p->by_path, &i));) {
        const struct poll *q = m->value;
        if (!q->call && q->due_ms < due) due = q->due_ms;
    }
    if (due == UINT64_MAX)
        timer_stop(p->timer);
    else
        timer_start(p->timer, due > now ? due - now : 0, 0);
}

static void wake(struct poll *q) {
    for (size_t i = 0; i < q->wanters.n; i++) {
        struct keys out = {q->wanters.v[i]->controller};
        keys_add(&out, q->wanters.v[i]->text);
    }
}

static void call_free(struct poll_call *call) {
    struct polls *p = call->polls;
    for (size_t i = p->calls.n; i-- > 0;)
        if (p->calls.v[i] == call) vec_swap_remove(&p->calls, i);
    free(call);
}

static void on_answer(void *user, const struct api_object *o, struct slice body,
                      const struct err *err) {
    struct poll_call *call = user;
    struct poll *q = call->poll;
    (void)o;
    call_free(call);
    if (!q) return;
    struct engine *e = q->polls->engine;
    q->call = NULL;
    q->failures = err ? q->failures + 1 : 0;
    uint64_t wait = q->period_ms;
    for (unsigned i = 1; i < q->failures && wait < FAILED_MAX_MS; i++) wait *= 2;
    if (err) wait = MAX_OF(q->period_ms, MIN_OF(wait, (uint64_t)FAILED_MAX_MS));
    q->due_ms = loop_now_ms(e->loop) + wait;
    world_set_fact(e->world, q->path, q->asked_ns, body, err);
    wake(q);
    arm(q->polls);
}

static void ask(struct poll *q) {
    struct engine *e = q->polls->engine;
    q->call = malloc(sizeof *q->call);
    if (!q->call) abort();
    *q->call = (struct poll_call){q->polls, q};
    vec_push(&q->polls->calls, q->call);
    q->asked_ns = loop_wall_ns(e->loop);
    api_request(lane_of(q->polls, q->path), "GET", q->path, NULL, (struct slice){0}, on_answer,
                q->call);
}

static void on_due(void *user) {
    struct polls *p = user;
    uint64_t now = loop_now_ms(p->engine->loop);
    struct map_entry *m;
    for (size_t i = 0; (m = map_next(&p->by_path, &i));) {
        struct poll *q = m->value;
        if (!q->call && q->due_ms <= now) ask(q);
    }
    arm(p);
}

/* ---- who wants what ---- */

static void poll_free(struct poll *q) {
    if (q->call) q->call->poll = NULL;
    vec_done(&q->wanters);
    free(q->path);
    free(q);
}

static struct poll *poll_of(struct polls *p, const char *path, uint64_t period_ms) {
    struct poll *q = map_gets(&p->by_path, path);
    if (q) {
        q->period_ms = MIN_OF(q->period_ms, period_ms);
        return q;
    }
    q = calloc(1, sizeof *q);
    if (!q || !(q->path = strdup(path))) abort();
    q->polls = p;
    q->period_ms = MAX_OF(period_ms, (uint64_t)1);
    map_put(&p->by_path, slice_of(path), q);
    timer_start(p->timer, 0, 0);
    return q;
}

static void leave(struct wanter *w, struct poll *q) {
    for (size_t i = q->wanters.n; i-- > 0;)
        if (q->wanters.v[i] == w) vec_swap_remove(&q->wanters, i);
    if (q->wanters.n) return;
    world_drop_fact(q->polls->engine->world, q->path);
    map_del(&q->polls->by_path, slice_of(q->path));
    poll_free(q);
}

static bool is_wanted(const struct plan *p, const struct poll *q) {
    const char *path;
    uint64_t period;
    for (size_t i = 0; (path = plan_want_at(p, i, &period)); i++)
        if (str_eq(path, q->path)) return true;
    return false;
}

static void join(struct wanter *w, struct poll *q) {
    for (size_t i = 0; i < w->polls.n; i++)
        if (w->polls.v[i] == q) return;
    vec_push(&w->polls, q);
    vec_push(&q->wanters, w);
}

static void wanter_free(struct wanter *w) {
    vec_done(&w->polls);
    free(w->text);
    free(w);
}

static struct polls *polls_new(struct engine *e) {
    struct polls *p = calloc(1, sizeof *p);
    if (!p) abort();
    p->engine = e;
    p->timer = timer_new(e->loop, on_due, p);
    return p;
}

void polls_set(struct key *k, const struct plan *plan) {
    struct engine *e = k->controller->engine;
    const char *path;
    uint64_t period;
    bool any = plan_want_at(plan, 0, &period) != NULL;
    if (!any && !(e->polls && e->polls->wanters.n)) return;
    if (!e->polls) e->polls = polls_new(e);
    OWN(buf_done) struct buf name = {0};
    buf_printf(&name, "%s %s", k->controller->r->name, k->text);
    struct wanter *w = map_get(&e->polls->wanters, buf_view(&name));
    if (!w && !any) return;
    if (!w) {
        w = calloc(1, sizeof *w);
        if (!w || !(w->text = strdup(k->text))) abort();
        w->controller = k->controller;
        map_put(&e->polls->wanters, buf_view(&name), w);
    }
    for (size_t i = w->polls.n; i-- > 0;) {
        struct poll *q = w->polls.v[i];
        if (is_wanted(plan, q)) continue;
        vec_swap_remove(&w->polls, i);
        leave(w, q);
    }
    for (size_t i = 0; (path = plan_want_at(plan, i, &period)); i++)
        join(w, poll_of(e->polls, path, period));
    if (w->polls.n) return;
    map_del(&e->polls->wanters, buf_view(&name));
    wanter_free(w);
}

void polls_free(struct polls *p) {
    struct map_entry *m;
    if (!p) return;
    for (size_t i = 0; (m = map_next(&p->by_path, &i));) poll_free(m->value);
    for (size_t i = 0; (m = map_next(&p->wanters, &i));) wanter_free(m->value);
    for (size_t i = 0; i < p->lanes.n; i++) {
        api_client_free(p->lanes.v[i].client);
        free(p->lanes.v[i].prefix);
    }
    for (size_t i = 0; i < p->calls.n; i++) free(p->calls.v[i]);
    vec_done(&p->calls);
    vec_done(&p->lanes);
    map_done(&p->by_path);
    map_done(&p->wanters);
    timer_free(p->timer);
    free(p);
}
