#include "api/custom/value.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/own.h"
#include "proto/json.h"

/* ---- paths ---- */

size_t value_path_field(struct value_path *p, struct slice name) {
    size_t n = p->text.n;
    if (n) buf_char(&p->text, '.');
    buf_slice(&p->text, name);
    return n;
}

size_t value_path_key(struct value_path *p, struct slice key) {
    size_t n = p->text.n;
    buf_char(&p->text, '[');
    buf_slice(&p->text, key);
    buf_char(&p->text, ']');
    return n;
}

size_t value_path_index(struct value_path *p, size_t index) {
    size_t n = p->text.n;
    buf_char(&p->text, '[');
    buf_u64(&p->text, index);
    buf_char(&p->text, ']');
    return n;
}

void value_path_back(struct value_path *p, size_t length) {
    p->text.n = length;
    if (p->text.p) p->text.p[length] = 0;
}

const char *value_path_text(const struct value_path *p) { return p->text.n ? p->text.p : ""; }

/* ---- text → value ---- */

enum { DUPLICATES_MAX = 100, DUPLICATES_BYTES_MAX = 1 << 20 };

struct parser {
    struct json_reader r;
    struct arena *a;
    struct value_path path;
    struct str_list *duplicates;
    size_t duplicate_bytes;
    size_t memory_end;
    struct err *err;
};

static int parse_value(struct parser *p, struct value *ret);

static int syntax(struct parser *p) { return json_reader_error(&p->r, p->err); }

static int check_memory(struct parser *p, size_t n, size_t size) {
    bool grows = (n & (n - 1)) == 0;
    if (!grows || arena_used(p->a) + 2 * n * size <= p->memory_end) return 0;
    return err_field(p->err, ERR_TOO_LARGE, value_path_text(&p->path),
                     "the object takes more than %d bytes of memory", LIMIT_DECODE_BYTES);
}

static int order(struct slice x, struct slice y) {
    int c = memcmp(x.p, y.p, MIN_OF(x.n, y.n));
    return c ? c : (x.n > y.n) - (x.n < y.n);
}

static int by_key(const void *x, const void *y) {
    const struct value_member *a = x, *b = y;
    int c = order(a->key, b->key);
    return c ? c : (a->value.place > b->value.place) - (a->value.place < b->value.place);
}

static void tell_duplicate(struct parser *p, struct slice key) {
    if (!p->duplicates || p->duplicates->n >= DUPLICATES_MAX ||
        p->duplicate_bytes >= DUPLICATES_BYTES_MAX)
        return;
    size_t back = value_path_field(&p->path, key);
    *ARENA_PUSH(p->a, p->duplicates) =
        arena_printf(p->a, "duplicate field \"%s\"", value_path_text(&p->path));
    p->duplicate_bytes += p->path.text.n;
    value_path_back(&p->path, back);
}

/* Sorts the members; of equal keys the last one stays. */
static void settle(struct parser *p, struct value_members *m) {
    bool sorted = true;
    for (size_t i = 1; i < m->n && sorted; i++) sorted = order(m->v[i - 1].key, m->v[i].key) < 0;
    if (sorted) return;
    qsort(m->v, m->n, sizeof *m->v, by_key);
    size_t n = 0;
    for (size_t i = 0; i < m->n; i++) {
        if (i + 1 < m->n && slice_eq(m->v[i].key, m->v[i + 1].key)) {
            if (!n || !slice_eq(m->v[n - 1].key, m->v[i].key)) tell_duplicate(p, m->v[i].key);
            continue;
        }
        m->v[n++] = m->v[i];
    }
    m->n = n;
}

static int parse_object(struct parser *p, struct value *ret) {
    struct slice key;
    int rc;
    *ret = (struct value){.kind = VALUE_OBJECT};
    if (json_object_begin(&p->r) < 0) return syntax(p);
    while ((rc = json_object_next(&p->r, p->a, &key)) > 0) {
        if ((rc = check_memory(p, ret->members.n, sizeof(struct value_member))) < 0) return rc;
        struct value_member *m = ARENA_PUSH(p->a, &ret->members);
        m->key = slice_from(arena_strn(p->a, key), key.n);
        size_t at = ret->members.n - 1, back = value_path_field(&p->path, key);
        struct value v;
        if ((rc = parse_value(p, &v)) < 0) return rc;
        value_path_back(&p->path, back);
        v.place = (unsigned)at;
        ret->members.v[at].value = v;
    }
    if (rc < 0) return syntax(p);
    settle(p, &ret->members);
    return 0;
}

