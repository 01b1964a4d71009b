#include "node/usage.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/quantity.h"
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

static struct {
    bool known;
    struct cgroup_layout layout;
    char base[CGROUP_PATH_MAX];
    struct map samples; /* path → struct sample */
} state;

struct usage_wish {
    struct agent *agent;
    struct arena *arena;
    usage_fn *fn;
    void *user;
    struct timer *timer;
};

/* ---- files ---- */

static struct slice read_file(const char *path, char text[FILE_BYTES]) {
    OWN(close_p) int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, FILE_BYTES - 1);
    if (n < 0) n = 0;
    text[n] = 0;
    return slice_from(text, (size_t)n);
}

static void find_groups(const struct agent *g) {
    OWN(buf_done) struct buf text = {0};
    OWN(close_p) int fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
    char piece[4096];
    for (ssize_t n; fd >= 0 && text.n < 1024 * 1024 && (n = read(fd, piece, sizeof piece)) > 0;)
        buf_append(&text, piece, (size_t)n);
    state.known = cgroup_layout_parse(buf_view(&text), &state.layout) == 0;
    snprintf(state.base, sizeof state.base, "/atoll-%s", g->settings->instance);
}

/* file of a group in the hierarchy of a controller. */
static struct slice group_file(enum cgroup_controller c, const char *group, const char *file,
                               char text[FILE_BYTES]) {
    const struct cgroup_hierarchy *h = cgroup_layout_find(&state.layout, c);
    char path[4 * CGROUP_PATH_MAX];
    text[0] = 0;
    if (!h) return slice_from(text, 0);
    snprintf(path, sizeof path, "%s%s/%s", h->path, group, file);
    return read_file(path, text);
}

static uint64_t group_cpu_ns(const char *group) {
    char text[FILE_BYTES];
    uint64_t v = 0;
    if (!state.layout.unified) {
        cgroup_number(slice_trim(group_file(CGROUP_CPUACCT, group, "cpuacct.usage", text)), &v);
        return v;
    }
    cgroup_value(group_file(CGROUP_CPU, group, "cpu.stat", text), "usage_usec", &v);
    return v * 1000;
}

static void group_memory(const char *group, struct usage *u) {
    bool v2 = state.layout.unified;
    char text[FILE_BYTES];
    uint64_t inactive = 0;
    cgroup_number(slice_trim(group_file(CGROUP_MEMORY, group,
                                        v2 ? "memory.current" : "memory.usage_in_bytes", text)),
                  &u->usage_bytes);
    struct slice stat = group_file(CGROUP_MEMORY, group, "memory.stat", text);
    cgroup_value(stat, v2 ? "inactive_file" : "total_inactive_file", &inactive);
    cgroup_value(stat, v2 ? "anon" : "total_rss", &u->rss_bytes);
    cgroup_value(stat, v2 ? "file" : "total_cache", &u->cache_bytes);
    u->working_set_bytes = u->usage_bytes > inactive ? u->usage_bytes - inactive : 0;
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

static void look_machine(struct agent *g, struct usage_report *r, uint64_t now_ms, bool *all,
                         uint64_t *window_ms) {
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
    *all &= rate("", &r->machine, now_ms, window_ms);
}

static void look_container(struct usage_report *r, const struct container *c, struct usage_pod *p,
                           uint64_t now_ms, bool *all, uint64_t *window_ms) {
    char group[2 * CGROUP_PATH_MAX];
    const struct core_v1_container *spec = container_spec(c);
    const char *limit = str_map_get(&spec->resources.limits, "memory");
    struct usage_container *u = &p->v[p->n++];
    snprintf(group, sizeof group, "%s/pod%s/%s", state.base, c->pod->uid, c->id);
    *u = (struct usage_container){
        .name = c->name, .id = c->id, .image = spec->image, .started_ns = c->started_ns};
    if (limit) u->memory_limit_bytes = (uint64_t)(quantity_milli(limit) / 1000);
    u->u.cpu_ns = group_cpu_ns(group);
    group_memory(group, &u->u);
    *all &= rate(group, &u->u, now_ms, window_ms);
}

static void look_pod(struct usage_report *r, struct arena *a, const struct pod *pod,
                     uint64_t now_ms, bool *all, uint64_t *window_ms) {
    char group[2 * CGROUP_PATH_MAX];
    size_t running = 0;
    for (size_t i = 0; i < pod->n_containers; i++)
        running += pod->containers[i].state == CONTAINER_RUNNING;
    if (!running) return;
    struct usage_pod *p = &r->v[r->n++];
    *p = (struct usage_pod){
        .ns = pod->ns, .name = pod->name, .uid = pod->uid, .started_ns = pod->start_ns};
    p->v = ARENA_ARRAY(a, struct usage_container, running);
    snprintf(group, sizeof group, "%s/pod%s", state.base, pod->uid);
    p->u.cpu_ns = group_cpu_ns(group);
    group_memory(group, &p->u);
    *all &= rate(group, &p->u, now_ms, window_ms);
    for (size_t i = 0; i < pod->n_containers; i++)
        if (pod->containers[i].state == CONTAINER_RUNNING)
            look_container(r, &pod->containers[i], p, now_ms, all, window_ms);
}

static int by_name(const void *x, const void *y) {
    const struct usage_pod *a = x, *b = y;
    int c = strcmp(a->ns, b->ns);
    return c ? c : strcmp(a->name, b->name);
}

/* True: everything has a rate. */
static bool look(struct agent *g, struct arena *a, struct usage_report *r) {
    uint64_t now_ms = loop_now_ms(g->loop), window_ms = 0;
    bool all = true;
    size_t i = 0;
    if (!state.known) find_groups(g);
    *r = (struct usage_report){.node = g->settings->node_name, .at_ns = loop_wall_ns(g->loop)};
    r->v = ARENA_ARRAY(a, struct usage_pod, g->workers.n);
    look_machine(g, r, now_ms, &all, &window_ms);
    for (struct map_entry *e; (e = map_next(&g->workers, &i));)
        look_pod(r, a, e->value, now_ms, &all, &window_ms);
    forget_gone();
    qsort(r->v, r->n, sizeof *r->v, by_name);
    r->window_ns = (int64_t)window_ms * 1000000;
    return all;
}

/* ---- wishes ---- */

void usage_cancel(struct usage_wish *w) {
    if (!w) return;
    timer_free(w->timer);
    free(w);
}

static void on_second_look(void *user) {
    struct usage_wish w = *(struct usage_wish *)user;
    struct usage_report r;
    usage_cancel(user);
    look(w.agent, w.arena, &r);
    w.fn(w.user, &r);
}

struct usage_wish *usage_ask(struct agent *g, struct arena *a, usage_fn *fn, void *user) {
    struct usage_wish *w = calloc(1, sizeof *w);
    struct usage_report r;
    if (!w) abort();
    *w = (struct usage_wish){.agent = g, .arena = a, .fn = fn, .user = user};
    w->timer = timer_new(g->loop, on_second_look, w);
    bool rated = look(g, a, &r);
    timer_start(w->timer, rated ? 0 : SECOND_LOOK_MS, 0);
    return w;
}
