/* The caches of place.h. */
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "scheduler/place.h"

static void place_key(struct buf *b, const struct sched_profile *profile,
                      const struct core_v1_pod *pod) {
    const struct core_v1_pod_spec *spec = &pod->spec;
    buf_append(b, &profile, sizeof(const struct sched_profile *));
    class_key(b, pod);
    key_text(b, spec->node_name);
    key_map(b, &spec->node_selector);
    for (size_t i = 0; i < spec->containers.n; i++) key_text(b, spec->containers.v[i].image);
    if (spec->affinity && spec->affinity->node_affinity)
        api_encode(b, &core_v1_node_affinity_type, spec->affinity->node_affinity);
    for (size_t i = 0; i < spec->tolerations.n; i++) {
        const struct core_v1_toleration *t = &spec->tolerations.v[i];
        buf_char(b, 't');
        key_text(b, t->key);
        key_text(b, t->operator);
        key_text(b, t->value);
        key_text(b, t->effect);
    }
    const struct meta_v1_owner_reference *owner = api_controller_of((const struct api_object *)pod);
    if (owner) {
        buf_char(b, 'o');
        key_text(b, owner->kind);
        key_text(b, owner->name);
    }
    for (size_t i = 0; i < spec->topology_spread_constraints.n; i++)
        api_encode(b, &core_v1_topology_spread_constraint_type,
                   &spec->topology_spread_constraints.v[i]);
}

static uint64_t leaf_of(int64_t score, const struct sched_node *n) {
    uint64_t pods = (uint64_t)MIN_OF(MAX_OF(n->used_pods, 0), 0xffff);
    return (uint64_t)(MIN_OF(MAX_OF(score, 0), LEAF_SCORE_MAX) + 1) << 40 |
           (0xffff - pods) << LEAF_AT_BITS | (LEAF_AT_MAX - (uint64_t)n->at);
}

static int32_t narrow(int64_t v) { return (int32_t)MIN_OF(MAX_OF(v, INT32_MIN + 1), INT32_MAX); }

/* Scores that are scaled later go to `raw`. */
static int32_t fixed_score(struct place_class *c, const struct sched_node *n) {
    int64_t sum = 0;
    int32_t *raw = c->raw ? c->raw + n->at : NULL;
    for (size_t i = 0; i < c->n_parts; i++) {
        const struct place_part *p = &c->parts[i];
        if (p->plugin->reads == SCHED_READS_OBJECT && p->filter &&
            !p->plugin->filter(&c->query, n, p->state, NULL))
            return -1;
    }
    for (size_t i = 0; i < c->n_parts; i++) {
        const struct place_part *p = &c->parts[i];
        if (p->plugin->reads != SCHED_READS_OBJECT || !p->score) continue;
        int64_t score = p->plugin->score(&c->query, n, p->state);
        if (!p->scaled) {
            sum += p->weight * score;
            continue;
        }
        *raw = score == SCHED_SCORE_NONE ? INT32_MIN : narrow(score);
        raw += c->width;
    }
    return narrow(sum);
}

static bool has_room(const struct place_class *c, const struct sched_node *n) {
    for (size_t i = 0; i < c->n_parts; i++) {
        const struct place_part *p = &c->parts[i];
        if (p->plugin->reads == SCHED_READS_USE && p->filter &&
            !p->plugin->filter(&c->query, n, p->state, NULL))
            return false;
    }
    return true;
}

bool place_has_room(const struct place_class *c, struct sched_node *n, const char *uid) {
    if (c->fixed[n->at] < 0) return false;
    if (!n->nominated.n) return has_room(c, n);
    snapshot_count_nominated(n, c->query.class->priority, uid, 1);
    bool fits = has_room(c, n);
    snapshot_count_nominated(n, c->query.class->priority, uid, -1);
    return fits;
}

/* Room that somebody made for himself is none for pods of at most his priority. */
static uint64_t leaf_now(const struct place_class *c, struct sched_node *n) {
    if (!place_has_room(c, n, "")) return 0;
    int64_t sum = c->fixed[n->at];
    for (size_t i = 0; i < c->n_parts; i++) {
        const struct place_part *p = &c->parts[i];
        if (p->plugin->reads == SCHED_READS_USE && p->score)
            sum += p->weight * p->plugin->score(&c->query, n, p->state);
    }
    return leaf_of(sum, n);
}

