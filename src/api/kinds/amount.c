/* Numbers and percentages, and values in causes. */
#include <string.h>

#include "api/kinds/kinds.h"

#define PERCENT_MESSAGE                                                                            \
    "a valid percent string must be a numeric value followed by an ending '%' (e.g. '1%',  or "    \
    "'93%', regex used for validation is '[0-9]+%')"

/* The number of "25%", or -1 when the text is no percentage. */
static int64_t percent(const char *s) {
    size_t n = s ? strlen(s) : 0;
    uint64_t v;
    if (n < 2 || s[n - 1] != '%' || slice_u64(slice_from(s, n - 1), &v) < 0 || v > INT32_MAX)
        return -1;
    return (int64_t)v;
}

void amount_validate(const struct int_or_string *v, bool at_most_all, const char *path,
                     struct api_causes *causes) {
    if (v->kind == IOS_INT && v->i < 0)
        cause_invalid_int(causes, path, v->i, "must be greater than or equal to 0");
    if (v->kind != IOS_STRING) return;
    int64_t p = percent(v->s);
    if (p < 0) cause_invalid(causes, path, str_or(v->s, ""), PERCENT_MESSAGE);
    if (p > 100 && at_most_all) cause_invalid(causes, path, v->s, "must not be greater than 100%");
}

bool amount_is_zero(const struct int_or_string *v) {
    return v->kind == IOS_INT ? v->i == 0 : v->kind == IOS_STRING && percent(v->s) == 0;
}

const char *amount_text(struct arena *a, const struct int_or_string *v, const char *absent) {
    if (v->kind == IOS_NONE) return absent;
    return v->kind == IOS_INT ? arena_printf(a, "%d", v->i) : str_or(v->s, "");
}

const char *amount_json(struct arena *a, const struct int_or_string *v) {
    if (v->kind != IOS_STRING) return amount_text(a, v, "null");
    OWN(buf_done) struct buf b = {0};
    buf_json_str(&b, slice_of(str_or(v->s, "")));
    return arena_strn(a, buf_view(&b));
}

const char *type_json(struct arena *a, const struct api_type *t, const void *obj) {
    OWN(buf_done) struct buf b = {0};
    api_encode(&b, t, obj);
    return arena_strn(a, buf_view(&b));
}

void choice_validate(const char *value, const char *const *choices, size_t n, const char *path,
                     struct api_causes *causes) {
    if (!value) return;
    for (size_t i = 0; i < n; i++)
        if (str_eq(value, choices[i])) return;
    cause_not_supported(causes, path, value, choices, n);
}
