#include "api/patch/patch.h"

#include <string.h>

#include "base/arena.h"
#include "base/limits.h"
#include "base/own.h"
#include "proto/json.h"

/* What upstream says for every JSON patch that cannot be applied; the cause follows. */
#define REFUSED "the server rejected our request due to an error in our request"

void json_decref_p(json_t **v) { json_decref(*v); }

int json_depth(const json_t *v, int max) {
    if (!json_is_object(v) && !json_is_array(v)) return 0;
    if (max <= 0) return 1;
    int deepest = 0, depth;
    const char *key;
    json_t *item;
    size_t i;
    if (json_is_object(v)) {
        json_object_foreach((json_t *)v, key, item) {
            depth = json_depth(item, max - 1);
            deepest = MAX_OF(deepest, depth);
        }
    } else {
        json_array_foreach(v, i, item) {
            depth = json_depth(item, max - 1);
            deepest = MAX_OF(deepest, depth);
        }
    }
    return deepest + 1;
}

int patch_parse(struct slice text, json_t **ret, struct err *err) {
    OWN(json_decref_p) json_t *v = NULL;
    int rc = json_parse(text, &v, err);
    if (rc < 0) return err_wrap(err, "error decoding patch");
    *ret = TAKE(v);
    return 0;
}

/* A JSON pointer (RFC 6901) cut into its last token and the container that holds it. */
struct place {
    json_t *container; /* borrowed; NULL = the pointer means the whole document */
    const char *key;   /* last token, unescaped; in the arena */
    size_t depth;      /* tokens of the pointer */
};

/* "~1" and "~0" back to "/" and "~"; NULL for another escape. */
static const char *token_unescape(struct arena *a, struct slice s) {
    char *out = arena_alloc(a, s.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        out[n] = s.p[i];
        if (s.p[i] == '~') {
            if (++i == s.n || (s.p[i] != '0' && s.p[i] != '1')) return NULL;
            out[n] = s.p[i] == '0' ? '~' : '/';
        }
        n++;
    }
    return out;
}

/* An array index: decimal without leading zeros, below `count`. */
static bool index_parse(const char *s, size_t count, size_t *ret) {
    uint64_t v;
    if (slice_u64(slice_of(s), &v) < 0 || (s[0] == '0' && s[1])) return false;
    if (v >= count) return false;
    *ret = (size_t)v;
    return true;
}

static json_t *child(const json_t *container, const char *key) {
    size_t i;
    if (json_is_object(container)) return json_object_get(container, key);
    if (json_is_array(container) && index_parse(key, json_array_size(container), &i))
        return json_array_get(container, i);
    return NULL;
}

struct patching {
    struct arena *a; /* tokens of pointers */
    json_t *doc;     /* owned */
    size_t copied;   /* values made by copy and add so far */
    size_t moved;    /* elements of lists so far, each by one place */
};

static int place_find(struct patching *p, const char *pointer, struct place *ret, struct err *err) {
    if (!*pointer) return 0;
    if (*pointer != '/')
        return err_set(err, ERR_INVALID, "path \"%s\" does not start with /", pointer);
    struct slice rest = slice_of(pointer + 1), token;
    json_t *at = p->doc;
    while (slice_cut(&rest, '/', &token)) {
        const char *key = token_unescape(p->a, token);
        if (!key) return err_set(err, ERR_INVALID, "path \"%s\" has a bad escape", pointer);
        if (++ret->depth > LIMIT_JSON_DEPTH)
            return err_set(err, ERR_INVALID, "path is deeper than %d levels", LIMIT_JSON_DEPTH);
        if (!rest.p) {
            ret->container = at;
            ret->key = key;
            break;
        }
        at = child(at, key);
        if (!at) return err_set(err, ERR_INVALID, "path \"%s\" does not exist", pointer);
    }
    if (!json_is_object(ret->container) && !json_is_array(ret->container))
        return err_set(err, ERR_INVALID, "path \"%s\" does not exist", pointer);
    return 0;
}

static size_t count_values(const json_t *v) {
    size_t n = 1, i;
    const char *key;
    json_t *item;
    if (json_is_object(v)) {
        json_object_foreach((json_t *)v, key, item) n += count_values(item) + strlen(key);
    } else if (json_is_array(v)) {
        json_array_foreach(v, i, item) n += count_values(item);
    } else if (json_is_string(v))
        n += json_string_length(v);
    return n;
}