/* A node of the tree is the best of eight, which share a line of the processor's cache; level m (a
 * power of two) stands in m…2m, the next one up is m / 8, the last one 1. */
enum { FAN = 8, TREE_ALIGN = 64 };

static uint64_t best_below(const uint64_t *tree, size_t parent, size_t level) {
    size_t first = level < FAN ? level : parent * FAN, n = MIN_OF(level, (size_t)FAN);
    uint64_t best = tree[first];
    for (size_t i = 1; i < n; i++) best = MAX_OF(best, tree[first + i]);
    return best;
}

static void raise_leaf(struct place_class *c, size_t at, uint64_t leaf) {
    size_t i = c->width + at;
    c->tree[i] = leaf;
    for (size_t level = c->width; level > 1; level = MAX_OF(level / FAN, (size_t)1)) {
        i = level < FAN ? 1 : i / FAN;
        uint64_t best = best_below(c->tree, i, level);
        if (c->tree[i] == best) break;
        c->tree[i] = best;
    }
}

static void raise_all(struct place_class *c) {
    for (size_t level = c->width; level > 1;) {
        size_t up = MAX_OF(level / FAN, (size_t)1);
        for (size_t i = up; i < 2 * up; i++) c->tree[i] = best_below(c->tree, i, level);
        level = up;
    }
}

static void resize(struct place_class *c, size_t width) {
    free(c->tree);
    free(c->fixed);
    free(TAKE(c->raw));
    size_t tree_bytes = MAX_OF(2 * width * sizeof *c->tree, (size_t)TREE_ALIGN);
    c->tree = aligned_alloc(TREE_ALIGN, tree_bytes);
    c->fixed = calloc(width, sizeof *c->fixed);
    if (c->n_scaled) c->raw = calloc(c->n_scaled * width, sizeof *c->raw);
    if (!c->tree || !c->fixed || (c->n_scaled && !c->raw)) abort();
    memset(c->tree, 0, tree_bytes);
    c->width = width;
}

static void set_fixed(struct place_class *c, const struct sched_node *n, bool *first) {
    c->fixed[n->at] = fixed_score(c, n);
    if (!c->n_scaled || c->fixed[n->at] < 0) return;
    for (size_t i = 0, k = 0; i < c->n_parts; i++) {
        struct place_part *p = &c->parts[i];
        if (!p->scaled) continue;
        int32_t raw = c->raw[k++ * c->width + n->at];
        if (*first) p->first = raw;
        p->varies |= raw != p->first;
    }
    *first = false;
}

static void rebuild(struct place_class *c, struct snapshot *s) {
    size_t width = 1;
    bool first = true;
    while (width < s->nodes.n) width *= 2;
    if (width != c->width) resize(c, width);
    for (size_t i = 0; i < c->n_parts; i++) c->parts[i].varies = false;
    for (size_t i = 0; i < width; i++) {
        if (i < s->nodes.n) set_fixed(c, s->nodes.v[i], &first);
        c->tree[width + i] = i < s->nodes.n ? leaf_now(c, s->nodes.v[i]) : 0;
    }
    raise_all(c);
    c->epoch = s->epoch;
    c->seen = s->n_changes;
}

/* With many classes nothing of the next changes is in the processor's caches. */
static void fetch(const struct place_class *c, const struct snapshot *s, uint64_t change) {
    enum { USE_LINES = 3, LINE = 64 };
    if (change >= s->n_changes) return;
    uint32_t at = s->changes[change % SNAPSHOT_CHANGES].at;
    const char *n = (const char *)s->nodes.v[at];
    for (size_t i = 0; i < USE_LINES; i++) __builtin_prefetch(n + i * LINE);
    __builtin_prefetch(&c->fixed[at]);
    __builtin_prefetch(&c->tree[c->width + at], 1);
    __builtin_prefetch(&c->tree[(c->width + at) / FAN], 1);
}

static void follow(struct place_class *c, struct snapshot *s) {
    enum { AHEAD = 6 };
    bool first = false;
    if (!c->tree || c->epoch != s->epoch ||
        s->n_changes - c->seen > MIN_OF((uint64_t)SNAPSHOT_CHANGES, s->nodes.n + 1)) {
        rebuild(c, s);
        return;
    }
    for (; c->seen < s->n_changes; c->seen++) {
        struct node_change change = s->changes[c->seen % SNAPSHOT_CHANGES];
        struct sched_node *n = s->nodes.v[change.at];
        fetch(c, s, c->seen + AHEAD);
        if (change.object) set_fixed(c, n, &first);
        raise_leaf(c, change.at, leaf_now(c, n));
    }
}

