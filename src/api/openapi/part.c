#include "api/openapi/part.h"

#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "api/patch/patch.h"
#include "base/arena.h"
#include "base/own.h"
#include "base/vec.h"
#include "proto/json.h"

static const char at_definitions[] = "#/definitions/";

struct part {
    const json_t *all; /* the document's definitions */
    const char *group, *version, *prefix;
    size_t prefix_n;
    json_t *taken;            /* of all */
    VEC(const json_t *) left; /* taken, their references not looked at yet */
    struct err *err;
};

static void part_done(struct part *p) {
    json_decref(p->taken);
    vec_done(&p->left);
}

static void take(struct part *p, const char *name, const json_t *definition) {
    if (json_object_get(p->taken, name)) return;
    json_object_set(p->taken, name, (json_t *)definition);
    vec_push(&p->left, definition);
}

static int follow(struct part *p, const char *reference) {
    const json_t *definition = NULL;
    if (str_starts(reference, at_definitions)) {
        reference += sizeof at_definitions - 1;
        definition = json_object_get(p->all, reference);
    }
    if (!json_is_object(definition))
        return err_set(p->err, ERR_BAD_REQUEST, "\"%.200s\" refers to no definition", reference);
    take(p, reference, definition);
    return 0;
}

/* The tree's depth is bounded by who parsed it. */
static int references(struct part *p, const json_t *v) {
    const char *key;
    json_t *child;
    for (size_t i = 0; i < json_array_size(v); i++) {
        int rc = references(p, json_array_get(v, i));
        if (rc < 0) return rc;
    }
    json_object_foreach((json_t *)v, key, child) {
        bool is_reference = str_eq(key, "$ref") && json_is_string(child);
        int rc = is_reference ? follow(p, json_string_value(child)) : references(p, child);
        if (rc < 0) return rc;
    }
    return 0;
}

static bool is_below(const struct part *p, const char *path) {
    return strncmp(path, p->prefix, p->prefix_n) == 0 &&
           (!path[p->prefix_n] || path[p->prefix_n] == '/');
}

static int take_paths(struct part *p, const json_t *paths, struct buf *out) {
    const char *path;
    json_t *item;
    json_object_foreach((json_t *)paths, path, item) {
        if (!is_below(p, path) || !json_is_object(item)) continue;
        int rc = references(p, item);
        if (rc < 0) return rc;
        buf_char(out, ',');
        buf_json_str(out, slice_of(path));
        buf_char(out, ':');
        json_write(out, item);
    }
    return 0;
}

static bool is_of_group(const struct part *p, const json_t *definition) {
    const json_t *kinds = json_object_get(definition, "x-kubernetes-group-version-kind"), *kind;
    size_t i;
    json_array_foreach((json_t *)kinds, i, kind) {
        if (str_eq(json_string_value(json_object_get(kind, "group")), p->group) &&
            str_eq(json_string_value(json_object_get(kind, "version")), p->version))
            return true;
    }
    return false;
}

static int take_definitions(struct part *p) {
    const char *name;
    json_t *definition;
    json_object_foreach((json_t *)p->all, name, definition) {
        if (json_is_object(definition) && is_of_group(p, definition)) take(p, name, definition);
    }
    for (size_t i = 0; i < p->left.n; i++) {
        int rc = references(p, p->left.v[i]);
        if (rc < 0) return rc;
    }
    return 0;
}

int openapi_part_read(struct slice document, const char *group, const char *version,
                      struct buf *ret_paths, struct buf *ret_definitions, struct err *err) {
    OWN(json_decref_p) json_t *root = NULL;
    OWN(arena_free_p) struct arena *a = arena_new();
    int rc = json_parse(document, &root, err);
    if (rc < 0) return rc;
    if (!str_eq(json_string_value(json_object_get(root, "swagger")), "2.0"))
        return err_set(err, ERR_BAD_REQUEST, "swagger: not \"2.0\"");
    OWN(part_done)
    struct part p = {.all = json_object_get(root, "definitions"),
                     .group = group,
                     .version = version,
                     .prefix = arena_printf(a, "/apis/%s/%s", group, version),
                     .taken = json_object(),
                     .err = err};
    p.prefix_n = strlen(p.prefix);
    rc = take_paths(&p, json_object_get(root, "paths"), ret_paths);
    if (rc == 0) rc = take_definitions(&p);
    if (rc == 0) json_write(ret_definitions, p.taken);
    return rc;
}
