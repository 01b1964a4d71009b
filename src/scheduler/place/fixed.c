/* What the nodes' objects decide, stored once for all pods that say the same about nodes, however
 * much they ask for. */
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "scheduler/place/place.h"

void place_fixed_key(struct buf *b, const struct core_v1_pod *pod) {
    const struct core_v1_pod_spec *spec = &pod->spec;
    uint32_t n = (uint32_t)spec->containers.n;
    key_text(b, spec->node_name);
    key_map(b, &spec->node_selector);
    buf_append(b, &n, sizeof n);
    for (size_t i = 0; i < spec->containers.n; i++) key_text(b, spec->containers.v[i].image);
    for (size_t i = 0; i < spec->tolerations.n; i++) {
        const struct core_v1_toleration *t = &spec->tolerations.v[i];
        buf_char(b, 't');
        key_text(b, t->key);
        key_text(b, t->operator);
        key_text(b, t->value);
        key_text(b, t->effect);
    }
    buf_char(b, '|');
    if (spec->affinity && spec->affinity->node_affinity)
        api_encode(b, &core_v1_node_affinity_type, spec->affinity->node_affinity);
}

/* The plugins that have a say, asked once whether they do. */
struct place_parts place_parts_of(struct sched_query *q, struct arena *a, enum sched_reads reads) {
    struct place_parts ret = {.v = ARENA_ARRAY(a, struct place_part, q->profile->n + 1)};
    q->a = a;
    for (size_t i = 0; i < q->profile->n; i++) {
        const struct sched_step *step = &q->profile->v[i];
        if (step->plugin->reads != reads) continue;
        const void *state =
            step->plugin->prepare ? step->plugin->prepare(q, step->args) : step->args;
        q->state[i] = state;
        q->concerned[i] = state || !step->plugin->prepare;
        if (!q->concerned[i] || (!step->filter && !step->score)) continue;
        bool scaled = step->score && step->plugin->scale;
        ret.n_scaled += scaled;
        ret.v[ret.n++] = (struct place_part){.plugin = step->plugin,
                                             .state = state,
                                             .weight = step->weight,
                                             .filter = step->filter,
                                             .score = step->score,
                                             .scaled = scaled};
    }
    return ret;
}

static int32_t narrow(int64_t v) { return (int32_t)MIN_OF(MAX_OF(v, INT32_MIN + 1), INT32_MAX); }

/* Scores that are scaled later go to `raw`. */
static int32_t score_of(const struct place_fixed *f, const struct sched_node *n) {
    int64_t sum = 0;
    int32_t *raw = f->raw ? f->raw + n->at : NULL;
    for (size_t i = 0; i < f->parts.n; i++) {
        const struct place_part *p = &f->parts.v[i];
        if (p->filter && !p->plugin->filter(f->query, n, p->state, NULL)) return -1;
    }
    for (size_t i = 0; i < f->parts.n; i++) {
        const struct place_part *p = &f->parts.v[i];
        if (!p->score) continue;
        int64_t score = p->plugin->score(f->query, n, p->state);
        if (!p->scaled) {
            sum += p->weight * score;
            continue;
        }
        *raw = score == SCHED_SCORE_NONE ? INT32_MIN : narrow(score);
        raw += f->width;
    }
    return narrow(MAX_OF(sum, 0));
}

static void set(struct place_fixed *f, const struct sched_node *n, bool *first) {
    f->scores[n->at] = score_of(f, n);
    if (!f->parts.n_scaled || f->scores[n->at] < 0) return;
    for (size_t i = 0, k = 0; i < f->parts.n; i++) {
        struct place_part *p = &f->parts.v[i];
        if (!p->scaled) continue;
        int32_t raw = f->raw[k++ * f->width + n->at];
        if (*first) p->first = raw;
        p->varies |= raw != p->first;
    }
    *first = false;
}

static void resize(struct place_fixed *f, size_t width) {
    free(f->scores);
    free(TAKE(f->raw));
    f->scores = calloc(width, sizeof *f->scores);
    if (f->parts.n_scaled) f->raw = calloc(f->parts.n_scaled * width, sizeof *f->raw);
    if (!f->scores || (f->parts.n_scaled && !f->raw)) abort();
    f->width = width;
}

static void rebuild(struct place_fixed *f, const struct snapshot *s) {
    size_t width = 1;
    bool first = true;
    while (width < s->nodes.n) width *= 2;
    if (width != f->width) resize(f, width);
    for (size_t i = 0; i < f->parts.n; i++) f->parts.v[i].varies = false;
    for (size_t i = 0; i < s->nodes.n; i++) set(f, s->nodes.v[i], &first);
    f->epoch = s->epoch;
    f->seen = s->n_changes;
}

void place_fixed_follow(struct place_fixed *f, struct snapshot *s) {
    bool first = false;
    if (!f->scores || f->epoch != s->epoch || s->n_changes - f->seen > SNAPSHOT_CHANGES) {
        rebuild(f, s);
        return;
    }
    for (; f->seen < s->n_changes; f->seen++) {
        const struct node_change *change = &s->changes[f->seen % SNAPSHOT_CHANGES];
        if (change->object) set(f, s->nodes.v[change->at], &first);
    }
}

static struct place_fixed *fixed_new(struct place_class *c) {
    struct place_fixed *f = calloc(1, sizeof *f);
    if (!f) abort();
    f->users = 1;
    f->arena = arena_new_sized(1024);
    f->query = &c->query;
    return f;
}

/* What claims say about nodes is of these pods alone. */
static struct place_fixed *of_one_class(struct place_class *c) {
    struct place_fixed *f = fixed_new(c);
    f->parts = place_parts_of(&c->query, c->arena, SCHED_READS_OBJECT);
    return f;
}

struct place_fixed *place_fixed_of(struct place_class *c, struct snapshot *s) {
    OWN(buf_done) struct buf key = {0};
    if (c->query.class->volumes.claims.n) return of_one_class(c);
    /* For refusals node by node the class has states of its own. */
    place_parts_of(&c->query, c->arena, SCHED_READS_OBJECT);
    buf_append(&key, &c->query.profile, sizeof(const struct sched_profile *));
    place_fixed_key(&key, c->query.pod);
    struct place_fixed *f = map_get(&s->fixed_by_key, buf_view(&key));
    if (f) {
        f->users++;
        return f;
    }
    static struct pod_class nothing; /* without claims */
    f = fixed_new(c);
    f->query = &f->own;
    f->own = (struct sched_query){.pod = api_copy(f->arena, &core_v1_pod_type, c->query.pod),
                                  .snapshot = s,
                                  .profile = c->query.profile,
                                  .class = &nothing};
    f->parts = place_parts_of(&f->own, f->arena, SCHED_READS_OBJECT);
    map_put(&s->fixed_by_key, buf_view(&key), f);
    f->key_n = key.n;
    f->key = buf_steal(&key);
    return f;
}

void place_fixed_release(struct snapshot *s, struct place_fixed *f) {
    if (!f || --f->users) return;
    if (f->key) map_del(&s->fixed_by_key, slice_from(f->key, f->key_n));
    arena_free(f->arena);
    free(f->key);
    free(f->scores);
    free(f->raw);
    free(f);
}