static int value_get(struct patching *p, const char *pointer, json_t **ret, struct err *err) {
    struct place at = {0};
    int r = place_find(p, pointer, &at, err);
    if (r < 0) return r;
    *ret = at.container ? child(at.container, at.key) : p->doc;
    return *ret ? 0 : err_set(err, ERR_INVALID, "path \"%s\" does not exist", pointer);
}

/* What stands from i on makes room, or fills it. */
static int elements_move(struct patching *p, const json_t *array, size_t i, struct err *err) {
    p->moved += json_array_size(array) - i;
    if (p->moved <= LIMIT_JSON_PATCH_MOVES) return 0;
    return err_set(err, ERR_INVALID, "the operations move more than %d elements of lists",
                   LIMIT_JSON_PATCH_MOVES);
}

/* Puts a copy of value at the pointer; replace demands that something is there. */
static int value_put(struct patching *p, const char *pointer, const json_t *value, bool replace,
                     struct err *err) {
    struct place at = {0};
    int r = place_find(p, pointer, &at, err);
    if (r < 0) return r;
    if (json_depth(value, LIMIT_JSON_DEPTH) + (int)at.depth > LIMIT_JSON_DEPTH)
        return err_set(err, ERR_INVALID, "the result is nested deeper than %d levels",
                       LIMIT_JSON_DEPTH);
    p->copied += count_values(value);
    if (p->copied > LIMIT_BODY_BYTES)
        return err_set(err, ERR_INVALID, "the operations copy more than %d bytes",
                       LIMIT_BODY_BYTES);
    OWN(json_decref_p) json_t *copy = json_deep_copy(value);
    if (!copy) abort();
    if (!at.container) {
        json_decref(p->doc);
        p->doc = TAKE(copy);
        return 0;
    }
    if (replace && !child(at.container, at.key))
        return err_set(err, ERR_INVALID, "path \"%s\" does not exist", pointer);
    if (json_is_object(at.container)) return json_object_set(at.container, at.key, copy);
    size_t n = json_array_size(at.container), i = n;
    if (strcmp(at.key, "-") != 0 && !index_parse(at.key, n + 1, &i))
        return err_set(err, ERR_INVALID, "path \"%s\": no such index", pointer);
    if (replace) return json_array_set(at.container, i, copy);
    r = elements_move(p, at.container, i, err);
    return r < 0 ? r : json_array_insert(at.container, i, copy);
}

static int value_remove(struct patching *p, const char *pointer, struct err *err) {
    struct place at = {0};
    int r = place_find(p, pointer, &at, err);
    if (r < 0) return r;
    if (!at.container) return err_set(err, ERR_INVALID, "the whole document cannot be removed");
    if (!child(at.container, at.key))
        return err_set(err, ERR_INVALID, "path \"%s\" does not exist", pointer);
    if (json_is_object(at.container)) return json_object_del(at.container, at.key);
    size_t i = 0;
    index_parse(at.key, json_array_size(at.container), &i);
    r = elements_move(p, at.container, i, err);
    return r < 0 ? r : json_array_remove(at.container, i);
}

struct operation {
    const char *path, *from;
    const json_t *value;
};

static int op_add(struct patching *p, const struct operation *o, struct err *err) {
    return value_put(p, o->path, o->value, false, err);
}

static int op_replace(struct patching *p, const struct operation *o, struct err *err) {
    return value_put(p, o->path, o->value, true, err);
}

static int op_remove(struct patching *p, const struct operation *o, struct err *err) {
    return value_remove(p, o->path, err);
}

static int op_copy(struct patching *p, const struct operation *o, struct err *err) {
    json_t *v = NULL;
    int r = value_get(p, o->from, &v, err);
    return r < 0 ? r : value_put(p, o->path, v, false, err);
}

static int op_move(struct patching *p, const struct operation *o, struct err *err) {
    json_t *v = NULL;
    size_t n = strlen(o->from);
    int r = value_get(p, o->from, &v, err);
    if (r < 0) return r;
    if (strcmp(o->from, o->path) == 0) return 0;
    if (strncmp(o->path, o->from, n) == 0 && o->path[n] == '/')
        return err_set(err, ERR_INVALID, "\"%s\" cannot be moved into itself", o->from);
    OWN(json_decref_p) json_t *held = json_incref(v);
    r = value_remove(p, o->from, err);
    return r < 0 ? r : value_put(p, o->path, held, false, err);
}

