/* Lease: Table columns. */
#include "api/kinds/kinds.h"

static const struct api_column columns[] = {
    COLUMN_NAME,
    COLUMN("Holder", "Who holds the lease."),
    COLUMN_AGE,
};

static void lease_row(struct arena *a, const void *obj, int64_t now_ns, struct api_cell *cells) {
    const struct coordination_v1_lease *l = obj;
    cells[0] = cell_text(l->metadata.name);
    cells[1] = cell_text(l->spec.holder_identity);
    cells[2] = cell_age(a, &l->metadata, now_ns);
}

static const struct api_behavior lease_behavior = {
    .group = "coordination.k8s.io",
    .kind = "Lease",
    .columns = columns,
    .n_columns = ARRAY_LEN(columns),
    .row = lease_row,
};
API_BEHAVIOR(lease_behavior);
