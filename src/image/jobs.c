#include "image/jobs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/own.h"
#include "image/digest.h"
#include "image/manifest.h"
#include "image/registry.h"
#include "image/remove_tree.h"
#include "image/unpack.h"
#include "proto/json.h"

/* ---- spool and layers ---- */

/* A nameless file: gone with the process, whatever happens. */
static int spool_open(const struct job *j, int *ret_fd, struct err *err) {
    const char *dir = arena_printf(j->arena, "%s/spool", j->state);
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0) return err_errno(err, errno, "spool file in %s", dir);
    *ret_fd = fd;
    return 0;
}

static const char *layer_path(const struct job *j, const char *hex) {
    return arena_printf(j->arena, "%s/layers/%s", j->state, hex);
}

static bool has_layer(const struct job *j, const char *hex) {
    return access(layer_path(j, hex), F_OK) == 0;
}

/* Unpacks beside and renames: a layer is there as a whole or not at all. diff_id NULL = take what
 * comes. */
static int install_layer(struct job *j, int fd, const char *want_hex, struct unpack_result *ret,
                         struct err *err) {
    char *fresh = arena_printf(j->arena, "%s/layers/.new-XXXXXX", j->state);
    if (!mkdtemp(fresh) || chmod(fresh, 0755) < 0) return err_errno(err, errno, "layer directory");
    int r = unpack_run(j->root, fresh, fd, UNPACK_LAYER, ret, err);
    if (r == 0 && want_hex && strcmp(ret->diff_id + strlen("sha256:"), want_hex) != 0)
        r = err_set(err, ERR_INVALID,
                    "layer is corrupt: its content has digest %s, the configuration says sha256:%s",
                    ret->diff_id, want_hex);
    if (r == 0 && rename(fresh, layer_path(j, ret->diff_id + strlen("sha256:"))) < 0 &&
        errno != ENOTEMPTY && errno != EEXIST)
        r = err_errno(err, errno, "layer directory");
    remove_tree(fresh); /* gone already when all went well */
    return r;
}

static struct image_info *new_image(struct job *j, const char *name) {
    struct image_info *i = ARENA_PUSH(j->arena, &j->images);
    if (!str_empty(name)) {
        i->names = ARENA_ARRAY(j->arena, const char *, 1);
        i->names[i->n_names++] = name;
    }
    i->repo_digest = "";
    return i;
}

/* ---- pull ---- */

static int pull_layers(struct job *j, struct registry *reg, const struct image_manifest *m,
                       struct image_info *info, struct err *err) {
    if (info->n_layers != m->n_layers)
        return err_set(err, ERR_INVALID, "the manifest has %zu layers, the configuration %u",
                       m->n_layers, info->n_layers);
    for (size_t i = 0; i < m->n_layers; i++) {
        struct unpack_result unpacked;
        OWN(close_p) int fd = -1;
        info->size_bytes += m->layers[i].size_bytes;
        if (has_layer(j, info->layers[i])) continue;
        int r = spool_open(j, &fd, err);
        if (r == 0) r = registry_blob(reg, m->layers[i].digest, m->layers[i].size_bytes, fd, err);
        if (r == 0) r = install_layer(j, fd, info->layers[i], &unpacked, err);
        if (r < 0) return r;
    }
    return 0;
}

static int pull_config(struct job *j, struct registry *reg, const struct image_blob *blob,
                       struct buf *config, struct err *err) {
    char piece[4096];
    OWN(close_p) int fd = -1;
    if (blob->size_bytes > LIMIT_IMAGE_MANIFEST_BYTES)
        return err_set(err, ERR_TOO_LARGE, "the image configuration is too large");
    int r = spool_open(j, &fd, err);
    if (r == 0) r = registry_blob(reg, blob->digest, blob->size_bytes, fd, err);
    off_t at = 0;
    for (ssize_t n; r == 0 && (n = pread(fd, piece, sizeof piece, at)) > 0; at += n)
        buf_append(config, piece, (size_t)n);
    return r;
}

