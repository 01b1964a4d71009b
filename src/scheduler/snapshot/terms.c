#include "scheduler/snapshot/terms.h"

#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "scheduler/snapshot/snapshot.h"

static void key_selector(struct buf *b, const struct meta_v1_label_selector *l) {
    if (!l) {
        buf_char(b, '-');
        return;
    }
    api_encode(b, &meta_v1_label_selector_type, l);
}

/* The selector with the label values of its own pod merged in (KEP-3243, KEP-3633). */
static struct meta_v1_label_selector *merged(struct arena *a, const struct core_v1_pod *pod,
                                             const struct core_v1_pod_affinity_term *t) {
    if (!t->label_selector) return NULL;
    struct meta_v1_label_selector *l = ARENA_NEW(a, struct meta_v1_label_selector);
    l->match_labels = t->label_selector->match_labels;
    for (size_t i = 0; i < t->label_selector->match_expressions.n; i++)
        *ARENA_PUSH(a, &l->match_expressions) = t->label_selector->match_expressions.v[i];
    const struct str_list *keys[] = {&t->match_label_keys, &t->mismatch_label_keys};
    for (size_t k = 0; k < 2; k++)
        for (size_t i = 0; i < keys[k]->n; i++) {
            const char *value = str_map_get(&pod->metadata.labels, keys[k]->v[i]);
            if (!value) continue;
            struct meta_v1_label_selector_requirement *r = ARENA_PUSH(a, &l->match_expressions);
            r->key = keys[k]->v[i];
            r->operator= k ? "NotIn" : "In";
            *ARENA_PUSH(a, &r->values) = value;
        }
    return l;
}

static void term_key(struct buf *b, struct arena *a, const struct term_source *from) {
    key_text(b, from->topology_key);
    buf_char(b, from->skip_terminating ? 's' : 'a');
    for (size_t i = 0; i < from->n; i++) {
        const struct core_v1_pod_affinity_term *t = from->terms[i];
        if (!t->namespaces.n && !t->namespace_selector) key_text(b, from->pod->metadata.namespace);
        for (size_t j = 0; j < t->namespaces.n; j++) key_text(b, t->namespaces.v[j]);
        buf_char(b, '|');
        key_selector(b, t->namespace_selector);
        key_selector(b, merged(a, from->pod, t));
    }
}

static struct selector *selector_of(struct arena *a, const struct meta_v1_label_selector *l) {
    struct selector *ret = NULL;
    struct err err;
    /* Kept past the pod: its strings are copied. */
    l = l ? api_copy(a, &meta_v1_label_selector_type, l) : NULL;
    if (selector_from_labels(a, l, &ret, &err) < 0 && selector_from_labels(a, NULL, &ret, &err) < 0)
        abort();
    return ret;
}

static void matcher_init(struct sched_matcher *m, struct arena *a, const struct core_v1_pod *pod,
                         const struct core_v1_pod_affinity_term *t) {
    for (size_t i = 0; i < t->namespaces.n; i++)
        *ARENA_PUSH(a, &m->namespaces) = arena_str(a, t->namespaces.v[i]);
    if (!t->namespaces.n && !t->namespace_selector)
        *ARENA_PUSH(a, &m->namespaces) = arena_str(a, str_or(pod->metadata.namespace, ""));
    if (t->namespace_selector) m->namespace_selector = selector_of(a, t->namespace_selector);
    m->labels = selector_of(a, merged(a, pod, t));
}

static bool matcher_matches(const struct snapshot *s, const struct sched_matcher *m,
                            const struct pod_labels *l) {
    bool inside = false;
    for (size_t i = 0; i < m->namespaces.n && !inside; i++)
        inside = str_eq(m->namespaces.v[i], l->class->namespace);
    if (!inside && m->namespace_selector)
        inside =
            selector_matches(m->namespace_selector, snapshot_namespace(s, l->class->namespace));
    return inside && selector_matches(m->labels, &l->map);
}

bool term_matches(const struct snapshot *s, const struct sched_term *t,
                  const struct pod_labels *l) {
    if (t->skip_terminating && l->class->terminating) return false;
    for (size_t i = 0; i < t->n_matchers; i++)
        if (!matcher_matches(s, &t->matchers[i], l)) return false;
    return true;
}

