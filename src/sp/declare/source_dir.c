/*
 * Topologies from a directory of files (*.yaml, *.yml, *.json; one or many documents each), for a
 * machine that runs nothing else of Atoll. Changes are seen as they happen. A file that is wrong
 * leaves what it had declared before as it was, and says so in the log.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "api/registry.h"
#include "api/rules/topology_graph.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/own.h"
#include "proto/yaml.h"
#include "sp/declare/config_topology.h"
#include "sp/sp_service.h"

enum { SETTLE_MS = 100 };

static struct source_dir {
    struct sp_service *service;
    const char *path;
    int dir, inotify;
    struct fd_watch *watch;
    struct timer *settle; /* several changes in a row are one */
    struct map files;     /* name → struct buf: certificates and keys as root has read them */
    struct map declared;  /* names of what is declared by this source */
} source = {.dir = -1, .inotify = -1};

static const struct sp_source directory;

/* What has been read from all files. */
struct reading {
    struct arena *a;
    struct {
        struct sp_v1_topology **v;
        size_t n;
    } list;
    const char *file;
    bool failed; /* something is missing: nothing is taken away */
    struct err first;
};

static void complain(struct reading *r, const struct err *err) {
    log_error("config_refused", "file=%s/%s reason=\"%s\"", source.path, r->file, err->text);
    if (!r->failed) r->first = *err;
    r->failed = true;
}

static int on_document(void *user, struct slice json) {
    struct reading *r = user;
    struct sp_v1_topology *t;
    struct err err = {0};
    struct slice kept = slice_from(arena_copy(r->a, json.p, json.n), json.n);
    if (sp_topology_decode(kept, source.dir, r->a, &t, &err) < 0)
        complain(r, &err);
    else
        *ARENA_PUSH(r->a, &r->list) = t;
    return 0;
}

static void read_file(struct reading *r, const char *name) {
    OWN(buf_done) struct buf text = {0};
    struct err err = {0};
    r->file = name;
    if (sp_file_read(source.dir, name, LIMIT_SP_CONFIG_FILE_BYTES, &text, &err) < 0 ||
        yaml_each_document(buf_view(&text), on_document, r, &err) < 0)
        complain(r, &err);
}

