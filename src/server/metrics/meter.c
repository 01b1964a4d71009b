#include "server/metrics/meter.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/own.h"

enum { CODES_MAX = 24, KEY_BYTES = 256, SERIES_MAX = 4000, STATUS_SWITCHED = 101, MEMO_SLOTS = 64 };

/* Upper bounds of the histogram, in milliseconds. */
static const unsigned bounds_ms[] = {5,    25,    50,    100,   200,   400,   600,  800,
                                     1000, 1250,  1500,  2000,  3000,  4000,  5000, 6000,
                                     8000, 10000, 15000, 20000, 30000, 45000, 60000};
enum { BOUNDS = sizeof bounds_ms / sizeof bounds_ms[0] };

/* All requests that look the same. */
struct series {
    char *labels; /* …="…",… without code */
    bool long_running;
    uint64_t buckets[BOUNDS + 1]; /* not cumulative */
    uint64_t sum_ms, n;
    struct {
        int code;
        uint64_t n;
    } codes[CODES_MAX];
    int64_t open; /* long-running ones that have not ended */
};

static struct {
    struct map series;   /* by verb, kind, subresource, scope */
    int64_t inflight[2]; /* read-only, mutating */
    int statm_fd;
} meter = {.statm_fd = -1};

/* What is known of a request; in the arena of the request. */
struct metered {
    struct call *c;
    struct series *series;
    bool mutating, counted;
};

/* ---- which series ---- */

static const struct {
    const char *verb, *name;
} verbs[] = {
    {"get", "GET"},       {"list", "LIST"},
    {"watch", "WATCH"},   {"create", "POST"},
    {"update", "PUT"},    {"patch", "PATCH"},
    {"delete", "DELETE"}, {"deletecollection", "DELETECOLLECTION"},
};

static const char *among(const char *word, const char *const *words, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (str_eq(word, words[i])) return words[i];
    return NULL;
}

static const char *stream_of(const struct route *r) {
    static const char *const streams[] = {"exec", "attach", "portforward", "proxy"};
    return *r->subresource ? among(r->subresource, streams, ARRAY_LEN(streams)) : NULL;
}

static const char *verb_name(const struct call *c) {
    const struct route *r = &c->route;
    if (r->is_resource && stream_of(r)) return "CONNECT";
    for (size_t i = 0; r->verb && i < ARRAY_LEN(verbs); i++)
        if (str_eq(verbs[i].verb, r->verb)) {
            bool apply = str_eq(r->verb, "patch") &&
                         str_starts(str_or(http_header(&c->r->headers, "content-type"), ""),
                                    "application/apply-patch");
            return apply ? "APPLY" : verbs[i].name;
        }
    return "other";
}

static const char *scope_of(const struct route *r) {
    if (!r->is_resource) return "";
    if (*r->name) return "resource";
    return *r->ns ? "namespace" : "cluster";
}

/* Names that clients make up do not become series: only kinds and subresources that there are. All
 * but the kinds are literals: those that are the same lie at the same place. */
struct look {
    const struct api_kind *kind;
    const char *dry_run, *scope, *subresource, *verb;
};

static struct look look_of(const struct call *c) {
    static const char *const others[] = {"status", "scale", "log"};
    const struct route *r = &c->route;
    struct look l = {.dry_run = http_query_get(&c->r->query, "dryRun") ? "All" : "",
                     .scope = "",
                     .subresource = "",
                     .verb = verb_name(c)};
    if (r->is_resource) l.kind = api_kind_by_plural(r->group, r->version, r->plural);
    if (!l.kind) return l;
    l.scope = scope_of(r);
    const char *sub = stream_of(r);
    if (!sub && *r->subresource) sub = among(r->subresource, others, ARRAY_LEN(others));
    if (sub) l.subresource = sub;
    return l;
}