/* The plugins that have a say, asked once whether they do. */
static void compile_parts(struct place_class *c) {
    const struct sched_profile *profile = c->query.profile;
    c->parts = ARENA_ARRAY(c->arena, struct place_part, profile->n + 1);
    c->query.a = c->arena;
    for (size_t i = 0; i < profile->n; i++) {
        const struct sched_step *step = &profile->v[i];
        if (step->plugin->reads == SCHED_READS_ALL) continue;
        const void *state =
            step->plugin->prepare ? step->plugin->prepare(&c->query, step->args) : step->args;
        c->query.state[i] = state;
        c->query.concerned[i] = state || !step->plugin->prepare;
        if (!c->query.concerned[i] || (!step->filter && !step->score)) continue;
        bool scaled = step->score && step->plugin->scale;
        c->n_scaled += scaled;
        c->parts[c->n_parts++] = (struct place_part){.plugin = step->plugin,
                                                     .state = state,
                                                     .weight = step->weight,
                                                     .filter = step->filter,
                                                     .score = step->score,
                                                     .scaled = scaled};
    }
}

static void place_free(struct place_class *c) {
    refusals_free(c->refusals);
    preempting_free(c->preempts);
    query_release(&c->query);
    arena_free(c->arena);
    free(c->key);
    free(c->fixed);
    free(c->raw);
    free(c->tree);
    free(c);
}

void places_done(struct snapshot *s) {
    for (size_t i = 0; i < s->n_places; i++) place_free(s->places[i]);
    free(TAKE(s->places));
    s->n_places = 0;
}

/* A slot for one more: the one that has not been asked for longest gives way. */
static struct place_class **slot(struct snapshot *s) {
    if (!s->places) s->places = calloc(PLACE_CLASSES_MAX, sizeof(struct place_class *));
    if (!s->places) abort();
    if (s->n_places < PLACE_CLASSES_MAX) return &s->places[s->n_places++];
    size_t oldest = 0;
    for (size_t i = 1; i < s->n_places; i++)
        if (s->places[i]->used_at < s->places[oldest]->used_at) oldest = i;
    place_free(s->places[oldest]);
    return &s->places[oldest];
}

/* Was it made with claims and owners that are not so any more? */
static bool is_stale(struct place_class *c, const struct snapshot *s) {
    const struct sched_query *q = &c->query;
    if (q->class->volumes.claims.n && c->volumes_version != s->volumes.version) return true;
    if (!q->by_owner || c->owners_version == s->owners.version) return false;
    OWN(arena_free_p) struct arena *a = arena_new_sized(512);
    const struct meta_v1_label_selector *like = owners_selector(a, &s->owners, q->pod);
    c->owners_version = s->owners.version;
    return !like != !q->like || (like && !api_equal(&meta_v1_label_selector_type, like, q->like));
}

const struct place_class *place_class_find(struct snapshot *s, uint64_t hash) {
    for (size_t i = 0; i < s->n_places; i++)
        if (s->places[i]->hash == hash) return is_stale(s->places[i], s) ? NULL : s->places[i];
    return NULL;
}

struct place_class *place_class_of(struct snapshot *s, const struct core_v1_pod *pod) {
    OWN(buf_done) struct buf key = {0};
    const struct sched_profile *profile = snapshot_profile(s, pod->spec.scheduler_name);
    place_key(&key, profile, pod);
    uint64_t hash = map_hash(buf_view(&key));
    struct place_class *c = NULL, **at = NULL;
    for (size_t i = 0; i < s->n_places && !at; i++)
        if (s->places[i]->hash == hash && s->places[i]->key_n == key.n &&
            !memcmp(s->places[i]->key, key.p, key.n))
            c = *(at = &s->places[i]);
    if (c && is_stale(c, s)) {
        place_free(c);
        c = NULL;
    }
    if (!c) {
        if (!at) at = slot(s);
        *at = c = calloc(1, sizeof *c);
        if (!c) abort();
        c->arena = arena_new();
        c->volumes_version = s->volumes.version;
        c->owners_version = s->owners.version;
        query_compile(&c->query, s, c->arena, profile, pod);
        compile_parts(c);
        c->hash = hash;
        c->key_n = key.n;
        c->key = buf_steal(&key);
    }
    c->used_at = ++s->clock;
    follow(c, s);
    return c;
}
