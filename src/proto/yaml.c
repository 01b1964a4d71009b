#include "proto/yaml.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "base/arena.h"
#include "base/limits.h"
#include "base/map.h"
#include "base/own.h"

/* Events become a tree in an arena (anchors need it), the tree becomes text. */
enum node_kind { NODE_SCALAR, NODE_SEQUENCE, NODE_MAPPING };
struct node {
    enum node_kind kind;
    bool string;       /* scalar: quoted, or tagged as a string */
    struct slice text; /* scalar */
    struct node **v;   /* sequence: elements; mapping: key, value, key, value … */
    size_t n;
    size_t values; /* in it, itself and those of aliases counted */
};
struct reader {
    yaml_parser_t parser;
    struct arena *a;
    struct map anchors; /* name → node */
    size_t nodes, aliases;
    size_t repeated; /* values that aliases stand for */
    struct err *err;
};
struct writer {
    struct buf *out;
    size_t nodes;
    struct err *err;
};

static int bad(struct reader *r, const char *what) {
    return err_set(r->err, ERR_BAD_REQUEST, "yaml: line %zu: %s", r->parser.mark.line + 1, what);
}

static int next_event(struct reader *r, yaml_event_t *event) {
    if (yaml_parser_parse(&r->parser, event)) return 0;
    return err_set(r->err, ERR_BAD_REQUEST, "yaml: line %zu: %s", r->parser.problem_mark.line + 1,
                   r->parser.problem ? r->parser.problem : "cannot be read");
}

/* ---- events → tree ---- */

static struct node *node_new(struct reader *r, enum node_kind kind) {
    struct node *n = ARENA_NEW(r->a, struct node);
    n->kind = kind;
    n->values = 1;
    r->nodes++;
    return n;
}

static void remember(struct reader *r, const char *name, struct node *node) {
    if (name) map_put(&r->anchors, slice_of(name), node);
}

static int read_alias(struct reader *r, const char *name, struct node **ret) {
    if (++r->aliases > LIMIT_YAML_ALIASES) return bad(r, "too many aliases");
    *ret = map_gets(&r->anchors, name);
    if (!*ret) return bad(r, "unknown anchor");
    r->repeated += (*ret)->values;
    if (r->repeated > LIMIT_YAML_REPEATED) return bad(r, "aliases stand for too many values");
    return 0;
}

static struct node *read_scalar(struct reader *r, const yaml_event_t *e) {
    struct node *n = node_new(r, NODE_SCALAR);
    const char *tag = (const char *)e->data.scalar.tag;
    size_t length = e->data.scalar.length;
    n->text = slice_from(arena_strn(r->a, slice_from((const char *)e->data.scalar.value, length)),
                         length);
    n->string = e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    if (tag && (strcmp(tag, YAML_STR_TAG) == 0 || strcmp(tag, "!") == 0 ||
                strcmp(tag, "tag:yaml.org,2002:binary") == 0))
        n->string = true;
    else if (tag)
        n->string = false;
    return n;
}

static int read_node(struct reader *r, yaml_event_t *event, int depth, struct node **ret);

/* Elements up to the end event. */
static int read_children(struct reader *r, struct node *parent, int depth) {
    yaml_event_type_t end =
        parent->kind == NODE_SEQUENCE ? YAML_SEQUENCE_END_EVENT : YAML_MAPPING_END_EVENT;
    for (;;) {
        yaml_event_t event;
        struct node *child = NULL;
        int rc = next_event(r, &event);
        if (rc < 0) return rc;
        bool over = event.type == end;
        if (!over) rc = read_node(r, &event, depth, &child);
        yaml_event_delete(&event);
        if (rc < 0 || over) return rc;
        *ARENA_PUSH(r->a, parent) = child;
        parent->values += child->values;
    }
}

static int read_node(struct reader *r, yaml_event_t *event, int depth, struct node **ret) {
    const char *anchor = NULL;
    int rc = 0;
    if (depth > LIMIT_JSON_DEPTH) return bad(r, "nested too deeply");
    if (r->nodes >= LIMIT_YAML_NODES) return bad(r, "too many values");
    switch (event->type) {
    case YAML_ALIAS_EVENT: return read_alias(r, (const char *)event->data.alias.anchor, ret);
    case YAML_SCALAR_EVENT:
        anchor = (const char *)event->data.scalar.anchor;
        *ret = read_scalar(r, event);
        if (memchr((*ret)->text.p, 0, (*ret)->text.n)) return bad(r, "NUL character in a string");
        break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = (const char *)event->data.sequence_start.anchor;
        *ret = node_new(r, NODE_SEQUENCE);
        rc = read_children(r, *ret, depth + 1);
        break;
    case YAML_MAPPING_START_EVENT:
        anchor = (const char *)event->data.mapping_start.anchor;
        *ret = node_new(r, NODE_MAPPING);
        rc = read_children(r, *ret, depth + 1);
        break;
    default: return bad(r, "unexpected event");
    }
    /* Only now: an alias to a value that it is part of stays unknown. */
    if (rc == 0) remember(r, anchor, *ret);
    return rc;
}

