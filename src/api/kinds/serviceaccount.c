/* ServiceAccount: Table columns. */
#include "api/kinds/kinds.h"

static const struct api_column columns[] = {
    COLUMN_NAME,
    COLUMN_INT("Secrets", "Number of secrets that pods of the account may use."),
    COLUMN_AGE,
};

static void serviceaccount_row(struct arena *a, const void *obj, int64_t now_ns,
                               struct api_cell *cells) {
    const struct core_v1_service_account *s = obj;
    cells[0] = cell_text(s->metadata.name);
    cells[1] = cell_int((int64_t)s->secrets.n);
    cells[2] = cell_age(a, &s->metadata, now_ns);
}

static const struct api_behavior serviceaccount_behavior = {
    .group = "",
    .kind = "ServiceAccount",
    .columns = columns,
    .n_columns = ARRAY_LEN(columns),
    .row = serviceaccount_row,
};
API_BEHAVIOR(serviceaccount_behavior);
