#include "api/values/cron.h"

#include <errno.h>
#include <string.h>

#include "base/own.h"
#include "base/slice.h"

enum { FIELDS = 5, TEXT_BYTES_MAX = 1024 };

struct range {
    unsigned min, max;
    const char *const *names; /* of min, min + 1, …; NULL: numbers only */
};
static const char *const month_names[] = {"jan", "feb", "mar", "apr", "may", "jun", "jul",
                                          "aug", "sep", "oct", "nov", "dec", NULL};
static const char *const day_names[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat", NULL};
static const struct range ranges[FIELDS] = {
    {0, 59, NULL}, {0, 23, NULL}, {1, 31, NULL}, {1, 12, month_names}, {0, 6, day_names}};

static int invalid_int(struct slice s, struct err *err) {
    return err_set(err, ERR_INVALID,
                   "failed to parse int from %.*s: strconv.Atoi: parsing \"%.*s\": invalid syntax",
                   (int)s.n, s.p, (int)s.n, s.p);
}

static int parse_number(struct slice s, const struct range *r, unsigned *ret, struct err *err) {
    uint64_t v;
    for (unsigned i = 0; r && r->names && r->names[i]; i++)
        if (slice_ieq(s, r->names[i])) {
            *ret = r->min + i;
            return 0;
        }
    if (slice_u64(s, &v) < 0 || v > INT32_MAX) return invalid_int(s, err);
    *ret = (unsigned)v;
    return 0;
}

/* "*", "5", "1-5", each with an optional "/step". */
static int parse_part(struct slice part, const struct range *r, uint64_t *bits, bool *any,
                      struct err *err) {
    struct slice left = part, span, step_text, low_text, high_text, rest;
    unsigned low = r->min, high = r->max, step = 1;
    bool star = false, has_step = memchr(part.p, '/', part.n) != NULL;
    int rc = 0;
    slice_cut(&left, '/', &span);
    if (has_step) {
        slice_cut(&left, '/', &step_text);
        if (left.p && slice_cut(&left, '/', &rest))
            return err_set(err, ERR_INVALID, "too many slashes: %.*s", (int)part.n, part.p);
    }
    struct slice bounds = span;
    bool has_high = span.n && memchr(span.p, '-', span.n);
    slice_cut(&bounds, '-', &low_text);
    if (slice_is(low_text, "*") || slice_is(low_text, "?")) {
        star = true;
    } else {
        rc = parse_number(low_text, r, &low, err);
        if (rc < 0) return rc;
        if (has_high) {
            slice_cut(&bounds, '-', &high_text);
            if (bounds.p && slice_cut(&bounds, '-', &rest))
                return err_set(err, ERR_INVALID, "too many hyphens: %.*s", (int)part.n, part.p);
            rc = parse_number(high_text, r, &high, err);
            if (rc < 0) return rc;
        } else if (!has_step) {
            high = low;
        }
    }
    if (has_step) {
        rc = parse_number(step_text, NULL, &step, err);
        if (rc < 0) return rc;
        if (step > 1) star = false;
    }
    if (low < r->min)
        return err_set(err, ERR_INVALID, "beginning of range (%u) below minimum (%u): %.*s", low,
                       r->min, (int)part.n, part.p);
    if (high > r->max)
        return err_set(err, ERR_INVALID, "end of range (%u) above maximum (%u): %.*s", high, r->max,
                       (int)part.n, part.p);
    if (low > high)
        return err_set(err, ERR_INVALID, "beginning of range (%u) beyond end of range (%u): %.*s",
                       low, high, (int)part.n, part.p);
    if (step == 0)
        return err_set(err, ERR_INVALID, "step of range should be a positive number: %.*s",
                       (int)part.n, part.p);
    for (unsigned v = low; v <= high; v += step) *bits |= UINT64_C(1) << v;
    *any |= star;
    return 0;
}

static int parse_field(struct slice text, const struct range *r, uint64_t *bits, bool *any,
                       struct err *err) {
    struct slice part;
    while (slice_cut(&text, ',', &part)) {
        int rc = part.n ? parse_part(part, r, bits, any, err) : invalid_int(part, err);
        if (rc < 0) return rc;
    }
    return 0;
}

/* A Go duration in whole seconds: "1h30m", "90s". */
static int parse_every(const char *text, int64_t *ret_s, struct err *err) {
    static const struct {
        char unit;
        int64_t s;
    } units[] = {{'h', 3600}, {'m', 60}, {'s', 1}};
    int64_t total = 0;
    const char *p = text;
    while (*p) {
        int64_t v = 0;
        const char *start = p;
        while (*p >= '0' && *p <= '9' && v < INT32_MAX) v = v * 10 + (*p++ - '0');
        size_t i = 0;
        while (i < 3 && units[i].unit != *p) i++;
        if (p == start || i == 3 || v >= INT32_MAX || (*p == 'm' && p[1] == 's'))
            return err_set(err, ERR_INVALID,
                           "failed to parse duration @every %s: time: invalid duration \"%s\"",
                           text, text);
        total += v * units[i].s;
        p++;
    }
    *ret_s = total < 1 ? 1 : total;
    return 0;
}

static int parse_descriptor(const char *text, struct cron *ret, struct err *err) {
    static const struct {
        const char *name, *meaning;
    } names[] = {{"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"}, {"@monthly", "0 0 1 * *"},
                 {"@weekly", "0 0 * * 0"}, {"@daily", "0 0 * * *"},    {"@midnight", "0 0 * * *"},
                 {"@hourly", "0 * * * *"}};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq(names[i].name, text)) return cron_parse(names[i].meaning, ret, err);
    if (str_starts(text, "@every ")) return parse_every(text + 7, &ret->every_s, err);
    return err_set(err, ERR_INVALID, "unrecognized descriptor: %s", text);
}

static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/* The words of the text; returns how many there are, also beyond FIELDS. */
static size_t words(const char *text, struct slice ret[FIELDS]) {
    size_t n = 0;
    while (*text) {
        while (is_space(*text)) text++;
        const char *start = text;
        while (*text && !is_space(*text)) text++;
        if (text == start) continue;
        if (n < FIELDS) ret[n] = slice_from(start, (size_t)(text - start));
        n++;
    }
    return n;
}

int cron_parse(const char *text, struct cron *ret, struct err *err) {
    *ret = (struct cron){0};
    if (!text || !*text) return err_set(err, ERR_INVALID, "empty spec string");
    if (strnlen(text, TEXT_BYTES_MAX + 1) > TEXT_BYTES_MAX)
        return err_set(err, ERR_INVALID, "too long: more than %d characters", TEXT_BYTES_MAX);
    if (*text == '@') return parse_descriptor(text, ret, err);
    struct slice field[FIELDS];
    size_t n = words(text, field);
    if (n != FIELDS)
        return err_set(err, ERR_INVALID, "expected exactly %d fields, found %zu: [%s]", FIELDS, n,
                       text);
    bool ignored = false;
    uint64_t *const bits[FIELDS] = {&ret->minutes, &ret->hours, &ret->days, &ret->months,
                                    &ret->weekdays};
    bool *const any[FIELDS] = {&ignored, &ignored, &ret->any_day, &ignored, &ret->any_weekday};
    for (size_t i = 0; i < FIELDS; i++) {
        int rc = parse_field(field[i], &ranges[i], bits[i], any[i], err);
        if (rc < 0) return rc;
    }
    return 0;
}
