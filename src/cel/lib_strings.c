/* Functions of text (cel-go, ext/strings). Positions count characters. */
#include <string.h>

#include "base/own.h"
#include "cel/internal.h"

static struct cel_value contains(struct cel_run *run, const struct cel_value *args) {
    return cel_bool(args[1].n == 0 ||
                    (args[0].n && memmem(args[0].p, args[0].n, args[1].p, args[1].n)));
}

static bool begins(struct slice s, struct slice with) {
    return s.n >= with.n && (with.n == 0 || memcmp(s.p, with.p, with.n) == 0);
}

static struct cel_value starts_with(struct cel_run *run, const struct cel_value *args) {
    return cel_bool(begins(cel_slice(args[0]), cel_slice(args[1])));
}

static struct cel_value ends_with(struct cel_run *run, const struct cel_value *args) {
    struct slice s = cel_slice(args[0]), end = cel_slice(args[1]);
    return cel_bool(s.n >= end.n && begins(slice_from(s.p + s.n - end.n, end.n), end));
}

static struct cel_value out_of_range(struct cel_run *run, int64_t i) {
    return cel_fail(run, "index out of range: %lld", (long long)i);
}

static struct slice part(struct slice s, size_t from, size_t to) {
    size_t begin = cel_rune_offset(s, from), end = cel_rune_offset(s, to);
    return slice_from(s.p + begin, end - begin);
}

static struct cel_value char_at(struct cel_run *run, const struct cel_value *args) {
    struct slice s = cel_slice(args[0]);
    size_t n = cel_runes(s);
    int64_t i = args[1].i;
    if (i < 0 || (uint64_t)i > n) return out_of_range(run, i);
    return cel_string(part(s, (size_t)i, (size_t)i + 1));
}

static struct cel_value substring(struct cel_run *run, const struct cel_value *args, int64_t to) {
    struct slice s = cel_slice(args[0]);
    int64_t from = args[1].i, n = (int64_t)cel_runes(s);
    if (to < 0) to = n;
    if (from < 0 || from > n) return out_of_range(run, from);
    if (to > n) return out_of_range(run, to);
    if (from > to)
        return cel_fail(run, "invalid substring range. start: %lld, end: %lld", (long long)from,
                        (long long)to);
    return cel_string(part(s, (size_t)from, (size_t)to));
}

static struct cel_value substring_from(struct cel_run *run, const struct cel_value *args) {
    return substring(run, args, -1);
}

static struct cel_value substring_range(struct cel_run *run, const struct cel_value *args) {
    return args[2].i < 0 ? out_of_range(run, args[2].i) : substring(run, args, args[2].i);
}

/* Byte offset of `what` at or behind `from`; -1: none. */
static int64_t find(struct slice s, struct slice what, size_t from) {
    if (what.n == 0) return (int64_t)from;
    if (from > s.n || s.n - from < what.n) return -1;
    const char *at = memmem(s.p + from, s.n - from, what.p, what.n);
    return at ? at - s.p : -1;
}

static struct cel_value index_from(struct cel_run *run, const struct cel_value *args,
                                   int64_t from) {
    struct slice s = cel_slice(args[0]);
    int64_t n = (int64_t)cel_runes(s);
    if (from < 0 || from > n) return out_of_range(run, from);
    int64_t at = find(s, cel_slice(args[1]), cel_rune_offset(s, (size_t)from));
    return cel_int(at < 0 ? -1 : (int64_t)cel_runes(slice_from(s.p, (size_t)at)));
}

static struct cel_value index_of(struct cel_run *run, const struct cel_value *args) {
    return index_from(run, args, 0);
}

static struct cel_value index_of_from(struct cel_run *run, const struct cel_value *args) {
    return index_from(run, args, args[2].i);
}

/* The last one that begins at character `from` or before. */
static struct cel_value last_index(struct cel_run *run, const struct cel_value *args,
                                   int64_t from) {
    struct slice s = cel_slice(args[0]), what = cel_slice(args[1]);
    int64_t n = (int64_t)cel_runes(s);
    if (from < 0 || from > n) return out_of_range(run, from);
    if (what.n > s.n) return cel_int(-1);
    for (size_t i = MIN_OF(cel_rune_offset(s, (size_t)from), s.n - what.n) + 1; i-- > 0;)
        if (begins(slice_from(s.p + i, s.n - i), what))
            return cel_int((int64_t)cel_runes(slice_from(s.p, i)));
    return cel_int(-1);
}

static struct cel_value last_index_of(struct cel_run *run, const struct cel_value *args) {
    return last_index(run, args, (int64_t)cel_runes(cel_slice(args[0])));
}

static struct cel_value last_index_of_from(struct cel_run *run, const struct cel_value *args) {
    return last_index(run, args, args[2].i);
}

