#include "api/managed/fields.h"

#include <stdlib.h>

#include "base/own.h"
#include "proto/json.h"

static int order(const struct fields *x, const struct fields *y) {
    if (x->type != y->type) return x->type < y->type ? -1 : 1;
    size_t n = x->name.n < y->name.n ? x->name.n : y->name.n;
    int c = n ? memcmp(x->name.p, y->name.p, n) : 0;
    return c ? c : (x->name.n > y->name.n) - (x->name.n < y->name.n);
}

static int order_p(const void *x, const void *y) { return order(x, y); }

struct fields *fields_add(struct arena *a, struct fields *f, char type, struct slice name) {
    struct fields *child = ARENA_PUSH(a, f);
    child->type = type;
    child->name = name;
    return child;
}

enum { FEW = 24 }; /* children that are sorted by insertion */

static void sort_children(struct fields *f) {
    if (f->n > FEW) {
        qsort(f->v, f->n, sizeof *f->v, order_p);
        return;
    }
    for (size_t i = 1; i < f->n; i++) {
        if (order(&f->v[i - 1], &f->v[i]) <= 0) continue;
        struct fields moving = f->v[i];
        size_t at = i;
        for (; at > 0 && order(&f->v[at - 1], &moving) > 0; at--) f->v[at] = f->v[at - 1];
        f->v[at] = moving;
    }
}

/* Of two equal neighbours (an item that a list holds twice) the first takes in the second. */
static void absorb(struct fields *to, const struct fields *from) {
    to->member |= from->member;
    if (to->n == 0) {
        to->v = from->v;
        to->n = from->n;
    }
}

void fields_sort(struct fields *f) {
    for (size_t i = 0; i < f->n; i++)
        if (f->v[i].n) fields_sort(&f->v[i]);
    sort_children(f);
    size_t kept = 0;
    for (size_t i = 0; i < f->n; i++) {
        if (fields_empty(&f->v[i])) continue;
        if (kept && order(&f->v[kept - 1], &f->v[i]) == 0)
            absorb(&f->v[kept - 1], &f->v[i]);
        else if (kept++ != i)
            f->v[kept - 1] = f->v[i];
    }
    f->n = kept;
}

bool fields_equal(const struct fields *x, const struct fields *y) {
    if (x->member != y->member || x->n != y->n) return false;
    for (size_t i = 0; i < x->n; i++)
        if (order(&x->v[i], &y->v[i]) != 0 || !fields_equal(&x->v[i], &y->v[i])) return false;
    return true;
}

const struct fields *fields_find(const struct fields *f, char type, struct slice name) {
    const struct fields wanted = {.type = type, .name = name};
    if (!f || !f->n) return NULL;
    return bsearch(&wanted, f->v, f->n, sizeof *f->v, order_p);
}

/* ---- text ---- */

/* With room for what follows a name: quotes, colon, braces. */
static void put(struct buf *b, char separator, char type, struct slice name) {
    if (b->cap - b->n < name.n + 16) buf_reserve(b, name.n + 16);
    char *out = b->p + b->n;
    *out++ = separator;
    *out++ = '"';
    *out++ = type;
    *out++ = ':';
    memcpy(out, name.p, name.n);
    b->n += name.n + 4;
}

static void put_escaped(struct buf *b, char separator, char type, struct slice name) {
    OWN(buf_done) struct buf text = {0};
    buf_json_str(&text, name);
    put(b, separator, type, slice_from(text.p + 1, text.n - 2));
}

static void write_children(struct buf *b, const struct fields *f, bool dot) {
    char separator = '{';
    if (dot) {
        buf_append(b, "{\".\":{}", 7);
        separator = ',';
    }
    for (size_t i = 0; i < f->n; i++) {
        const struct fields *c = &f->v[i];
        (c->type == 'f' ? put : put_escaped)(b, separator, c->type, c->name);
        separator = ',';
        if (c->n) {
            buf_append(b, "\":", 2);
            write_children(b, c, c->member);
        } else {
            memcpy(b->p + b->n, "\":{}", 4);
            b->n += 4;
        }
    }
    if (separator == '{') buf_char(b, '{');
    buf_char(b, '}');
}

void fields_write(struct buf *b, const struct fields *f) { write_children(b, f, false); }

