#include "node/status/usage.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/values/quantity.h"
#include "base/own.h"
#include "node/host.h"
#include "proto/cgroup.h"

enum {
    FILE_BYTES = 16 * 1024,
    SAMPLE_FRESH_MS = 60 * 1000, /* an older one says nothing about now */
    SAMPLE_RIPE_MS = 1000,       /* a younger one is too near for a rate */
    SECOND_LOOK_MS = 1000,
};

/* The last two looks at one group's CPU time. */
struct sample {
    uint64_t at_ms, cpu_ns;
    uint64_t rate, window_ms; /* of the look before; window 0: none yet */
    bool seen;                /* in the present look */
};

static struct { struct map samples; /* control group → struct sample */ } state;

/* One look: the report, and how many answers are still awaited. */
struct usage_wish {
    struct agent *agent;
    struct arena *arena;
    struct usage_report report;
    usage_fn *fn; /* NULL: cancelled */
    void *user;
    struct timer *timer;
    size_t waiting;
    uint64_t at_ms;
    bool second;
};

/* One control group of it. */
struct asked {
    struct usage_wish *wish;
    struct usage *usage;
};

static struct slice read_file(const char *path, char text[FILE_BYTES]) {
    OWN(close_p) int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, FILE_BYTES - 1);
    if (n < 0) n = 0;
    text[n] = 0;
    return slice_from(text, (size_t)n);
}

/* ---- rates ---- */

static uint64_t rate_of(const struct sample *s, uint64_t cpu_ns, uint64_t now_ms) {
    uint64_t used = cpu_ns > s->cpu_ns ? cpu_ns - s->cpu_ns : 0;
    return (uint64_t)((double)used * 1000.0 / (double)(now_ms - s->at_ms));
}

/* Puts the look into the sample; true when there is a rate. */
static bool rate(const char *key, struct usage *u, uint64_t now_ms, uint64_t *ret_window_ms) {
    struct sample *s = map_gets(&state.samples, key);
    if (!s) {
        s = calloc(1, sizeof *s);
        if (!s) abort();
        *s = (struct sample){.at_ms = now_ms, .cpu_ns = u->cpu_ns};
        map_put(&state.samples, slice_of(key), s);
    }
    s->seen = true;
    uint64_t age = now_ms - s->at_ms;
    if (age > SAMPLE_FRESH_MS) {
        *s = (struct sample){.at_ms = now_ms, .cpu_ns = u->cpu_ns, .seen = true};
    } else if (age >= SAMPLE_RIPE_MS) {
        s->rate = rate_of(s, u->cpu_ns, now_ms);
        s->window_ms = age;
        s->at_ms = now_ms;
        s->cpu_ns = u->cpu_ns;
    }
    u->nanocores = s->rate;
    u->rated = s->window_ms > 0;
    if (u->rated) *ret_window_ms = MAX_OF(*ret_window_ms, s->window_ms);
    return u->rated;
}

/* What was not seen in this look is gone. */
static void forget_gone(void) {
    size_t i = 0;
    struct map_entry *e;
    VEC(char *) gone = {0};
    while ((e = map_next(&state.samples, &i))) {
        struct sample *s = e->value;
        if (!s->seen) vec_push(&gone, e->key);
        s->seen = false;
    }
    for (size_t k = 0; k < gone.n; k++) {
        OWN(buf_done) struct buf key = {0};
        buf_str(&key, gone.v[k]);
        free(map_del(&state.samples, buf_view(&key)));
    }
    vec_done(&gone);
}

/* ---- the look ---- */

static void look_machine(struct agent *g, struct usage_report *r) {
    char text[FILE_BYTES];
    struct slice stat = read_file("/proc/stat", text);
    unsigned long long v[8] = {0};
    uint64_t boot_s = 0;
    long hertz = sysconf(_SC_CLK_TCK);
    if (stat.n)
        sscanf(stat.p, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &v[0], &v[1], &v[2], &v[3],
               &v[4], &v[5], &v[6], &v[7]);
    unsigned long long busy = v[0] + v[1] + v[2] + v[5] + v[6] + v[7];
    r->machine.cpu_ns = busy * (1000000000ull / (unsigned long long)(hertz > 0 ? hertz : 100));
    cgroup_value(stat, "btime", &boot_s);
    r->boot_ns = (int64_t)boot_s * 1000000000;
    r->memory_bytes = g->host.memory_bytes;
    r->available_bytes = MAX_OF(host_memory_available(&g->host), (int64_t)0);
    r->machine.working_set_bytes = (uint64_t)MAX_OF(r->memory_bytes - r->available_bytes, 0);
    r->machine.usage_bytes = r->machine.working_set_bytes;
    r->cpus_milli = g->host.cpu_milli;
}

static void looked(struct usage_wish *w);

static void on_stats(void *user, struct ipc_msg *m, const struct err *err) {
    struct asked q = *(struct asked *)user;
    if (m && m->type == BROKER_STATS_OK) {
        struct unpack u = unpack_init(m->body);
        struct usage got = {.cpu_ns = unpack_u64(&u), .known = true};
        got.usage_bytes = unpack_u64(&u);
        got.working_set_bytes = unpack_u64(&u);
        unpack_u32(&u);
        got.rss_bytes = unpack_u64(&u);
        got.cache_bytes = unpack_u64(&u);
        if (unpack_end(&u) == 0) *q.usage = got;
    }
    if (--q.wish->waiting == 0) looked(q.wish);
}

