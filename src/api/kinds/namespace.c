/* Namespace: its name as label, its finalizer, Table columns. */
#include "api/kinds/kinds.h"

#define NAME_LABEL "kubernetes.io/metadata.name"
#define FINALIZER "kubernetes"

static void namespace_defaults(struct arena *a, void *obj) {
    struct core_v1_namespace *n = obj;
    if (!str_empty(n->metadata.name))
        str_map_set(a, &n->metadata.labels, NAME_LABEL, n->metadata.name);
}

/* Only the finalize subresource takes finalizers away, only status writes change the phase. */
static void namespace_prepare(struct arena *a, void *obj, const void *old_obj) {
    struct core_v1_namespace *n = obj;
    const struct core_v1_namespace *old = old_obj;
    if (old) {
        n->spec.finalizers = old->spec.finalizers;
        return;
    }
    n->status = (struct core_v1_namespace_status){.phase = "Active"};
    for (size_t i = 0; i < n->spec.finalizers.n; i++)
        if (str_eq(n->spec.finalizers.v[i], FINALIZER)) return;
    *ARENA_PUSH(a, &n->spec.finalizers) = FINALIZER;
}

static const struct api_column columns[] = {
    COLUMN_NAME,
    COLUMN("Status", "Phase of the namespace."),
    COLUMN_AGE,
};

static void namespace_row(struct arena *a, const void *obj, int64_t now_ns,
                          struct api_cell *cells) {
    const struct core_v1_namespace *n = obj;
    cells[0] = cell_text(n->metadata.name);
    cells[1] = cell_text(n->status.phase);
    cells[2] = cell_age(a, &n->metadata, now_ns);
}

static const char *const fields[] = {"status.phase", NULL};

static const char *namespace_field(struct arena *a, const void *obj, const char *path) {
    const struct core_v1_namespace *n = obj;
    return str_eq(path, "status.phase") ? str_or(n->status.phase, "") : NULL;
}

static const struct api_behavior namespace_behavior = {
    .group = "",
    .kind = "Namespace",
    .defaults = namespace_defaults,
    .prepare = namespace_prepare,
    .columns = columns,
    .n_columns = ARRAY_LEN(columns),
    .row = namespace_row,
    .field = namespace_field,
    .fields = fields,
};
API_BEHAVIOR(namespace_behavior);
