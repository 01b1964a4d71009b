/* Topologies: node labels whose values are domains, and what pods count for in them. */
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "scheduler/snapshot/snapshot.h"

/* Made when it is new. */
static uint32_t domain_number(struct topology *t, const char *value) {
    uintptr_t id = (uintptr_t)map_gets(&t->ids, value);
    if (!id) {
        vec_push(&t->nodes, 0);
        id = t->nodes.n;
        map_put(&t->ids, slice_of(value), (void *)id);
    }
    return (uint32_t)id - 1;
}

static void count_node(struct topology *t, uint32_t domain, int sign) {
    if (domain == NO_DOMAIN) return;
    if (sign < 0) {
        t->n_live -= --t->nodes.v[domain] == 0;
        t->n_nodes--;
        return;
    }
    t->n_live += t->nodes.v[domain]++ == 0;
    t->n_nodes++;
}

static uint32_t domain_of(struct topology *t, const struct sched_node *n) {
    const char *value = *t->key ? str_map_get(&n->object->metadata.labels, t->key) : n->name;
    return value ? domain_number(t, value) : NO_DOMAIN;
}

static void assign(struct topology *t, const struct sched_node *n) {
    while (t->of.n <= n->at) vec_push(&t->of, NO_DOMAIN);
    t->of.v[n->at] = domain_of(t, n);
    count_node(t, t->of.v[n->at], 1);
}

size_t topology_use(struct snapshot *s, const char *key) {
    size_t slot = s->topologies.n;
    for (size_t i = 0; i < s->topologies.n; i++) {
        struct topology *t = s->topologies.v[i];
        if (!t)
            slot = i;
        else if (str_eq(t->key, key)) {
            t->users++;
            return i;
        }
    }
    struct topology *t = calloc(1, sizeof *t);
    if (!t || !(t->key = strdup(str_or(key, "")))) abort();
    t->users = 1;
    if (slot == s->topologies.n)
        vec_push(&s->topologies, t);
    else
        s->topologies.v[slot] = t;
    for (size_t i = 0; i < s->nodes.n; i++) assign(t, s->nodes.v[i]);
    return slot;
}

void topology_release(struct snapshot *s, size_t at) {
    struct topology *t = s->topologies.v[at];
    if (--t->users) return;
    s->topologies.v[at] = NULL;
    map_done(&t->ids);
    vec_done(&t->nodes);
    vec_done(&t->of);
    free(t->key);
    free(t);
}

void topology_place_node(struct snapshot *s, const struct sched_node *n) {
    for (size_t i = 0; i < s->topologies.n; i++) {
        struct topology *t = s->topologies.v[i];
        if (!t) continue;
        if (n->at < t->of.n) count_node(t, t->of.v[n->at], -1);
        assign(t, n);
    }
}

void topology_remove_node(struct snapshot *s, const struct sched_node *n) {
    for (size_t i = 0; i < s->topologies.n; i++) {
        struct topology *t = s->topologies.v[i];
        if (!t) continue;
        count_node(t, t->of.v[n->at], -1);
        vec_remove(&t->of, n->at);
    }
}

void terms_count_pod(const struct snapshot *s, const struct pod_labels *l,
                     const struct sched_node *n, int sign) {
    const struct pod_class *c = l->class;
    if (n->at == SIZE_MAX) return;
    for (size_t i = 0; i < l->matches.n; i++)
        term_count_match(l->matches.v[i], snapshot_domain(s, n, l->matches.v[i]), sign);
    for (size_t i = 0; i < c->n_bears; i++) {
        const struct class_term *b = &c->bears[i];
        uint32_t domain = snapshot_domain(s, n, b->term);
        if (b->sort == BEARS_ANTI)
            term_count_anti(b->term, domain, sign);
        else if (b->sort == BEARS_AFFINITY)
            term_count_hard(b->term, domain, sign);
        else
            term_count_weight(b->term, domain, b->weight, sign);
    }
}

static void count_namespace(struct snapshot *s, const char *namespace, int sign) {
    size_t at = 0;
    const struct sched_pod *p;
    while ((p = set_next(&s->pods, &at)))
        if (str_eq(p->class->namespace, namespace)) terms_count_pod(s, p->labels, p->node, sign);
}

void terms_rematch(struct snapshot *s, const char *namespace) {
    if (!s->term_by_key.n) return;
    count_namespace(s, namespace, -1);
    size_t at = 0;
    struct pod_labels *l;
    while ((l = set_next(&s->labels, &at))) {
        if (!str_eq(l->class->namespace, namespace)) continue;
        l->matches.n = 0;
        size_t term_at = 0;
        struct map_entry *te;
        while ((te = map_next(&s->term_by_key, &term_at)))
            if (term_matches(s, te->value, l)) vec_push(&l->matches, te->value);
    }
    count_namespace(s, namespace, 1);
}
