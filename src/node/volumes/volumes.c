#include "node/volumes/volumes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/own.h"

extern const struct volume_driver *const __start_atoll_volumes[];
extern const struct volume_driver *const __stop_atoll_volumes[];

static int by_name(const void *x, const void *y) {
    const struct volume_driver *const *a = x, *const *b = y;
    return strcmp((*a)->name, (*b)->name);
}

const struct volume_driver *const *volume_drivers(size_t *ret_n) {
    static const struct volume_driver *sorted[32];
    static size_t n;
    if (!n) {
        for (const struct volume_driver *const *d = __start_atoll_volumes;
             d < __stop_atoll_volumes && n < ARRAY_LEN(sorted); d++)
            sorted[n++] = *d;
        qsort(sorted, n, sizeof sorted[0], by_name);
    }
    *ret_n = n;
    return sorted;
}

/* The driver of a volume, or NULL: no such kind here. */
static const struct volume_driver *volume_driver_of(const struct core_v1_volume *v) {
    size_t n;
    const struct volume_driver *const *all = volume_drivers(&n);
    for (size_t i = 0; i < n; i++)
        if (all[i]->handles(v)) return all[i];
    return NULL;
}

int volume_render(struct arena *a, const struct volume_input *in, struct volume_result *ret,
                  struct err *err) {
    const struct volume_driver *d = volume_driver_of(in->volume);
    memset(ret, 0, sizeof *ret);
    ret->mode = 0755;
    if (!d) {
        err_set(err, ERR_INVALID, "no volume plugin matched");
        return -EINVAL;
    }
    return d->render(a, in, ret, err);
}

uint64_t volume_hash(const struct volume_result *r) {
    OWN(buf_done) struct buf b = {0};
    for (size_t i = 0; i < r->files.n; i++) {
        pack_str(&b, r->files.v[i].path);
        pack_slice(&b, r->files.v[i].data);
        pack_u32(&b, r->files.v[i].mode);
    }
    uint64_t h = map_hash(buf_view(&b));
    return h ? h : 1;
}

void volume_add_file(struct arena *a, struct volume_files *files, const char *path,
                     struct slice data, uint32_t mode) {
    struct broker_file *f = NULL;
    for (size_t i = 0; i < files->n && !f; i++)
        if (str_eq(files->v[i].path, path)) f = &files->v[i]; /* a later source wins */
    if (!f) f = ARENA_PUSH(a, files);
    *f = (struct broker_file){.path = path, .data = data, .mode = mode, .owner = -1};
}

struct key_data {
    const char *key;
    struct slice data;
};
struct key_list {
    struct key_data *v;
    size_t n;
};

static void add_text(struct arena *a, struct key_list *l, const struct str_map *m) {
    for (size_t i = 0; i < m->n; i++)
        *ARENA_PUSH(a, l) = (struct key_data){m->v[i].key, slice_of(str_or(m->v[i].value, ""))};
}

static void add_base64(struct arena *a, struct key_list *l, const struct str_map *m) {
    for (size_t i = 0; i < m->n; i++) {
        OWN(buf_done) struct buf b = {0};
        if (buf_unbase64(&b, slice_of(str_or(m->v[i].value, ""))) < 0) continue;
        *ARENA_PUSH(a, l) =
            (struct key_data){m->v[i].key, slice_from(arena_copy(a, b.p ? b.p : "", b.n), b.n)};
    }
}

/* Projects keys to files: all of them, or those that items select. */
static int project(struct arena *a, const struct key_list *keys,
                   const struct core_v1_key_to_path_list *items, bool optional, uint32_t mode,
                   struct volume_files *files, struct err *err) {
    if (!items->n) {
        for (size_t i = 0; i < keys->n; i++)
            volume_add_file(a, files, keys->v[i].key, keys->v[i].data, mode);
        return 0;
    }
    for (size_t i = 0; i < items->n; i++) {
        const struct core_v1_key_to_path *item = &items->v[i];
        const struct key_data *found = NULL;
        for (size_t j = 0; j < keys->n && !found; j++)
            if (str_eq(keys->v[j].key, item->key)) found = &keys->v[j];
        if (!found && optional) continue;
        if (!found)
            return err_set(err, ERR_NOT_FOUND, "references non-existent config key: %s",
                           str_or(item->key, ""));
        volume_add_file(a, files, item->path, found->data,
                        item->mode ? (uint32_t)*item->mode : mode);
    }
    return 0;
}

static int absent(enum lookup l, const char *kind, const char *name, bool optional,
                  struct err *err) {
    if (l == LOOKUP_PENDING) {
        err_set(err, ERR_UNAVAILABLE, "%s \"%s\" is being fetched", kind, name);
        return -EAGAIN;
    }
    if (optional) return 0;
    return err_set(err, ERR_NOT_FOUND, "%s \"%s\" not found", kind, name);
}

int volume_add_config_map(struct arena *a, const struct volume_input *in, const char *name,
                          const struct core_v1_key_to_path_list *items, bool optional,
                          uint32_t mode, struct volume_files *files, struct err *err) {
    const struct core_v1_config_map *m = NULL;
    struct key_list keys = {0};
    name = str_or(name, "");
    enum lookup l = in->source->config_map(in->source->user, name, &m);
    if (l != LOOKUP_FOUND) return absent(l, "configmap", name, optional, err);
    add_text(a, &keys, &m->data);
    add_base64(a, &keys, &m->binary_data);
    return project(a, &keys, items, optional, mode, files, err);
}

int volume_add_secret(struct arena *a, const struct volume_input *in, const char *name,
                      const struct core_v1_key_to_path_list *items, bool optional, uint32_t mode,
                      struct volume_files *files, struct err *err) {
    const struct core_v1_secret *m = NULL;
    struct key_list keys = {0};
    name = str_or(name, "");
    enum lookup l = in->source->secret(in->source->user, name, &m);
    if (l != LOOKUP_FOUND) return absent(l, "secret", name, optional, err);
    add_base64(a, &keys, &m->data);
    return project(a, &keys, items, optional, mode, files, err);
}

int volume_add_downward(struct arena *a, const struct volume_input *in,
                        const struct core_v1_downward_api_volume_file_list *items, uint32_t mode,
                        struct volume_files *files, struct err *err) {
    for (size_t i = 0; i < items->n; i++) {
        const struct core_v1_downward_api_volume_file *f = &items->v[i];
        const char *text = "";
        int rc = 0;
        if (f->field_ref)
            rc = downward_field(a, in->facts, f->field_ref->field_path, &text, err);
        else if (f->resource_field_ref)
            rc = downward_resource(a, in->facts, NULL, f->resource_field_ref, &text, err);
        if (rc < 0) return rc;
        volume_add_file(a, files, f->path, slice_of(text), f->mode ? (uint32_t)*f->mode : mode);
    }
    return 0;
}
