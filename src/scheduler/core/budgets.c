#include "scheduler/core/budgets.h"

#include <stdlib.h>
#include <string.h>

#include "base/own.h"

static void budget_free(struct budget *b) {
    if (!b) return;
    map_done(&b->disrupted);
    arena_free(b->arena);
    free(b->key);
    free(b);
}

void budgets_done(struct budgets *b) {
    for (size_t i = 0; i < b->v.n; i++) budget_free(b->v.v[i]);
    vec_done(&b->v);
    map_done(&b->by_key);
}

static char *key_of(const char *namespace, const char *name) {
    char *key;
    if (asprintf(&key, "%s/%s", str_or(namespace, ""), str_or(name, "")) < 0) abort();
    return key;
}

static bool same_pods(const struct budget *x, const struct budget *y) {
    return !x->labels == !y->labels &&
           (!x->labels || api_equal(&meta_v1_label_selector_type, x->labels, y->labels));
}

void budgets_put(struct budgets *b, const struct policy_v1_pod_disruption_budget *o) {
    struct err err;
    struct budget *n = calloc(1, sizeof *n);
    if (!n) abort();
    n->key = key_of(o->metadata.namespace, o->metadata.name);
    n->arena = arena_new_sized(1024);
    n->namespace = arena_str(n->arena, str_or(o->metadata.namespace, ""));
    n->allowed = o->status.disruptions_allowed;
    if (o->spec.selector)
        n->labels = api_copy(n->arena, &meta_v1_label_selector_type, o->spec.selector);
    if (n->labels && selector_from_labels(n->arena, n->labels, &n->selector, &err) < 0)
        n->selector = NULL;
    for (size_t i = 0; i < o->status.disrupted_pods.n; i++)
        map_put(&n->disrupted, slice_of(o->status.disrupted_pods.v[i].key), n);
    struct budget *old = map_put(&b->by_key, slice_of(n->key), n);
    b->allowances++;
    b->members += !old || !same_pods(old, n);
    for (size_t i = 0; old && i < b->v.n; i++)
        if (b->v.v[i] == old) {
            b->v.v[i] = n;
            budget_free(old);
            return;
        }
    vec_push(&b->v, n);
}

void budgets_remove(struct budgets *b, const char *namespace, const char *name) {
    OWN(free_p) char *key = key_of(namespace, name);
    struct budget *old = map_del(&b->by_key, slice_of(key));
    if (!old) return;
    b->members++;
    for (size_t i = 0; i < b->v.n; i++)
        if (b->v.v[i] == old) vec_remove(&b->v, i);
    budget_free(old);
}

static bool covers(const struct budget *b, const struct pod_labels *l, const char *pod) {
    return b->selector && str_eq(b->namespace, l->class->namespace) &&
           selector_matches(b->selector, &l->map) && !map_gets(&b->disrupted, pod);
}

void budgets_charge(struct budgets *b, const struct pod_labels *l, const char *pod) {
    for (size_t i = 0; i < b->v.n; i++) {
        if (!covers(b->v.v[i], l, pod)) continue;
        b->v.v[i]->allowed--;
        map_put(&b->v.v[i]->disrupted, slice_of(pod), b->v.v[i]);
        b->allowances++;
    }
}

void budget_trial_init(struct budget_trial *t, struct arena *a, const struct budgets *b) {
    t->budgets = b;
    t->left = ARENA_ARRAY(a, int32_t, (b ? b->v.n : 0) + 1);
    for (size_t i = 0; b && i < b->v.n; i++) t->left[i] = b->v.v[i]->allowed;
}

bool budgets_cover(const struct budgets *b, const struct pod_labels *l, const char *pod) {
    for (size_t i = 0; b && i < b->v.n; i++)
        if (covers(b->v.v[i], l, pod)) return true;
    return false;
}

bool budget_trial_take(struct budget_trial *t, const struct pod_labels *l, const char *pod) {
    bool violates = false;
    for (size_t i = 0; t->budgets && i < t->budgets->v.n; i++)
        if (covers(t->budgets->v.v[i], l, pod) && --t->left[i] < 0) violates = true;
    return violates;
}