static bool is_config(const char *name) {
    return name[0] != '.' &&
           (str_ends(name, ".yaml") || str_ends(name, ".yml") || str_ends(name, ".json"));
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int read_all(struct reading *r, struct err *err) {
    int fd = openat(source.dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return err_errno(err, errno, "%s", source.path);
    OWN(closedir_p) DIR *d = fdopendir(fd);
    if (!d) {
        close(fd);
        return err_errno(err, errno, "%s", source.path);
    }
    struct {
        const char **v;
        size_t n;
    } names = {0};
    for (struct dirent *e; (e = readdir(d));)
        if (is_config(e->d_name)) *ARENA_PUSH(r->a, &names) = arena_str(r->a, e->d_name);
    if (names.n) qsort(names.v, names.n, sizeof names.v[0], by_name);
    for (size_t i = 0; i < names.n; i++) read_file(r, names.v[i]);
    return 0;
}

/* ---- files that topologies name ---- */

/* As root has read it before the sandbox closed, if it can not be read any more: keys are not for
 * everybody's eyes. */
static int named_file(void *user, const char *name, struct arena *a, struct slice *ret,
                      struct err *err) {
    enum { MAX_BYTES = 256 * 1024 };
    OWN(buf_done) struct buf text = {0};
    (void)user;
    int r = sp_file_read(source.dir, name, MAX_BYTES, &text, err);
    struct buf *known = map_gets(&source.files, name);
    if (r < 0 && !known) return r;
    if (r == 0 && !known) {
        known = calloc(1, sizeof *known);
        if (!known) abort();
        map_put(&source.files, slice_of(name), known);
    }
    if (r == 0) {
        buf_clear(known);
        buf_slice(known, buf_view(&text));
    }
    *ret = slice_from(arena_copy(a, known->p, known->n), known->n);
    return 0;
}

/* ---- declaring ---- */

static bool same_name_before(const struct reading *r, size_t i) {
    for (size_t k = 0; k < i; k++)
        if (str_eq(r->list.v[k]->metadata.name, r->list.v[i]->metadata.name)) return true;
    return false;
}

static int config_of(struct reading *r, size_t i, struct sp_config **ret, struct err *err) {
    const struct sp_v1_topology *t = r->list.v[i];
    const char *field;
    if (same_name_before(r, i))
        return err_set(err, ERR_ALREADY_EXISTS, "%s is declared twice", t->metadata.name);
    const char *cycle =
        topology_cycle(r->a, t, (const struct sp_v1_topology *const *)r->list.v, r->list.n, &field);
    if (cycle) return err_field(err, ERR_INVALID, field, "%s: %s", field, cycle);
    return sp_config_of_topology(t, str_or(source.service->ctx->settings->node_name, ""),
                                 named_file, NULL, ret, err);
}

/* Also before the sandbox, with nobody to declare to: then only what is wrong counts. */
static int load(bool declare, struct err *err) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct reading r = {.a = a, .file = ""};
    int e = read_all(&r, err);
    if (e < 0) return e;
    struct map seen = {0};
    for (size_t i = 0; i < r.list.n; i++) {
        struct sp_config *c;
        struct err why = {0};
        r.file = r.list.v[i]->metadata.name;
        map_put(&seen, slice_of(r.file), &source);
        if (config_of(&r, i, &c, &why) < 0) {
            complain(&r, &why);
            continue;
        }
        if (!declare)
            sp_config_free(c);
        else if (sp_service_declare(source.service, &directory, c, &why) < 0)
            complain(&r, &why);
        else
            map_put(&source.declared, slice_of(r.file), &source);
    }
    struct map_entry *entry;
    for (size_t i = 0; declare && !r.failed && (entry = map_next(&source.declared, &i));) {
        if (map_gets(&seen, entry->key)) continue;
        sp_service_undeclare(source.service, &directory, entry->key);
        map_del(&source.declared, slice_from(entry->key, entry->key_n));
        i = 0;
    }
    map_done(&seen);
    if (!declare && r.failed) {
        *err = r.first;
        return err_code(err->reason);
    }
    return 0;
}

static void on_settled(void *user) {
    struct err err = {0};
    (void)user;
    if (load(true, &err) < 0) log_error("config_not_read", "reason=\"%s\"", err.text);
}

static void on_change(void *user, unsigned events) {
    char bytes[8192];
    (void)user, (void)events;
    while (read(source.inotify, bytes, sizeof bytes) > 0) continue;
    timer_start(source.settle, SETTLE_MS, 0);
}

/* ---- life ---- */

static int prepare(struct sp_service *s, struct err *err) {
    source.service = s;
    source.path = s->ctx->settings->sp_config;
    if (str_empty(source.path)) return 0;
    source.dir = open(source.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (source.dir < 0) return err_errno(err, errno, "%s", source.path);
    source.inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (source.inotify < 0 ||
        inotify_add_watch(source.inotify, source.path,
                          IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE) < 0)
        return err_errno(err, errno, "%s", source.path);
    return load(false, err);
}

static int start(struct sp_service *s, struct err *err) {
    if (source.dir < 0) {
        sp_service_synced(s, &directory);
        return 0;
    }
    source.settle = timer_new(s->loop, on_settled, NULL);
    source.watch = fd_watch_new(s->loop, source.inotify, FD_READ, on_change, NULL);
    int r = load(true, err);
    if (r == 0) sp_service_synced(s, &directory);
    return r;
}

static const struct sp_source directory = {.name = "files", .prepare = prepare, .start = start};
SP_SOURCE(directory);
