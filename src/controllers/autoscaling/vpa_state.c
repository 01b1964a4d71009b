/*
 * What the recommender remembers: histograms by container, peaks of memory by running container. A
 * note of the world holds it exactly, checkpoints in the API hold the histograms over restarts.
 * Note: "t SAMPLED SAVED STATUS", then for each container "c NAME FIRST LAST COUNT", "p HISTOGRAM",
 * "m HISTOGRAM", and for each peak "k UID CONTAINER UNTIL BYTES KILLED".
 */
#include "controllers/autoscaling/vpa.h"

#include <inttypes.h>
#include <math.h>

#include "base/own.h"
#include "base/times.h"
#include "controllers/common.h"

enum { CONTAINERS_MAX = 100, PEAKS_MAX = 20000, NAME_MAX_BYTES = 253 };
static const int64_t day_ns = 24 * 3600 * 1000000000ll;
static const int64_t sample_ns = VPA_SAMPLE_S * 1000000000ll;
static const double least_weight = 0.1; /* of a CPU sample, in cores */
static const double kill_growth = 1.2, kill_more = 100.0 * 1024 * 1024;

static const char *note_name(struct arena *a, const char *ns, const char *name) {
    return arena_printf(a, "vpa %s/%s", ns, name);
}

/* ---- reading ---- */

static int64_t next_number(struct slice *line) {
    struct slice word = {0};
    uint64_t n;
    slice_cut(line, ' ', &word);
    return slice_u64(word, &n) == 0 && n <= INT64_MAX ? (int64_t)n : 0;
}

static const char *next_word(struct arena *a, struct slice *line) {
    struct slice word = {0};
    slice_cut(line, ' ', &word);
    return arena_strn(a, word);
}

static struct vpa_container *container_get(struct arena *a, struct vpa_state *s, const char *name) {
    for (size_t i = 0; i < s->containers.n; i++)
        if (str_eq(s->containers.v[i]->name, name)) return s->containers.v[i];
    if (s->containers.n >= CONTAINERS_MAX) return NULL;
    struct vpa_container *c = ARENA_NEW(a, struct vpa_container);
    c->name = name;
    histogram_init(&c->cpu, &histogram_cpu);
    histogram_init(&c->memory, &histogram_memory);
    *ARENA_PUSH(a, &s->containers) = c;
    return c;
}

static void read_line(struct arena *a, struct vpa_state *s, char what, struct slice line) {
    struct vpa_container *last = s->containers.n ? s->containers.v[s->containers.n - 1] : NULL;
    if (what == 't') {
        s->sampled_ns = next_number(&line);
        s->saved_ns = next_number(&line);
        s->status_ns = next_number(&line);
    } else if (what == 'c' && (last = container_get(a, s, next_word(a, &line)))) {
        last->first_ns = next_number(&line);
        last->last_ns = next_number(&line);
        last->samples = next_number(&line);
    } else if (what == 'p' && last) {
        histogram_unpack(&last->cpu, line);
    } else if (what == 'm' && last) {
        histogram_unpack(&last->memory, line);
    } else if (what == 'k' && s->peaks.n < PEAKS_MAX) {
        struct vpa_peak *p = ARENA_PUSH(a, &s->peaks);
        *p = (struct vpa_peak){.pod_uid = next_word(a, &line), .container = next_word(a, &line)};
        p->until_ns = next_number(&line);
        p->bytes = (double)next_number(&line);
        p->killed_ns = next_number(&line);
    }
}

static int64_t time_or_zero(const char *text) {
    int64_t ns = 0;
    return !str_empty(text) && time_parse(text, &ns) == 0 ? ns : 0;
}

static void read_histogram(struct histogram *h,
                           const struct autoscaling_v1_histogram_checkpoint *c) {
    double total = c->total_weight ? *c->total_weight : 0;
    histogram_read(h, c->bucket_weights, total, time_or_zero(c->reference_timestamp));
}