static int pull_from(struct job *j, struct registry *reg, const struct image_reference *ref,
                     struct err *err) {
    OWN(buf_done) struct buf body = {0}, config = {0};
    struct image_manifest m;
    char digest[80], top[80];
    int r = registry_manifest(reg, ref->digest ? ref->digest : ref->tag, &body, top, err);
    if (r == 0) r = image_manifest_parse(j->arena, buf_view(&body), &m, err);
    if (r == 0 && m.is_index) {
        buf_clear(&body);
        r = registry_manifest(reg, m.chosen.digest, &body, digest, err);
        if (r == 0) r = image_manifest_parse(j->arena, buf_view(&body), &m, err);
        if (r == 0 && m.is_index) r = err_set(err, ERR_INVALID, "an index inside an index");
    }
    if (r == 0) r = pull_config(j, reg, &m.config, &config, err);
    if (r < 0) return r;
    struct image_info *info = new_image(j, image_reference_name(j->arena, ref));
    info->id = m.config.digest;
    info->repo_digest = arena_printf(j->arena, "%s/%s@%s", ref->host, ref->repository, top);
    r = image_config_parse(j->arena, buf_view(&config), info, err);
    return r == 0 ? pull_layers(j, reg, &m, info, err) : r;
}

int job_pull(struct job *j, const struct image_pull_request *q, struct err *err) {
    struct image_reference ref;
    struct registry reg = {0};
    int r = image_reference_parse(j->arena, q->ref, &ref, err);
    if (r == 0)
        r = registry_open(&reg, j->arena, &ref, q->username, q->password, j->insecure_hosts, err);
    if (r == 0) r = pull_from(j, &reg, &ref, err);
    registry_close(&reg);
    return r < 0 ? err_wrap(err, "failed to pull and unpack image \"%s\"", q->ref) : 0;
}

/* ---- import ---- */

struct layout { /* an unpacked archive */
    struct job *job;
    int dir;
    const char *name;
};

