#include "image/catalog.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/own.h"
#include "proto/json.h"

static const char file[] = "images.json";

static void json_free(json_t **j) { json_decref(*j); }

static json_t *list_to_json(const char **v, uint32_t n) {
    json_t *out = json_array();
    for (uint32_t i = 0; i < n; i++) json_array_append_new(out, json_string(v[i]));
    return out;
}

static uint32_t list_from_json(struct arena *a, const json_t *list, const char ***ret) {
    size_t n = json_array_size(list);
    *ret = ARENA_ARRAY(a, const char *, n);
    for (size_t i = 0; i < n; i++)
        (*ret)[i] = arena_str(a, str_or(json_string_value(json_array_get(list, i)), ""));
    return (uint32_t)n;
}

/* Every field of image_info once: name in the file, member. */
#define LISTS(X)                                                                                   \
    X("names", names)                                                                              \
    X("layers", layers) X("entrypoint", entrypoint) X("cmd", cmd) X("env", env)
#define TEXTS(X)                                                                                   \
    X("id", id)                                                                                    \
    X("repoDigest", repo_digest)                                                                   \
    X("workingDir", working_dir) X("user", user) X("stopSignal", stop_signal)

static json_t *to_json(const struct image_info *i) {
    json_t *o = json_object();
#define PUT_TEXT(key, member) json_object_set_new(o, key, json_string(str_or(i->member, "")));
#define PUT_LIST(key, member) json_object_set_new(o, key, list_to_json(i->member, i->n_##member));
    TEXTS(PUT_TEXT)
    LISTS(PUT_LIST)
    json_object_set_new(o, "sizeBytes", json_integer((json_int_t)i->size_bytes));
    return o;
}

static void from_json(struct arena *a, const json_t *o, struct image_info *i) {
#define GET_TEXT(key, member)                                                                      \
    i->member = arena_str(a, str_or(json_string_value(json_object_get(o, key)), ""));
#define GET_LIST(key, member)                                                                      \
    i->n_##member = list_from_json(a, json_object_get(o, key), &i->member);
    TEXTS(GET_TEXT)
    LISTS(GET_LIST)
    i->size_bytes = (uint64_t)json_integer_value(json_object_get(o, "sizeBytes"));
}

static void add_copy(struct catalog *c, const struct image_info *info) {
    struct catalog_entry e = {.arena = arena_new()};
    OWN(json_free) json_t *o = to_json(info);
    from_json(e.arena, o, &e.info);
    vec_push(&c->entries, e);
}

int catalog_load(struct catalog *c, int dir, struct err *err) {
    *c = (struct catalog){.dir = dir};
    OWN(buf_done) struct buf text = {0};
    OWN(json_free) json_t *doc = NULL;
    char piece[4096];
    OWN(close_p) int fd = openat(dir, file, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return errno == ENOENT ? 0 : err_errno(err, errno, "%s", file);
    for (ssize_t n; (n = read(fd, piece, sizeof piece)) > 0;) buf_append(&text, piece, (size_t)n);
    if (json_parse(buf_view(&text), &doc, err) < 0)
        return err_wrap(
            err,
            "the image list var/lib/atoll/image/%s is damaged; remove it and pull the images again",
            file);
    const json_t *list = json_object_get(doc, "images");
    for (size_t i = 0; i < json_array_size(list); i++) {
        struct catalog_entry e = {.arena = arena_new()};
        from_json(e.arena, json_array_get(list, i), &e.info);
        vec_push(&c->entries, e);
    }
    return 0;
}

void catalog_done(struct catalog *c) {
    for (size_t i = 0; i < c->entries.n; i++) arena_free(c->entries.v[i].arena);
    vec_done(&c->entries);
}

static int save(const struct catalog *c, struct err *err) {
    OWN(json_free) json_t *doc = json_object();
    json_t *list = json_array();
    for (size_t i = 0; i < c->entries.n; i++)
        json_array_append_new(list, to_json(&c->entries.v[i].info));
    json_object_set_new(doc, "images", list);
    OWN(free_p) char *text = json_dumps(doc, JSON_INDENT(1));
    if (!text) abort();
    OWN(close_p)
    int fd = openat(c->dir, "images.json.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    size_t n = strlen(text);
    if (fd >= 0) errno = ENOSPC; /* what a short write means */
    if (fd < 0 || write(fd, text, n) != (ssize_t)n || fsync(fd) < 0 ||
        renameat(c->dir, "images.json.new", c->dir, file) < 0 || fsync(c->dir) < 0)
        return err_errno(err, errno, "writing the image list");
    return 0;
}

static bool is_called(const struct image_info *i, const char *name) {
    if (str_eq(i->id, name) || (!str_empty(i->repo_digest) && str_eq(i->repo_digest, name)))
        return true;
    for (uint32_t j = 0; j < i->n_names; j++)
        if (str_eq(i->names[j], name)) return true;
    return false;
}

const struct image_info *catalog_find(const struct catalog *c, const char *name) {
    for (size_t i = 0; i < c->entries.n; i++)
        if (is_called(&c->entries.v[i].info, name)) return &c->entries.v[i].info;
    return NULL;
}

static void drop_name(struct image_info *i, const char *name) {
    uint32_t kept = 0;
    for (uint32_t j = 0; j < i->n_names; j++)
        if (!str_eq(i->names[j], name)) i->names[kept++] = i->names[j];
    i->n_names = kept;
}

int catalog_put(struct catalog *c, const struct image_info *info, struct err *err) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct image_info merged = *info;
    struct {
        const char **v;
        size_t n;
    } names = {0};
    for (uint32_t i = 0; i < info->n_names; i++) *ARENA_PUSH(a, &names) = info->names[i];
    for (size_t i = 0; i < c->entries.n; i++) {
        struct image_info *other = &c->entries.v[i].info;
        for (uint32_t j = 0; j < info->n_names; j++) drop_name(other, info->names[j]);
        if (!str_eq(other->id, info->id)) continue;
        for (uint32_t j = 0; j < other->n_names; j++)
            *ARENA_PUSH(a, &names) = arena_str(a, other->names[j]);
        if (str_empty(merged.repo_digest)) merged.repo_digest = arena_str(a, other->repo_digest);
        arena_free(c->entries.v[i].arena);
        vec_remove(&c->entries, i);
        i--;
    }
    merged.names = names.v;
    merged.n_names = (uint32_t)names.n;
    add_copy(c, &merged);
    return save(c, err);
}

int catalog_remove(struct catalog *c, const char *name, struct err *err) {
    for (size_t i = 0; i < c->entries.n; i++) {
        struct image_info *info = &c->entries.v[i].info;
        if (!is_called(info, name)) continue;
        bool whole = str_eq(info->id, name) || str_eq(info->repo_digest, name);
        if (!whole) drop_name(info, name);
        if (whole || !info->n_names) {
            arena_free(c->entries.v[i].arena);
            vec_remove(&c->entries, i);
        }
        return save(c, err);
    }
    return err_set(err, ERR_NOT_FOUND, "no image is called %s", name);
}

bool catalog_uses_layer(const struct catalog *c, const char *layer) {
    for (size_t i = 0; i < c->entries.n; i++)
        for (uint32_t j = 0; j < c->entries.v[i].info.n_layers; j++)
            if (str_eq(c->entries.v[i].info.layers[j], layer)) return true;
    return false;
}