/* A value between the members of a key, in canonical form. */
static int canonical_value(struct json_reader *r, struct arena *a, struct buf *out) {
    struct slice s;
    if (json_peek(r) != JSON_KIND_STRING) return json_read_raw(r, out);
    if (json_read_string(r, a, &s) < 0) return -1;
    buf_json_str(out, s);
    return 0;
}

struct member {
    struct slice key, value;
};
struct member_list {
    struct member *v;
    size_t n;
};

static int order_members(const void *x, const void *y) {
    const struct member *one = x, *two = y;
    size_t n = one->key.n < two->key.n ? one->key.n : two->key.n;
    int c = n ? memcmp(one->key.p, two->key.p, n) : 0;
    return c ? c : (one->key.n > two->key.n) - (one->key.n < two->key.n);
}

static int canonical_key(struct arena *a, struct slice text, struct slice *ret) {
    struct json_reader r;
    struct member_list members = {0};
    struct slice key;
    int rc;
    json_reader_init(&r, text);
    if (json_object_begin(&r) < 0) return -1;
    while ((rc = json_object_next(&r, a, &key)) > 0) {
        OWN(buf_done) struct buf b = {0};
        if (canonical_value(&r, a, &b) < 0) return -1;
        *ARENA_PUSH(a, &members) = (struct member){key, slice_from(arena_copy(a, b.p, b.n), b.n)};
    }
    if (rc < 0 || json_end(&r) < 0 || !members.n) return -1;
    qsort(members.v, members.n, sizeof *members.v, order_members);
    OWN(buf_done) struct buf b = {0};
    for (size_t i = 0; i < members.n; i++) {
        buf_char(&b, i ? ',' : '{');
        buf_json_str(&b, members.v[i].key);
        buf_char(&b, ':');
        buf_slice(&b, members.v[i].value);
    }
    buf_char(&b, '}');
    *ret = slice_from(arena_copy(a, b.p, b.n), b.n);
    return 0;
}

/* name: unescaped, without its prefix. */
static int canonical_name(struct arena *a, char type, bool trusted, struct slice *name) {
    OWN(buf_done) struct buf b = {0};
    if (type == 'f') {
        bool plain = true;
        for (size_t i = 0; i < name->n && plain; i++)
            plain = name->p[i] != '"' && name->p[i] != '\\' && (unsigned char)name->p[i] >= 0x20 &&
                    (unsigned char)name->p[i] != 0x7f;
        if (plain) return 0;
        buf_json_str(&b, *name);
        *name = slice_from(arena_copy(a, b.p + 1, b.n - 2), b.n - 2);
        return 0;
    }
    if (trusted) return 0;
    if (type == 'k') return canonical_key(a, *name, name);
    uint64_t index;
    if (type == 'i') return slice_u64(*name, &index);
    struct json_reader r;
    json_reader_init(&r, *name);
    if (canonical_value(&r, a, &b) < 0 || json_end(&r) < 0) return -1;
    *name = slice_from(arena_copy(a, b.p, b.n), b.n);
    return 0;
}

static int parse(struct json_reader *r, struct arena *a, bool trusted, struct fields *f,
                 struct err *err) {
    struct slice key;
    int rc;
    if (json_object_begin(r) < 0) return json_reader_error(r, err);
    while ((rc = json_object_next(r, a, &key)) > 0) {
        if (slice_is(key, ".")) {
            f->member = true;
            if (json_peek(r) != JSON_KIND_OBJECT || json_skip(r) < 0)
                return json_reader_error(r, err);
            continue;
        }
        char type = key.n >= 2 && key.p[1] == ':' ? key.p[0] : 0;
        struct slice name = slice_from(key.p + 2, type ? key.n - 2 : 0);
        if (!type || !strchr("fkvi", type) || canonical_name(a, type, trusted, &name) < 0)
            return err_set(err, ERR_BAD_REQUEST, "\"%.*s\" is no path element of FieldsV1",
                           (int)(key.n < 200 ? key.n : 200), key.p);
        struct fields child = {.type = type, .name = name};
        if ((rc = parse(r, a, trusted, &child, err)) < 0) return rc;
        if (!child.n) child.member = true; /* a leaf */
        *ARENA_PUSH(a, f) = child;
    }
    return rc < 0 ? json_reader_error(r, err) : 0;
}

