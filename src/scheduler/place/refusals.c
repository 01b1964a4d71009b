/* Why nothing fits: nodes with the same reasons share one set; a failure costs the nodes that have
 * changed since the last one, not all. */
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "scheduler/place/place.h"

struct refusal_set {
    char *key; /* flags, then the reasons, each with its final NUL */
    size_t key_n;
    size_t n; /* reasons */
    size_t nodes;
    unsigned reads;
    bool hopeless;
};

struct refusals {
    VEC(struct refusal_set *) sets;
    struct map set_by_key;
    VEC(uint32_t) of_node; /* by the node alone: set + 1; 0: it fits */
    size_t n_fit;          /* of those */
    struct { /* those of the others that refuse for what is on other nodes; of the last update */
        uint32_t node, set;
    } * beside;
    size_t n_beside;
    uint64_t seen, epoch;
};

static void clear(struct refusals *r) {
    for (size_t i = 0; i < r->sets.n; i++) {
        free(r->sets.v[i]->key);
        free(r->sets.v[i]);
    }
    map_done(&r->set_by_key);
    r->sets.n = r->of_node.n = r->n_beside = 0;
}

void refusals_free(struct refusals *r) {
    if (!r) return;
    clear(r);
    vec_done(&r->sets);
    vec_done(&r->of_node);
    free(r->beside);
    free(r);
}

static unsigned reads_of(const struct sched_query *q, const char *plugin) {
    for (size_t i = 0; plugin && i < q->profile->n; i++)
        if (q->profile->v[i].plugin->name == plugin) return 1u << q->profile->v[i].plugin->reads;
    return 0;
}

static uint32_t set_of(struct refusals *r, const struct sched_query *q,
                       const struct sched_why *why) {
    OWN(buf_done) struct buf key = {0};
    unsigned reads = reads_of(q, why->plugin);
    buf_char(&key, (char)('0' + reads));
    buf_char(&key, why->hopeless ? 'h' : 'r');
    for (size_t i = 0; i < why->n; i++) buf_append(&key, why->text[i], strlen(why->text[i]) + 1);
    uintptr_t known = (uintptr_t)map_get(&r->set_by_key, buf_view(&key));
    if (known) return (uint32_t)known;
    struct refusal_set *s = calloc(1, sizeof *s);
    if (!s) abort();
    s->n = why->n;
    s->reads = reads;
    s->hopeless = why->hopeless;
    vec_push(&r->sets, s);
    map_put(&r->set_by_key, buf_view(&key), (void *)(uintptr_t)r->sets.n);
    s->key_n = key.n;
    s->key = buf_steal(&key);
    return (uint32_t)r->sets.n;
}

static void begin(struct sched_why *why) {
    why->n = 0;
    why->hopeless = false;
    why->plugin = NULL;
}

static void ask(struct refusals *r, const struct sched_query *q, size_t at, struct sched_why *why) {
    uint32_t old = r->of_node.v[at], now = 0;
    begin(why);
    if (place_refuses_alone(q, q->snapshot->nodes.v[at], why)) now = set_of(r, q, why);
    if (old) r->sets.v[old - 1]->nodes--;
    if (now) r->sets.v[now - 1]->nodes++;
    r->n_fit += !now;
    r->n_fit -= !old;
    r->of_node.v[at] = now;
}

static void ask_beside(struct refusals *r, const struct sched_query *q, struct sched_why *why) {
    const struct snapshot *s = q->snapshot;
    if (!r->n_fit) return;
    free(r->beside);
    r->beside = calloc(r->n_fit, sizeof *r->beside);
    if (!r->beside) abort();
    for (size_t i = 0; i < s->nodes.n; i++) {
        if (r->of_node.v[i]) continue;
        begin(why);
        if (!place_refuses_for_others(q, s->nodes.v[i], why)) continue;
        uint32_t set = set_of(r, q, why);
        r->sets.v[set - 1]->nodes++;
        r->beside[r->n_beside].node = (uint32_t)i;
        r->beside[r->n_beside++].set = set;
    }
}

void refusals_update(struct place_class *c, const struct sched_query *q, bool wide) {
    const struct snapshot *s = q->snapshot;
    struct sched_query shared = *q;
    struct sched_why why;
    struct refusals *r = c->refusals;
    shared.uid = ""; /* the answer is for all pods of the class */
    if (!r) r = c->refusals = calloc(1, sizeof *r);
    if (!r) abort();
    for (; r->n_beside; r->n_beside--) r->sets.v[r->beside[r->n_beside - 1].set - 1]->nodes--;
    if (r->epoch != s->epoch || r->of_node.n != s->nodes.n ||
        s->n_changes - r->seen > MIN_OF((uint64_t)SNAPSHOT_CHANGES, s->nodes.n + 1)) {
        clear(r);
        for (size_t i = 0; i < s->nodes.n; i++) vec_push(&r->of_node, 0);
        r->n_fit = s->nodes.n;
        for (size_t i = 0; i < s->nodes.n; i++) ask(r, &shared, i, &why);
    } else
        for (uint64_t i = r->seen; i < s->n_changes; i++)
            ask(r, &shared, s->changes[i % SNAPSHOT_CHANGES].at, &why);
    if (wide) ask_beside(r, &shared, &why);
    r->seen = s->n_changes;
    r->epoch = s->epoch;
}

static void add_reason(struct arena *a, struct tally *t, const char *reason, size_t nodes) {
    for (size_t i = 0; i < t->n; i++)
        if (strcmp(t->v[i].reason, reason) == 0) {
            t->v[i].nodes += nodes;
            return;
        }
    *ARENA_PUSH(a, t) = (struct refusal){reason, nodes};
}

const char *refusals_message(struct arena *a, const struct place_class *c) {
    const struct refusals *r = c->refusals;
    struct tally t = {0};
    for (size_t i = 0; i < r->sets.n; i++) {
        const struct refusal_set *s = r->sets.v[i];
        const char *at = s->key + 2;
        for (size_t j = 0; s->nodes && j < s->n; j++, at += strlen(at) + 1)
            add_reason(a, &t, at, s->nodes);
    }
    return tally_text(a, r->of_node.n, &t);
}

unsigned refusals_reads(const struct place_class *c) {
    unsigned reads = 0;
    for (size_t i = 0; i < c->refusals->sets.n; i++)
        if (c->refusals->sets.v[i]->nodes) reads |= c->refusals->sets.v[i]->reads;
    return reads;
}

bool refusals_hopeless(const struct place_class *c, size_t node) {
    const struct refusals *r = c->refusals;
    uint32_t set = r->of_node.v[node];
    for (size_t low = 0, high = r->n_beside; !set && low < high;) { /* they are in order */
        size_t middle = (low + high) / 2;
        if (r->beside[middle].node == node)
            set = r->beside[middle].set;
        else if (r->beside[middle].node < node)
            low = middle + 1;
        else
            high = middle;
        if (set) break;
    }
    return set && r->sets.v[set - 1]->hopeless;
}

size_t refusals_hopeless_nodes(const struct place_class *c) {
    size_t n = 0;
    for (size_t i = 0; i < c->refusals->sets.n; i++)
        if (c->refusals->sets.v[i]->hopeless) n += c->refusals->sets.v[i]->nodes;
    return n;
}
