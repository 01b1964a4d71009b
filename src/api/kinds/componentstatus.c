/* ComponentStatus: Table columns. */
#include "api/kinds/kinds.h"

static const struct api_column columns[] = {
    COLUMN_NAME,
    COLUMN("Status", "Healthy or Unhealthy."),
    COLUMN("Message", "A sentence for people."),
    COLUMN("Error", "What went wrong."),
};

static void component_row(struct arena *a, const void *obj, int64_t now_ns,
                          struct api_cell *cells) {
    const struct core_v1_component_status *s = obj;
    cells[0] = cell_text(s->metadata.name);
    cells[1] = cell_text("Unknown");
    cells[2] = cells[3] = cell_text("");
    for (size_t i = 0; i < s->conditions.n; i++) {
        const struct core_v1_component_condition *c = &s->conditions.v[i];
        if (!str_eq(c->type, "Healthy")) continue;
        cells[1] = cell_text(str_eq(c->status, "True") ? "Healthy" : "Unhealthy");
        cells[2] = cell_text(c->message);
        cells[3] = cell_text(c->error);
    }
}

static const struct api_behavior component_behavior = {
    .group = "",
    .kind = "ComponentStatus",
    .columns = columns,
    .n_columns = ARRAY_LEN(columns),
    .row = component_row,
};
API_BEHAVIOR(component_behavior);
