/* The caches of place.h. */
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "scheduler/place/place.h"

static void place_key(struct buf *b, const struct sched_profile *profile,
                      const struct core_v1_pod *pod) {
    const struct core_v1_pod_spec *spec = &pod->spec;
    buf_append(b, &profile, sizeof(const struct sched_profile *));
    class_key(b, pod);
    key_map(b, &pod->metadata.labels);
    place_fixed_key(b, pod);
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

static uint64_t leaf_of(int64_t score, int64_t used_pods, size_t at) {
    uint64_t pods = (uint64_t)MIN_OF(MAX_OF(used_pods, 0), 0xffff);
    return (uint64_t)(MIN_OF(MAX_OF(score, 0), LEAF_SCORE_MAX) + 1) << 40 |
           (0xffff - pods) << LEAF_AT_BITS | (LEAF_AT_MAX - (uint64_t)at);
}

static bool has_room(const struct place_class *c, const struct sched_node *n) {
    for (size_t i = 0; i < c->parts.n; i++) {
        const struct place_part *p = &c->parts.v[i];
        if (p->filter && !p->plugin->filter(&c->query, n, p->state, NULL)) return false;
    }
    return true;
}

bool place_has_room(const struct place_class *c, struct sched_node *n, const char *uid) {
    if (c->fixed->scores[n->at] < 0) return false;
    if (!n->nominated.n) return has_room(c, n);
    snapshot_count_nominated(n, c->query.class->priority, uid, 1);
    bool fits = has_room(c, n);
    snapshot_count_nominated(n, c->query.class->priority, uid, -1);
    return fits;
}

/* Room that somebody made for himself is none for pods of at most his priority. */
static uint64_t leaf_now(const struct place_class *c, struct sched_node *n) {
    if (!place_has_room(c, n, "")) return 0;
    int64_t sum = c->fixed->scores[n->at];
    for (size_t i = 0; i < c->parts.n; i++) {
        const struct place_part *p = &c->parts.v[i];
        if (p->score) sum += p->weight * p->plugin->score(&c->query, n, p->state);
    }
    return leaf_of(sum, n->used_pods, n->at);
}

/* ---- eight at a time ---- */

enum { LANE_WEIGHT_MAX = 10000 };

static bool is_in_lanes(const struct place_class *c) {
    const struct pod_class *what = c->query.class;
    bool ret = what->asks.cpu_milli <= FIGURES_AMOUNT_MAX &&
               what->asks.memory_bytes <= FIGURES_AMOUNT_MAX &&
               what->nonzero_cpu_milli <= FIGURES_AMOUNT_MAX &&
               what->nonzero_memory_bytes <= FIGURES_AMOUNT_MAX;
    for (size_t i = 0; i < c->parts.n && ret; i++) {
        const struct place_part *p = &c->parts.v[i];
        ret = p->plugin->in_lanes && p->plugin->in_lanes(&c->query, p->state) && p->weight >= 0 &&
              p->weight <= LANE_WEIGHT_MAX;
    }
    return ret;
}

static void load(struct sched_lanes *l, const struct node_figures *figures, const uint32_t *at) {
    for (size_t i = 0; i < SCHED_LANES; i++) {
        const struct node_figures *f = &figures[at[i]];
        l->offers_cpu_milli[i] = f->offers_cpu_milli;
        l->offers_memory_bytes[i] = f->offers_memory_bytes;
        l->used_cpu_milli[i] = f->used_cpu_milli;
        l->used_memory_bytes[i] = f->used_memory_bytes;
        l->nonzero_cpu_milli[i] = f->nonzero_cpu_milli;
        l->nonzero_memory_bytes[i] = f->nonzero_memory_bytes;
        l->offers_pods[i] = f->offers_pods;
        l->used_pods[i] = f->used_pods;
        l->fits[i] = 1;
        l->score[i] = 0;
    }
}

/* The leaves of at most eight nodes; at has room for eight. */
static void score_lanes(struct place_class *c, const struct snapshot *s, uint32_t *at, size_t n) {
    struct sched_lanes l;
    for (size_t i = n; i < SCHED_LANES; i++) at[i] = at[0];
    load(&l, s->figures, at);
    for (size_t i = 0; i < c->parts.n; i++) {
        const struct place_part *p = &c->parts.v[i];
        if (p->filter && p->plugin->filter_lanes) p->plugin->filter_lanes(&c->query, p->state, &l);
        if (p->score) p->plugin->score_lanes(&c->query, p->state, p->weight, &l);
    }
    for (size_t i = 0; i < n; i++) {
        int64_t fixed = c->fixed->scores[at[i]];
        c->tree[c->width + at[i]] =
            fixed >= 0 && l.fits[i] ? leaf_of(fixed + l.score[i], l.used_pods[i], at[i]) : 0;
    }
}

/* The leaves of those nodes, in no order. */
static void score_nodes(struct place_class *c, struct snapshot *s, const uint32_t *at, size_t n) {
    uint32_t lanes[SCHED_LANES];
    size_t waiting = 0;
    for (size_t i = 0; i < n; i++) {
        if (!c->in_lanes || !s->figures[at[i]].plain) {
            c->tree[c->width + at[i]] = leaf_now(c, s->nodes.v[at[i]]);
            continue;
        }
        lanes[waiting++] = at[i];
        if (waiting < SCHED_LANES) continue;
        score_lanes(c, s, lanes, waiting);
        waiting = 0;
    }
    if (waiting) score_lanes(c, s, lanes, waiting);
}

/* ---- following the snapshot ---- */

enum { AT_ONCE = 128 };

static void rebuild(struct place_class *c, struct snapshot *s) {
    uint32_t at[AT_ONCE];
    size_t width = 1;
    while (width < s->nodes.n) width *= 2;
    if (width != c->width) {
        free(c->tree);
        c->tree = tournament_new(width);
        c->width = width;
    }
    memset(c->tree + width + s->nodes.n, 0, (width - s->nodes.n) * sizeof *c->tree);
    for (size_t i = 0; i < s->nodes.n;) {
        size_t n = 0;
        while (n < AT_ONCE && i < s->nodes.n) at[n++] = (uint32_t)i++;
        score_nodes(c, s, at, n);
    }
    tournament_raise_all(c->tree, width);
    c->epoch = s->epoch;
    c->seen = s->n_changes;
}

/* With many classes nothing of this is in the processor's caches. */
static void fetch(const struct place_class *c, const struct snapshot *s, uint32_t at) {
    if (c->in_lanes)
        __builtin_prefetch(&s->figures[at]);
    else {
        enum { USE_LINES = 3, LINE = 64 };
        const char *n = (const char *)s->nodes.v[at];
        for (size_t i = 0; i < USE_LINES; i++) __builtin_prefetch(n + i * LINE);
    }
    __builtin_prefetch(&c->tree[c->width + at], 1);
}

static void follow(struct place_class *c, struct snapshot *s) {
    uint32_t at[AT_ONCE];
    place_fixed_follow(c->fixed, s);
    if (!c->tree || c->epoch != s->epoch ||
        s->n_changes - c->seen > MIN_OF((uint64_t)SNAPSHOT_CHANGES, s->nodes.n + 1)) {
        rebuild(c, s);
        return;
    }
    while (c->seen < s->n_changes) {
        size_t n = 0;
        for (; n < AT_ONCE && c->seen < s->n_changes; c->seen++) {
            at[n] = s->changes[c->seen % SNAPSHOT_CHANGES].at;
            fetch(c, s, at[n++]);
        }
        score_nodes(c, s, at, n);
        tournament_raise(c->tree, c->width, at, n);
    }
}

static void place_free(struct snapshot *s, struct place_class *c) {
    refusals_free(c->refusals);
    preempting_free(c->preempts);
    place_fixed_release(s, c->fixed);
    query_release(&c->query);
    arena_free(c->arena);
    free(c->key);
    free(c->tree);
    free(c);
}

void places_done(struct snapshot *s) {
    for (size_t i = 0; i < s->n_places; i++) place_free(s, s->places[i].class);
    free(TAKE(s->places));
    s->n_places = 0;
}

/* A slot for one more: the one that has not been asked for longest gives way. */
static struct place_slot *slot_for(struct snapshot *s, uint64_t hash) {
    if (!s->places) s->places = calloc(PLACE_CLASSES_MAX, sizeof *s->places);
    if (!s->places) abort();
    size_t oldest = 0;
    if (s->n_places < PLACE_CLASSES_MAX)
        oldest = s->n_places++;
    else {
        for (size_t i = 1; i < s->n_places; i++)
            if (s->places[i].class->used_at < s->places[oldest].class->used_at) oldest = i;
        place_free(s, s->places[oldest].class);
    }
    s->places[oldest] = (struct place_slot){.hash = hash};
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
        if (s->places[i].hash == hash)
            return is_stale(s->places[i].class, s) ? NULL : s->places[i].class;
    return NULL;
}

static struct place_class *class_made(struct snapshot *s, const struct sched_profile *profile,
                                      const struct core_v1_pod *pod) {
    struct place_class *c = calloc(1, sizeof *c);
    if (!c) abort();
    c->arena = arena_new();
    c->volumes_version = s->volumes.version;
    c->owners_version = s->owners.version;
    query_compile(&c->query, s, c->arena, profile, pod);
    c->fixed = place_fixed_of(c, s);
    c->parts = place_parts_of(&c->query, c->arena, SCHED_READS_USE);
    c->in_lanes = is_in_lanes(c);
    return c;
}

struct place_class *place_class_of(struct snapshot *s, const struct core_v1_pod *pod) {
    OWN(buf_done) struct buf key = {0};
    const struct sched_profile *profile = snapshot_profile(s, pod->spec.scheduler_name);
    place_key(&key, profile, pod);
    uint64_t hash = map_hash(buf_view(&key));
    struct place_slot *slot = NULL;
    for (size_t i = 0; i < s->n_places && !slot; i++)
        if (s->places[i].hash == hash && s->places[i].class->key_n == key.n &&
            !memcmp(s->places[i].class->key, key.p, key.n))
            slot = &s->places[i];
    if (slot && is_stale(slot->class, s)) {
        place_free(s, slot->class);
        slot->class = NULL;
    }
    if (!slot) slot = slot_for(s, hash);
    if (!slot->class) {
        slot->class = class_made(s, profile, pod);
        slot->class->hash = hash;
        slot->class->key_n = key.n;
        slot->class->key = buf_steal(&key);
    }
    slot->class->used_at = ++s->clock;
    follow(slot->class, s);
    return slot->class;
}
