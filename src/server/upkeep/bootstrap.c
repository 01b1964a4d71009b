#include "server/upkeep/bootstrap.h"

#include "api/managed/managed.h"
#include "base/own.h"
#include "base/times.h"
#include "server/auth/roles.h"
#include "server/auth/rules.h"
#include "server/commit.h"
#include "server/media/body.h"
#include "server/storage/raw.h"

#define RBAC "rbac.authorization.k8s.io"

struct seeding {
    struct api *api;
    struct arena *arena;
    const char *now;
    size_t waiting;
    struct err err;
    bool failed, all_sent;
    void (*done)(void *user, const struct err *err);
    void *user;
};

static void finish_if_over(struct seeding *s) {
    if (!s->all_sent || s->waiting) return;
    s->done(s->user, s->failed ? &s->err : NULL);
    arena_free(s->arena);
    free(s);
}

static void on_stored(void *user, struct slice json, const struct err *err) {
    struct seeding *s = user;
    s->waiting--;
    /* Somebody made it meanwhile (another api service): that is what was wanted. */
    if (err && err->reason != ERR_ALREADY_EXISTS && err->reason != ERR_CONFLICT) {
        s->err = *err;
        s->failed = true;
    }
    finish_if_over(s);
}

static void submit(struct seeding *s, enum store_op op, const struct api_kind *k,
                   struct api_object *o, uint64_t expected) {
    s->waiting++;
    commit_submit(s->api, &(struct commit){op, k, o, expected}, on_stored, s);
}

/* Default roles and bindings get back what they lack; what somebody added stays. */
static void reconcile_role(struct arena *a, struct rbac_v1_cluster_role *role,
                           const struct rbac_v1_cluster_role *old) {
    struct rbac_v1_policy_rule_list rules = old->rules, missing = {0};
    if (role->aggregation_rule || !rules_cover(a, &rules, &role->rules, &missing)) {
        role->rules = rules;
        return;
    }
    struct rbac_v1_policy_rule_list both = {0};
    for (size_t i = 0; i < rules.n; i++) *ARENA_PUSH(a, &both) = rules.v[i];
    for (size_t i = 0; i < missing.n; i++) *ARENA_PUSH(a, &both) = missing.v[i];
    role->rules = both;
}

static void reconcile_binding(struct arena *a, struct rbac_v1_cluster_role_binding *b,
                              const struct rbac_v1_cluster_role_binding *old) {
    struct rbac_v1_subject_list both = {0};
    if (!b->subjects.n) return; /* nobody is meant: the node authoriser takes its place */
    for (size_t i = 0; i < old->subjects.n; i++) *ARENA_PUSH(a, &both) = old->subjects.v[i];
    for (size_t i = 0; i < b->subjects.n; i++) {
        bool there = false;
        for (size_t j = 0; j < both.n && !there; j++)
            there = api_equal(&rbac_v1_subject_type, &both.v[j], &b->subjects.v[i]);
        if (!there) *ARENA_PUSH(a, &both) = b->subjects.v[i];
    }
    b->subjects = both;
}

static void reconcile(struct seeding *s, const struct api_kind *k, struct api_object *o,
                      const struct api_object *old) {
    const struct str_map wanted = o->metadata.labels;
    o->metadata = old->metadata;
    if (str_eq(k->group, RBAC)) str_map_merge(s->arena, &o->metadata.labels, &wanted);
    if (str_eq(k->kind, "ClusterRole"))
        reconcile_role(s->arena, (void *)o, (const void *)old);
    else if (str_eq(k->kind, "ClusterRoleBinding"))
        reconcile_binding(s->arena, (void *)o, (const void *)old);
}

static bool wants_update(struct seeding *s, const struct api_kind *k, struct object *current,
                         struct api_object *o) {
    struct api_object *old;
    if (api_object_decode(s->arena, k, object_json(current), &old, NULL) < 0) return false;
    const char *keep =
        str_map_get(&old->metadata.annotations, "rbac.authorization.kubernetes.io/autoupdate");
    if (str_eq(keep, "false")) return false;
    reconcile(s, k, o, old);
    OWN(buf_done) struct buf json = {0};
    object_encode_at(&json, k, o, current->revision);
    return !slice_eq(buf_view(&json), object_json(current));
}

