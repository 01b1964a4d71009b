/* Namespace: one that is being deleted loses everything in it, of every kind, and then its
 * finalizer. What is seen here may be late, so that api has the last word on whether it is empty.
 */
#include <string.h>

#include "base/own.h"
#include "controllers/common.h"

enum { INCOMPLETE_MS = 100 };

/* Deletes what is left in the namespace; returns how many objects there still are. */
static size_t empty(const struct world *w, const char *ns, struct plan *p) {
    size_t left = 0, at_kind = 0;
    const struct api_kind *k;
    while ((k = world_kind_next(w, &at_kind))) {
        if (!(k->flags & API_NAMESPACED) || (k->flags & (API_VIRTUAL | API_CONVERTED))) continue;
        const struct api_object *o;
        size_t at = 0;
        const char *kind =
            *k->group ? arena_printf(plan_arena(p), "%s.%s", k->kind, k->group) : k->kind;
        while ((o = world_next(w, kind, ns, &at))) {
            left++;
            if (!o->metadata.deletion_timestamp) plan_delete(p, o, "Background");
        }
    }
    return left;
}

static int reconcile(const struct world *w, const char *key, struct plan *p, struct err *err) {
    (void)err;
    struct arena *a = plan_arena(p);
    const struct core_v1_namespace *ns =
        (const struct core_v1_namespace *)world_get(w, "Namespace", NULL, key);
    if (!ns || !ns->metadata.deletion_timestamp || empty(w, key, p)) return 0;
    if (!world_complete(w)) { /* there may be objects of kinds that are not seen yet */
        plan_requeue(p, INCOMPLETE_MS);
        return 0;
    }
    struct core_v1_namespace *copy = arena_copy(a, ns, sizeof *ns);
    copy->spec.finalizers = (struct str_list){0};
    for (size_t i = 0; i < ns->spec.finalizers.n; i++)
        if (!str_eq(ns->spec.finalizers.v[i], "kubernetes"))
            *ARENA_PUSH(a, &copy->spec.finalizers) = ns->spec.finalizers.v[i];
    if (copy->spec.finalizers.n == ns->spec.finalizers.n) return 0;
    OWN(buf_done) struct buf body = {0};
    api_encode(&body, &core_v1_namespace_type, copy);
    plan_request(p, "PUT", arena_printf(a, "/api/v1/namespaces/%s/finalize?whenEmpty=true", key),
                 "application/json", slice_from(arena_copy(a, body.p, body.n), body.n));
    return 0;
}

static void map(const struct reconciler *r, const struct world *w, const struct api_kind *k,
                const struct api_object *now, const struct api_object *old, struct keys *out) {
    (void)r;
    const struct api_object *o = now ? now : old;
    if (strcmp(k->kind, "Namespace") == 0) {
        keys_add(out, o->metadata.name);
        return;
    }
    if (str_empty(o->metadata.namespace)) return;
    const struct api_object *ns = world_get(w, "Namespace", NULL, o->metadata.namespace);
    if (ns && ns->metadata.deletion_timestamp) keys_add(out, ns->metadata.name);
}

static const char *const watches[] = {"Namespace", "*", NULL};
static const struct reconciler namespace_reconciler = {.name = "namespace",
                                                       .kind = "Namespace",
                                                       .watches = watches,
                                                       .map = map,
                                                       .reconcile = reconcile};
RECONCILER(namespace_reconciler);
