#include "server/quota/usage.h"

#include "api/rules/pods.h"
#include "base/own.h"
#include "base/times.h"

const struct quantity *quota_amount_find(const struct quota_amounts *l, const char *resource) {
    for (size_t i = 0; i < l->n; i++)
        if (str_eq(l->v[i].resource, resource)) return &l->v[i].q;
    return NULL;
}

static struct quantity *at(struct arena *a, struct quota_amounts *l, const char *resource) {
    for (size_t i = 0; i < l->n; i++)
        if (str_eq(l->v[i].resource, resource)) return &l->v[i].q;
    struct quota_amount *one = ARENA_PUSH(a, l);
    one->resource = resource;
    return &one->q;
}

static void add_number(struct arena *a, struct quota_amounts *l, const char *resource, int64_t n) {
    struct quantity q = {(__int128)n * 1000000000, FORMAT_DECIMAL_SI};
    quantity_add(at(a, l, resource), &q);
}

static void add_list(struct arena *a, struct quota_amounts *l, const struct str_map *from) {
    for (size_t i = 0; i < from->n; i++) {
        struct quantity q;
        if (quantity_parse(from->v[i].value, &q)) quantity_add(at(a, l, from->v[i].key), &q);
    }
}

static void add_amounts(struct arena *a, struct quota_amounts *l,
                        const struct quota_amounts *from) {
    for (size_t i = 0; i < from->n; i++) quantity_add(at(a, l, from->v[i].resource), &from->v[i].q);
}

static void raise_to(struct arena *a, struct quota_amounts *l, const struct quota_amounts *from) {
    for (size_t i = 0; i < from->n; i++) {
        struct quantity *q = at(a, l, from->v[i].resource);
        if (from->v[i].q.nanos > q->nanos) *q = from->v[i].q;
    }
}

void quota_amounts_subtract(struct quota_amounts *l, const struct quota_amounts *before) {
    for (size_t i = 0; i < l->n; i++) {
        const struct quantity *q = quota_amount_find(before, l->v[i].resource);
        if (q) l->v[i].q.nanos -= q->nanos;
        if (l->v[i].q.nanos < 0) l->v[i].q.nanos = 0;
    }
}

/* ---- pods ---- */

void quota_pod_resources(struct arena *a, const struct core_v1_pod_spec *p, bool limits,
                         bool overhead, struct quota_amounts *ret) {
    struct quota_amounts sidecars = {0}, init = {0};
    for (size_t i = 0; i < p->containers.n; i++) {
        const struct core_v1_resource_requirements *r = &p->containers.v[i].resources;
        add_list(a, ret, limits ? &r->limits : &r->requests);
    }
    for (size_t i = 0; i < p->init_containers.n; i++) {
        const struct core_v1_container *c = &p->init_containers.v[i];
        struct quota_amounts one = {0};
        if (str_eq(c->restart_policy, "Always")) {
            add_list(a, ret, limits ? &c->resources.limits : &c->resources.requests);
            add_list(a, &sidecars, limits ? &c->resources.limits : &c->resources.requests);
            raise_to(a, &init, &sidecars);
            continue;
        }
        add_list(a, &one, limits ? &c->resources.limits : &c->resources.requests);
        add_amounts(a, &one, &sidecars);
        raise_to(a, &init, &one);
    }
    raise_to(a, ret, &init);
    for (size_t i = 0; overhead && i < p->overhead.n; i++) {
        struct quantity q;
        if (!quantity_parse(p->overhead.v[i].value, &q)) continue;
        if (!limits || quota_amount_find(ret, p->overhead.v[i].key))
            quantity_add(at(a, ret, p->overhead.v[i].key), &q);
    }
}

static const char *const native[] = {"cpu", "memory", "ephemeral-storage"};

static bool is_native(const char *resource) {
    for (size_t i = 0; i < ARRAY_LEN(native); i++)
        if (str_eq(resource, native[i])) return true;
    return false;
}

/* Has a domain of its own: nvidia.com/gpu. */
static bool is_extended(const char *resource) {
    return strchr(resource, '/') && !strstr(resource, "kubernetes.io/") &&
           !str_starts(resource, "requests.");
}

static void add_compute(struct arena *a, const struct core_v1_pod_spec *p,
                        struct quota_amounts *to) {
    struct quota_amounts requests = {0}, limits = {0};
    quota_pod_resources(a, p, false, true, &requests);
    quota_pod_resources(a, p, true, true, &limits);
    for (size_t i = 0; i < requests.n; i++) {
        const char *name = requests.v[i].resource;
        bool huge = str_starts(name, "hugepages-");
        if (is_native(name) || huge) quantity_add(at(a, to, name), &requests.v[i].q);
        if (is_native(name) || huge || is_extended(name))
            quantity_add(at(a, to, arena_printf(a, "requests.%s", name)), &requests.v[i].q);
    }
    for (size_t i = 0; i < limits.n; i++)
        if (is_native(limits.v[i].resource))
            quantity_add(at(a, to, arena_printf(a, "limits.%s", limits.v[i].resource)),
                         &limits.v[i].q);
}

