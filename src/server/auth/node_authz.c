#include "server/auth/node_authz.h"

#include "api/rules/claims.h"
#include "api/table.h"
#include "api/values/selector.h"
#include "base/own.h"
#include "server/auth/roles.h"
#include "server/storage/raw.h"

/* What pods of a node refer to, as counts by "NODE KIND NAMESPACE/NAME": filled at the first
 * question of a node, then kept by the events of pods. */
struct node_authz {
    struct api *api;
    struct map counts;
    bool filled;
};

const char *node_identity(const struct user *u) {
    static const char prefix[] = "system:node:";
    if (!str_starts(u->name, prefix) || !u->name[sizeof prefix - 1]) return NULL;
    for (size_t i = 0; i < u->groups.n; i++)
        if (str_eq(u->groups.v[i], "system:nodes")) return u->name + sizeof prefix - 1;
    return NULL;
}

/* ---- references of a pod ---- */

struct refs {
    struct node_authz *n;
    const char *node, *ns, *pod;
    int by; /* +1 or −1 */
};

static const char *key_text(struct buf *b, const char *node, const char *kind, const char *ns,
                            const char *name) {
    buf_clear(b);
    buf_printf(b, "%s %s %s/%s", node, kind, ns, name);
    return b->p;
}

static void count(struct refs *r, const char *kind, const char *name) {
    if (str_empty(name)) return;
    OWN(buf_done) struct buf key = {0};
    key_text(&key, r->node, kind, r->ns, name);
    intptr_t was = (intptr_t)map_get(&r->n->counts, buf_view(&key)), now = was + r->by;
    if (now > 0)
        map_put(&r->n->counts, buf_view(&key), (void *)now);
    else if (was)
        map_del(&r->n->counts, buf_view(&key));
}

/* Types whose field names an object in the pod's namespace. */
static const struct {
    const char *type, *field, *kind;
} reference_types[] = {
    {"SecretVolumeSource", "secretName", "secrets"},
    {"SecretProjection", "name", "secrets"},
    {"SecretEnvSource", "name", "secrets"},
    {"SecretKeySelector", "name", "secrets"},
    {"LocalObjectReference", "name", "secrets"}, /* pull secrets, secretRef of volumes */
    {"AzureFileVolumeSource", "secretName", "secrets"},
    {"ConfigMapVolumeSource", "name", "configmaps"},
    {"ConfigMapProjection", "name", "configmaps"},
    {"ConfigMapEnvSource", "name", "configmaps"},
    {"ConfigMapKeySelector", "name", "configmaps"},
    {"PersistentVolumeClaimVolumeSource", "claimName", "persistentvolumeclaims"},
    {"PodSpec", "serviceAccountName", "serviceaccounts"},
};

static void visit(struct refs *r, const struct api_type *t, const void *obj);

static void visit_field(struct refs *r, const struct api_field *f, const void *obj) {
    const void *at = api_at_const(obj, f);
    if (f->form != API_OBJECT) return;
    if (f->shape == API_LIST) {
        const struct api_list *l = at;
        for (size_t i = 0; i < l->n; i++)
            visit(r, f->type, (const char *)l->v + i * api_element_size(f));
    } else if (f->shape == API_ONE) {
        const void *one = f->flags & API_POINTER ? *(const void *const *)at : at;
        if (one) visit(r, f->type, one);
    }
}

/* Pod specs are finite: no type of theirs contains itself. */
static void visit(struct refs *r, const struct api_type *t, const void *obj) {
    for (size_t i = 0; i < ARRAY_LEN(reference_types); i++) {
        if (!str_eq(reference_types[i].type, t->name)) continue;
        const struct api_field *f = api_field_find(t, slice_of(reference_types[i].field), NULL);
        if (f) count(r, reference_types[i].kind, *(const char *const *)api_at_const(obj, f));
    }
    if (str_eq(t->name, "Volume")) {
        const struct core_v1_volume *v = obj;
        OWN(buf_done) struct buf claim = {0};
        buf_printf(&claim, "%s-%s", r->pod, str_or(v->name, ""));
        const struct api_field *f = api_field_find(t, SLICE("ephemeral"), NULL);
        if (f && f->flags & API_POINTER && *(const void *const *)api_at_const(obj, f))
            count(r, "persistentvolumeclaims", claim.p);
    }
    for (unsigned i = 0; i < t->n_fields; i++) visit_field(r, &t->fields[i], obj);
}

static const struct api_kind *pod_kind(void) { return api_kind_by_plural("", "v1", "pods"); }

/* A static pod's mirror is not trusted: the node itself wrote what it refers to. */
static void take_pod(struct node_authz *n, const struct object *o, int by) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct api_object *decoded;
    if (api_object_decode(a, pod_kind(), object_json(o), &decoded, NULL) < 0) return;
    const struct core_v1_pod *p = (const void *)decoded;
    if (str_empty(p->spec.node_name)) return;
    struct refs r = {n, p->spec.node_name, p->metadata.namespace, p->metadata.name, by};
    if (!str_map_get(&p->metadata.annotations, "kubernetes.io/config.mirror"))
        visit(&r, &core_v1_pod_spec_type, &p->spec);
}