static void key_of(const struct look *l, char key[KEY_BYTES]) {
    const struct api_kind *k = l->kind;
    const char *const parts[] = {"component=\"apiserver\",dry_run=\"",
                                 l->dry_run,
                                 "\",group=\"",
                                 k ? k->group : "",
                                 "\",resource=\"",
                                 k ? k->plural : "",
                                 "\",scope=\"",
                                 l->scope,
                                 "\",subresource=\"",
                                 l->subresource,
                                 "\",verb=\"",
                                 l->verb,
                                 "\",version=\"",
                                 k ? k->version : "",
                                 "\""};
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        size_t more = MIN_OF(strlen(parts[i]), KEY_BYTES - 1 - n);
        memcpy(key + n, parts[i], more);
        n += more;
    }
    key[n] = 0;
}

static struct series *find_series(const struct look *l) {
    char key[KEY_BYTES];
    key_of(l, key);
    struct series *s = map_gets(&meter.series, key);
    if (s || meter.series.n >= SERIES_MAX) return s;
    s = calloc(1, sizeof *s);
    if (!s) abort();
    s->labels = strdup(key);
    if (!s->labels) abort();
    s->long_running = str_eq(l->verb, "WATCH") || str_eq(l->verb, "CONNECT");
    map_put(&meter.series, slice_of(key), s);
    return s;
}

static struct series *series_of(const struct call *c) {
    static struct {
        struct look look;
        struct series *series;
    } memo[MEMO_SLOTS];
    struct look l = look_of(c);
    __auto_type m = &memo[((uintptr_t)l.kind / sizeof *l.kind ^ (uintptr_t)l.verb) % MEMO_SLOTS];
    if (m->series && l.kind == m->look.kind && l.verb == m->look.verb && l.scope == m->look.scope &&
        l.subresource == m->look.subresource && l.dry_run == m->look.dry_run)
        return m->series;
    struct series *s = find_series(&l);
    m->look = l;
    m->series = l.kind && l.kind->custom ? NULL : s; /* those go, and others may take the place */
    return s;
}

/* ---- counting ---- */

static void on_begun(struct request *r, int status) {
    struct metered *m = r->meter_data;
    struct series *s = m->series;
    uint64_t took_ms = loop_now_ms(m->c->api->loop) - r->received_ms;
    size_t i = 0;
    m->counted = true;
    meter.inflight[m->mutating]--;
    if (!s) return;
    while (i < CODES_MAX - 1 && s->codes[i].code && s->codes[i].code != status) i++;
    s->codes[i].code = status;
    s->codes[i].n++;
    if (s->long_running) return;
    for (i = 0; i < BOUNDS && took_ms > bounds_ms[i]; i++)
        ;
    s->buckets[i]++;
    s->sum_ms += took_ms;
    s->n++;
}

static void on_gone(struct request *r) {
    struct metered *m = r->meter_data;
    if (!m->counted) on_begun(r, STATUS_SWITCHED); /* a tunnel, or nobody waited for the answer */
    if (m->series && m->series->long_running) m->series->open--;
}

void meter_begin(struct call *c) {
    struct metered *m = ARENA_NEW(c->a, struct metered);
    const char *method = c->r->method;
    *m = (struct metered){.c = c, .series = series_of(c)};
    m->mutating = !str_eq(method, "GET") && !str_eq(method, "HEAD");
    meter.inflight[m->mutating]++;
    if (m->series && m->series->long_running) m->series->open++;
    c->r->meter_data = m;
    c->r->meter_begun = on_begun;
    c->r->meter_gone = on_gone;
}

/* ---- text ---- */

static int by_labels(const void *x, const void *y) {
    const struct series *const *a = x, *const *b = y;
    return strcmp((*a)->labels, (*b)->labels);
}

static void write_totals(struct buf *b, struct series *const *v, size_t n) {
    buf_str(b, "# HELP apiserver_request_total Requests answered, by what they were for.\n"
               "# TYPE apiserver_request_total counter\n");
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < CODES_MAX && v[i]->codes[j].n; j++)
            buf_printf(b, "apiserver_request_total{code=\"%d\",%s} %" PRIu64 "\n",
                       v[i]->codes[j].code, v[i]->labels, v[i]->codes[j].n);
}

