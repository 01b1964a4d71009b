/* PriorityClass and RuntimeClass: validation, Table columns. */
#include <string.h>

#include "api/kinds/kinds.h"

enum { USER_PRIORITY_MAX = 1000000000 };

static const struct {
    const char *name;
    int32_t value;
} system_classes[] = {{"system-node-critical", 2000001000},
                      {"system-cluster-critical", 2000000000}};

/* Why a name that begins with "system-" may not be used; NULL: it is one of the system's own. */
static const char *not_system(struct arena *a, const struct scheduling_v1_priority_class *c) {
    for (size_t i = 0; i < ARRAY_LEN(system_classes); i++) {
        if (!str_eq(system_classes[i].name, c->metadata.name)) continue;
        if (c->value != system_classes[i].value)
            return arena_printf(a, "value of %s PriorityClass must be %d", c->metadata.name,
                                system_classes[i].value);
        if (c->global_default)
            return arena_printf(a, "globalDefault of %s PriorityClass must be false",
                                c->metadata.name);
        return NULL;
    }
    return arena_printf(a, "%s is not a known system priority class", c->metadata.name);
}

static void class_validate(const void *obj, const void *old_obj, const char *subresource,
                           struct api_causes *causes) {
    static const char *const policies[] = {"Never", "PreemptLowerPriority"};
    const struct scheduling_v1_priority_class *c = obj, *old = old_obj;
    choice_validate(c->preemption_policy, policies, 2, "preemptionPolicy", causes);
    if (old) {
        if (c->value != old->value)
            cause_forbidden(causes, "value", "may not be changed in an update.");
        return;
    }
    if (str_starts(str_or(c->metadata.name, ""), "system-")) {
        const char *why = not_system(causes->a, c);
        if (why)
            cause_forbidden(causes, "metadata.name",
                            path_of(causes,
                                    "priority class names with 'system-' prefix are reserved for "
                                    "system use only. error: %s",
                                    why));
    } else if (c->value > USER_PRIORITY_MAX)
        cause_forbidden(causes, "value",
                        path_of(causes, "maximum allowed value of a user defined priority is %d",
                                USER_PRIORITY_MAX));
}

static const struct api_column columns[] = {
    COLUMN_NAME,
    COLUMN_INT("Value", "The priority."),
    COLUMN("Global-Default", "Whether pods that name no class get it."),
    COLUMN_AGE,
    COLUMN("PreemptionPolicy", "Whether pods of it may push out others."),
};

static void class_row(struct arena *a, const void *obj, int64_t now_ns, struct api_cell *cells) {
    const struct scheduling_v1_priority_class *c = obj;
    cells[0] = cell_text(c->metadata.name);
    cells[1] = cell_int(c->value);
    cells[2] = cell_text(c->global_default ? "true" : "false");
    cells[3] = cell_age(a, &c->metadata, now_ns);
    cells[4] = cell_text(c->preemption_policy);
}

static const struct api_behavior class_behavior = {
    .group = "scheduling.k8s.io",
    .kind = "PriorityClass",
    .validate = class_validate,
    .columns = columns,
    .n_columns = ARRAY_LEN(columns),
    .row = class_row,
};
API_BEHAVIOR(class_behavior);

static void runtime_validate(const void *obj, const void *old, const char *subresource,
                             struct api_causes *causes) {
    const struct node_v1_runtime_class *r = obj;
    if (str_empty(r->handler)) name_validate(causes, "handler", NAME_DNS_LABEL, "");
    if (r->overhead) {
        const struct core_v1_resource_requirements amounts = {.limits = r->overhead->pod_fixed};
        resources_validate(&amounts, "overhead.podFixed", causes);
    }
    if (r->scheduling)
        labels_validate(causes, "scheduling.nodeSelector", &r->scheduling->node_selector);
}

static const struct api_column runtime_columns[] = {
    COLUMN_NAME,
    COLUMN("Handler", "What the nodes call it."),
    COLUMN_AGE,
};

static void runtime_row(struct arena *a, const void *obj, int64_t now_ns, struct api_cell *cells) {
    const struct node_v1_runtime_class *r = obj;
    cells[0] = cell_text(r->metadata.name);
    cells[1] = cell_text(r->handler);
    cells[2] = cell_age(a, &r->metadata, now_ns);
}

static const struct api_behavior runtime_behavior = {
    .group = "node.k8s.io",
    .kind = "RuntimeClass",
    .validate = runtime_validate,
    .columns = runtime_columns,
    .n_columns = ARRAY_LEN(runtime_columns),
    .row = runtime_row,
};
API_BEHAVIOR(runtime_behavior);
