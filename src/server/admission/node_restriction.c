/*
 * NodeRestriction: what a node may write, beyond what the node authoriser lets through: itself, its
 * lease, the status of pods bound to it, mirror pods, and tokens for its pods.
 */
#include "api/type.h"
#include "base/own.h"
#include "server/admission/plugin.h"
#include "server/auth/node_authz.h"
#include "server/storage/raw.h"

static int refuse(struct admission *ad, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static int refuse(struct admission *ad, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    const char *why = arena_vprintf(ad->a, fmt, ap);
    va_end(ap);
    return admission_forbid(ad, why);
}

static const char *operation(const struct admission *ad) {
    if (ad->operation == ADMIT_CREATE) return "CREATE";
    if (ad->operation == ADMIT_UPDATE) return "UPDATE";
    return ad->operation == ADMIT_DELETE ? "DELETE" : "CONNECT";
}

static const char *pod_node(const struct api_object *o) {
    return str_or(((const struct core_v1_pod *)(const void *)o)->spec.node_name, "");
}

static bool labels_equal(const struct str_map *x, const struct str_map *y) {
    if (x->n != y->n) return false;
    for (size_t i = 0; i < x->n; i++)
        if (!str_eq(x->v[i].key, y->v[i].key) || !str_eq(x->v[i].value, y->v[i].value))
            return false;
    return true;
}

/* ---- pods ---- */

static int mirror_owner(struct admission *ad, const char *node) {
    const struct meta_v1_owner_reference_list *l = &ad->object->metadata.owner_references;
    if (l->n > 1)
        return refuse(
            ad, "node \"%s\" can only create pods with a single owner reference set to itself",
            node);
    const struct meta_v1_owner_reference *o = l->n ? &l->v[0] : NULL;
    if (!o || !str_eq(o->api_version, "v1") || !str_eq(o->kind, "Node") || !str_eq(o->name, node))
        return refuse(ad, "node \"%s\" can only create pods with an owner reference set to itself",
                      node);
    if (!o->controller || !*o->controller)
        return refuse(
            ad, "node \"%s\" can only create pods with a controller owner reference set to itself",
            node);
    if (o->block_owner_deletion && *o->block_owner_deletion)
        return refuse(ad, "node \"%s\" must not set blockOwnerDeletion on an owner reference",
                      node);
    struct object *n = admission_find(ad, "", "nodes", "", node);
    if (!n) return err_set(&ad->err, ERR_NOT_FOUND, "nodes \"%s\" not found", node);
    const char *uid = raw_path_string(ad->a, object_json(n), "metadata.uid");
    if (!str_eq(uid, o->uid))
        return refuse(ad, "node %s UID mismatch: expected %s got %s", node, str_or(o->uid, ""),
                      str_or(uid, ""));
    return 0;
}

struct references {
    bool secrets, config_maps, claims;
};

static void env_references(const struct core_v1_container_list *l, struct references *r) {
    for (size_t i = 0; i < l->n; i++) {
        for (size_t j = 0; j < l->v[i].env.n; j++) {
            const struct core_v1_env_var_source *from = l->v[i].env.v[j].value_from;
            r->secrets |= from && from->secret_key_ref;
            r->config_maps |= from && from->config_map_key_ref;
        }
        for (size_t j = 0; j < l->v[i].env_from.n; j++) {
            r->secrets |= l->v[i].env_from.v[j].secret_ref != NULL;
            r->config_maps |= l->v[i].env_from.v[j].config_map_ref != NULL;
        }
    }
}

static struct references references_of(const struct core_v1_pod_spec *s) {
    struct references r = {.secrets = s->image_pull_secrets.n > 0};
    env_references(&s->containers, &r);
    env_references(&s->init_containers, &r);
    for (size_t i = 0; i < s->volumes.n; i++) {
        const struct core_v1_volume *v = &s->volumes.v[i];
        r.secrets |= v->secret != NULL;
        r.config_maps |= v->config_map != NULL;
        r.claims |= v->persistent_volume_claim || v->ephemeral;
        for (size_t j = 0; v->projected && j < v->projected->sources.n; j++) {
            r.secrets |= v->projected->sources.v[j].secret != NULL;
            r.config_maps |= v->projected->sources.v[j].config_map != NULL;
        }
    }
    return r;
}

static int create_pod(struct admission *ad, const char *node) {
    const struct core_v1_pod *pod = (const void *)ad->object;
    if (!str_map_get(&pod->metadata.annotations, "kubernetes.io/config.mirror"))
        return refuse(ad,
                      "pod does not have \"kubernetes.io/config.mirror\" annotation, node \"%s\" "
                      "can only create mirror pods",
                      node);
    if (!str_eq(pod->spec.node_name, node))
        return refuse(ad, "node \"%s\" can only create pods with spec.nodeName set to itself",
                      node);
    int rc = mirror_owner(ad, node);
    if (rc < 0) return rc;
    if (!str_empty(pod->spec.service_account_name))
        return refuse(ad, "node \"%s\" can not create pods that reference a service account", node);
    struct references r = references_of(&pod->spec);
    const char *what = r.secrets       ? "secrets"
                       : r.config_maps ? "configmaps"
                       : r.claims      ? "persistentvolumeclaims"
                                       : NULL;
    return what ? refuse(ad, "node \"%s\" can not create pods that reference %s", node, what) : 0;
}

static int pod_status(struct admission *ad, const char *node) {
    if (ad->operation != ADMIT_UPDATE)
        return refuse(ad, "unexpected operation \"%s\"", operation(ad));
    if (!str_eq(pod_node(ad->old), node))
        return refuse(ad,
                      "node \"%s\" can only update pod status for pods with spec.nodeName set to "
                      "itself",
                      node);
    if (!labels_equal(&ad->old->metadata.labels, &ad->object->metadata.labels))
        return refuse(ad, "node \"%s\" cannot update labels through pod status", node);
    return 0;
}

static int restrict_pod(struct admission *ad, const char *node) {
    if (str_eq(ad->subresource, "status")) return pod_status(ad, node);
    if (str_eq(ad->subresource, "eviction")) {
        if (ad->operation != ADMIT_CREATE)
            return refuse(ad, "unexpected operation %s", operation(ad));
        if (!str_eq(pod_node(ad->old), node))
            return refuse(ad, "node %s can only evict pods with spec.nodeName set to itself", node);
        return 0;
    }
    if (*ad->subresource)
        return refuse(ad,
                      "unexpected pod subresource \"%s\", only 'status' and 'eviction' are allowed",
                      ad->subresource);
    if (ad->operation == ADMIT_CREATE) return create_pod(ad, node);
    if (ad->operation != ADMIT_DELETE)
        return refuse(
            ad, "unexpected operation \"%s\", node \"%s\" can only create and delete mirror pods",
            operation(ad), node);
    if (!str_eq(pod_node(ad->old), node))
        return refuse(ad, "node \"%s\" can only delete pods with spec.nodeName set to itself",
                      node);
    return 0;
}

/* ---- nodes ---- */

static bool in_domain(const char *domain, size_t n, const char *wanted) {
    size_t len = strlen(wanted);
    if (n < len || strncmp(domain + n - len, wanted, len) != 0) return false;
    return n == len || domain[n - len - 1] == '.';
}

/* The labels that a node may have of its own: those that say what machine it is. */
static bool label_allowed(const char *key) {
    static const char *const known[] = {
        "kubernetes.io/hostname",
        "kubernetes.io/os",
        "kubernetes.io/arch",
        "beta.kubernetes.io/os",
        "beta.kubernetes.io/arch",
        "beta.kubernetes.io/instance-type",
        "node.kubernetes.io/instance-type",
        "topology.kubernetes.io/region",
        "topology.kubernetes.io/zone",
        "failure-domain.beta.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
    };
    const char *slash = strchr(key, '/');
    size_t n = slash ? (size_t)(slash - key) : 0;
    if (in_domain(key, n, "node-restriction.kubernetes.io")) return false;
    if (!in_domain(key, n, "kubernetes.io") && !in_domain(key, n, "k8s.io")) return true;
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (str_eq(key, known[i])) return true;
    return in_domain(key, n, "kubelet.kubernetes.io") || in_domain(key, n, "node.kubernetes.io");
}

static void forbidden_labels(const struct str_map *x, const struct str_map *y, struct buf *b) {
    for (size_t i = 0; i < x->n; i++) {
        const char *other = str_map_get(y, x->v[i].key);
        if (other && str_eq(other, x->v[i].value)) continue;
        if (!label_allowed(x->v[i].key) && (!b->n || !strstr(b->p, x->v[i].key)))
            buf_printf(b, "%s%s", b->n ? ", " : "", x->v[i].key);
    }
}

static bool taints_equal(const struct core_v1_taint_list *x, const struct core_v1_taint_list *y) {
    if (x->n != y->n) return false;
    for (size_t i = 0; i < x->n; i++)
        if (!api_equal(&core_v1_taint_type, &x->v[i], &y->v[i])) return false;
    return true;
}

static bool owners_equal(const struct meta_v1_owner_reference_list *x,
                         const struct meta_v1_owner_reference_list *y) {
    if (x->n != y->n) return false;
    for (size_t i = 0; i < x->n; i++)
        if (!api_equal(&meta_v1_owner_reference_type, &x->v[i], &y->v[i])) return false;
    return true;
}

static int restrict_node(struct admission *ad, const char *node) {
    static const struct str_map none = {0};
    const struct core_v1_node *now = (const void *)ad->object, *old = (const void *)ad->old;
    if (!str_eq(ad->name, node))
        return refuse(ad, "node \"%s\" is not allowed to modify node \"%s\"", node, ad->name);
    if (!now) return 0;
    if (now->spec.config_source && !old)
        return refuse(ad, "node \"%s\" is not allowed to create pods with a non-nil configSource",
                      node);
    OWN(buf_done) struct buf b = {0};
    forbidden_labels(&now->metadata.labels, old ? &old->metadata.labels : &none, &b);
    if (old) forbidden_labels(&old->metadata.labels, &now->metadata.labels, &b);
    if (b.n && !old)
        return refuse(ad, "node \"%s\" is not allowed to set the following labels: %s", node, b.p);
    if (!old) return 0;
    if (now->spec.config_source &&
        (!old->spec.config_source || !api_equal(&core_v1_node_config_source_type,
                                                now->spec.config_source, old->spec.config_source)))
        return refuse(ad,
                      "node \"%s\" is not allowed to update configSource to a new non-nil "
                      "configSource",
                      node);
    if (!taints_equal(&now->spec.taints, &old->spec.taints))
        return refuse(ad, "node \"%s\" is not allowed to modify taints", node);
    if (!owners_equal(&now->metadata.owner_references, &old->metadata.owner_references))
        return refuse(ad, "node \"%s\" is not allowed to modify ownerReferences", node);
    return b.n ? refuse(ad, "is not allowed to modify labels: %s", b.p) : 0;
}

/* ---- the rest ---- */

static int restrict_claim(struct admission *ad, const char *node) {
    if (!str_eq(ad->subresource, "status")) return refuse(ad, "may only update PVC status");
    if (ad->operation != ADMIT_UPDATE)
        return refuse(ad, "unexpected operation \"%s\"", operation(ad));
    struct core_v1_persistent_volume_claim now, old;
    memcpy(&now, ad->object, sizeof now);
    memcpy(&old, ad->old, sizeof old);
    now.metadata.resource_version = old.metadata.resource_version;
    now.metadata.managed_fields = old.metadata.managed_fields;
    now.status.capacity = old.status.capacity;
    now.status.conditions = old.status.conditions;
    if (!api_equal(ad->kind->type, &now, &old))
        return refuse(ad,
                      "node \"%s\" is not allowed to update fields other than status.capacity and "
                      "status.conditions",
                      node);
    return 0;
}

static int restrict_token(struct admission *ad, const char *node) {
    if (ad->operation != ADMIT_CREATE || !str_eq(ad->subresource, "token") || !ad->object) return 0;
    const struct authentication_v1_token_request *t = (const void *)ad->object;
    const struct authentication_v1_bound_object_reference *ref = t->spec.bound_object_ref;
    if (!ref || !str_eq(ref->api_version, "v1") || !str_eq(ref->kind, "Pod") ||
        str_empty(ref->name))
        return refuse(ad, "node requested token not bound to a pod");
    if (str_empty(ref->uid))
        return refuse(ad, "node requested token with a pod binding without a uid");
    struct object *o = admission_find(ad, "", "pods", ad->ns, ref->name);
    if (!o) return err_set(&ad->err, ERR_NOT_FOUND, "pods \"%s\" not found", ref->name);
    const char *uid = raw_path_string(ad->a, object_json(o), "metadata.uid");
    if (!str_eq(uid, ref->uid))
        return refuse(ad,
                      "the UID in the bound object reference (%s) does not match the UID in record "
                      "(%s). The object might have been deleted and then recreated",
                      ref->uid, str_or(uid, ""));
    if (!str_eq(raw_path_string(ad->a, object_json(o), "spec.nodeName"), node))
        return refuse(ad, "node requested token bound to a pod scheduled on a different node");
    return 0;
}

static int restrict_lease(struct admission *ad, const char *node) {
    if (!str_eq(ad->ns, "kube-node-lease"))
        return refuse(ad, "can only access leases in the \"kube-node-lease\" system namespace");
    if (!str_eq(ad->name, node))
        return refuse(ad, "can only access node lease with the same name as the requesting node");
    return 0;
}

static int restrict_csi_node(struct admission *ad, const char *node) {
    if (!str_eq(ad->name, node))
        return refuse(ad, "can only access CSINode with the same name as the requesting node");
    return 0;
}

static const struct {
    const char *group, *plural;
    int (*check)(struct admission *ad, const char *node);
} restricted[] = {
    {"", "pods", restrict_pod},
    {"", "nodes", restrict_node},
    {"", "persistentvolumeclaims", restrict_claim},
    {"", "serviceaccounts", restrict_token},
    {"coordination.k8s.io", "leases", restrict_lease},
    {"storage.k8s.io", "csinodes", restrict_csi_node},
};

static int node_restriction(struct admission *ad) {
    if (!str_starts(ad->c->user.name, "system:node:")) return 0;
    const char *node = node_identity(&ad->c->user);
    if (!node) return 0;
    for (size_t i = 0; i < ARRAY_LEN(restricted); i++)
        if (str_eq(ad->kind->plural, restricted[i].plural) &&
            str_eq(ad->kind->group, restricted[i].group))
            return restricted[i].check(ad, node);
    return 0;
}

static const struct admission_plugin plugin = {.name = "NodeRestriction",
                                               .order = ORDER_NODE_RESTRICTION,
                                               .operations =
                                                   ADMIT_CREATE | ADMIT_UPDATE | ADMIT_DELETE,
                                               .subresources = true,
                                               .mutate = node_restriction};
ADMISSION_PLUGIN(plugin);