/* Who wrote it: Atoll itself. */
static void track(struct seeding *s, const struct api_kind *k, struct api_object *o,
                  struct object *current) {
    OWN(buf_done) struct buf empty = {0}, json = {0};
    struct managed managed;
    managed_list was = o->metadata.managed_fields;
    api_encode(&empty, k->type, api_new(s->arena, k->type));
    o->metadata.managed_fields = (managed_list){0};
    api_object_encode(&json, k, o);
    struct managed_write by = {.a = s->arena,
                               .shape = shape_of_kind(k),
                               .part = k->flags & API_HAS_STATUS ? FIELDS_MAIN : FIELDS_ALL,
                               .manager = "atoll",
                               .api_version = k->api_version,
                               .now = s->now,
                               .empty = buf_view(&empty)};
    if (current) by.before = object_json(current);
    managed_update(&by, &was, buf_view(&json), &managed);
    managed_stamp(&managed, s->now);
    o->metadata.managed_fields = managed.entries;
}

/* The object as it should be; an existing one is corrected only when `correct`. */
static void ensure(struct seeding *s, const char *group, const char *plural, const char *json,
                   bool correct) {
    const struct api_kind *k = api_kind_by_plural(group, "v1", plural);
    struct api_object *o;
    struct err err;
    if (!k || api_object_decode(s->arena, k, slice_of(json), &o, &err) < 0) {
        s->failed = true;
        err_set(&s->err, ERR_INTERNAL, "default object of %s does not decode: %s", plural,
                k ? err.text : "no such kind");
        return;
    }
    o->api_version = k->api_version;
    o->kind = k->kind;
    const struct api_behavior *b = api_kind_behavior(k);
    api_default(s->arena, k->type, o);
    if (b && b->defaults) b->defaults(s->arena, o);
    struct meta_v1_object_meta *m = &o->metadata;
    struct object *current =
        resource_get(cache_of_kind(&s->api->cache, k), str_or(m->namespace, ""), m->name);
    if (current) {
        if (!correct || !wants_update(s, k, current, o)) return;
        track(s, k, o, current);
        submit(s, STORE_UPDATE, k, o, current->revision);
        return;
    }
    track(s, k, o, NULL);
    m->uid = uuid_new(s->arena);
    m->creation_timestamp = s->now;
    if (k->flags & API_GENERATION) m->generation = 1;
    submit(s, STORE_CREATE, k, o, 0);
}