static int parse_array(struct parser *p, struct value *ret) {
    int rc;
    *ret = (struct value){.kind = VALUE_ARRAY};
    if (json_array_begin(&p->r) < 0) return syntax(p);
    while ((rc = json_array_next(&p->r)) > 0) {
        if ((rc = check_memory(p, ret->items.n, sizeof(struct value))) < 0) return rc;
        size_t back = value_path_index(&p->path, ret->items.n);
        struct value v;
        if ((rc = parse_value(p, &v)) < 0) return rc;
        value_path_back(&p->path, back);
        *ARENA_PUSH(p->a, &ret->items) = v;
    }
    return rc < 0 ? syntax(p) : 0;
}

static int parse_number(struct parser *p, struct value *ret) {
    struct slice s;
    if (json_read_number(&p->r, &s) < 0) return syntax(p);
    const char *text = arena_strn(p->a, s);
    char *end;
    errno = 0;
    long long whole = strtoll(text, &end, 10);
    if (!*end && !errno) {
        *ret = (struct value){.kind = VALUE_INT, .integer = whole};
        return 0;
    }
    double d = strtod(text, NULL);
    if (!isfinite(d))
        return err_field(p->err, ERR_BAD_REQUEST, value_path_text(&p->path),
                         "json: cannot unmarshal number %.40s into Go value of type float64", text);
    *ret = (struct value){.kind = VALUE_DOUBLE, .number = d};
    return 0;
}

static int parse_value(struct parser *p, struct value *ret) {
    struct slice s;
    *ret = (struct value){0};
    switch (json_peek(&p->r)) {
    case JSON_KIND_OBJECT: return parse_object(p, ret);
    case JSON_KIND_ARRAY: return parse_array(p, ret);
    case JSON_KIND_NUMBER: return parse_number(p, ret);
    case JSON_KIND_STRING:
        if (json_read_string(&p->r, p->a, &s) < 0) return syntax(p);
        ret->kind = VALUE_STRING;
        ret->text = slice_from(arena_strn(p->a, s), s.n);
        return 0;
    case JSON_KIND_BOOL:
        ret->kind = VALUE_BOOL;
        return json_read_bool(&p->r, &ret->boolean) < 0 ? syntax(p) : 0;
    case JSON_KIND_NULL: return json_read_null(&p->r) < 0 ? syntax(p) : 0;
    case JSON_KIND_INVALID: break;
    }
    json_skip(&p->r); /* says why */
    return syntax(p);
}

int value_parse(struct arena *a, struct slice json, const char *at, struct str_list *duplicates,
                struct value *ret, struct err *err) {
    struct err own;
    struct parser p = {.a = a, .duplicates = duplicates, .err = err ? err : &own};
    json_reader_init(&p.r, json);
    p.memory_end = arena_used(a) + LIMIT_DECODE_BYTES;
    buf_str(&p.path.text, at);
    struct value v;
    int rc = parse_value(&p, &v);
    if (rc == 0 && json_end(&p.r) < 0) rc = syntax(&p);
    buf_done(&p.path.text);
    if (rc == 0) *ret = v;
    return rc;
}

/* ---- value → text ---- */

/* Shortest text that reads back as the same number. */
static void put_double(struct buf *b, double v) {
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v) break;
    }
    buf_str(b, text);
}

void value_encode(struct buf *b, const struct value *v) {
    switch (v->kind) {
    case VALUE_NULL: buf_str(b, "null"); return;
    case VALUE_BOOL: buf_str(b, v->boolean ? "true" : "false"); return;
    case VALUE_INT: buf_i64(b, v->integer); return;
    case VALUE_DOUBLE: put_double(b, v->number); return;
    case VALUE_STRING: buf_json_str(b, v->text); return;
    case VALUE_ARRAY:
        buf_char(b, '[');
        for (size_t i = 0; i < v->items.n; i++) {
            if (i) buf_char(b, ',');
            value_encode(b, &v->items.v[i]);
        }
        buf_char(b, ']');
        return;
    case VALUE_OBJECT:
        buf_char(b, '{');
        for (size_t i = 0; i < v->members.n; i++) {
            if (i) buf_char(b, ',');
            buf_json_str(b, v->members.v[i].key);
            buf_char(b, ':');
            value_encode(b, &v->members.v[i].value);
        }
        buf_char(b, '}');
    }
}

/* ---- the rest ---- */

static struct slice copy_slice(struct arena *a, struct slice s) {
    return slice_from(arena_strn(a, s), s.n);
}