static bool terms_cross(const struct core_v1_pod_affinity_term_list *l) {
    for (size_t i = 0; i < l->n; i++)
        if (l->v[i].namespaces.n || l->v[i].namespace_selector) return true;
    return false;
}

static bool weighted_cross(const struct core_v1_weighted_pod_affinity_term_list *l) {
    for (size_t i = 0; i < l->n; i++)
        if (l->v[i].pod_affinity_term.namespaces.n || l->v[i].pod_affinity_term.namespace_selector)
            return true;
    return false;
}

static bool crosses_namespaces(const struct core_v1_affinity *f) {
    if (!f) return false;
    const struct core_v1_pod_affinity *p = f->pod_affinity;
    const struct core_v1_pod_anti_affinity *q = f->pod_anti_affinity;
    return (p && (terms_cross(&p->required_during_scheduling_ignored_during_execution) ||
                  weighted_cross(&p->preferred_during_scheduling_ignored_during_execution))) ||
           (q && (terms_cross(&q->required_during_scheduling_ignored_during_execution) ||
                  weighted_cross(&q->preferred_during_scheduling_ignored_during_execution)));
}

static void pod_usage(struct arena *a, const struct core_v1_pod *p, int64_t now_ns,
                      struct quota_usage *u) {
    u->is_pod = true;
    u->terminating = p->spec.active_deadline_seconds && *p->spec.active_deadline_seconds >= 0;
    u->best_effort = str_eq(pod_qos_class(&p->spec), "BestEffort");
    u->cross_namespace = crosses_namespaces(p->spec.affinity);
    u->priority_class = p->spec.priority_class_name;
    add_number(a, &u->amounts, "count/pods", 1);
    if (str_eq(p->status.phase, "Failed") || str_eq(p->status.phase, "Succeeded")) return;
    int64_t end_ns;
    const int64_t *grace_s = p->metadata.deletion_grace_period_seconds;
    if (!str_empty(p->metadata.deletion_timestamp) && grace_s && *grace_s < INT32_MAX &&
        time_parse(p->metadata.deletion_timestamp, &end_ns) == 0) {
        u->over_ns = end_ns + *grace_s * 1000000000;
        if (now_ns > u->over_ns) return; /* stuck, say on a lost node: not the user's fault */
    }
    add_number(a, &u->amounts, "pods", 1);
    add_compute(a, &p->spec, &u->amounts);
}

/* ---- services, claims ---- */

static void service_usage(struct arena *a, const struct core_v1_service *s, struct quota_usage *u) {
    bool balancer = str_eq(s->spec.type, "LoadBalancer");
    bool ports = str_eq(s->spec.type, "NodePort") ||
                 (balancer && (!s->spec.allocate_load_balancer_node_ports ||
                               *s->spec.allocate_load_balancer_node_ports));
    add_number(a, &u->amounts, "count/services", 1);
    add_number(a, &u->amounts, "services", 1);
    if (ports) add_number(a, &u->amounts, "services.nodeports", (int64_t)s->spec.ports.n);
    if (balancer) add_number(a, &u->amounts, "services.loadbalancers", 1);
}

static void claim_usage(struct arena *a, const struct core_v1_persistent_volume_claim *c,
                        struct quota_usage *u) {
    const char *class =
        str_map_get(&c->metadata.annotations, "volume.beta.kubernetes.io/storage-class");
    if (!class) class = c->spec.storage_class_name;
    add_number(a, &u->amounts, "count/persistentvolumeclaims", 1);
    add_number(a, &u->amounts, "persistentvolumeclaims", 1);
    if (!str_empty(class))
        add_number(a, &u->amounts,
                   arena_printf(a, "%s.storageclass.storage.k8s.io/persistentvolumeclaims", class),
                   1);
    struct quantity q;
    if (!quantity_parse(str_map_get(&c->spec.resources.requests, "storage"), &q)) return;
    q.nanos = (q.nanos + 999999999) / 1000000000 * 1000000000; /* whole bytes */
    quantity_add(at(a, &u->amounts, "requests.storage"), &q);
    if (!str_empty(class))
        quantity_add(at(a, &u->amounts,
                        arena_printf(a, "%s.storageclass.storage.k8s.io/requests.storage", class)),
                     &q);
}

/* ---- all kinds ---- */