static void ensure_namespaces(struct seeding *s) {
    static const char *const names[] = {"default", "kube-system", "kube-public", "kube-node-lease"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        ensure(s, "", "namespaces",
               arena_printf(s->arena,
                            "{\"metadata\":{\"name\":\"%s\",\"labels\":{"
                            "\"kubernetes.io/metadata.name\":\"%s\"}},"
                            "\"spec\":{\"finalizers\":[\"kubernetes\"]},"
                            "\"status\":{\"phase\":\"Active\"}}",
                            names[i], names[i]),
               false);
}

/* Priorities of what the cluster itself cannot do without. */
static void ensure_priority_classes(struct seeding *s) {
    static const struct {
        const char *name, *description;
        int value;
    } classes[] = {{"system-node-critical",
                    "Used for system critical pods that must not be moved "
                    "from their current node.",
                    2000001000},
                   {"system-cluster-critical",
                    "Used for system critical pods that must run in the "
                    "cluster, but can be moved to another node if "
                    "necessary.",
                    2000000000}};
    for (size_t i = 0; i < ARRAY_LEN(classes); i++)
        ensure(s, "scheduling.k8s.io", "priorityclasses",
               arena_printf(s->arena,
                            "{\"metadata\":{\"name\":\"%s\"},\"value\":%d,"
                            "\"description\":\"%s\"}",
                            classes[i].name, classes[i].value, classes[i].description),
               false);
}

/* The cluster's CA where controllers find it: they copy it into every namespace. */
static void ensure_root_ca(struct seeding *s) {
    OWN(buf_done) struct buf json = {0};
    buf_str(&json, "{\"metadata\":{\"name\":\"kube-root-ca.crt\",\"namespace\":\"kube-system\"},"
                   "\"data\":{\"ca.crt\":");
    buf_json_str(&json, slice_of(s->api->keys.ca_pem));
    buf_str(&json, "}}");
    ensure(s, "", "configmaps", arena_strn(s->arena, buf_view(&json)), true);
}

/* What servers of aggregated APIs need to know to believe the front proxy, and who may read it. */
static void ensure_extension_trust(struct seeding *s) {
    OWN(buf_done) struct buf json = {0};
    buf_str(&json, "{\"metadata\":{\"name\":\"extension-apiserver-authentication\","
                   "\"namespace\":\"kube-system\"},\"data\":{\"client-ca-file\":");
    buf_json_str(&json, slice_of(s->api->keys.ca_pem));
    buf_str(&json, ",\"requestheader-client-ca-file\":");
    buf_json_str(&json, slice_of(s->api->keys.front_proxy_ca_pem));
    buf_str(&json, ",\"requestheader-allowed-names\":\"[\\\"front-proxy-client\\\"]\","
                   "\"requestheader-username-headers\":\"[\\\"X-Remote-User\\\"]\","
                   "\"requestheader-uid-headers\":\"[\\\"X-Remote-Uid\\\"]\","
                   "\"requestheader-group-headers\":\"[\\\"X-Remote-Group\\\"]\","
                   "\"requestheader-extra-headers-prefix\":\"[\\\"X-Remote-Extra-\\\"]\"}}");
    ensure(s, "", "configmaps", arena_strn(s->arena, buf_view(&json)), true);
    ensure(s, RBAC, "roles",
           "{\"metadata\":{\"name\":\"extension-apiserver-authentication-reader\","
           "\"namespace\":\"kube-system\",\"labels\":{"
           "\"kubernetes.io/bootstrapping\":\"rbac-defaults\"},\"annotations\":{"
           "\"rbac.authorization.kubernetes.io/autoupdate\":\"true\"}},"
           "\"rules\":[{\"apiGroups\":[\"\"],\"resources\":[\"configmaps\"],"
           "\"resourceNames\":[\"extension-apiserver-authentication\"],"
           "\"verbs\":[\"get\",\"list\",\"watch\"]}]}",
           false);
}

/* ---- the two Services ---- */

static const char *service_json(struct arena *a, const char *ns, const char *name, const char *ip,
                                const char *labels, const char *ports) {
    return arena_printf(
        a,
        "{\"metadata\":{\"name\":\"%s\",\"namespace\":\"%s\",\"labels\":{%s}},"
        "\"spec\":{\"type\":\"ClusterIP\",\"clusterIP\":\"%s\",\"clusterIPs\":[\"%s\"]"
        ",\"ipFamilies\":[\"IPv4\"],\"ipFamilyPolicy\":\"SingleStack\","
        "\"internalTrafficPolicy\":\"Cluster\",\"sessionAffinity\":\"None\","
        "\"ports\":[%s]}}",
        name, ns, labels, ip, ip, ports);
}

static void ensure_endpoints(struct seeding *s, const char *ns, const char *name, const char *ip,
                             const char *ports) {
    ensure(s, "", "endpoints",
           arena_printf(s->arena,
                        "{\"metadata\":{\"name\":\"%s\",\"namespace\":\"%s\",\"labels\":{"
                        "\"endpointslice.kubernetes.io/skip-mirror\":\"true\"}},"
                        "\"subsets\":[{\"addresses\":[{\"ip\":\"%s\"}],\"ports\":[%s]}]}",
                        name, ns, ip, ports),
           true);
    ensure(s, "discovery.k8s.io", "endpointslices",
           arena_printf(s->arena,
                        "{\"metadata\":{\"name\":\"%s\",\"namespace\":\"%s\",\"labels\":{"
                        "\"kubernetes.io/service-name\":\"%s\"}},\"addressType\":\"IPv4\","
                        "\"endpoints\":[{\"addresses\":[\"%s\"],\"conditions\":{\"ready\":true,"
                        "\"serving\":true,\"terminating\":false}}],\"ports\":[%s]}",
                        name, ns, name, ip, ports),
           true);
}

static void ensure_services(struct seeding *s) {
    const struct settings *set = s->api->settings;
    const char *port = arena_printf(
        s->arena, "{\"name\":\"https\",\"port\":%u,\"protocol\":\"TCP\"}", set->api_port);
    ensure(s, "", "services",
           service_json(s->arena, "default", "kubernetes", set->api_ip,
                        "\"component\":\"apiserver\",\"provider\":\"kubernetes\"",
                        arena_printf(s->arena,
                                     "{\"name\":\"https\",\"port\":443,\"protocol\":\"TCP\","
                                     "\"targetPort\":%u}",
                                     set->api_port)),
           false);
    ensure_endpoints(s, "default", "kubernetes", set->gateway_ip, port);
    ensure(
        s, "", "services",
        service_json(s->arena, "kube-system", "kube-dns", set->dns_ip,
                     "\"k8s-app\":\"kube-dns\",\"kubernetes.io/name\":\"CoreDNS\"",
                     "{\"name\":\"dns\",\"port\":53,\"protocol\":\"UDP\",\"targetPort\":53},"
                     "{\"name\":\"dns-tcp\",\"port\":53,\"protocol\":\"TCP\",\"targetPort\":53}"),
        false);
    ensure_endpoints(s, "kube-system", "kube-dns", set->gateway_ip,
                     "{\"name\":\"dns\",\"port\":53,\"protocol\":\"UDP\"},"
                     "{\"name\":\"dns-tcp\",\"port\":53,\"protocol\":\"TCP\"}");
}

/* ---- roles ---- */

static void put_list(struct buf *b, const char *key, const char *list, bool *first) {
    if (!list) return;
    buf_printf(b, "%s\"%s\":[", *first ? "" : ",", key);
    *first = false;
    struct slice left = slice_of(list), one;
    for (bool comma = false; slice_cut(&left, ',', &one); comma = true) {
        if (comma) buf_char(b, ',');
        buf_json_str(b, one);
    }
    buf_char(b, ']');
}

#define ROLE_META                                                                                  \
    "{\"metadata\":{\"name\":\"%s\",\"labels\":{"                                                  \
    "\"kubernetes.io/bootstrapping\":\"rbac-defaults\"%s},\"annotations\":{"                       \
    "\"rbac.authorization.kubernetes.io/autoupdate\":\"true\"}},"
#define AGGREGATE_TO "rbac.authorization.k8s.io/aggregate-to-"

static void put_rules(struct buf *b, const struct role_default *r) {
    buf_str(b, "\"rules\":[");
    for (size_t i = 0; i < r->n_rules; i++) {
        bool first = true;
        buf_str(b, i ? ",{" : "{");
        put_list(b, "verbs", r->rules[i].verbs, &first);
        put_list(b, "apiGroups", r->rules[i].groups, &first);
        put_list(b, "resources", r->rules[i].resources, &first);
        put_list(b, "resourceNames", r->rules[i].names, &first);
        put_list(b, "nonResourceURLs", r->rules[i].paths, &first);
        buf_char(b, '}');
    }
    buf_char(b, ']');
}

static void ensure_role(struct seeding *s, const struct role_default *r) {
    OWN(buf_done) struct buf b = {0};
    const char *part_of =
        r->aggregate_to
            ? arena_printf(s->arena, ",\"" AGGREGATE_TO "%s\":\"true\"", r->aggregate_to)
            : "";
    buf_printf(&b, ROLE_META, r->name, part_of);
    if (r->rules)
        put_rules(&b, r);
    else
        buf_printf(&b,
                   "\"aggregationRule\":{\"clusterRoleSelectors\":[{\"matchLabels\":{"
                   "\"" AGGREGATE_TO "%s\":\"true\"}}]}",
                   r->name);
    buf_char(&b, '}');
    ensure(s, RBAC, "clusterroles", b.p, true);
}

static void ensure_binding(struct seeding *s, const struct binding_default *d) {
    OWN(buf_done) struct buf b = {0};
    buf_printf(&b, ROLE_META, d->name, "");
    if (d->subject_kind)
        buf_printf(&b,
                   "\"subjects\":[{\"kind\":\"%s\",\"apiGroup\":\"" RBAC "\",\"name\":\"%s\"}],",
                   d->subject_kind, d->subject_name);
    buf_printf(&b,
               "\"roleRef\":{\"apiGroup\":\"" RBAC "\",\"kind\":\"ClusterRole\",\"name\":\"%s\"}}",
               d->role);
    ensure(s, RBAC, "clusterrolebindings", b.p, true);
}

void bootstrap(struct api *api, void (*done)(void *user, const struct err *err), void *user) {
    struct seeding *s = calloc(1, sizeof *s);
    if (!s) abort();
    *s = (struct seeding){.api = api, .arena = arena_new(), .done = done, .user = user};
    char now[TIME_TEXT_MAX];
    time_format(now, loop_wall_ns(api->loop));
    s->now = arena_str(s->arena, now);
    ensure_namespaces(s);
    ensure_root_ca(s);
    ensure_extension_trust(s);
    ensure_priority_classes(s);
    for (size_t i = 0; i < role_defaults_n; i++) ensure_role(s, &role_defaults[i]);
    for (size_t i = 0; i < binding_defaults_n; i++) ensure_binding(s, &binding_defaults[i]);
    ensure_services(s);
    s->all_sent = true;
    finish_if_over(s);
}