static void *widened(void *v, size_t old, size_t n, size_t size) {
    char *p = realloc(v, n * size);
    if (!p) abort();
    memset(p + old * size, 0, (n - old) * size);
    return p;
}

static void widen(struct sched_term *t, uint32_t domain) {
    if (domain < t->n_domains) return;
    size_t n = MAX_OF((size_t)domain + 1, t->n_domains * 2), old = t->n_domains;
    t->matched = widened(t->matched, old, n, sizeof *t->matched);
    t->anti = widened(t->anti, old, n, sizeof *t->anti);
    t->hard = widened(t->hard, old, n, sizeof *t->hard);
    t->weight = widened(t->weight, old, n, sizeof *t->weight);
    t->n_domains = n;
}

void term_count_match(struct sched_term *t, uint32_t domain, int sign) {
    if (domain == NO_DOMAIN) return;
    widen(t, domain);
    t->matched[domain] += sign;
    t->all_matched += sign;
}

void term_count_anti(struct sched_term *t, uint32_t domain, int sign) {
    if (domain == NO_DOMAIN) return;
    widen(t, domain);
    t->anti[domain] += sign;
    t->all_anti += sign;
}

void term_count_hard(struct sched_term *t, uint32_t domain, int sign) {
    if (domain == NO_DOMAIN) return;
    widen(t, domain);
    t->hard[domain] += sign;
    t->all_hard += sign;
}

void term_count_weight(struct sched_term *t, uint32_t domain, int weight, int sign) {
    if (domain == NO_DOMAIN) return;
    widen(t, domain);
    t->weight[domain] += (int64_t)weight * sign;
    t->all_weights += sign;
}

/* All labels that it selects hear of it, and their pods are counted. */
static void count_all(struct snapshot *s, struct sched_term *t) {
    size_t at = 0;
    struct pod_labels *l;
    const struct sched_pod *p;
    bool any = false;
    while ((l = set_next(&s->labels, &at))) {
        if (!term_matches(s, t, l)) continue;
        vec_push(&l->matches, t);
        any = true;
    }
    at = 0;
    while (any && (p = set_next(&s->pods, &at))) {
        if (p->node->at != SIZE_MAX && term_matches(s, t, p->labels))
            term_count_match(t, snapshot_domain(s, p->node, t), 1);
    }
}

struct sched_term *term_use(struct snapshot *s, const struct term_source *from) {
    OWN(buf_done) struct buf key = {0};
    OWN(arena_free_p) struct arena *scratch = arena_new();
    term_key(&key, scratch, from);
    struct sched_term *t = map_get(&s->term_by_key, buf_view(&key));
    if (t) {
        t->users++;
        return t;
    }
    t = calloc(1, sizeof *t);
    if (!t) abort();
    t->arena = arena_new();
    t->users = 1;
    t->topology = topology_use(s, from->topology_key);
    t->skip_terminating = from->skip_terminating;
    t->n_matchers = from->n;
    t->matchers = ARENA_ARRAY(t->arena, struct sched_matcher, from->n);
    for (size_t i = 0; i < from->n; i++)
        matcher_init(&t->matchers[i], t->arena, from->pod, from->terms[i]);
    map_put(&s->term_by_key, buf_view(&key), t);
    t->key_n = key.n;
    t->key = buf_steal(&key);
    count_all(s, t);
    return t;
}

void term_release(struct snapshot *s, struct sched_term *t) {
    if (--t->users) return;
    size_t at = 0;
    struct pod_labels *l;
    while ((l = set_next(&s->labels, &at))) {
        for (size_t i = 0; i < l->matches.n; i++)
            if (l->matches.v[i] == t) {
                vec_swap_remove(&l->matches, i);
                break;
            }
    }
    map_del(&s->term_by_key, slice_from(t->key, t->key_n));
    topology_release(s, t->topology);
    arena_free(t->arena);
    free(t->matched);
    free(t->anti);
    free(t->hard);
    free(t->weight);
    free(t->key);
    free(t);
}
