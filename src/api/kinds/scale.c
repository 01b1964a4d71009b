/* Scale: Table columns. It is no kind of its own, but what the subresource of others shows. */
#include "api/kinds/kinds.h"

static const struct api_column columns[] = {
    COLUMN_NAME,
    {"Desired", "integer", "", "How many pods there should be.", 0},
    {"Available", "integer", "", "How many pods there are.", 0},
    COLUMN_AGE,
};

static void scale_row(struct arena *a, const void *obj, int64_t now_ns, struct api_cell *cells) {
    const struct autoscaling_v1_scale *s = obj;
    cells[0] = cell_text(s->metadata.name);
    cells[1] = (struct api_cell){.kind = CELL_INT, .i = s->spec.replicas};
    cells[2] = (struct api_cell){.kind = CELL_INT, .i = s->status.replicas};
    cells[3] = cell_age(a, &s->metadata, now_ns);
}

static const struct api_behavior scale_behavior = {
    .group = "autoscaling",
    .kind = "Scale",
    .columns = columns,
    .n_columns = ARRAY_LEN(columns),
    .row = scale_row,
};
API_BEHAVIOR(scale_behavior);
