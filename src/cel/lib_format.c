/* "…%d…".format([…]) (cel-go, ext/strings), and values as people read them. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "cel/internal.h"

struct directive {
    char verb;
    int precision; /* -1: none */
};

static void put(struct buf *b, struct cel_value v, unsigned depth);

static void put_map(struct buf *b, struct cel_map *m, unsigned depth) {
    size_t n = cel_map_size(m);
    buf_char(b, '{');
    for (size_t i = 0; i < n; i++) {
        if (i) buf_str(b, ", ");
        put(b, cel_key_at(m, i), depth + 1);
        buf_str(b, ": ");
        put(b, cel_value_at(m, i), depth + 1);
    }
    buf_char(b, '}');
}

/* As %s writes it. */
static void put(struct buf *b, struct cel_value v, unsigned depth) {
    if (depth > CEL_DEPTH_MAX || b->n > CEL_MEMORY_MAX / 4) return;
    switch (v.kind) {
    case CEL_STRING:
    case CEL_BYTES: buf_slice(b, cel_slice(v)); return;
    case CEL_TIMESTAMP: cel_put_timestamp(b, v.i, v.ns); return;
    case CEL_DURATION: cel_put_duration(b, v.i, v.ns); return;
    case CEL_TYPE: buf_str(b, cel_kind_name(v.type->kind)); return;
    case CEL_LIST:
        buf_char(b, '[');
        for (size_t i = 0, n = cel_list_size(v.list); i < n; i++) {
            if (i) buf_str(b, ", ");
            put(b, cel_at(v.list, i), depth + 1);
        }
        buf_char(b, ']');
        return;
    case CEL_MAP:
    case CEL_OBJECT: put_map(b, v.map, depth); return;
    case CEL_DOUBLE: cel_put_double(b, v.d); return;
    default: cel_encode(b, v);
    }
}

static bool put_integer(struct buf *b, struct cel_value v) {
    if (v.kind == CEL_INT)
        buf_i64(b, v.i);
    else if (v.kind == CEL_UINT)
        buf_u64(b, v.u);
    else
        return false;
    return true;
}

static void put_hex(struct buf *b, struct slice s, bool upper) {
    for (size_t i = 0; i < s.n; i++)
        buf_printf(b, upper ? "%02X" : "%02x", (unsigned)(unsigned char)s.p[i]);
}

static bool put_based(struct buf *b, struct cel_value v, char verb) {
    bool negative = v.kind == CEL_INT && v.i < 0;
    uint64_t u = negative ? 0 - v.u : v.u;
    if (v.kind == CEL_STRING && (verb == 'x' || verb == 'X')) {
        put_hex(b, cel_slice(v), verb == 'X');
        return true;
    }
    if (v.kind == CEL_BYTES && (verb == 'x' || verb == 'X')) {
        put_hex(b, cel_slice(v), verb == 'X');
        return true;
    }
    if (v.kind == CEL_BOOL && verb == 'b') {
        buf_char(b, v.b ? '1' : '0');
        return true;
    }
    if (v.kind != CEL_INT && v.kind != CEL_UINT) return false;
    if (negative) buf_char(b, '-');
    if (verb == 'x')
        buf_printf(b, "%" PRIx64, u);
    else if (verb == 'X')
        buf_printf(b, "%" PRIX64, u);
    else if (verb == 'o')
        buf_printf(b, "%" PRIo64, u);
    else {
        char digits[65];
        size_t n = sizeof digits;
        do digits[--n] = (char)('0' + (u & 1));
        while (u >>= 1);
        buf_append(b, digits + n, sizeof digits - n);
    }
    return true;
}

static bool put_float(struct buf *b, struct cel_value v, struct directive d) {
    int precision = d.precision < 0 ? 6 : d.precision;
    double x = v.kind == CEL_INT ? (double)v.i : v.kind == CEL_UINT ? (double)v.u : v.d;
    if (v.kind != CEL_INT && v.kind != CEL_UINT && v.kind != CEL_DOUBLE) return false;
    if (isnan(x))
        buf_str(b, "NaN");
    else if (isinf(x))
        buf_str(b, x < 0 ? "-Infinity" : "Infinity");
    else if (d.verb == 'f')
        buf_printf(b, "%.*f", precision, x);
    else
        buf_printf(b, "%.*e", precision, x);
    return true;
}

static bool put_directive(struct buf *b, struct cel_value v, struct directive d) {
    switch (d.verb) {
    case 's': put(b, v, 0); return true;
    case 'd':
        if (v.kind == CEL_DOUBLE) {
            cel_put_double(b, v.d);
            return true;
        }
        return put_integer(b, v);
    case 'f':
    case 'e': return put_float(b, v, d);
    default: return put_based(b, v, d.verb);
    }
}

/* Behind the percent sign: [.N]verb. */
static bool read_directive(struct slice s, size_t *i, struct directive *d) {
    d->precision = -1;
    if (*i < s.n && s.p[*i] == '.') {
        d->precision = 0;
        for (++*i; *i < s.n && s.p[*i] >= '0' && s.p[*i] <= '9'; ++*i)
            if (d->precision <= 100) d->precision = d->precision * 10 + (s.p[*i] - '0');
        if (d->precision > 100) return false;
    }
    if (*i >= s.n || !s.p[*i] || !strchr("sdfebxXo", s.p[*i])) return false;
    d->verb = s.p[(*i)++];
    return true;
}

static struct cel_value format(struct cel_run *run, const struct cel_value *args) {
    OWN(buf_done) struct buf b = {0};
    struct slice s = cel_slice(args[0]);
    size_t next = 0, n = cel_list_size(args[1].list);
    for (size_t i = 0; i < s.n;) {
        struct directive d;
        char c = s.p[i++];
        if (c != '%') {
            buf_char(&b, c);
            continue;
        }
        if (i < s.n && s.p[i] == '%') {
            buf_char(&b, s.p[i++]);
            continue;
        }
        if (!read_directive(s, &i, &d))
            return cel_fail(run,
                            "could not parse formatting clause: unrecognized formatting clause");
        if (next >= n) return cel_fail(run, "index %zu out of range", next);
        size_t before = b.n;
        if (!put_directive(&b, cel_at(args[1].list, next++), d))
            return cel_fail(run, "error during formatting: no such overload for %%%c", d.verb);
        if (!cel_charge_text(run, b.n - before)) return cel_exhausted();
    }
    return cel_copy_text(run, &b);
}

static const struct cel_function functions[] = {
    {"string|format(list<dyn>) string", format, COST_SIZES},
};
const struct cel_library cel_lib_format = {functions, ARRAY_LEN(functions)};