bool quota_measures(const char *group, const char *plural) {
    return !*group && (str_eq(plural, "pods") || str_eq(plural, "services") ||
                       str_eq(plural, "persistentvolumeclaims"));
}

void quota_count_names(struct arena *a, const char *group, const char *plural,
                       const char *ret_names[2]) {
    static const char *const aliases[] = {"configmaps", "secrets", "replicationcontrollers",
                                          "resourcequotas"};
    ret_names[0] = *group ? arena_printf(a, "count/%s.%s", plural, group)
                          : arena_printf(a, "count/%s", plural);
    ret_names[1] = NULL;
    for (size_t i = 0; i < ARRAY_LEN(aliases) && !*group; i++)
        if (str_eq(plural, aliases[i])) ret_names[1] = aliases[i];
}

void quota_usage_of(struct arena *a, const char *group, const char *plural,
                    const struct api_object *o, int64_t now_ns, struct quota_usage *ret) {
    *ret = (struct quota_usage){0};
    if (!quota_measures(group, plural)) {
        const char *names[2];
        quota_count_names(a, group, plural, names);
        for (size_t i = 0; i < 2 && names[i]; i++) add_number(a, &ret->amounts, names[i], 1);
    } else if (str_eq(plural, "pods")) {
        pod_usage(a, (const struct core_v1_pod *)(const void *)o, now_ns, ret);
    } else if (str_eq(plural, "services")) {
        service_usage(a, (const struct core_v1_service *)(const void *)o, ret);
    } else {
        claim_usage(a, (const struct core_v1_persistent_volume_claim *)(const void *)o, ret);
    }
}

/* ---- scopes ---- */

static bool priority_matches(const char *class, const char *op, const struct str_list *values) {
    bool there = !str_empty(class);
    if (str_eq(op, "In")) return there && str_list_has(values, class);
    if (str_eq(op, "NotIn")) return !there || !str_list_has(values, class);
    return str_eq(op, "DoesNotExist") ? !there : there;
}

static bool scope_matches(const char *scope, const char *op, const struct str_list *values,
                          const struct quota_usage *u) {
    if (!u->is_pod) return false;
    if (str_eq(scope, "Terminating")) return u->terminating;
    if (str_eq(scope, "NotTerminating")) return !u->terminating;
    if (str_eq(scope, "BestEffort")) return u->best_effort;
    if (str_eq(scope, "NotBestEffort")) return !u->best_effort;
    if (str_eq(scope, "CrossNamespacePodAffinity")) return u->cross_namespace;
    return str_eq(scope, "PriorityClass") && priority_matches(u->priority_class, op, values);
}

bool quota_covers(const struct core_v1_resource_quota_spec *spec, const struct quota_usage *u) {
    static const struct str_list none = {0};
    for (size_t i = 0; i < spec->scopes.n; i++)
        if (!scope_matches(spec->scopes.v[i], "Exists", &none, u)) return false;
    for (size_t i = 0; spec->scope_selector && i < spec->scope_selector->match_expressions.n; i++) {
        const struct core_v1_scoped_resource_selector_requirement *r =
            &spec->scope_selector->match_expressions.v[i];
        const char *op = r->operator;
        if (!scope_matches(r->scope_name, op, &r->values, u)) return false;
    }
    return true;
}

/* ---- what containers must say ---- */

static bool says(const struct core_v1_resource_requirements *r, const char *resource) {
    if (str_starts(resource, "limits.")) return str_map_get(&r->limits, resource + 7);
    if (str_starts(resource, "requests.")) resource += 9;
    return str_map_get(&r->requests, resource);
}

static void lacking(struct buf *names, const struct core_v1_container_list *l,
                    const char *resource) {
    for (size_t i = 0; i < l->n; i++)
        if (!says(&l->v[i].resources, resource))
            buf_printf(names, "%s%s", names->n ? "," : "", l->v[i].name);
}

const char *quota_must_specify(struct arena *a, const struct core_v1_resource_quota_spec *spec,
                               const struct core_v1_pod_spec *pod) {
    static const char *const checked[] = {"cpu",    "limits.cpu",   "limits.memory",
                                          "memory", "requests.cpu", "requests.memory"};
    OWN(buf_done) struct buf b = {0};
    for (size_t i = 0; i < ARRAY_LEN(checked); i++) {
        OWN(buf_done) struct buf names = {0};
        if (!str_map_get(&spec->hard, checked[i])) continue;
        lacking(&names, &pod->containers, checked[i]);
        lacking(&names, &pod->init_containers, checked[i]);
        if (names.n) buf_printf(&b, "%s%s for: %s", b.n ? "; " : "", checked[i], names.p);
    }
    return b.n ? arena_strn(a, buf_view(&b)) : NULL;
}
