/* Topology: defaults, validation, Table columns. Edges are in topology_edges.c. */
#include "api/kinds/topology.h"

#include <string.h>

#include "api/rules/topology_graph.h"

static const struct topology_pattern patterns[] = {
    {"bus", {"bus"}, 1, "drop-oldest", true, "bus"},
    {"pair", {"pair"}, 1, "block", true, "pair"},
    {"pipeline", {"push", "pull"}, 2, "block", false, "push"},
    {"pubsub", {"pub", "sub"}, 2, "drop-oldest", true, "pub"},
    {"reqrep", {"req", "rep"}, 2, "block", false, "rep"},
    {"survey", {"surveyor", "respondent"}, 2, "drop-oldest", false, "respondent"},
};

const struct topology_pattern *topology_pattern(const char *name) {
    for (size_t i = 0; i < ARRAY_LEN(patterns); i++)
        if (str_eq(patterns[i].name, name)) return &patterns[i];
    return NULL;
}

bool topology_has_role(const struct topology_pattern *p, const char *role) {
    for (size_t i = 0; i < p->n_roles; i++)
        if (str_eq(p->roles[i], role)) return true;
    return false;
}

const char *topology_import_role(const struct topology_pattern *p) {
    return p->roles[p->n_roles == 2 && str_eq(p->roles[0], p->exports)];
}

static void edge_defaults(struct sp_v1_topology_edge_list *edges, const char *role) {
    for (size_t i = 0; i < edges->n; i++)
        if (str_empty(edges->v[i].role)) edges->v[i].role = role;
}

static void topology_defaults(struct arena *a, void *obj) {
    struct sp_v1_topology *t = obj;
    const struct topology_pattern *p = topology_pattern(t->spec.pattern);
    (void)a;
    if (!p) return;
    if (str_empty(t->spec.queue.policy)) t->spec.queue.policy = p->policy;
    edge_defaults(&t->spec.edges, p->n_roles == 1 ? p->roles[0] : NULL);
    edge_defaults(&t->spec.exports, p->exports);
    edge_defaults(&t->spec.imports, topology_import_role(p));
}

static void topology_prepare(struct arena *a, void *obj, const void *old) {
    struct sp_v1_topology *t = obj;
    (void)a;
    if (!old) t->status = (struct sp_v1_topology_status){0};
}

/* ---- parts ---- */