static size_t room_for(size_t n) {
    size_t room = 1;
    while (room < n) room *= 2;
    return room;
}

struct value value_copy(struct arena *a, const struct value *v) {
    struct value out = *v;
    if (v->kind == VALUE_STRING) out.text = copy_slice(a, v->text);
    if (v->kind == VALUE_ARRAY && v->items.n) {
        out.items.v = ARENA_ARRAY(a, struct value, room_for(v->items.n));
        for (size_t i = 0; i < v->items.n; i++) out.items.v[i] = value_copy(a, &v->items.v[i]);
    }
    if (v->kind == VALUE_OBJECT && v->members.n) {
        out.members.v = ARENA_ARRAY(a, struct value_member, room_for(v->members.n));
        for (size_t i = 0; i < v->members.n; i++) {
            out.members.v[i].key = copy_slice(a, v->members.v[i].key);
            out.members.v[i].value = value_copy(a, &v->members.v[i].value);
        }
    }
    return out;
}

static bool members_equal(const struct value_members *x, const struct value_members *y) {
    if (x->n != y->n) return false;
    for (size_t i = 0; i < x->n; i++)
        if (!slice_eq(x->v[i].key, y->v[i].key) || !value_equal(&x->v[i].value, &y->v[i].value))
            return false;
    return true;
}

bool value_equal(const struct value *x, const struct value *y) {
    bool numbers = (x->kind == VALUE_INT || x->kind == VALUE_DOUBLE) &&
                   (y->kind == VALUE_INT || y->kind == VALUE_DOUBLE);
    if (numbers && x->kind != y->kind) return value_number(x) == value_number(y);
    if (x->kind != y->kind) return false;
    switch (x->kind) {
    case VALUE_NULL: return true;
    case VALUE_BOOL: return x->boolean == y->boolean;
    case VALUE_INT: return x->integer == y->integer;
    case VALUE_DOUBLE: return x->number == y->number;
    case VALUE_STRING: return slice_eq(x->text, y->text);
    case VALUE_OBJECT: return members_equal(&x->members, &y->members);
    case VALUE_ARRAY:
        if (x->items.n != y->items.n) return false;
        for (size_t i = 0; i < x->items.n; i++)
            if (!value_equal(&x->items.v[i], &y->items.v[i])) return false;
        return true;
    }
    return false;
}

/* First member that is not before key. */
static size_t lower_bound(const struct value_members *m, struct slice key) {
    size_t low = 0, high = m->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (order(m->v[mid].key, key) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

struct value *value_get(const struct value *v, struct slice key) {
    if (!value_is(v, VALUE_OBJECT)) return NULL;
    size_t i = lower_bound(&v->members, key);
    return i < v->members.n && slice_eq(v->members.v[i].key, key) ? &v->members.v[i].value : NULL;
}

void value_set(struct arena *a, struct value *v, struct slice key, const struct value *to) {
    struct value_members *m = &v->members;
    size_t i = lower_bound(m, key);
    if (i == m->n || !slice_eq(m->v[i].key, key)) {
        struct value copy = *to; /* may live in the list that grows */
        size_t n = m->n, room = room_for(n);
        if (n == 0 || room == n) { /* full, or of a length that no push has made */
            struct value_member *bigger = ARENA_ARRAY(a, struct value_member, room_for(n + 1));
            if (n) memcpy(bigger, m->v, n * sizeof *bigger);
            m->v = bigger;
        }
        memmove(m->v + i + 1, m->v + i, (n - i) * sizeof *m->v);
        m->n = n + 1;
        m->v[i] = (struct value_member){copy_slice(a, key), copy};
        return;
    }
    m->v[i].value = *to;
}

void value_remove(struct value *v, size_t member) {
    struct value_members *m = &v->members;
    memmove(m->v + member, m->v + member + 1, (m->n - 1 - member) * sizeof *m->v);
    m->n--;
}

const char *value_text(const struct value *v) {
    return value_is(v, VALUE_STRING) ? v->text.p : NULL;
}

bool value_integer(const struct value *v, int64_t *ret) {
    if (value_is(v, VALUE_INT)) {
        *ret = v->integer;
        return true;
    }
    if (!value_is(v, VALUE_DOUBLE) || v->number != trunc(v->number) || fabs(v->number) > 9e15)
        return false;
    *ret = (int64_t)v->number;
    return true;
}

double value_number(const struct value *v) {
    if (value_is(v, VALUE_INT)) return (double)v->integer;
    return value_is(v, VALUE_DOUBLE) ? v->number : 0;
}
