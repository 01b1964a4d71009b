/* The caches of place.h. */
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "scheduler/place.h"

static void place_key(struct buf *b, const struct core_v1_pod *pod) {
    const struct core_v1_pod_spec *spec = &pod->spec;
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
    for (size_t i = 0; i < spec->topology_spread_constraints.n; i++)
        api_encode(b, &core_v1_topology_spread_constraint_type,
                   &spec->topology_spread_constraints.v[i]);
}

uint64_t leaf_of(int64_t score, const struct sched_node *n) {
    uint64_t pods = (uint64_t)MIN_OF(MAX_OF(n->used_pods, 0), 0xffff);
    return (uint64_t)MIN_OF(score + 1, 0xffff) << 48 | (0xffff - pods) << 32 |
           (UINT32_MAX - (uint32_t)n->at);
}

static int32_t fixed_score(const struct sched_query *q, const struct sched_node *n,
                           const struct sched_plugin *const *plugins, size_t count) {
    int64_t sum = 0;
    for (size_t i = 0; i < count; i++)
        if (plugins[i]->reads == SCHED_READS_OBJECT && plugins[i]->filter &&
            !plugins[i]->filter(q, n, NULL, NULL))
            return -1;
    for (size_t i = 0; i < count; i++)
        if (plugins[i]->reads == SCHED_READS_OBJECT && plugins[i]->score)
            sum += plugins[i]->weight * plugins[i]->score(q, n, NULL);
    return (int32_t)sum;
}

static uint64_t leaf_now(const struct place_class *c, const struct sched_node *n,
                         const struct sched_plugin *const *plugins, size_t count) {
    int64_t sum = c->fixed[n->at];
    if (sum < 0) return 0;
    for (size_t i = 0; i < count; i++)
        if (plugins[i]->reads == SCHED_READS_USE && plugins[i]->filter &&
            !plugins[i]->filter(&c->query, n, NULL, NULL))
            return 0;
    for (size_t i = 0; i < count; i++)
        if (plugins[i]->reads == SCHED_READS_USE && plugins[i]->score)
            sum += plugins[i]->weight * plugins[i]->score(&c->query, n, NULL);
    return leaf_of(sum, n);
}

static void raise_leaf(struct place_class *c, size_t at, uint64_t leaf) {
    size_t i = c->width + at;
    c->tree[i] = leaf;
    for (i /= 2; i; i /= 2) {
        uint64_t best = MAX_OF(c->tree[2 * i], c->tree[2 * i + 1]);
        if (c->tree[i] == best) break;
        c->tree[i] = best;
    }
}

static void rebuild(struct place_class *c, struct snapshot *s,
                    const struct sched_plugin *const *plugins, size_t count) {
    size_t width = 1;
    while (width < s->nodes.n) width *= 2;
    if (width != c->width) {
        free(c->tree);
        free(c->fixed);
        c->tree = calloc(2 * width, sizeof *c->tree);
        c->fixed = calloc(width, sizeof *c->fixed);
        if (!c->tree || !c->fixed) abort();
        c->width = width;
    }
    for (size_t i = 0; i < width; i++) {
        if (i < s->nodes.n) c->fixed[i] = fixed_score(&c->query, s->nodes.v[i], plugins, count);
        c->tree[width + i] = i < s->nodes.n ? leaf_now(c, s->nodes.v[i], plugins, count) : 0;
    }
    for (size_t i = width - 1; i; i--) c->tree[i] = MAX_OF(c->tree[2 * i], c->tree[2 * i + 1]);
    c->epoch = s->epoch;
    c->seen = s->n_changes;
}

static void follow(struct place_class *c, struct snapshot *s) {
    const struct sched_plugin *plugins[SCHED_PLUGINS_MAX];
    size_t count = sched_plugins(plugins);
    if (!c->tree || c->epoch != s->epoch ||
        s->n_changes - c->seen > MIN_OF((uint64_t)SNAPSHOT_CHANGES, s->nodes.n + 1)) {
        rebuild(c, s, plugins, count);
        return;
    }
    for (; c->seen < s->n_changes; c->seen++) {
        struct node_change change = s->changes[c->seen % SNAPSHOT_CHANGES];
        const struct sched_node *n = s->nodes.v[change.at];
        if (change.object) c->fixed[change.at] = fixed_score(&c->query, n, plugins, count);
        raise_leaf(c, change.at, leaf_now(c, n, plugins, count));
    }
}

static void place_free(struct place_class *c) {
    query_release(&c->query);
    arena_free(c->arena);
    free(c->key);
    free(c->fixed);
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

struct place_class *place_class_of(struct snapshot *s, const struct core_v1_pod *pod) {
    OWN(buf_done) struct buf key = {0};
    place_key(&key, pod);
    uint64_t hash = map_hash(buf_view(&key));
    struct place_class *c = NULL;
    for (size_t i = 0; i < s->n_places && !c; i++)
        if (s->places[i]->hash == hash && s->places[i]->key_n == key.n &&
            !memcmp(s->places[i]->key, key.p, key.n))
            c = s->places[i];
    if (!c) {
        struct place_class **at = slot(s);
        *at = c = calloc(1, sizeof *c);
        if (!c) abort();
        c->arena = arena_new();
        query_compile(&c->query, s, c->arena, pod);
        c->hash = hash;
        c->key_n = key.n;
        c->key = buf_steal(&key);
    }
    c->used_at = ++s->clock;
    follow(c, s);
    return c;
}