static struct cel_value recased(struct cel_run *run, struct slice s, char from, char to) {
    if (!cel_charge_text(run, s.n)) return cel_exhausted();
    char *p = arena_strn(run->a, s);
    for (size_t i = 0; i < s.n; i++)
        if (p[i] >= from && p[i] <= from + 25) p[i] = (char)(p[i] - from + to);
    return cel_string(slice_from(p, s.n));
}

static struct cel_value lower(struct cel_run *run, const struct cel_value *args) {
    return recased(run, cel_slice(args[0]), 'A', 'a');
}
static struct cel_value upper(struct cel_run *run, const struct cel_value *args) {
    return recased(run, cel_slice(args[0]), 'a', 'A');
}

/* ---- replace, split, join ---- */

static struct cel_value replace_n(struct cel_run *run, const struct cel_value *args, int64_t left) {
    OWN(buf_done) struct buf b = {0};
    struct slice s = cel_slice(args[0]), what = cel_slice(args[1]), with = cel_slice(args[2]);
    size_t i = 0;
    while (left != 0 && i <= s.n) {
        int64_t at = find(s, what, i);
        if (at < 0) break;
        if (what.n == 0 && i == s.n && s.n) {
            buf_slice(&b, with);
            break;
        }
        if (!cel_charge_text(run, with.n)) return cel_exhausted();
        buf_append(&b, s.p + i, (size_t)at - i);
        buf_slice(&b, with);
        i = (size_t)at + what.n;
        left -= left > 0;
        if (what.n == 0) { /* between all characters */
            if (i >= s.n) break;
            size_t next = cel_rune_offset(slice_from(s.p + i, s.n - i), 1);
            buf_append(&b, s.p + i, next);
            i += next;
        }
    }
    if (i < s.n) buf_append(&b, s.p + i, s.n - i);
    return cel_copy_text(run, &b);
}

static struct cel_value replace(struct cel_run *run, const struct cel_value *args) {
    return replace_n(run, args, -1);
}
static struct cel_value replace_some(struct cel_run *run, const struct cel_value *args) {
    return replace_n(run, args, args[3].i);
}

static struct cel_value split_n(struct cel_run *run, const struct cel_value *args, int64_t limit) {
    struct {
        struct cel_value *v;
        size_t n;
    } parts = {0};
    struct slice s = cel_slice(args[0]), by = cel_slice(args[1]);
    size_t from = 0;
    while (limit != 0) {
        if (!cel_charge(run, 2)) return cel_exhausted();
        int64_t at = find(s, by, from);
        if (by.n == 0)
            at = (int64_t)(from + cel_rune_offset(slice_from(s.p + from, s.n - from), 1));
        bool last = at < 0 || limit == 1 || (by.n == 0 && (size_t)at >= s.n);
        size_t to = last ? s.n : (size_t)at;
        if (by.n == 0 && s.n == 0) break;
        *ARENA_PUSH(run->a, &parts) = cel_string(slice_from(s.p + from, to - from));
        if (last) break;
        from = to + by.n;
        limit -= limit > 0;
    }
    return cel_list(run->a, parts.v, parts.n);
}

static struct cel_value split(struct cel_run *run, const struct cel_value *args) {
    return split_n(run, args, -1);
}
static struct cel_value split_some(struct cel_run *run, const struct cel_value *args) {
    return split_n(run, args, args[2].i);
}

static struct cel_value join_by(struct cel_run *run, struct cel_list *l, struct slice by) {
    OWN(buf_done) struct buf b = {0};
    for (size_t i = 0, n = cel_list_size(l); i < n; i++) {
        struct cel_value v = cel_at(l, i);
        if (v.kind != CEL_STRING) return cel_no_overload(run);
        if (!cel_charge_text(run, v.n + by.n)) return cel_exhausted();
        if (i) buf_slice(&b, by);
        buf_slice(&b, cel_slice(v));
    }
    return cel_copy_text(run, &b);
}

static struct cel_value join(struct cel_run *run, const struct cel_value *args) {
    return join_by(run, args[0].list, SLICE(""));
}
static struct cel_value join_with(struct cel_run *run, const struct cel_value *args) {
    return join_by(run, args[0].list, cel_slice(args[1]));
}

/* ---- the rest ---- */

/* Length of the white space (Unicode's White_Space) at the begin of s, 0 for none. */
static size_t space_at(struct slice s) {
    static const char *const spaces[] = {" ",
                                         "\t",
                                         "\n",
                                         "\v",
                                         "\f",
                                         "\r",
                                         "\xc2\x85",
                                         "\xc2\xa0",
                                         "\xe1\x9a\x80",
                                         "\xe2\x80\x80",
                                         "\xe2\x80\x81",
                                         "\xe2\x80\x82",
                                         "\xe2\x80\x83",
                                         "\xe2\x80\x84",
                                         "\xe2\x80\x85",
                                         "\xe2\x80\x86",
                                         "\xe2\x80\x87",
                                         "\xe2\x80\x88",
                                         "\xe2\x80\x89",
                                         "\xe2\x80\x8a",
                                         "\xe2\x80\xa8",
                                         "\xe2\x80\xa9",
                                         "\xe2\x80\xaf",
                                         "\xe2\x81\x9f",
                                         "\xe3\x80\x80"};
    for (size_t i = 0; i < ARRAY_LEN(spaces); i++)
        if (slice_starts(s, spaces[i])) return strlen(spaces[i]);
    return 0;
}

