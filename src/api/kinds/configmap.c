/* ConfigMap: validation, Table columns. */
#include <string.h>

#include "api/kinds/data.h"

static void configmap_validate(const void *obj, const void *old_obj, const char *subresource,
                               struct api_causes *causes) {
    const struct core_v1_config_map *c = obj, *old = old_obj;
    for (size_t i = 0; i < c->binary_data.n; i++)
        if (str_map_get(&c->data, c->binary_data.v[i].key))
            cause_invalid(causes, path_of(causes, "binaryData[%s]", c->binary_data.v[i].key),
                          c->binary_data.v[i].key, "duplicate of key present in data");
    if (data_bytes(&c->data, false) + data_bytes(&c->binary_data, true) > DATA_BYTES_MAX)
        cause_too_long(causes, "[]", DATA_BYTES_MAX);
    if (!old || !old->immutable || !*old->immutable) return;
    immutable_validate(c->immutable, causes);
    data_unchanged_validate(&c->data, &old->data, "data", causes);
    data_unchanged_validate(&c->binary_data, &old->binary_data, "binaryData", causes);
}

static const struct api_column columns[] = {
    COLUMN_NAME,
    COLUMN_INT("Data", "Number of entries."),
    COLUMN_AGE,
};

static void configmap_row(struct arena *a, const void *obj, int64_t now_ns,
                          struct api_cell *cells) {
    const struct core_v1_config_map *c = obj;
    cells[0] = cell_text(c->metadata.name);
    cells[1] = cell_int((int64_t)(c->data.n + c->binary_data.n));
    cells[2] = cell_age(a, &c->metadata, now_ns);
}

static const struct api_behavior configmap_behavior = {
    .group = "",
    .kind = "ConfigMap",
    .validate = configmap_validate,
    .columns = columns,
    .n_columns = ARRAY_LEN(columns),
    .row = configmap_row,
};
API_BEHAVIOR(configmap_behavior);
