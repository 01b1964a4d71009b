/* Causes of a 422, worded as apimachinery's field.Error words them. */
#include <stdarg.h>
#include <string.h>

#include "api/type.h"
#include "api/values/names.h"
#include "base/limits.h"
#include "base/own.h"

/* The first ones say enough; of the others not even the text is made. */
static bool full(const struct api_causes *c) {
    return c->n >= LIMIT_CAUSES || c->bytes >= LIMIT_CAUSES_BYTES;
}

static void add(struct api_causes *c, const char *reason, const char *field, struct buf *message) {
    if (full(c)) return;
    struct api_cause *cause = ARENA_PUSH(c->a, c);
    cause->reason = reason;
    cause->field = arena_str(c->a, field);
    cause->message = arena_strn(c->a, buf_view(message));
    c->bytes += strlen(cause->field) + message->n;
}

void cause_printf(struct api_causes *c, const char *reason, const char *field, const char *fmt,
                  ...) {
    if (full(c)) return;
    OWN(buf_done) struct buf b = {0};
    va_list ap;
    va_start(ap, fmt);
    buf_vprintf(&b, fmt, ap);
    va_end(ap);
    add(c, reason, field, &b);
}

void cause_invalid_raw(struct api_causes *c, const char *field, const char *value,
                       const char *text) {
    cause_printf(c, "FieldValueInvalid", field, "Invalid value: %s: %s", value, text);
}

void cause_too_long(struct api_causes *c, const char *field, size_t max_bytes) {
    cause_printf(c, "FieldValueTooLong", field, "Too long: may not be more than %zu bytes",
                 max_bytes);
}

void cause_too_many(struct api_causes *c, const char *field, size_t n, size_t most) {
    cause_printf(c, "FieldValueTooMany", field, "Too many: %zu: must have at most %zu items", n,
                 most);
}

static void detail(struct buf *b, const char *text) {
    if (str_empty(text)) return;
    buf_str(b, ": ");
    buf_str(b, text);
}

/* title, quoted value, detail */
static void add_valued(struct api_causes *c, const char *reason, const char *field,
                       const char *title, const char *value, const char *text) {
    if (full(c)) return;
    OWN(buf_done) struct buf b = {0};
    buf_str(&b, title);
    buf_str(&b, ": ");
    buf_json_str(&b, slice_of(value ? value : ""));
    detail(&b, text);
    add(c, reason, field, &b);
}

void cause_required(struct api_causes *c, const char *field, const char *text) {
    OWN(buf_done) struct buf b = {0};
    buf_str(&b, "Required value");
    detail(&b, text);
    add(c, "FieldValueRequired", field, &b);
}

void cause_invalid(struct api_causes *c, const char *field, const char *value, const char *text) {
    add_valued(c, "FieldValueInvalid", field, "Invalid value", value, text);
}

void cause_invalid_int(struct api_causes *c, const char *field, int64_t value, const char *text) {
    OWN(buf_done) struct buf b = {0};
    buf_str(&b, "Invalid value: ");
    buf_i64(&b, value);
    detail(&b, text);
    add(c, "FieldValueInvalid", field, &b);
}

void cause_not_supported(struct api_causes *c, const char *field, const char *value,
                         const char *const *supported, size_t n) {
    OWN(buf_done) struct buf b = {0};
    buf_str(&b, "Unsupported value: ");
    buf_json_str(&b, slice_of(value ? value : ""));
    for (size_t i = 0; i < n; i++) {
        buf_str(&b, i ? ", " : ": supported values: ");
        buf_json_str(&b, slice_of(supported[i]));
    }
    add(c, "FieldValueNotSupported", field, &b);
}

void cause_duplicate(struct api_causes *c, const char *field, const char *value) {
    add_valued(c, "FieldValueDuplicate", field, "Duplicate value", value, NULL);
}

void cause_forbidden(struct api_causes *c, const char *field, const char *text) {
    OWN(buf_done) struct buf b = {0};
    buf_str(&b, "Forbidden");
    detail(&b, text);
    add(c, "FieldValueForbidden", field, &b);
}

void cause_not_found(struct api_causes *c, const char *field, const char *value) {
    add_valued(c, "FieldValueNotFound", field, "Not found", value, NULL);
}