static bool same_spec(const struct object *x, const struct object *y) {
    struct slice sx, sy;
    return raw_get(object_json(x), "spec", &sx) && raw_get(object_json(y), "spec", &sy) &&
           slice_eq(sx, sy);
}

static void on_pod(void *user, const struct event *e) {
    struct node_authz *n = user;
    if (!n->filled) return;
    if (e->type == EVENT_MODIFIED && e->old && same_spec(e->old, e->now)) return;
    if (e->old) take_pod(n, e->old, -1);
    if (e->type != EVENT_DELETED) take_pod(n, e->now, 1);
}

static void fill(struct node_authz *n) {
    const struct resource *res = cache_of_kind(&n->api->cache, pod_kind());
    struct key_cursor at = key_index_seek(&res->index, SLICE(""), false);
    for (struct object *o; (o = key_index_next(&res->index, &at));) take_pod(n, o, 1);
    n->filled = true;
}

struct node_authz *node_authz_new(struct api *api) {
    struct node_authz *n = calloc(1, sizeof *n);
    if (!n) abort();
    n->api = api;
    resource_listen(cache_of_kind(&api->cache, pod_kind()), on_pod, n);
    return n;
}

void node_authz_free(struct node_authz *n) {
    if (!n) return;
    map_done(&n->counts);
    free(n);
}

/* ---- deciding ---- */

struct question {
    struct node_authz *n;
    const char *node;
    const struct attributes *at;
    const char *ns, *name; /* of one object, also when a field selector names it */
    const char *pods_node; /* spec.nodeName of the field selector */
};

static bool refers(const struct question *q, const char *kind, const char *ns, const char *name) {
    OWN(buf_done) struct buf key = {0};
    key_text(&key, q->node, kind, ns, name);
    return map_get(&q->n->counts, buf_view(&key)) != NULL;
}

/* Of the pod itself the cache knows. */
static bool bound_here(const struct question *q) {
    const struct resource *res = cache_of_kind(&q->n->api->cache, pod_kind());
    const struct object *o = resource_get(res, q->ns, q->name);
    OWN(arena_free_p) struct arena *a = arena_new();
    return o && str_eq(raw_path_string(a, object_json(o), "spec.nodeName"), q->node);
}

static bool verb_in(const struct question *q, const char *verbs) {
    struct slice left = slice_of(verbs), one;
    while (slice_cut(&left, ',', &one))
        if (slice_is(one, q->at->verb)) return true;
    return false;
}

/* A volume belongs to a node when the claim it is bound to does. */
static bool volume_bound(const struct question *q, struct slice volume) {
    OWN(arena_free_p) struct arena *a = arena_new();
    const char *ns = raw_path_string(a, volume, "spec.claimRef.namespace");
    const char *name = raw_path_string(a, volume, "spec.claimRef.name");
    return ns && name && refers(q, "persistentvolumeclaims", ns, name);
}

static const struct resource *resource_of(const struct question *q, const char *group,
                                          const char *plural) {
    const struct api_kind *k = api_kind_by_plural(group, "v1", plural);
    return k ? cache_of_kind(&q->n->api->cache, k) : NULL;
}

/* Made by atoll.dev/local for that node (api/rules/claims.h). */
static bool is_local(const struct question *q, struct object *o) {
    const struct api_kind *k = api_kind_by_name("", "v1", "PersistentVolume");
    OWN(arena_free_p) struct arena *a = arena_new();
    struct api_object *v;
    return api_object_decode(a, k, object_json(o), &v, NULL) == 0 &&
           volume_is_local_to((const struct core_v1_persistent_volume *)(void *)v, q->node);
}

/* Besides the volumes of its claims, a node keeps those that are made of its own disk: it sees them
 * by their label, and deletes them when what was in them is gone. */
static bool may_use_volume(const struct question *q) {
    const struct resource *res = resource_of(q, "", "persistentvolumes");
    OWN(arena_free_p) struct arena *a = arena_new();
    if (*q->at->subresource) return false;
    if (verb_in(q, "list,watch"))
        return str_eq(q->at->label_selector, arena_printf(a, LOCAL_VOLUME_NODE "=%s", q->node));
    struct object *o = res ? resource_get(res, "", q->name) : NULL;
    if (!o || !verb_in(q, "get,delete")) return false;
    return (verb_in(q, "get") && volume_bound(q, object_json(o))) || is_local(q, o);
}

/* A member of a volume's source, such as spec.csi.nodePublishSecretRef, that names the secret. */
static bool names_secret(const struct question *q, struct arena *a, struct slice source) {
    struct raw_iter i = raw_object(source);
    for (struct slice key, ref; raw_member(&i, &key, &ref);) {
        bool is_ref = key.n >= 9 && slice_is(slice_from(key.p + key.n - 8, 8), "ecretRef");
        if (is_ref && str_eq(raw_path_string(a, ref, "name"), q->name) &&
            str_eq(raw_path_string(a, ref, "namespace"), q->ns))
            return true;
    }
    return false;
}