/* As json_equal, but 1 and 1.0 are the same number. */
static bool value_equal(const json_t *x, const json_t *y) {
    if (json_is_number(x) && json_is_number(y) && json_typeof(x) != json_typeof(y))
        return json_number_value(x) == json_number_value(y);
    return json_equal(x, y);
}

static int op_test(struct patching *p, const struct operation *o, struct err *err) {
    json_t *v = NULL;
    struct err missing;
    if (value_get(p, o->path, &v, &missing) < 0 && !json_is_null(o->value))
        return err_set(err, ERR_INVALID, "testing path \"%s\": no such value", o->path);
    if (v && !value_equal(v, o->value))
        return err_set(err, ERR_INVALID, "testing path \"%s\": values differ", o->path);
    return 0;
}

static const struct {
    const char *name;
    int (*run)(struct patching *p, const struct operation *o, struct err *err);
    bool value, from;
} operations[] = {
    {"add", op_add, true, false},         {"remove", op_remove, false, false},
    {"replace", op_replace, true, false}, {"move", op_move, false, true},
    {"copy", op_copy, false, true},       {"test", op_test, true, false},
};

static int operation_run(struct patching *p, const json_t *item, struct err *err) {
    if (!json_is_object(item)) return err_set(err, ERR_BAD_REQUEST, "not an object");
    const char *name = json_string_value(json_object_get(item, "op"));
    struct operation o = {
        .path = json_string_value(json_object_get(item, "path")),
        .from = json_string_value(json_object_get(item, "from")),
        .value = json_object_get(item, "value"),
    };
    for (size_t i = 0; name && i < ARRAY_LEN(operations); i++) {
        if (strcmp(name, operations[i].name) != 0) continue;
        if (!o.path) return err_set(err, ERR_INVALID, "%s: path is missing", name);
        if (operations[i].value && !o.value)
            return err_set(err, ERR_INVALID, "%s: value is missing", name);
        if (operations[i].from && !o.from)
            return err_set(err, ERR_INVALID, "%s: from is missing", name);
        return operations[i].run(p, &o, err) < 0 ? err_wrap(err, "%s", name) : 0;
    }
    return err_set(err, ERR_INVALID, "unexpected kind of operation \"%s\"", name ? name : "");
}

int patch_json(json_t *doc, struct slice patch, json_t **ret, struct err *err) {
    OWN(json_decref_p) json_t *list = NULL;
    int r = patch_parse(patch, &list, err);
    if (r < 0) return r;
    if (!json_is_array(list))
        return err_set(err, ERR_BAD_REQUEST, "error decoding patch: a JSON patch is an array");
    if (json_array_size(list) > LIMIT_JSON_PATCH_OPS)
        return err_set(err, ERR_TOO_LARGE,
                       "The allowed maximum operations in a JSON patch is %d, got %zu",
                       LIMIT_JSON_PATCH_OPS, json_array_size(list));
    OWN(arena_free_p) struct arena *a = arena_new();
    struct patching p = {.a = a, .doc = json_deep_copy(doc)};
    if (!p.doc) abort();
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item) {
        r = operation_run(&p, item, err);
        if (r == 0) continue;
        json_decref(p.doc);
        if (err && err->reason == ERR_BAD_REQUEST)
            return err_wrap(err, "error decoding patch: operation %zu", i);
        return err ? err_wrap(err, REFUSED ": operation %zu", i) : err_code(ERR_INVALID);
    }
    *ret = p.doc;
    return 0;
}

/* RFC 7386, section 2. Neither target (may be NULL) nor patch changes: what is new are the objects
 * on the way to each change, the rest is theirs, with a reference. Depth is bounded by patch_parse.
 */
static json_t *merge(json_t *target, json_t *patch) {
    if (!json_is_object(patch)) return json_incref(patch);
    json_t *result = json_is_object(target) ? json_copy(target) : json_object();
    const char *key;
    json_t *v;
    json_object_foreach(patch, key, v) {
        if (json_is_null(v))
            json_object_del(result, key);
        else
            json_object_set_new(result, key, merge(json_object_get(target, key), v));
    }
    return result;
}

int patch_merge(json_t *doc, struct slice patch, json_t **ret, struct err *err) {
    OWN(json_decref_p) json_t *v = NULL;
    int r = patch_parse(patch, &v, err);
    if (r < 0) return r;
    if (!json_is_object(v))
        return err_set(err, ERR_BAD_REQUEST, "error decoding patch: a merge patch is an object");
    *ret = merge(doc, v);
    return 0;
}