/* id "": the pod's own group. */
static void ask(struct usage_wish *w, const char *uid, const char *id, struct usage *to) {
    OWN(buf_done) struct buf b = {0};
    struct asked *q = ARENA_NEW(w->arena, struct asked);
    *q = (struct asked){w, to};
    w->waiting++;
    pack_str(&b, uid);
    pack_str(&b, id);
    link_call(w->agent->broker, BROKER_STATS, buf_view(&b), NULL, 0, on_stats, q);
}

static void look_container(struct usage_wish *w, const struct container *c, struct usage_pod *p) {
    const struct core_v1_container *spec = container_spec(c);
    const char *limit = str_map_get(&spec->resources.limits, "memory");
    struct usage_container *u = &p->v[p->n++];
    *u = (struct usage_container){.name = arena_str(w->arena, c->name),
                                  .id = arena_str(w->arena, c->id),
                                  .image = arena_str(w->arena, spec->image),
                                  .started_ns = c->started_ns};
    if (limit) u->memory_limit_bytes = (uint64_t)(quantity_milli(limit) / 1000);
    ask(w, p->uid, u->id, &u->u);
}

static void look_pod(struct usage_wish *w, const struct pod *pod) {
    size_t running = 0;
    for (size_t i = 0; i < pod->n_containers; i++)
        running += pod->containers[i]->state == CONTAINER_RUNNING;
    if (!running) return;
    struct usage_pod *p = &w->report.v[w->report.n++];
    *p = (struct usage_pod){.ns = arena_str(w->arena, pod->ns),
                            .name = arena_str(w->arena, pod->name),
                            .uid = arena_str(w->arena, pod->uid),
                            .started_ns = pod->start_ns};
    p->v = ARENA_ARRAY(w->arena, struct usage_container, running);
    ask(w, p->uid, "", &p->u);
    for (size_t i = 0; i < pod->n_containers; i++)
        if (pod->containers[i]->state == CONTAINER_RUNNING)
            look_container(w, pod->containers[i], p);
}

static void look(struct usage_wish *w) {
    struct agent *g = w->agent;
    struct usage_report *r = &w->report;
    size_t i = 0;
    arena_free(w->arena);
    w->arena = arena_new();
    w->at_ms = loop_now_ms(g->loop);
    *r = (struct usage_report){.node = g->settings->node_name, .at_ns = loop_wall_ns(g->loop)};
    r->v = ARENA_ARRAY(w->arena, struct usage_pod, g->workers.n);
    look_machine(g, r);
    w->waiting = 1; /* until all are asked */
    for (struct map_entry *e; (e = map_next(&g->workers, &i));) look_pod(w, e->value);
    if (--w->waiting == 0) looked(w);
}

/* ---- what came of it ---- */

static int by_name(const void *x, const void *y) {
    const struct usage_pod *a = x, *b = y;
    int c = strcmp(a->ns, b->ns);
    return c ? c : strcmp(a->name, b->name);
}

/* True: everything that is known has a rate. */
static bool rate_all(struct usage_wish *w) {
    struct usage_report *r = &w->report;
    uint64_t window_ms = 0;
    bool all = rate("", &r->machine, w->at_ms, &window_ms);
    for (size_t i = 0; i < r->n; i++) {
        struct usage_pod *p = &r->v[i];
        if (p->u.known) all &= rate(p->uid, &p->u, w->at_ms, &window_ms);
        for (size_t j = 0; j < p->n; j++)
            if (p->v[j].u.known) all &= rate(p->v[j].id, &p->v[j].u, w->at_ms, &window_ms);
    }
    r->window_ns = (int64_t)window_ms * 1000000;
    return all;
}

static void wish_free(struct usage_wish *w) {
    timer_free(w->timer);
    arena_free(w->arena);
    free(w);
}

void usage_cancel(struct usage_wish *w) {
    if (!w) return;
    w->fn = NULL;
    if (!w->waiting) wish_free(w);
}

static void on_second_look(void *user) {
    struct usage_wish *w = user;
    w->second = true;
    look(w);
}

static void tell(void *user) {
    struct usage_wish *w = user;
    usage_fn *fn = w->fn;
    if (fn) fn(w->user, &w->report);
    wish_free(w);
}

static void looked(struct usage_wish *w) {
    if (!w->fn) {
        wish_free(w);
        return;
    }
    bool rated = rate_all(w);
    forget_gone();
    qsort(w->report.v, w->report.n, sizeof *w->report.v, by_name);
    bool done = rated || w->second;
    timer_free(w->timer);
    w->timer = timer_new(w->agent->loop, done ? tell : on_second_look, w);
    timer_start(w->timer, done ? 0 : SECOND_LOOK_MS, 0);
}

struct usage_wish *usage_ask(struct agent *g, usage_fn *fn, void *user) {
    struct usage_wish *w = calloc(1, sizeof *w);
    if (!w) abort();
    *w = (struct usage_wish){.agent = g, .fn = fn, .user = user};
    look(w);
    return w;
}