static void read_checkpoints(const struct world *w, struct arena *a, const vpa_object *v,
                             struct vpa_state *s) {
    const struct api_object *o;
    for (size_t at = 0;
         (o = world_next(w, "VerticalPodAutoscalerCheckpoint", v->metadata.namespace, &at));) {
        const struct autoscaling_v1_vertical_pod_autoscaler_checkpoint *k = (const void *)o;
        if (!str_eq(k->spec.vpa_object_name, v->metadata.name) || str_empty(k->spec.container_name))
            continue;
        struct vpa_container *c = container_get(a, s, k->spec.container_name);
        if (!c) continue;
        read_histogram(&c->cpu, &k->status.cpu_histogram);
        read_histogram(&c->memory, &k->status.memory_histogram);
        c->first_ns = time_or_zero(k->status.first_sample_start);
        c->last_ns = time_or_zero(k->status.last_sample_start);
        c->samples = MAX_OF(k->status.total_samples_count, (int64_t)0);
    }
}

struct vpa_state *vpa_state_read(const struct world *w, struct arena *a, const vpa_object *v) {
    struct vpa_state *s = ARENA_NEW(a, struct vpa_state);
    const struct fact *f = world_fact(w, note_name(a, v->metadata.namespace, v->metadata.name));
    if (!f) {
        read_checkpoints(w, a, v, s);
        return s;
    }
    struct slice text = f->body, line, what;
    while (text.n) {
        slice_cut(&text, '\n', &line);
        slice_cut(&line, ' ', &what);
        if (what.n == 1) read_line(a, s, *what.p, line);
    }
    return s;
}

bool vpa_state_due(const struct world *w, struct arena *a, const vpa_object *v) {
    const struct fact *f = world_fact(w, note_name(a, v->metadata.namespace, v->metadata.name));
    if (!f) return true;
    struct slice line = f->body, what;
    slice_cut(&line, ' ', &what);
    int64_t left_ns = next_number(&line) + sample_ns - world_now_ns(w);
    return left_ns <= 0 || left_ns > sample_ns; /* a clock that was set back is no reason to wait */
}

/* ---- writing ---- */

void vpa_state_write(struct plan *p, const vpa_object *v, const struct vpa_state *s) {
    OWN(buf_done) struct buf b = {0};
    buf_printf(&b, "t %" PRId64 " %" PRId64 " %" PRId64 "\n", s->sampled_ns, s->saved_ns,
               s->status_ns);
    for (size_t i = 0; i < s->containers.n; i++) {
        const struct vpa_container *c = s->containers.v[i];
        buf_printf(&b, "c %s %" PRId64 " %" PRId64 " %" PRId64 "\np ", c->name, c->first_ns,
                   c->last_ns, c->samples);
        histogram_pack(&c->cpu, &b);
        buf_str(&b, "\nm ");
        histogram_pack(&c->memory, &b);
        buf_char(&b, '\n');
    }
    for (size_t i = 0; i < s->peaks.n; i++) {
        const struct vpa_peak *k = &s->peaks.v[i];
        if (k->seen)
            buf_printf(&b, "k %s %s %" PRId64 " %.0f %" PRId64 "\n", k->pod_uid, k->container,
                       k->until_ns, k->bytes, k->killed_ns);
    }
    plan_note(p, note_name(plan_arena(p), v->metadata.namespace, v->metadata.name), buf_view(&b));
}

void vpa_state_drop(const struct world *w, struct plan *p, const char *ns, const char *name) {
    const char *note = note_name(plan_arena(p), ns, name);
    if (world_fact(w, note)) plan_note(p, note, SLICE(""));
}

/* ---- samples ---- */

static struct vpa_peak *peak_of(struct arena *a, struct vpa_state *s, const struct core_v1_pod *pod,
                                const char *container) {
    for (size_t i = 0; i < s->peaks.n; i++)
        if (str_eq(s->peaks.v[i].pod_uid, pod->metadata.uid) &&
            str_eq(s->peaks.v[i].container, container))
            return &s->peaks.v[i];
    struct vpa_peak *p = ARENA_PUSH(a, &s->peaks);
    *p = (struct vpa_peak){.pod_uid = pod->metadata.uid, .container = container};
    return p;
}

/* A higher peak takes the place of the one before in its day. */
static void memory_sample(struct vpa_container *c, struct vpa_peak *p, double bytes,
                          int64_t at_ns) {
    if (at_ns >= p->until_ns) {
        p->until_ns = at_ns + day_ns;
        p->bytes = 0;
    }
    bytes = floor(bytes);
    if (bytes <= p->bytes) return;
    if (p->bytes > 0) histogram_add(&c->memory, p->bytes, -1, p->until_ns);
    histogram_add(&c->memory, bytes, 1, p->until_ns);
    p->bytes = bytes;
}