static bool secret_of_volume(const struct question *q) {
    const struct resource *res = resource_of(q, "", "persistentvolumes");
    if (!res) return false;
    OWN(arena_free_p) struct arena *a = arena_new();
    struct key_cursor at = key_index_seek(&res->index, SLICE(""), false);
    for (struct object *o; (o = key_index_next(&res->index, &at));) {
        struct slice spec, key, source;
        if (!raw_get(object_json(o), "spec", &spec) || !volume_bound(q, object_json(o))) continue;
        struct raw_iter i = raw_object(spec);
        while (raw_member(&i, &key, &source))
            if (names_secret(q, a, source)) return true;
    }
    return false;
}

static bool may_read_named(const struct question *q) {
    if (!verb_in(q, "get,list,watch") || *q->at->subresource || !*q->ns || !*q->name) return false;
    return refers(q, q->at->resource, q->ns, q->name) ||
           (str_eq(q->at->resource, "secrets") && secret_of_volume(q));
}

static bool may_use_claim(const struct question *q) {
    bool status = str_eq(q->at->subresource, "status");
    if (!*q->name || (*q->at->subresource && !status)) return false;
    if (!verb_in(q, status ? "update,patch" : "get")) return false;
    return refers(q, "persistentvolumeclaims", q->ns, q->name);
}

static bool may_make_token(const struct question *q) {
    return verb_in(q, "create") && str_eq(q->at->subresource, "token") && *q->name &&
           refers(q, "serviceaccounts", q->ns, q->name);
}

static bool own_name(const struct question *q) {
    return verb_in(q, "create") || str_eq(q->name, q->node);
}

static bool may_keep_lease(const struct question *q) {
    return verb_in(q, "get,create,update,patch,delete") && str_eq(q->at->ns, "kube-node-lease") &&
           own_name(q);
}

static bool may_keep_csi_node(const struct question *q) {
    return verb_in(q, "get,create,update,patch,delete") && !*q->at->subresource && own_name(q);
}

static bool static_rules(const struct question *q) {
    return role_default_allows("system:node", q->at);
}

static bool may_use_node(const struct question *q) {
    if (verb_in(q, "get,list,watch") && !str_eq(q->name, q->node)) return false;
    return static_rules(q);
}

/* Reading pods: one that is bound here, or a list of those that are. Writes go by the rules and by
 * the admission plugin NodeRestriction. */
static bool may_use_pod(const struct question *q) {
    if (verb_in(q, "list,watch") && !str_eq(q->pods_node, q->node) && !(*q->name && bound_here(q)))
        return false;
    if (verb_in(q, "get") && !bound_here(q)) return false;
    return static_rules(q);
}

static bool may_read_attachment(const struct question *q) {
    const struct resource *res = resource_of(q, "storage.k8s.io", "volumeattachments");
    struct object *o = res ? resource_get(res, "", q->name) : NULL;
    if (!verb_in(q, "get") || *q->at->subresource || !o) return false;
    OWN(arena_free_p) struct arena *a = arena_new();
    return str_eq(raw_path_string(a, object_json(o), "spec.nodeName"), q->node);
}

static const struct {
    const char *group, *resource;
    bool (*allows)(const struct question *);
} divided[] = {
    {"", "secrets", may_read_named},
    {"", "configmaps", may_read_named},
    {"", "persistentvolumeclaims", may_use_claim},
    {"", "persistentvolumes", may_use_volume},
    {"", "serviceaccounts", may_make_token},
    {"", "nodes", may_use_node},
    {"", "pods", may_use_pod},
    {"coordination.k8s.io", "leases", may_keep_lease},
    {"storage.k8s.io", "csinodes", may_keep_csi_node},
    {"storage.k8s.io", "volumeattachments", may_read_attachment},
};

/* A field selector by equality limits the answer to what it names. */
static void take_selector(struct question *q, struct arena *a) {
    struct field_terms terms;
    if (str_empty(q->at->field_selector) || !verb_in(q, "list,watch")) return;
    if (field_selector_parse(a, q->at->field_selector, &terms, NULL) < 0) return;
    for (size_t i = 0; i < terms.n; i++) {
        const struct field_term *t = &terms.v[i];
        if (t->negate) continue;
        if (str_eq(t->path, "metadata.name")) q->name = t->value;
        if (str_eq(t->path, "metadata.namespace") && !*q->ns) q->ns = t->value;
        if (str_eq(t->path, "spec.nodeName")) q->pods_node = t->value;
    }
}

bool node_authz_allows(struct node_authz *n, const struct user *u, const struct attributes *at) {
    const char *node = node_identity(u);
    if (!node) return false;
    struct question q = {n, node, at, at->ns, at->name, ""};
    if (at->path) return static_rules(&q);
    if (!n->filled) fill(n);
    OWN(arena_free_p) struct arena *a = arena_new();
    take_selector(&q, a);
    for (size_t i = 0; i < ARRAY_LEN(divided); i++)
        if (str_eq(divided[i].group, at->group) && str_eq(divided[i].resource, at->resource))
            return divided[i].allows(&q);
    return static_rules(&q);
}
