/* Role, ClusterRole, RoleBinding, ClusterRoleBinding. */
#include "api/kinds/kinds.h"

#define RBAC_GROUP "rbac.authorization.k8s.io"

static void subjects_defaults(struct rbac_v1_subject_list *list) {
    for (size_t i = 0; i < list->n; i++) {
        struct rbac_v1_subject *s = &list->v[i];
        if (str_empty(s->api_group) && !str_eq(s->kind, "ServiceAccount"))
            s->api_group = RBAC_GROUP;
    }
}

static void rolebinding_defaults(struct arena *a, void *obj) {
    struct rbac_v1_role_binding *b = obj;
    subjects_defaults(&b->subjects);
}

static void clusterrolebinding_defaults(struct arena *a, void *obj) {
    struct rbac_v1_cluster_role_binding *b = obj;
    subjects_defaults(&b->subjects);
}

static void rules_validate(const struct rbac_v1_policy_rule_list *rules, bool namespaced,
                           struct api_causes *causes) {
    for (size_t i = 0; i < rules->n; i++) {
        const struct rbac_v1_policy_rule *r = &rules->v[i];
        const char *at = path_of(causes, "rules[%zu]", i);
        if (r->non_resource_urls.n > 0) {
            const char *urls = path_of(causes, "%s.nonResourceURLs", at);
            const char *first = str_or(r->non_resource_urls.v[0], "");
            if (namespaced)
                cause_invalid(causes, urls, first,
                              "namespaced rules cannot apply to non-resource URLs");
            if (r->api_groups.n > 0 || r->resources.n > 0 || r->resource_names.n > 0)
                cause_invalid(causes, urls, first,
                              "rules cannot apply to both regular resources and non-resource URLs");
            continue;
        }
        if (r->api_groups.n == 0)
            cause_required(causes, path_of(causes, "%s.apiGroups", at),
                           "resource rules must supply at least one api group");
        if (r->resources.n == 0)
            cause_required(causes, path_of(causes, "%s.resources", at),
                           "resource rules must supply at least one resource");
    }
}

static void role_validate(const void *obj, const void *old, const char *subresource,
                          struct api_causes *causes) {
    const struct rbac_v1_role *r = obj;
    rules_validate(&r->rules, true, causes);
}

static void clusterrole_validate(const void *obj, const void *old, const char *subresource,
                                 struct api_causes *causes) {
    const struct rbac_v1_cluster_role *r = obj;
    rules_validate(&r->rules, false, causes);
    if (!r->aggregation_rule) return;
    if (r->aggregation_rule->cluster_role_selectors.n == 0)
        cause_required(causes, "aggregationRule.clusterRoleSelectors",
                       "at least one clusterRoleSelector required if aggregationRule is non-nil");
    for (size_t i = 0; i < r->aggregation_rule->cluster_role_selectors.n; i++)
        label_selector_validate(causes,
                                path_of(causes, "aggregationRule.clusterRoleSelectors[%zu]", i),
                                &r->aggregation_rule->cluster_role_selectors.v[i]);
}

static void subjects_validate(const struct rbac_v1_subject_list *list, bool namespaced,
                              struct api_causes *causes) {
    static const char *const none[] = {""}, *const group[] = {RBAC_GROUP};
    for (size_t i = 0; i < list->n; i++) {
        const struct rbac_v1_subject *s = &list->v[i];
        const char *at = path_of(causes, "subjects[%zu]", i);
        const char *api_group = path_of(causes, "%s.apiGroup", at);
        if (str_eq(s->kind, "ServiceAccount")) {
            if (!str_empty(s->name))
                name_validate(causes, path_of(causes, "%s.name", at), NAME_DNS_SUBDOMAIN, s->name);
            if (!str_empty(s->api_group))
                cause_not_supported(causes, api_group, s->api_group, none, 1);
            if (str_empty(s->namespace) && !namespaced)
                cause_required(causes, path_of(causes, "%s.namespace", at), NULL);
        } else if (!str_eq(s->api_group, RBAC_GROUP))
            cause_not_supported(causes, api_group, str_or(s->api_group, ""), group, 1);
    }
}

static void role_ref_validate(const struct rbac_v1_role_ref *r, const struct rbac_v1_role_ref *old,
                              bool namespaced, struct api_causes *causes) {
    static const char *const kinds[] = {"ClusterRole", "Role"};
    size_t n = namespaced ? 2 : 1;
    if (!str_eq(r->kind, kinds[0]) && !(namespaced && str_eq(r->kind, kinds[1])))
        cause_not_supported(causes, "roleRef.kind", str_or(r->kind, ""), kinds, n);
    if (!str_empty(r->name)) name_validate(causes, "roleRef.name", NAME_PATH_SEGMENT, r->name);
    if (old && !(str_eq(r->kind, old->kind) && str_eq(r->name, old->name) &&
                 str_eq(r->api_group, old->api_group)))
        cause_invalid_raw(causes, "roleRef",
                          path_of(causes, "{\"apiGroup\":\"%s\",\"kind\":\"%s\",\"name\":\"%s\"}",
                                  str_or(r->api_group, ""), str_or(r->kind, ""),
                                  str_or(r->name, "")),
                          "cannot change roleRef");
}