static struct cel_value trim(struct cel_run *run, const struct cel_value *args) {
    struct slice s = cel_slice(args[0]);
    size_t n, end = 0;
    while ((n = space_at(s)) > 0) s = slice_from(s.p + n, s.n - n);
    for (size_t i = 0; i < s.n; i += n ? n : 1) {
        n = space_at(slice_from(s.p + i, s.n - i));
        if (!n) end = i + 1;
    }
    return cel_string(slice_from(s.p, end));
}

static struct cel_value reverse(struct cel_run *run, const struct cel_value *args) {
    struct slice s = cel_slice(args[0]);
    if (!cel_charge_text(run, s.n)) return cel_exhausted();
    char *p = arena_alloc(run->a, s.n + 1);
    for (size_t i = 0; i < s.n;) {
        size_t n = cel_rune_offset(slice_from(s.p + i, s.n - i), 1);
        memcpy(p + s.n - i - n, s.p + i, n);
        i += n;
    }
    return cel_string(slice_from(p, s.n));
}

static struct cel_value quote(struct cel_run *run, const struct cel_value *args) {
    static const char special[] = "\a\b\f\n\r\t\v\\\"", names[] = "abfnrtv\\\"";
    OWN(buf_done) struct buf b = {0};
    buf_char(&b, '"');
    for (size_t i = 0; i < args[0].n; i++) {
        const char *at = args[0].p[i] ? strchr(special, args[0].p[i]) : NULL;
        if (at) buf_char(&b, '\\');
        buf_char(&b, at ? names[at - special] : args[0].p[i]);
    }
    buf_char(&b, '"');
    return cel_copy_text(run, &b);
}

static struct cel_value base64_encode(struct cel_run *run, const struct cel_value *args) {
    OWN(buf_done) struct buf b = {0};
    buf_base64(&b, args[0].p, args[0].n);
    return cel_copy_text(run, &b);
}

static struct cel_value base64_decode(struct cel_run *run, const struct cel_value *args) {
    OWN(buf_done) struct buf b = {0};
    OWN(buf_done) struct buf padded = {0};
    buf_slice(&padded, cel_slice(args[0]));
    while (padded.n % 4) buf_char(&padded, '=');
    if (buf_unbase64(&b, buf_view(&padded)) < 0) return cel_fail(run, "illegal base64 data");
    struct cel_value v = cel_copy_text(run, &b);
    if (v.kind == CEL_STRING) v.kind = CEL_BYTES;
    return v;
}

static const struct cel_function functions[] = {
    {"string|contains(string) bool", contains, COST_PRODUCT},
    {"string|startsWith(string) bool", starts_with, COST_SIZE},
    {"string|endsWith(string) bool", ends_with, COST_SIZE},
    {"string|charAt(int) string", char_at, COST_SIZE},
    {"string|indexOf(string) int", index_of, COST_PRODUCT},
    {"string|indexOf(string,int) int", index_of_from, COST_PRODUCT},
    {"string|lastIndexOf(string) int", last_index_of, COST_PRODUCT},
    {"string|lastIndexOf(string,int) int", last_index_of_from, COST_PRODUCT},
    {"string|lowerAscii() string", lower, COST_SIZE},
    {"string|upperAscii() string", upper, COST_SIZE},
    {"string|replace(string,string) string", replace, COST_PRODUCT},
    {"string|replace(string,string,int) string", replace_some, COST_PRODUCT},
    {"string|split(string) list<string>", split, COST_PRODUCT},
    {"string|split(string,int) list<string>", split_some, COST_PRODUCT},
    {"string|substring(int) string", substring_from, COST_SIZE},
    {"string|substring(int,int) string", substring_range, COST_SIZE},
    {"string|trim() string", trim, COST_SIZE},
    {"string|reverse() string", reverse, COST_SIZE},
    {"list<string>|join() string", join, COST_SIZE},
    {"list<string>|join(string) string", join_with, COST_SIZE},
    {"strings.quote(string) string", quote, COST_SIZE},
    {"base64.encode(bytes) string", base64_encode, COST_SIZE},
    {"base64.decode(string) bytes", base64_decode, COST_SIZE},
};
const struct cel_library cel_lib_strings = {functions, ARRAY_LEN(functions)};
