/* Node: validation, Table columns. */
#include <stdlib.h>
#include <string.h>

#include "api/kinds/kinds.h"
#include "api/values/quantity.h"

#define ROLE_PREFIX "node-role.kubernetes.io/"
#define ROLE_LABEL "kubernetes.io/role"

/* podCIDR is the first of podCIDRs; what nobody set aside can be given out. */
static void node_defaults(struct arena *a, void *obj) {
    struct core_v1_node *n = obj;
    if (str_empty(n->spec.pod_cidr) && n->spec.pod_cidrs.n > 0)
        n->spec.pod_cidr = n->spec.pod_cidrs.v[0];
    if (!str_empty(n->spec.pod_cidr) && n->spec.pod_cidrs.n == 0)
        *ARENA_PUSH(a, &n->spec.pod_cidrs) = n->spec.pod_cidr;
    if (!n->status.allocatable.n) n->status.allocatable = n->status.capacity;
}

static void amounts_validate(const struct str_map *amounts, const char *path,
                             struct api_causes *causes) {
    for (size_t i = 0; i < amounts->n; i++)
        if (quantity_cmp(str_or(amounts->v[i].value, "0"), "0") < 0)
            cause_invalid(causes, path_of(causes, "%s.%s", path, amounts->v[i].key),
                          amounts->v[i].value, "must be greater than or equal to 0");
}

static void node_validate(const void *obj, const void *old_obj, const char *subresource,
                          struct api_causes *causes) {
    const struct core_v1_node *n = obj, *old = old_obj;
    OWN(map_done) struct map taints = {0};
    for (size_t i = 0; i < n->spec.taints.n; i++) {
        const struct core_v1_taint *t = &n->spec.taints.v[i];
        const char *key = path_of(causes, "%s:%s", str_or(t->key, ""), str_or(t->effect, ""));
        if (map_put(&taints, slice_of(key), (void *)t))
            cause_duplicate(causes, path_of(causes, "spec.taints[%zu]", i), key);
        name_validate(causes, path_of(causes, "spec.taints[%zu].value", i), NAME_LABEL_VALUE,
                      t->value);
    }
    amounts_validate(&n->status.capacity, "status.capacity", causes);
    amounts_validate(&n->status.allocatable, "status.allocatable", causes);
    if (!old) return;
    if (!str_empty(old->spec.pod_cidr) && !str_eq(n->spec.pod_cidr, old->spec.pod_cidr))
        cause_forbidden(causes, "spec.podCIDR",
                        "node updates may not change podCIDR except from \"\" to valid");
    if (!str_empty(old->spec.provider_id) && !str_eq(n->spec.provider_id, old->spec.provider_id))
        cause_forbidden(causes, "spec.providerID",
                        "node updates may not change providerID except from \"\" to valid");
}

static const struct api_column columns[] = {
    COLUMN_NAME,
    COLUMN("Status", "Whether the node is ready and schedulable."),
    COLUMN("Roles", "Roles of the node, from its labels."),
    COLUMN_AGE,
    COLUMN("Version", "Version of the node's agent."),
    COLUMN_WIDE("Internal-IP", "Address inside the cluster."),
    COLUMN_WIDE("External-IP", "Address outside the cluster."),
    COLUMN_WIDE("OS-Image", "Operating system of the node."),
    COLUMN_WIDE("Kernel-Version", "Version of the node's kernel."),
    COLUMN_WIDE("Container-Runtime", "Container runtime of the node."),
};

static const char *status_text(struct arena *a, const struct core_v1_node *n) {
    const char *text = "Unknown";
    for (size_t i = 0; i < n->status.conditions.n; i++)
        if (str_eq(n->status.conditions.v[i].type, "Ready"))
            text = str_eq(n->status.conditions.v[i].status, "True") ? "Ready" : "NotReady";
    return n->spec.unschedulable ? arena_printf(a, "%s,SchedulingDisabled", text) : text;
}

static int by_text(const void *x, const void *y) {
    return strcmp(*(const char *const *)x, *(const char *const *)y);
}

static const char *roles_text(struct arena *a, const struct core_v1_node *n) {
    struct str_list roles = {0};
    OWN(buf_done) struct buf text = {0};
    for (size_t i = 0; i < n->metadata.labels.n; i++) {
        const struct str_pair *l = &n->metadata.labels.v[i];
        if (str_starts(l->key, ROLE_PREFIX) && l->key[strlen(ROLE_PREFIX)])
            *ARENA_PUSH(a, &roles) = l->key + strlen(ROLE_PREFIX);
        else if (str_eq(l->key, ROLE_LABEL) && !str_empty(l->value))
            *ARENA_PUSH(a, &roles) = l->value;
    }
    if (roles.n == 0) return NONE_TEXT;
    qsort(roles.v, roles.n, sizeof *roles.v, by_text);
    for (size_t i = 0; i < roles.n; i++)
        if (i == 0 || strcmp(roles.v[i], roles.v[i - 1]) != 0) text_join(&text, ",", roles.v[i]);
    return text_copy(a, &text, NONE_TEXT);
}

static const char *address(const struct core_v1_node *n, const char *type) {
    for (size_t i = 0; i < n->status.addresses.n; i++)
        if (str_eq(n->status.addresses.v[i].type, type)) return n->status.addresses.v[i].address;
    return NULL;
}

static void node_row(struct arena *a, const void *obj, int64_t now_ns, struct api_cell *cells) {
    const struct core_v1_node *n = obj;
    const struct core_v1_node_system_info *info = &n->status.node_info;
    cells[0] = cell_text(n->metadata.name);
    cells[1] = cell_text(status_text(a, n));
    cells[2] = cell_text(roles_text(a, n));
    cells[3] = cell_age(a, &n->metadata, now_ns);
    cells[4] = cell_text(info->kubelet_version);
    cells[5] = cell_or_none(address(n, "InternalIP"));
    cells[6] = cell_or_none(address(n, "ExternalIP"));
    cells[7] = cell_text(str_or(info->os_image, UNKNOWN_TEXT));
    cells[8] = cell_text(str_or(info->kernel_version, UNKNOWN_TEXT));
    cells[9] = cell_text(str_or(info->container_runtime_version, UNKNOWN_TEXT));
}

static const char *const fields[] = {"spec.unschedulable", NULL};

static const char *node_field(struct arena *a, const void *obj, const char *path) {
    const struct core_v1_node *n = obj;
    if (!str_eq(path, "spec.unschedulable")) return NULL;
    return n->spec.unschedulable ? "true" : "false";
}

static const struct api_behavior node_behavior = {
    .group = "",
    .kind = "Node",
    .defaults = node_defaults,
    .validate = node_validate,
    .columns = columns,
    .n_columns = ARRAY_LEN(columns),
    .row = node_row,
    .field = node_field,
    .fields = fields,
};
API_BEHAVIOR(node_behavior);