void vpa_sample(struct arena *a, struct vpa_state *s, const struct core_v1_pod *pod,
                const char *container, double cpu, double request_cores, double memory_bytes,
                int64_t at_ns) {
    struct vpa_container *c = container_get(a, s, container);
    if (!c || s->peaks.n >= PEAKS_MAX) return;
    struct vpa_peak *p = peak_of(a, s, pod, container);
    p->seen = true;
    histogram_add(&c->cpu, cpu, fmax(request_cores, least_weight), at_ns);
    memory_sample(c, p, memory_bytes, at_ns);
    if (!c->first_ns) c->first_ns = at_ns;
    c->last_ns = MAX_OF(c->last_ns, at_ns);
    c->samples++;
}

void vpa_sample_kill(struct arena *a, struct vpa_state *s, const struct core_v1_pod *pod,
                     const char *container, double request_bytes, int64_t at_ns) {
    struct vpa_container *c = container_get(a, s, container);
    if (!c || s->peaks.n >= PEAKS_MAX) return;
    struct vpa_peak *p = peak_of(a, s, pod, container);
    if (p->killed_ns >= at_ns) return;
    double had = fmax(request_bytes, p->bytes);
    p->seen = true;
    p->killed_ns = at_ns;
    memory_sample(c, p, fmax(had * kill_growth, had + kill_more), MAX_OF(at_ns, c->last_ns));
}

/* ---- checkpoints ---- */

static void fill_histogram(struct arena *a, const struct histogram *h,
                           struct autoscaling_v1_histogram_checkpoint *to) {
    OWN(buf_done) struct buf b = {0};
    char *at = arena_alloc(a, TIME_TEXT_MAX);
    histogram_write(h, &b);
    time_format(at, h->reference_ns);
    to->reference_timestamp = at;
    to->bucket_weights = slice_from(arena_copy(a, b.p, b.n), b.n);
    to->total_weight = arena_copy(a, &h->total, sizeof h->total);
}

static const char *time_text(struct arena *a, int64_t ns) {
    char *out = arena_alloc(a, TIME_TEXT_MAX);
    time_format(out, ns);
    return out;
}

static void checkpoint(const struct world *w, struct plan *p, const vpa_object *v,
                       const struct vpa_container *c) {
    struct arena *a = plan_arena(p);
    const char *name = arena_printf(a, "%s-%s", v->metadata.name, c->name);
    if (strlen(name) > NAME_MAX_BYTES) return;
    const struct api_kind *k =
        api_kind_by_name("autoscaling.k8s.io", "v1", "VerticalPodAutoscalerCheckpoint");
    const struct api_object *have =
        world_get(w, "VerticalPodAutoscalerCheckpoint", v->metadata.namespace, name);
    struct autoscaling_v1_vertical_pod_autoscaler_checkpoint *o =
        (void *)(have ? api_object_copy(a, k, have) : api_object_new(a, k));
    if (have && !str_eq(o->spec.vpa_object_name, v->metadata.name)) return; /* somebody else's */
    o->metadata.name = name;
    o->metadata.namespace = v->metadata.namespace;
    if (!have)
        *ARENA_PUSH(a, &o->metadata.owner_references) =
            controller_reference(a, (const struct api_object *)v);
    o->spec.vpa_object_name = v->metadata.name;
    o->spec.container_name = c->name;
    o->status.last_update_time = now_text(a, w);
    o->status.version = "v3";
    o->status.first_sample_start = time_text(a, c->first_ns);
    o->status.last_sample_start = time_text(a, c->last_ns);
    o->status.total_samples_count = c->samples;
    fill_histogram(a, &c->cpu, &o->status.cpu_histogram);
    fill_histogram(a, &c->memory, &o->status.memory_histogram);
    if (have)
        plan_update(p, (const struct api_object *)o);
    else
        plan_create(p, (const struct api_object *)o);
}

void vpa_checkpoint(const struct world *w, struct plan *p, const vpa_object *v,
                    const struct vpa_state *s) {
    for (size_t i = 0; i < s->containers.n; i++)
        if (s->containers.v[i]->samples) checkpoint(w, p, v, s->containers.v[i]);
}
