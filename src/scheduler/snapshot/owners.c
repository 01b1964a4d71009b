#include "scheduler/snapshot/owners.h"

#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "base/vec.h"

struct owner {
    struct arena *arena;
    char *name;
    struct meta_v1_label_selector *selector; /* in arena */
};
struct service_list {
    VEC(struct owner *) v;
};

static void owner_free(struct owner *w) {
    if (!w) return;
    arena_free(w->arena);
    free(w->name);
    free(w);
}

static struct owner *owner_new(const char *name, const struct str_map *match,
                               const struct meta_v1_label_selector *selector) {
    struct meta_v1_label_selector all = {0};
    struct owner *w = calloc(1, sizeof *w);
    if (!w || !(w->name = strdup(name))) abort();
    if (selector) all = *selector;
    if (match) all.match_labels = *match;
    w->arena = arena_new_sized(256);
    w->selector = api_copy(w->arena, &meta_v1_label_selector_type, &all);
    return w;
}

static bool same(const struct owner *x, const struct owner *y) {
    return api_equal(&meta_v1_label_selector_type, x->selector, y->selector);
}

static struct owner **service_at(const struct service_list *l, const char *name) {
    for (size_t i = 0; l && i < l->v.n; i++)
        if (str_eq(l->v.v[i]->name, name)) return &l->v.v[i];
    return NULL;
}

bool owners_put_service(struct owners *o, const struct core_v1_service *s) {
    if (!s->spec.selector.n) { /* selects nothing, not everything */
        owners_remove_service(o, s->metadata.namespace, s->metadata.name);
        return false;
    }
    struct service_list *l = map_gets(&o->services, s->metadata.namespace);
    if (!l) {
        l = calloc(1, sizeof *l);
        if (!l) abort();
        map_put(&o->services, slice_of(s->metadata.namespace), l);
    }
    struct owner *w = owner_new(s->metadata.name, &s->spec.selector, NULL);
    struct owner **have = service_at(l, w->name);
    if (have && same(*have, w)) {
        owner_free(w);
        return false;
    }
    if (have) {
        owner_free(*have);
        *have = w;
    } else
        vec_push(&l->v, w);
    o->version++;
    return true;
}

void owners_remove_service(struct owners *o, const char *namespace, const char *name) {
    struct service_list *l = map_gets(&o->services, namespace);
    struct owner **have = service_at(l, name);
    if (!have) return;
    owner_free(*have);
    vec_swap_remove(&l->v, (size_t)(have - l->v.v));
    o->version++;
    if (l->v.n) return;
    vec_done(&l->v);
    free(map_del(&o->services, slice_of(namespace)));
}

static void key_of(struct buf *b, const char *kind, const char *namespace, const char *name) {
    buf_printf(b, "%s/%s/%s", kind, str_or(namespace, ""), str_or(name, ""));
}

bool owners_put_controller(struct owners *o, const char *kind, const struct meta_v1_object_meta *m,
                           const struct str_map *match,
                           const struct meta_v1_label_selector *selector) {
    OWN(buf_done) struct buf key = {0};
    key_of(&key, kind, m->namespace, m->name);
    struct owner *w = owner_new(m->name, match, selector),
                 *have = map_get(&o->controllers, buf_view(&key));
    if (have && same(have, w)) {
        owner_free(w);
        return false;
    }
    owner_free(map_put(&o->controllers, buf_view(&key), w));
    o->version++;
    return true;
}

void owners_remove_controller(struct owners *o, const char *kind, const char *namespace,
                              const char *name) {
    OWN(buf_done) struct buf key = {0};
    key_of(&key, kind, namespace, name);
    struct owner *w = map_del(&o->controllers, buf_view(&key));
    if (w) o->version++;
    owner_free(w);
}

void owners_done(struct owners *o) {
    size_t at = 0;
    struct map_entry *e;
    while ((e = map_next(&o->services, &at))) {
        struct service_list *l = e->value;
        for (size_t i = 0; i < l->v.n; i++) owner_free(l->v.v[i]);
        vec_done(&l->v);
        free(l);
    }
    for (at = 0; (e = map_next(&o->controllers, &at));) owner_free(e->value);
    map_done(&o->services);
    map_done(&o->controllers);
}

static bool selects(const struct str_map *want, const struct str_map *labels) {
    for (size_t i = 0; i < want->n; i++) {
        const char *have = str_map_get(labels, want->v[i].key);
        if (!have || !str_eq(have, str_or(want->v[i].value, ""))) return false;
    }
    return true;
}

static void merge(struct arena *a, struct meta_v1_label_selector *into,
                  const struct meta_v1_label_selector *from) {
    for (size_t i = 0; i < from->match_labels.n; i++)
        str_map_set(a, &into->match_labels, from->match_labels.v[i].key,
                    from->match_labels.v[i].value);
    for (size_t i = 0; i < from->match_expressions.n; i++)
        *ARENA_PUSH(a, &into->match_expressions) = from->match_expressions.v[i];
}

const struct meta_v1_label_selector *owners_selector(struct arena *a, const struct owners *o,
                                                     const struct core_v1_pod *pod) {
    struct meta_v1_label_selector *ret = ARENA_NEW(a, struct meta_v1_label_selector);
    const struct service_list *services =
        map_gets(&o->services, str_or(pod->metadata.namespace, ""));
    for (size_t i = 0; services && i < services->v.n; i++)
        if (selects(&services->v.v[i]->selector->match_labels, &pod->metadata.labels))
            merge(a, ret, services->v.v[i]->selector);
    const struct meta_v1_owner_reference *ref = api_controller_of((const struct api_object *)pod);
    if (ref && o->controllers.n) {
        OWN(buf_done) struct buf key = {0};
        key_of(&key, str_or(ref->kind, ""), pod->metadata.namespace, ref->name);
        const struct owner *w = map_get(&o->controllers, buf_view(&key));
        if (w) merge(a, ret, w->selector);
    }
    return ret->match_labels.n || ret->match_expressions.n ? ret : NULL;
}