/* ---- scalars ---- */

static bool among(struct slice s, const char *const *words) {
    for (; *words; words++)
        if (slice_is(s, *words)) return true;
    return false;
}

static bool is_null(struct slice s) {
    static const char *const words[] = {"", "~", "null", "Null", "NULL", NULL};
    return among(s, words);
}

static bool is_bool(struct slice s, bool *ret) {
    static const char *const yes[] = {"y",    "Y",    "yes", "Yes", "YES", "true",
                                      "True", "TRUE", "on",  "On",  "ON",  NULL};
    static const char *const no[] = {"n",     "N",     "no",  "No",  "NO",  "false",
                                     "False", "FALSE", "off", "Off", "OFF", NULL};
    *ret = among(s, yes);
    return *ret || among(s, no);
}

/* Integer or float of YAML 1.1 in JSON spelling. */
static bool number_text(struct slice s, char out[64]) {
    char text[64], *end;
    size_t n = 0;
    const char first = s.n ? s.p[0] : 0;
    if (s.n >= sizeof text || !strchr("+-.0123456789", first)) return false;
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] != '_') text[n++] = s.p[i];
    text[n] = 0;
    bool negative = *text == '-';
    const char *digits = text + (*text == '-' || *text == '+');
    if (!*digits || strspn(digits, "0123456789abcdefABCDEFxXoO.+-") != n - (size_t)(digits - text))
        return false;
    int base = digits[0] != '0' || !digits[1]         ? 10
               : digits[1] == 'x' || digits[1] == 'X' ? 16
               : digits[1] == 'b' || digits[1] == 'B' ? 2
               : digits[1] >= '0' && digits[1] <= '7' ? 8
               : digits[1] == 'o' || digits[1] == 'O' ? 8
                                                      : 10;
    const char *body =
        base == 16 || base == 2 || digits[1] == 'o' || digits[1] == 'O' ? digits + 2 : digits;
    errno = 0;
    unsigned long long v = strtoull(body, &end, base);
    if (*body && body[0] != '+' && body[0] != '-' && !*end && !errno &&
        (!negative || v <= (1ULL << 63))) {
        snprintf(out, 64, "%s%llu", negative && v ? "-" : "", v);
        return true;
    }
    size_t whole = strspn(digits, "0123456789"), at = whole;
    if (digits[at] == '.') at += 1 + strspn(digits + at + 1, "0123456789");
    if (at == (size_t)(digits[whole] == '.')) return false; /* no digit at all */
    if (digits[at] == 'e' || digits[at] == 'E') {
        size_t sign = digits[at + 1] == '+' || digits[at + 1] == '-';
        size_t exponent = strspn(digits + at + 1 + sign, "0123456789");
        if (!exponent) return false;
        at += 1 + sign + exponent;
    }
    double d = strtod(text, NULL);
    if (digits[at] || !isfinite(d)) return false;
    for (int precision = 15; precision <= 17; precision++) {
        snprintf(out, 64, "%.*g", precision, d);
        if (strtod(out, NULL) == d) break;
    }
    return true;
}

/* ---- tree → text ---- */

static int write_node(struct writer *w, const struct node *n, int depth);

static void write_scalar(struct writer *w, const struct node *n, bool key) {
    char number[64];
    bool b;
    const char *plain = NULL;
    if (!n->string && is_null(n->text))
        plain = "null";
    else if (!n->string && is_bool(n->text, &b))
        plain = b ? "true" : "false";
    else if (!n->string && number_text(n->text, number))
        plain = number;
    if (plain && !key)
        buf_str(w->out, plain);
    else
        buf_json_str(w->out, plain ? slice_of(plain) : n->text);
}

static bool is_merge(const struct node *key) {
    return key->kind == NODE_SCALAR && !key->string && slice_is(key->text, "<<");
}

static bool has_merge(const struct node *mapping) {
    for (size_t i = 0; i + 1 < mapping->n; i += 2)
        if (is_merge(mapping->v[i])) return true;
    return false;
}

static int write_member(struct writer *w, const struct node *key, const struct node *value,
                        int depth, bool *first) {
    if (key->kind != NODE_SCALAR)
        return err_set(w->err, ERR_BAD_REQUEST, "yaml: a key must be a scalar");
    if (!*first) buf_char(w->out, ',');
    *first = false;
    write_scalar(w, key, true);
    buf_char(w->out, ':');
    return write_node(w, value, depth + 1);
}