static void rolebinding_validate(const void *obj, const void *old_obj, const char *subresource,
                                 struct api_causes *causes) {
    const struct rbac_v1_role_binding *b = obj, *old = old_obj;
    role_ref_validate(&b->role_ref, old ? &old->role_ref : NULL, true, causes);
    subjects_validate(&b->subjects, true, causes);
}

static void clusterrolebinding_validate(const void *obj, const void *old_obj,
                                        const char *subresource, struct api_causes *causes) {
    const struct rbac_v1_cluster_role_binding *b = obj, *old = old_obj;
    role_ref_validate(&b->role_ref, old ? &old->role_ref : NULL, false, causes);
    subjects_validate(&b->subjects, false, causes);
}

static const struct api_column role_columns[] = {
    COLUMN_NAME,
    {"Created At", "date", "", "When the object was created.", 0},
};

static const struct api_column binding_columns[] = {
    COLUMN_NAME,
    COLUMN("Role", "The role that is granted."),
    COLUMN_AGE,
    COLUMN_WIDE("Users", "Users that have the role."),
    COLUMN_WIDE("Groups", "Groups that have the role."),
    COLUMN_WIDE("ServiceAccounts", "Service accounts that have the role."),
};

/* Both kinds of role begin alike, and so do both kinds of binding. */
static void role_row(struct arena *a, const void *obj, int64_t now_ns, struct api_cell *cells) {
    const struct api_object *o = obj;
    cells[0] = cell_text(o->metadata.name);
    cells[1] = cell_text(o->metadata.creation_timestamp);
}

static const char *subjects_text(struct arena *a, const struct rbac_v1_subject_list *list,
                                 const char *kind) {
    OWN(buf_done) struct buf text = {0};
    for (size_t i = 0; i < list->n; i++) {
        const struct rbac_v1_subject *s = &list->v[i];
        if (!str_eq(s->kind, kind)) continue;
        text_join(&text, ", ",
                  str_eq(kind, "ServiceAccount")
                      ? arena_printf(a, "%s/%s", str_or(s->namespace, ""), str_or(s->name, ""))
                      : str_or(s->name, ""));
    }
    return text_copy(a, &text, "");
}

static void binding_cells(struct arena *a, const struct meta_v1_object_meta *meta,
                          const struct rbac_v1_role_ref *ref,
                          const struct rbac_v1_subject_list *subjects, int64_t now_ns,
                          struct api_cell *cells) {
    cells[0] = cell_text(meta->name);
    cells[1] = cell_text(arena_printf(a, "%s/%s", str_or(ref->kind, ""), str_or(ref->name, "")));
    cells[2] = cell_age(a, meta, now_ns);
    cells[3] = cell_text(subjects_text(a, subjects, "User"));
    cells[4] = cell_text(subjects_text(a, subjects, "Group"));
    cells[5] = cell_text(subjects_text(a, subjects, "ServiceAccount"));
}

static void rolebinding_row(struct arena *a, const void *obj, int64_t now_ns,
                            struct api_cell *cells) {
    const struct rbac_v1_role_binding *b = obj;
    binding_cells(a, &b->metadata, &b->role_ref, &b->subjects, now_ns, cells);
}

static void clusterrolebinding_row(struct arena *a, const void *obj, int64_t now_ns,
                                   struct api_cell *cells) {
    const struct rbac_v1_cluster_role_binding *b = obj;
    binding_cells(a, &b->metadata, &b->role_ref, &b->subjects, now_ns, cells);
}

static const struct api_behavior role_behavior = {
    .group = RBAC_GROUP,
    .kind = "Role",
    .validate = role_validate,
    .columns = role_columns,
    .n_columns = ARRAY_LEN(role_columns),
    .row = role_row,
};
API_BEHAVIOR(role_behavior);

static const struct api_behavior clusterrole_behavior = {
    .group = RBAC_GROUP,
    .kind = "ClusterRole",
    .validate = clusterrole_validate,
    .columns = role_columns,
    .n_columns = ARRAY_LEN(role_columns),
    .row = role_row,
};
API_BEHAVIOR(clusterrole_behavior);

static const struct api_behavior rolebinding_behavior = {
    .group = RBAC_GROUP,
    .kind = "RoleBinding",
    .defaults = rolebinding_defaults,
    .validate = rolebinding_validate,
    .columns = binding_columns,
    .n_columns = ARRAY_LEN(binding_columns),
    .row = rolebinding_row,
};
API_BEHAVIOR(rolebinding_behavior);

static const struct api_behavior clusterrolebinding_behavior = {
    .group = RBAC_GROUP,
    .kind = "ClusterRoleBinding",
    .defaults = clusterrolebinding_defaults,
    .validate = clusterrolebinding_validate,
    .columns = binding_columns,
    .n_columns = ARRAY_LEN(binding_columns),
    .row = clusterrolebinding_row,
};
API_BEHAVIOR(clusterrolebinding_behavior);