static bool is_hex(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

void topology_prefix_validate(const char *prefix, const char *path, struct api_causes *causes) {
    if (str_empty(prefix)) {
        cause_required(causes, path, NULL);
        return;
    }
    for (const char *c = prefix; (c = strchr(c, '%')); c += 3)
        if (!is_hex(c[1]) || !is_hex(c[2])) {
            cause_invalid(causes, path, prefix, "two hexadecimal digits must follow each %");
            return;
        }
}

void topology_file_validate(const char *name, const char *path, struct api_causes *causes) {
    if (str_empty(name)) return;
    if (strchr(name, '/') || str_eq(name, ".") || str_eq(name, ".."))
        cause_invalid(causes, path, name, "must be the name of a file, without a path");
}

void topology_too_many(const char *field, size_t n, size_t max, struct api_causes *causes) {
    if (n > max) cause_too_many(causes, field, n, max);
}

static void account_validate(const char *name, const char *path, struct api_causes *causes) {
    static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    uint64_t id;
    if (str_empty(name))
        cause_required(causes, path, NULL);
    else if (strspn(name, good) != strlen(name))
        cause_invalid(causes, path, name, "must be the name or number of a user or group");
    else if (strspn(name, "0123456789") == strlen(name) &&
             (slice_u64(slice_of(name), &id) < 0 || id >= UINT32_MAX))
        cause_invalid(causes, path, name, "must be between 0 and 4294967294, inclusive");
}

static void accounts_validate(const struct str_list *names, const char *path,
                              struct api_causes *causes) {
    for (size_t i = 0; i < names->n; i++)
        account_validate(names->v[i], path_of(causes, "%s[%zu]", path, i), causes);
}

static void role_validate(const struct topology_pattern *p, const char *role, const char *path,
                          struct api_causes *causes) {
    if (!topology_has_role(p, role))
        cause_not_supported(causes, path, str_or(role, ""), p->roles, p->n_roles);
}

static void roles_validate(const struct sp_v1_topology_spec *s, const struct topology_pattern *p,
                           struct api_causes *causes) {
    for (size_t i = 0; i < s->roles.n; i++) {
        const struct sp_v1_topology_role *r = &s->roles.v[i];
        const char *path = path_of(causes, "spec.roles[%zu]", i);
        if (!str_empty(r->name))
            role_validate(p, r->name, path_of(causes, "%s.name", path), causes);
        account_validate(str_or(r->owner, "root"), path_of(causes, "%s.owner", path), causes);
        account_validate(str_or(r->group, "root"), path_of(causes, "%s.group", path), causes);
    }
}

static void access_validate(const struct sp_v1_topology_spec *s, const struct topology_pattern *p,
                            struct api_causes *causes) {
    topology_too_many("spec.access", s->access.n, ENTRIES_MAX, causes);
    for (size_t i = 0; i < MIN_OF(s->access.n, (size_t)ENTRIES_MAX); i++) {
        const struct sp_v1_topology_access *x = &s->access.v[i];
        const char *path = path_of(causes, "spec.access[%zu]", i);
        for (size_t j = 0; j < x->roles.n; j++)
            role_validate(p, x->roles.v[j], path_of(causes, "%s.roles[%zu]", path, j), causes);
        accounts_validate(&x->users, path_of(causes, "%s.users", path), causes);
        accounts_validate(&x->groups, path_of(causes, "%s.groups", path), causes);
        for (size_t j = 0; j < x->namespaces.n; j++)
            if (!str_eq(x->namespaces.v[j], "*"))
                name_validate(causes, path_of(causes, "%s.namespaces[%zu]", path, j),
                              NAME_DNS_LABEL, str_or(x->namespaces.v[j], ""));
        if (!x->users.n && !x->groups.n && !x->service_accounts.n && !x->namespaces.n)
            cause_required(causes, path, "names users, groups, serviceAccounts or namespaces");
    }
}

/* ---- files of subscriptions ---- */

static void filter_name_validate(const char *name, const char *path, struct api_causes *causes) {
    for (const char *c = name; *c; c++)
        if (*c <= ' ' || *c >= 0x7f || *c == '/') {
            cause_invalid(causes, path, name,
                          "must consist of printable ASCII characters other than space and /");
            return;
        }
    if (str_ends(name, ".ipc"))
        cause_invalid(causes, path, name, "must not end with .ipc, which is another door");
}

static void filters_validate(const struct sp_v1_topology_spec *s, const struct topology_pattern *p,
                             struct api_causes *causes) {
    OWN(map_done) struct map names = {0};
    if (s->filters.n && !str_eq(p->name, "pubsub"))
        cause_forbidden(causes, "spec.filters", "only pubsub has subscriptions");
    topology_too_many("spec.filters", s->filters.n, FILTERS_MAX, causes);
    for (size_t i = 0; i < MIN_OF(s->filters.n, (size_t)FILTERS_MAX); i++) {
        const struct sp_v1_topology_filter *f = &s->filters.v[i];
        const char *path = path_of(causes, "spec.filters[%zu]", i);
        const char *at = path_of(causes, "%s.name", path);
        if (!str_empty(f->prefix))
            topology_prefix_validate(f->prefix, path_of(causes, "%s.prefix", path), causes);
        const char *name = topology_filter_name(causes->a, f);
        filter_name_validate(name, at, causes);
        if (*name && map_put(&names, slice_of(name), &names)) cause_duplicate(causes, at, name);
    }
}

/* ---- the whole ---- */

static void spec_validate(const struct sp_v1_topology_spec *s, struct api_causes *causes) {
    const struct topology_pattern *p = topology_pattern(s->pattern);
    if (!p) return; /* the table says so */
    roles_validate(s, p, causes);
    access_validate(s, p, causes);
    filters_validate(s, p, causes);
    if (s->identity) {
        topology_file_validate(s->identity->certificate_file, "spec.identity.certificateFile",
                               causes);
        topology_file_validate(s->identity->key_file, "spec.identity.keyFile", causes);
        topology_file_validate(s->identity->ca_file, "spec.identity.caFile", causes);
    }
    if (s->retain && !str_eq(p->name, "pubsub"))
        cause_forbidden(causes, "spec.retain", "only pubsub keeps messages for later receivers");
    if (str_eq(s->queue.policy, "conflate") && !p->conflates)
        cause_invalid(causes, "spec.queue.policy", "conflate",
                      path_of(causes, "each message of %s counts", p->name));
    topology_edges_validate(s, p, causes);
}

static void topology_validate(const void *obj, const void *old, const char *subresource,
                              struct api_causes *causes) {
    const struct sp_v1_topology *t = obj;
    const char *field, *cycle;
    (void)old;
    if (str_eq(subresource, "status")) return;
    if (strlen(str_or(t->metadata.name, "")) > TOPOLOGY_NAME_BYTES_MAX)
        cause_too_long(causes, "metadata.name", TOPOLOGY_NAME_BYTES_MAX);
    size_t before = causes->n;
    spec_validate(&t->spec, causes);
    if (causes->n == before && (cycle = topology_cycle(causes->a, t, NULL, 0, &field)))
        cause_forbidden(causes, field, cycle);
}

/* ---- Table ---- */

static const struct api_column columns[] = {
    COLUMN_NAME,
    COLUMN("Pattern", "How messages pass."),
    COLUMN("Ready", "Whether every role has its socket file."),
    COLUMN("Links", "Peers that are connected, and edges that are declared."),
    COLUMN_INT("Clients", "Programs that are connected."),
    COLUMN_INT("Rate", "Messages in the last second."),
    COLUMN_INT("Drops", "Messages that were dropped."),
    COLUMN_AGE,
    COLUMN_WIDE("Policy", "What happens when a receiver is too slow."),
    COLUMN_WIDE("Roles", "Roles that programs may take."),
};

static const char *condition_status(const struct sp_v1_topology *t, const char *type) {
    for (size_t i = 0; i < t->status.conditions.n; i++)
        if (str_eq(t->status.conditions.v[i].type, type)) return t->status.conditions.v[i].status;
    return "Unknown";
}

static void topology_row(struct arena *a, const void *obj, int64_t now_ns, struct api_cell *cells) {
    const struct sp_v1_topology *t = obj;
    const struct sp_v1_topology_totals *sum = &t->status.totals;
    const struct topology_pattern *p = topology_pattern(t->spec.pattern);
    size_t wanted = t->spec.edges.n + t->spec.exports.n + t->spec.imports.n;
    cells[0] = cell_text(t->metadata.name);
    cells[1] = cell_text(t->spec.pattern);
    cells[2] = cell_text(condition_status(t, "Ready"));
    cells[3] = cell_text(arena_printf(a, "%lld/%zu", (long long)sum->links, wanted));
    cells[4] = cell_int(sum->clients);
    cells[5] = cell_int(sum->messages_per_second);
    cells[6] = cell_int(sum->dropped);
    cells[7] = cell_age(a, &t->metadata, now_ns);
    cells[8] = cell_text(t->spec.queue.policy);
    cells[9] = cell_text(p && p->n_roles == 2 ? arena_printf(a, "%s,%s", p->roles[0], p->roles[1])
                                              : t->spec.pattern);
}

static const struct api_behavior topology_behavior = {
    .group = "sp.atoll.dev",
    .kind = "Topology",
    .defaults = topology_defaults,
    .prepare = topology_prepare,
    .validate = topology_validate,
    .columns = columns,
    .n_columns = ARRAY_LEN(columns),
    .row = topology_row,
};
API_BEHAVIOR(topology_behavior);
