#include "server/media/table.h"

#include "api/custom/custom.h"
#include "api/kinds/kinds.h"
#include "base/own.h"
#include "server/media/convert.h"
#include "server/storage/raw.h"

static const struct api_column plain_columns[] = {
    {"Name", "string", "name", "Name must be unique within a namespace.", 0},
    {"Age", "date", "", "CreationTimestamp is when the server created this object.", 0},
};

/* What knows the columns of a kind; *ret_kind is the form that it reads. */
static const struct api_behavior *shown_by(const struct api_kind *k,
                                           const struct api_kind **ret_kind) {
    const struct api_behavior *b = k ? api_kind_behavior(k) : NULL;
    *ret_kind = k;
    if (!b && k && k->flags & API_CONVERTED) {
        *ret_kind = storage_kind(k);
        b = api_kind_behavior(*ret_kind);
    }
    return b && b->columns && b->row ? b : NULL;
}

static void columns_of(const struct api_kind *k, const struct api_column **ret, size_t *ret_n) {
    const struct api_kind *form;
    const struct api_behavior *b = shown_by(k, &form);
    bool own = b != NULL;
    *ret = own ? b->columns : plain_columns;
    *ret_n = own ? b->n_columns : 2;
}

void list_meta_encode(struct buf *b, const struct list_meta *m) {
    buf_str(b, "{");
    if (m->revision) {
        buf_str(b, "\"resourceVersion\":\"");
        buf_u64(b, m->revision);
        buf_char(b, '"');
    }
    if (m->next) {
        buf_str(b, m->revision ? ",\"continue\":" : "\"continue\":");
        buf_json_str(b, slice_of(m->next));
        if (m->remaining >= 0)
            buf_printf(b, ",\"remainingItemCount\":%lld", (long long)m->remaining);
    }
    buf_char(b, '}');
}

static void put_column(struct buf *b, const struct api_column *col) {
    buf_str(b, "{\"name\":");
    buf_json_str(b, slice_of(col->name));
    buf_str(b, ",\"type\":");
    buf_json_str(b, slice_of(col->type));
    buf_str(b, ",\"format\":");
    buf_json_str(b, slice_of(str_or(col->format, "")));
    buf_str(b, ",\"description\":");
    buf_json_str(b, slice_of(str_or(col->description, "")));
    buf_printf(b, ",\"priority\":%d}", col->priority);
}

static void put_custom_columns(struct buf *b, const struct custom_version *v) {
    buf_char(b, '[');
    put_column(b, &plain_columns[0]);
    for (size_t i = 0; i < v->columns.n; i++) {
        const struct custom_column *c = &v->columns.v[i];
        buf_char(b, ',');
        put_column(b,
                   &(struct api_column){c->name, c->type, c->format, c->description, c->priority});
    }
    buf_char(b, ']');
}

void table_head(struct buf *b, struct call *c, const struct list_meta *m, bool with_columns) {
    buf_printf(b, "{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/%s\",\"metadata\":",
               str_or(c->form_version, "v1"));
    list_meta_encode(b, m);
    buf_str(b, ",\"columnDefinitions\":");
    const struct api_column *columns;
    size_t n;
    columns_of(c->kind, &columns, &n);
    if (with_columns && c->kind && c->kind->custom) {
        put_custom_columns(b, c->kind->custom);
    } else if (with_columns) {
        for (size_t i = 0; i < n; i++) {
            buf_char(b, i ? ',' : '[');
            put_column(b, &columns[i]);
        }
        buf_str(b, "]");
    } else {
        buf_str(b, "null");
    }
    buf_str(b, ",\"rows\":[");
}

void table_tail(struct buf *b) { buf_str(b, "]}\n"); }

static void put_cells(struct buf *b, const struct api_cell *cells, size_t n) {
    for (size_t i = 0; i < n; i++) {
        buf_char(b, i ? ',' : '[');
        if (cells[i].kind == CELL_STRING && cells[i].s)
            buf_json_str(b, slice_of(cells[i].s));
        else if (cells[i].kind == CELL_INT)
            buf_i64(b, cells[i].i);
        else
            buf_str(b, "null");
    }
    buf_char(b, ']');
}

static void row_cells(struct call *c, struct arena *scratch, struct slice json, struct buf *b) {
    int64_t now_ns = loop_wall_ns(c->api->loop);
    if (c->kind && c->kind->custom) {
        custom_cells(b, scratch, c->kind, json, now_ns);
        return;
    }
    const struct api_kind *form;
    const struct api_behavior *behavior = shown_by(c->kind, &form);
    struct api_object *o = NULL;
    if (behavior && api_object_decode(scratch, c->kind, json, &o, NULL) == 0 &&
        (o = api_convert(scratch, c->kind, form, o)) != NULL) {
        struct api_cell *cells = ARENA_ARRAY(scratch, struct api_cell, behavior->n_columns);
        behavior->row(scratch, o, now_ns, cells);
        put_cells(b, cells, behavior->n_columns);
        return;
    }
    const char *since = raw_path_string(scratch, json, "metadata.creationTimestamp");
    struct api_cell plain[2] = {
        {CELL_STRING, str_or(raw_path_string(scratch, json, "metadata.name"), ""), 0},
        {CELL_STRING, time_since(scratch, since, now_ns), 0}};
    put_cells(b, plain, 2);
}

void table_row(struct buf *b, struct call *c, struct arena *scratch, struct slice json) {
    if (b->n && b->p[b->n - 1] == '}') buf_char(b, ',');
    buf_str(b, "{\"cells\":");
    row_cells(c, scratch, json, b);
    if (str_eq(c->include_object, "Object")) {
        buf_str(b, ",\"object\":");
        buf_slice(b, json);
    } else if (!str_eq(c->include_object, "None")) {
        buf_str(b, ",\"object\":");
        partial_encode(b, json, NULL, c->form_version);
    }
    buf_char(b, '}');
}

void table_object(struct buf *b, struct call *c, struct slice json) {
    const char *text = raw_path_string(c->a, json, "metadata.resourceVersion");
    struct list_meta m = {.remaining = -1};
    if (text) slice_u64(slice_of(text), &m.revision);
    table_head(b, c, &m, true);
    table_row(b, c, c->a, json);
    table_tail(b);
}

void partial_encode(struct buf *b, struct slice json, const char *metadata, const char *version) {
    struct slice meta = slice_of(metadata);
    if (!metadata && !raw_get(json, "metadata", &meta)) meta = SLICE("{}");
    buf_printf(b, "{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/%s\",",
               str_or(version, "v1"));
    buf_str(b, "\"metadata\":");
    buf_slice(b, meta);
    buf_char(b, '}');
}