int fields_parse(struct arena *a, struct slice json, bool trusted, struct fields *ret,
                 struct err *err) {
    struct json_reader r;
    struct err own;
    if (!err) err = &own;
    *ret = (struct fields){0};
    json_reader_init(&r, json);
    int rc = parse(&r, a, trusted, ret, err);
    if (rc == 0 && json_end(&r) < 0) rc = json_reader_error(&r, err);
    if (rc < 0) return rc;
    fields_sort(ret);
    ret->member = false;
    return 0;
}

/* ---- operations ---- */

static struct fields hollow(const struct fields *f) {
    return (struct fields){.name = f->name, .type = f->type};
}

static void keep(struct arena *a, struct fields *to, struct fields child) {
    if (!fields_empty(&child)) *ARENA_PUSH(a, to) = child;
}

struct fields fields_union(struct arena *a, const struct fields *x, const struct fields *y) {
    if (fields_empty(x)) return *y;
    if (fields_empty(y)) return *x;
    struct fields out = hollow(x);
    out.member = x->member || y->member;
    size_t i = 0, j = 0;
    while (i < x->n || j < y->n) {
        int c = i == x->n ? 1 : j == y->n ? -1 : order(&x->v[i], &y->v[j]);
        if (c < 0)
            *ARENA_PUSH(a, &out) = x->v[i++];
        else if (c > 0)
            *ARENA_PUSH(a, &out) = y->v[j++];
        else
            *ARENA_PUSH(a, &out) = fields_union(a, &x->v[i++], &y->v[j++]);
    }
    return out;
}

struct fields fields_intersection(struct arena *a, const struct fields *x, const struct fields *y) {
    struct fields out = hollow(x);
    out.member = x->member && y->member;
    for (size_t i = 0, j = 0; i < x->n && j < y->n;) {
        int c = order(&x->v[i], &y->v[j]);
        if (c == 0) keep(a, &out, fields_intersection(a, &x->v[i], &y->v[j]));
        i += c <= 0;
        j += c >= 0;
    }
    return out;
}

static struct fields without(struct arena *a, const struct fields *x, const struct fields *y,
                             bool deep) {
    struct fields out = hollow(x);
    if (deep && y->member) return out;
    out.member = x->member && !y->member;
    size_t j = 0;
    for (size_t i = 0; i < x->n; i++) {
        while (j < y->n && order(&y->v[j], &x->v[i]) < 0) j++;
        if (j < y->n && order(&y->v[j], &x->v[i]) == 0)
            keep(a, &out, without(a, &x->v[i], &y->v[j], deep));
        else
            *ARENA_PUSH(a, &out) = x->v[i];
    }
    return out;
}

struct fields fields_difference(struct arena *a, const struct fields *x, const struct fields *y) {
    return without(a, x, y, false);
}

struct fields fields_cut(struct arena *a, const struct fields *x, const struct fields *y) {
    return without(a, x, y, true);
}

/* ---- paths ---- */

void fields_element_text(struct buf *b, char type, struct slice name) {
    if (type == 'f') {
        buf_char(b, '.');
        buf_slice(b, name);
        return;
    }
    if (type != 'k') {
        buf_printf(b, "[%s%.*s]", type == 'v' ? "=" : "", (int)name.n, name.p);
        return;
    }
    OWN(arena_free_p) struct arena *a = arena_new();
    struct json_reader r;
    struct slice key;
    char separator = '[';
    json_reader_init(&r, name);
    if (json_object_begin(&r) < 0) return;
    while (json_object_next(&r, a, &key) > 0) {
        buf_char(b, separator);
        buf_slice(b, key);
        buf_char(b, '=');
        if (json_read_raw(&r, b) < 0) break;
        separator = ',';
    }
    buf_char(b, ']');
}

static void paths(const struct fields *f, struct buf *b, fields_path_fn *fn, void *user) {
    size_t n = b->n;
    for (size_t i = 0; i < f->n; i++) {
        const struct fields *c = &f->v[i];
        fields_element_text(b, c->type, c->name);
        if (c->member) fn(user, buf_view(b));
        paths(c, b, fn, user);
        b->n = n;
    }
}

void fields_paths(const struct fields *f, fields_path_fn *fn, void *user) {
    OWN(buf_done) struct buf b = {0};
    paths(f, &b, fn, user);
}