static void write_durations(struct buf *b, struct series *const *v, size_t n) {
    static const char name[] = "apiserver_request_duration_seconds";
    buf_printf(b, "# HELP %s Time until the answer began.\n# TYPE %s histogram\n", name, name);
    for (size_t i = 0; i < n; i++) {
        const struct series *s = v[i];
        uint64_t sum = 0;
        if (!s->n) continue;
        for (size_t j = 0; j < BOUNDS; j++) {
            sum += s->buckets[j];
            buf_printf(b, "%s_bucket{%s,le=\"%g\"} %" PRIu64 "\n", name, s->labels,
                       bounds_ms[j] / 1000.0, sum);
        }
        buf_printf(b, "%s_bucket{%s,le=\"+Inf\"} %" PRIu64 "\n", name, s->labels, s->n);
        buf_printf(b, "%s_sum{%s} %.3f\n", name, s->labels, (double)s->sum_ms / 1000.0);
        buf_printf(b, "%s_count{%s} %" PRIu64 "\n", name, s->labels, s->n);
    }
}

void meter_write(struct buf *b) {
    size_t i = 0, n = 0;
    struct series **v = calloc(meter.series.n + 1, sizeof *v);
    if (!v) abort();
    for (struct map_entry *e; (e = map_next(&meter.series, &i));) v[n++] = e->value;
    qsort(v, n, sizeof *v, by_labels);
    write_totals(b, v, n);
    write_durations(b, v, n);
    buf_str(b, "# HELP apiserver_longrunning_requests Watches and streams that are open.\n"
               "# TYPE apiserver_longrunning_requests gauge\n");
    for (i = 0; i < n; i++)
        if (v[i]->long_running)
            buf_printf(b, "apiserver_longrunning_requests{%s} %" PRId64 "\n", v[i]->labels,
                       v[i]->open);
    buf_printf(b,
               "# HELP apiserver_current_inflight_requests Requests that are not answered yet.\n"
               "# TYPE apiserver_current_inflight_requests gauge\n"
               "apiserver_current_inflight_requests{request_kind=\"mutating\"} %" PRId64 "\n"
               "apiserver_current_inflight_requests{request_kind=\"readOnly\"} %" PRId64 "\n",
               meter.inflight[1], meter.inflight[0]);
    free(v);
}

/* ---- the process ---- */

void meter_prepare(void) { meter.statm_fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC); }

static void gauge(struct buf *b, const char *name, const char *type, const char *help,
                  double value) {
    buf_printf(b, "# HELP %s %s\n# TYPE %s %s\n%s %.15g\n", name, help, name, type, name, value);
}

void meter_process(struct buf *b, int64_t started_ns) {
    struct rusage u;
    struct rlimit files;
    char text[128];
    unsigned long long total = 0, resident = 0;
    getrusage(RUSAGE_SELF, &u);
    double cpu = (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
                 (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
    gauge(b, "process_cpu_seconds_total", "counter", "CPU time of the api service.", cpu);
    gauge(b, "process_start_time_seconds", "gauge", "Start, in seconds since 1970.",
          (double)started_ns / 1e9);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0)
        gauge(b, "process_max_fds", "gauge", "Descriptors it may have.", (double)files.rlim_cur);
    ssize_t n = meter.statm_fd >= 0 ? pread(meter.statm_fd, text, sizeof text - 1, 0) : -1;
    if (n <= 0) return;
    text[n] = 0;
    if (sscanf(text, "%llu %llu", &total, &resident) != 2) return;
    double page = (double)sysconf(_SC_PAGESIZE);
    gauge(b, "process_resident_memory_bytes", "gauge", "Memory in use.", (double)resident * page);
    gauge(b, "process_virtual_memory_bytes", "gauge", "Address space.", (double)total * page);
}