static int layout_open(const struct layout *l, const char *path, int *ret_fd, struct err *err) {
    struct open_how how = {.flags = O_RDONLY | O_CLOEXEC,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
    *ret_fd = (int)syscall(SYS_openat2, l->dir, path, &how, sizeof how);
    return *ret_fd < 0 ? err_errno(err, errno, "the archive's file \"%.200s\"", path) : 0;
}

static int layout_read(const struct layout *l, const char *path, struct buf *out, struct err *err) {
    char piece[4096];
    OWN(close_p) int fd = -1;
    int r = layout_open(l, path, &fd, err);
    for (ssize_t n; r == 0 && (n = read(fd, piece, sizeof piece)) > 0;) {
        buf_append(out, piece, (size_t)n);
        if (out->n > LIMIT_IMAGE_MANIFEST_BYTES)
            r = err_set(err, ERR_TOO_LARGE, "\"%.200s\" is too large", path);
    }
    return r;
}

static const char *blob_path(struct arena *a, const char *digest) {
    return arena_printf(a, "blobs/sha256/%s", digest + strlen("sha256:"));
}

static int read_blob(const struct layout *l, const char *digest, struct buf *out, struct err *err) {
    char got[80];
    int r = layout_read(l, blob_path(l->job->arena, digest), out, err);
    if (r < 0) return r;
    digest_of(buf_view(out), got);
    return strcmp(got, digest) == 0
               ? 0
               : err_set(err, ERR_INVALID, "blob %s is corrupt: its digest is %s", digest, got);
}

/* files: one archive member per layer. digests may be NULL (docker-archive). */
static int import_layers(const struct layout *l, struct image_info *info, const char *const *files,
                         const char *const *digests, size_t n, struct err *err) {
    if (n != info->n_layers)
        return err_set(err, ERR_INVALID, "the manifest has %zu layers, the configuration %u", n,
                       info->n_layers);
    for (size_t i = 0; i < n; i++) {
        struct unpack_result unpacked;
        struct stat st;
        char got[80];
        OWN(close_p) int fd = -1;
        int r = layout_open(l, files[i], &fd, err);
        if (r < 0) return r;
        if (fstat(fd, &st) == 0) info->size_bytes += (uint64_t)st.st_size;
        if (digests && (r = digest_of_fd(fd, got, err)) < 0) return r;
        if (digests && strcmp(got, digests[i]) != 0)
            return err_set(err, ERR_INVALID, "blob %s is corrupt: its digest is %s", digests[i],
                           got);
        if (!has_layer(l->job, info->layers[i]) &&
            (r = install_layer(l->job, fd, info->layers[i], &unpacked, err)) < 0)
            return r;
    }
    return 0;
}

static int normal_name(struct arena *a, const char *name, const char **ret, struct err *err) {
    struct image_reference ref;
    int r = image_reference_parse(a, name, &ref, err);
    if (r == 0) *ret = image_reference_name(a, &ref);
    return r;
}

static int import_oci_manifest(const struct layout *l, const char *digest, const char *name,
                               struct err *err) {
    struct arena *a = l->job->arena;
    OWN(buf_done) struct buf body = {0}, config = {0};
    struct image_manifest m;
    int r = read_blob(l, digest, &body, err);
    if (r == 0) r = image_manifest_parse(a, buf_view(&body), &m, err);
    if (r == 0 && m.is_index) {
        buf_clear(&body);
        r = read_blob(l, m.chosen.digest, &body, err);
        if (r == 0) r = image_manifest_parse(a, buf_view(&body), &m, err);
        if (r == 0 && m.is_index) r = err_set(err, ERR_INVALID, "an index inside an index");
    }
    if (r == 0) r = read_blob(l, m.config.digest, &config, err);
    if (r < 0) return r;
    struct image_info *info = new_image(l->job, name);
    info->id = m.config.digest;
    r = image_config_parse(a, buf_view(&config), info, err);
    const char **files = ARENA_ARRAY(a, const char *, m.n_layers),
               **digests = ARENA_ARRAY(a, const char *, m.n_layers);
    for (size_t i = 0; i < m.n_layers; i++) {
        files[i] = blob_path(a, m.layers[i].digest);
        digests[i] = m.layers[i].digest;
    }
    return r == 0 ? import_layers(l, info, files, digests, m.n_layers, err) : r;
}

static void json_free(json_t **j) { json_decref(*j); }

static int import_oci(const struct layout *l, struct slice index, struct err *err) {
    struct arena *a = l->job->arena;
    OWN(json_free) json_t *doc = NULL;
    if (json_parse(index, &doc, err) < 0) return err_wrap(err, "index.json");
    const json_t *list = json_object_get(doc, "manifests");
    size_t n = json_array_size(list);
    if (!n || n > LIMIT_IMAGE_LAYERS) return err_set(err, ERR_INVALID, "index.json names no image");
    if (*l->name && n > 1)
        return err_set(err, ERR_INVALID, "the archive holds %zu images: leave --name out", n);
    for (size_t i = 0; i < n; i++) {
        const json_t *m = json_array_get(list, i), *notes = json_object_get(m, "annotations");
        const char *digest = json_string_value(json_object_get(m, "digest")), *name = l->name;
        if (!*name)
            name =
                str_or(json_string_value(json_object_get(notes, "io.containerd.image.name")), "");
        if (!*name)
            name = str_or(
                json_string_value(json_object_get(notes, "org.opencontainers.image.ref.name")), "");
        if (!digest || !image_digest_valid(digest))
            return err_set(err, ERR_INVALID, "index.json holds an invalid digest");
        if (!*name)
            return err_set(err, ERR_INVALID, "the archive does not name its image: give --name");
        int r = normal_name(a, name, &name, err);
        if (r == 0) r = import_oci_manifest(l, arena_str(a, digest), name, err);
        if (r < 0) return r;
    }
    return 0;
}

static int import_docker_one(const struct layout *l, const json_t *m, struct err *err) {
    struct arena *a = l->job->arena;
    OWN(buf_done) struct buf config = {0};
    const json_t *tags = json_object_get(m, "RepoTags"), *layers = json_object_get(m, "Layers");
    const char *path = json_string_value(json_object_get(m, "Config"));
    const char *name = *l->name ? l->name : str_or(json_string_value(json_array_get(tags, 0)), "");
    size_t n = json_array_size(layers);
    char id[80];
    if (!path) return err_set(err, ERR_INVALID, "manifest.json names no configuration");
    if (!*name)
        return err_set(err, ERR_INVALID, "the archive does not name its image: give --name");
    int r = normal_name(a, name, &name, err);
    if (r == 0) r = layout_read(l, path, &config, err);
    if (r < 0) return r;
    digest_of(buf_view(&config), id);
    struct image_info *info = new_image(l->job, name);
    info->id = arena_str(a, id);
    r = image_config_parse(a, buf_view(&config), info, err);
    const char **files = ARENA_ARRAY(a, const char *, n);
    for (size_t i = 0; i < n; i++)
        files[i] = arena_str(a, str_or(json_string_value(json_array_get(layers, i)), "?"));
    return r == 0 ? import_layers(l, info, files, NULL, n, err) : r;
}

static int import_docker(const struct layout *l, struct slice manifest, struct err *err) {
    OWN(json_free) json_t *doc = NULL;
    if (json_parse(manifest, &doc, err) < 0) return err_wrap(err, "manifest.json");
    size_t n = json_array_size(doc);
    if (!n) return err_set(err, ERR_INVALID, "manifest.json names no image");
    if (*l->name && n > 1)
        return err_set(err, ERR_INVALID, "the archive holds %zu images: leave --name out", n);
    int r = 0;
    for (size_t i = 0; r == 0 && i < n; i++) r = import_docker_one(l, json_array_get(doc, i), err);
    return r;
}

static int import_from(struct job *j, const char *name, const char *dir, struct err *err) {
    OWN(buf_done) struct buf text = {0};
    OWN(close_p) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return err_errno(err, errno, "spool");
    struct layout l = {.job = j, .dir = fd, .name = name};
    if (faccessat(fd, "index.json", F_OK, 0) == 0) {
        int r = layout_read(&l, "index.json", &text, err);
        return r == 0 ? import_oci(&l, buf_view(&text), err) : r;
    }
    if (faccessat(fd, "manifest.json", F_OK, 0) < 0)
        return err_set(
            err, ERR_INVALID,
            "the archive is no image: it has neither index.json (OCI layout) nor manifest.json");
    int r = layout_read(&l, "manifest.json", &text, err);
    return r == 0 ? import_docker(&l, buf_view(&text), err) : r;
}

/* Streams may be pipes: everything goes to a spool file first. */
static int spool_copy(struct job *j, int from, int *ret_fd, struct err *err) {
    static char piece[65536];
    ssize_t n;
    int r = spool_open(j, ret_fd, err);
    if (r < 0) return r;
    while ((n = read(from, piece, sizeof piece)) > 0) {
        errno = ENOSPC; /* what a short write means */
        if (write(*ret_fd, piece, (size_t)n) != n) return err_errno(err, errno, "spool file");
    }
    return n < 0 ? err_errno(err, errno, "reading the archive") : 0;
}

int job_import(struct job *j, const char *name, int archive_fd, struct err *err) {
    struct unpack_result unpacked;
    OWN(close_p) int fd = -1;
    char *dir = arena_printf(j->arena, "%s/spool/import-XXXXXX", j->state);
    if (!mkdtemp(dir)) return err_errno(err, errno, "spool directory");
    int r = spool_copy(j, archive_fd, &fd, err);
    if (r == 0) r = unpack_run(j->root, dir, fd, UNPACK_PLAIN, &unpacked, err);
    if (r == 0) r = import_from(j, name, dir, err);
    remove_tree(dir);
    return r;
}

/* ---- from a directory ---- */

static int make_config(struct job *j, const char *given, const char *diff_id, struct buf *out,
                       struct err *err) {
    OWN(json_free) json_t *config = NULL;
    if (*given && json_parse(slice_of(given), &config, err) < 0) return err_wrap(err, "--config");
    if (config && !json_is_object(config))
        return err_set(err, ERR_BAD_REQUEST, "--config: must be a JSON object");
    if (!config) config = json_object();
    if (!json_object_get(config, "Cmd") && !json_object_get(config, "Entrypoint"))
        json_object_set_new(config, "Cmd", json_pack("[s]", "/bin/sh"));
    if (!json_object_get(config, "Env"))
        json_object_set_new(
            config, "Env",
            json_pack("[s]", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"));
    OWN(json_free)
    json_t *doc =
        json_pack("{s:s, s:s, s:O, s:{s:s, s:[s]}}", "architecture", image_architecture(), "os",
                  "linux", "config", config, "rootfs", "type", "layers", "diff_ids", diff_id);
    OWN(free_p) char *text = doc ? json_dumps(doc, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    if (!text) return err_set(err, ERR_BAD_REQUEST, "--config: cannot be used");
    (void)j;
    buf_str(out, text);
    return 0;
}

int job_from_dir(struct job *j, const struct image_from_dir *q, int tar_fd, struct err *err) {
    OWN(buf_done) struct buf config = {0};
    OWN(close_p) int fd = -1;
    struct unpack_result unpacked;
    const char *name;
    char id[80];
    int r = normal_name(j->arena, q->name, &name, err);
    if (r == 0) r = spool_copy(j, tar_fd, &fd, err);
    if (r == 0) r = install_layer(j, fd, NULL, &unpacked, err);
    if (r == 0) r = make_config(j, q->config_json, unpacked.diff_id, &config, err);
    if (r < 0) return r;
    digest_of(buf_view(&config), id);
    struct image_info *info = new_image(j, name);
    info->id = arena_str(j->arena, id);
    info->size_bytes = unpacked.bytes;
    return image_config_parse(j->arena, buf_view(&config), info, err);
}
