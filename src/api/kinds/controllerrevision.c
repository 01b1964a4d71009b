/* ControllerRevision: validation, Table columns. */
#include "api/kinds/kinds.h"

static void revision_validate(const void *obj, const void *old_obj, const char *subresource,
                              struct api_causes *causes) {
    const struct apps_v1_controller_revision *r = obj, *old = old_obj;
    if (!r->data.p || slice_is(r->data, "null")) {
        cause_required(causes, "data", "data is mandatory");
        return;
    }
    if (*r->data.p != '{') cause_invalid(causes, "data", "", "must be a valid JSON object");
    if (old && !slice_eq(r->data, old->data))
        cause_invalid_raw(causes, "data", arena_strn(causes->a, r->data), "field is immutable");
}

static const struct api_column columns[] = {
    COLUMN_NAME,
    COLUMN("Controller", "Controller that it is a state of."),
    COLUMN_INT("Revision", "Its number."),
    COLUMN_AGE,
};

static void revision_row(struct arena *a, const void *obj, int64_t now_ns, struct api_cell *cells) {
    const struct apps_v1_controller_revision *r = obj;
    const struct meta_v1_owner_reference *owner = api_controller_of(obj);
    const char *text = NONE_TEXT;
    if (owner) {
        const char *slash = strchr(str_or(owner->api_version, ""), '/');
        char *kind = arena_str(a, str_or(owner->kind, ""));
        for (char *p = kind; *p; p++)
            if (*p >= 'A' && *p <= 'Z') *p = (char)(*p | 32);
        size_t group_n = slash ? (size_t)(slash - owner->api_version) : 0;
        text = arena_printf(a, "%s%s%.*s/%s", kind, slash ? "." : "", (int)group_n,
                            str_or(owner->api_version, ""), str_or(owner->name, ""));
    }
    cells[0] = cell_text(r->metadata.name);
    cells[1] = cell_text(text);
    cells[2] = cell_int(r->revision);
    cells[3] = cell_age(a, &r->metadata, now_ns);
}

static const struct api_behavior revision_behavior = {
    .group = "apps",
    .kind = "ControllerRevision",
    .validate = revision_validate,
    .columns = columns,
    .n_columns = ARRAY_LEN(columns),
    .row = revision_row,
};
API_BEHAVIOR(revision_behavior);