/* What `<<: *x` or `<<: [*x, *y]` brings in: members that the mapping itself does not have. */
static int write_merged(struct writer *w, const struct map *own, const struct node *from, int depth,
                        bool *first) {
    int rc = 0;
    if (depth > LIMIT_JSON_DEPTH)
        return err_set(w->err, ERR_BAD_REQUEST, "yaml: nested too deeply");
    if (++w->nodes > LIMIT_YAML_NODES)
        return err_set(w->err, ERR_BAD_REQUEST, "yaml: too many values");
    if (from->kind == NODE_SCALAR)
        return err_set(w->err, ERR_BAD_REQUEST, "yaml: map merge requires map or sequence of maps");
    if (from->kind == NODE_SEQUENCE) {
        for (size_t i = 0; i < from->n && rc == 0; i++)
            rc = write_merged(w, own, from->v[i], depth + 1, first);
        return rc;
    }
    for (size_t i = 0; i + 1 < from->n && rc == 0; i += 2) {
        if (is_merge(from->v[i]))
            rc = write_merged(w, own, from->v[i + 1], depth + 1, first);
        else if (from->v[i]->kind != NODE_SCALAR || !map_get(own, from->v[i]->text))
            rc = write_member(w, from->v[i], from->v[i + 1], depth, first);
    }
    return rc;
}

static int write_mapping(struct writer *w, const struct node *n, int depth) {
    OWN(map_done) struct map own = {0}; /* its keys, when others are merged into it */
    bool first = true, merges = has_merge(n);
    int rc = 0;
    for (size_t i = 0; merges && i + 1 < n->n; i += 2)
        if (n->v[i]->kind == NODE_SCALAR) map_seen(&own, n->v[i]->text);
    buf_char(w->out, '{');
    for (size_t i = 0; i + 1 < n->n && rc == 0; i += 2) {
        if (is_merge(n->v[i]))
            rc = write_merged(w, &own, n->v[i + 1], depth, &first);
        else
            rc = write_member(w, n->v[i], n->v[i + 1], depth, &first);
    }
    buf_char(w->out, '}');
    return rc;
}

static int write_node(struct writer *w, const struct node *n, int depth) {
    int rc = 0;
    if (depth > LIMIT_JSON_DEPTH)
        return err_set(w->err, ERR_BAD_REQUEST, "yaml: nested too deeply");
    if (++w->nodes > LIMIT_YAML_NODES)
        return err_set(w->err, ERR_BAD_REQUEST, "yaml: too many values");
    if (n->kind == NODE_MAPPING) return write_mapping(w, n, depth);
    if (n->kind == NODE_SCALAR) {
        write_scalar(w, n, false);
        return 0;
    }
    buf_char(w->out, '[');
    for (size_t i = 0; i < n->n && rc == 0; i++) {
        if (i) buf_char(w->out, ',');
        rc = write_node(w, n->v[i], depth + 1);
    }
    buf_char(w->out, ']');
    return rc;
}

/* ---- documents ---- */

/* The document that a DOCUMENT-START opened; *ret stays NULL when it is empty. */
static int read_document(struct reader *r, struct node **ret) {
    yaml_event_t event;
    struct node *root = NULL;
    int rc = next_event(r, &event);
    if (rc < 0) return rc;
    rc = read_node(r, &event, 0, &root);
    yaml_event_delete(&event);
    if (rc < 0 || (rc = next_event(r, &event)) < 0) return rc;
    yaml_event_delete(&event);
    bool empty = root->kind == NODE_SCALAR && !root->string && is_null(root->text);
    if (!empty) *ret = root;
    return 0;
}

static int each(struct reader *r, int (*fn)(void *user, struct slice json), void *user) {
    for (;;) {
        yaml_event_t event;
        int rc = next_event(r, &event);
        if (rc < 0) return rc;
        yaml_event_type_t type = event.type;
        yaml_event_delete(&event);
        if (type == YAML_STREAM_END_EVENT) return 0;
        if (type != YAML_DOCUMENT_START_EVENT) continue;
        struct node *root = NULL;
        OWN(buf_done) struct buf out = {0};
        struct writer w = {.out = &out, .err = r->err};
        map_done(&r->anchors);
        if ((rc = read_document(r, &root)) < 0) return rc;
        if (!root) continue;
        if ((rc = write_node(&w, root, 0)) < 0) return rc;
        if ((rc = fn(user, buf_view(&out))) != 0) return rc;
    }
}

int yaml_each_document(struct slice text, int (*fn)(void *user, struct slice json), void *user,
                       struct err *err) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct reader r = {.a = a, .err = err};
    if (memchr(text.p ? text.p : "", 0, text.n))
        return err_set(err, ERR_BAD_REQUEST, "yaml: control characters are not allowed");
    if (!yaml_parser_initialize(&r.parser)) abort();
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)(text.p ? text.p : ""), text.n);
    int rc = each(&r, fn, user);
    yaml_parser_delete(&r.parser);
    map_done(&r.anchors);
    return rc;
}

struct only {
    struct buf *out;
    size_t count;
    struct err *err;
};

static int take_only(void *user, struct slice json) {
    struct only *o = user;
    if (o->count++) return err_set(o->err, ERR_BAD_REQUEST, "yaml: more than one document");
    buf_slice(o->out, json);
    return 0;
}

int yaml_to_json(struct slice text, struct buf *out, struct err *err) {
    struct only o = {.out = out, .err = err};
    int rc = yaml_each_document(text, take_only, &o, err);
    if (rc < 0) return rc;
    return o.count ? 0 : err_set(err, ERR_BAD_REQUEST, "yaml: no document");
}
