/* atoll sp filter: the socket files sub@… of a topology; with a prefix, one more of them. It
 * changes the object of the API, or with --config the file NAME.filters beside those that declare
 * it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "api/registry.h"
#include "api/rules/topology_graph.h"
#include "base/own.h"
#include "cli/api_get.h"
#include "cli/sp/sp_cli.h"
#include "client/path.h"

enum { TAKEN_UP_MS = 5000, LOOK_MS = 20, FILE_MAX_BYTES = 4 << 20 };

struct filter {
    const char *root, *config, *topology, *prefix, *name;
    bool remove;
    struct arena *a;
};

static void list_print(const struct filter *f, const struct sp_v1_topology *t) {
    printf("%s/run/atoll/sp/%s/sub@\n", f->root, f->topology);
    for (size_t i = 0; i < t->spec.filters.n; i++)
        printf("%s/run/atoll/sp/%s/sub@%s\n", f->root, f->topology,
               topology_filter_name(f->a, &t->spec.filters.v[i]));
}

/* 1: the object has to be written. */
static int change(const struct filter *f, struct sp_v1_topology *t, struct err *err) {
    struct sp_v1_topology_filter_list *l = &t->spec.filters;
    struct sp_v1_topology_filter wanted = {f->name, f->prefix};
    const char *name = topology_filter_name(f->a, &wanted);
    for (size_t i = 0; i < l->n; i++) {
        if (!str_eq(topology_filter_name(f->a, &l->v[i]), name)) continue;
        if (f->remove) {
            memmove(&l->v[i], &l->v[i + 1], (l->n - i - 1) * sizeof *l->v);
            l->n--;
            return 1;
        }
        if (str_eq(l->v[i].prefix, f->prefix)) return 0;
        return err_set(err, ERR_CONFLICT, "sub@%s is there already, with another prefix", name);
    }
    if (f->remove) return err_set(err, ERR_NOT_FOUND, "there is no sub@%s", name);
    *ARENA_PUSH(f->a, l) = wanted;
    return 1;
}

static int filter_work(const struct filter *f, struct err *err) {
    OWN(buf_done) struct buf path = {0}, json = {0};
    const struct api_kind *k = api_kind_by_name("sp.atoll.dev", "v1", "Topology");
    struct api_object *o;
    struct slice body;
    api_path(&path, k, NULL, f->topology, NULL);
    int r = cli_api_get(f->root, f->a, path.p, &body, err);
    if (r < 0 && err->reason == ERR_UNAVAILABLE)
        err_wrap(err, "without --config DIR this is about a Topology of the API");
    if (r == 0) r = api_object_decode(f->a, k, body, &o, err);
    if (r == 0 && f->prefix) r = change(f, (void *)o, err);
    if (r == 1) {
        api_object_encode(&json, k, o);
        r = cli_api_send(f->root, f->a, "PUT", path.p, buf_view(&json), &body, err);
    }
    if (r == 0) list_print(f, (const void *)o);
    return r;
}

/* ---- of a directory ---- */

static int read_all(int fd, struct buf *out, struct err *err) {
    char piece[8192];
    for (ssize_t n; (n = read(fd, piece, sizeof piece)) != 0;) {
        if (n < 0) return err_errno(err, errno, "read");
        buf_append(out, piece, (size_t)n);
        if (out->n > FILE_MAX_BYTES) return err_set(err, ERR_TOO_LARGE, "more than 4 MiB");
    }
    return 0;
}

static int file_read(const struct filter *f, int dir, const char *file, struct sp_v1_topology **ret,
                     struct err *err) {
    const struct api_kind *k = api_kind_by_name("sp.atoll.dev", "v1", "Topology");
    struct buf text = {0}; /* the object refers to it */
    struct api_object *o;
    OWN(close_p) int fd = openat(dir, file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int r = 0;
    if (fd >= 0)
        r = read_all(fd, &text, err);
    else if (errno == ENOENT)
        buf_printf(&text,
                   "{\"apiVersion\":\"sp.atoll.dev/v1\",\"kind\":\"Topology\","
                   "\"metadata\":{\"name\":\"%s\"}}",
                   f->topology);
    else
        r = err_errno(err, errno, "open");
    struct slice kept = slice_from(arena_copy(f->a, text.p, text.n), text.n);
    buf_done(&text);
    if (r == 0) r = api_object_decode(f->a, k, kept, &o, err);
    if (r < 0) return err_wrap(err, "%s/%s", f->config, file);
    *ret = (void *)o;
    return 0;
}

static int file_write(const struct filter *f, int dir, const char *file,
                      const struct sp_v1_topology *t, struct err *err) {
    static const char fresh[] = ".filters-new"; /* the service passes over what begins with a dot */
    const struct api_kind *k = api_kind_by_name("sp.atoll.dev", "v1", "Topology");
    OWN(buf_done) struct buf json = {0};
    api_object_encode(&json, k, (const void *)t);
    buf_char(&json, '\n');
    OWN(close_p) int fd = openat(dir, fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    bool ok = fd >= 0 && fchmod(fd, 0644) == 0 && write(fd, json.p, json.n) == (ssize_t)json.n &&
              fsync(fd) == 0 && renameat(dir, fresh, dir, file) == 0;
    return ok ? 0 : err_errno(err, errno, "%s/%s", f->config, file);
}

/* The service has seen the change: the socket file is there, or gone. */
static int await(const struct filter *f, struct err *err) {
    struct sp_v1_topology_filter wanted = {f->name, f->prefix};
    OWN(buf_done) struct buf path = {0};
    buf_printf(&path, "%s/run/atoll/sp/%s/sub@%s", f->root, f->topology,
               topology_filter_name(f->a, &wanted));
    for (int waited = 0; waited < TAKEN_UP_MS; waited += LOOK_MS) {
        struct stat st;
        if ((lstat(path.p, &st) == 0) != f->remove) return 0;
        nanosleep(&(struct timespec){.tv_nsec = LOOK_MS * 1000000L}, NULL);
    }
    return err_set(err, ERR_TIMEOUT, "the service has not taken it up; its log says why");
}

static int filter_file_work(const struct filter *f, struct err *err) {
    struct sp_view view;
    struct sp_v1_topology *t = NULL;
    char file[TOPOLOGY_FILTERS_FILE_BYTES];
    int r = sp_view_read(f->root, f->topology, f->a, &view, err);
    if (r < 0) return r;
    if (topology_filters_file(f->topology, file) < 0)
        return err_set(err, ERR_INVALID, "\"%s\" is no name of a topology", f->topology);
    OWN(close_p) int dir = open(f->config, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0) return err_errno(err, errno, "%s", f->config);
    r = file_read(f, dir, file, &t, err);
    if (r == 0 && f->prefix) r = change(f, t, err);
    if (r == 1) r = file_write(f, dir, file, t, err);
    if (r == 0 && f->prefix) r = await(f, err);
    if (r == 0) list_print(f, t);
    return r;
}

static int filter_run(const struct verb *v, int argc, char **argv) {
    struct filter f = {0};
    const struct cli_option options[] = {
        {"--name", "NAME", "the file is sub@NAME; default: the prefix, percent-encoded", &f.name,
         NULL},
        {"--config", "DIR", "of the Topologies of a service that runs with this --config",
         &f.config, NULL},
        {"--remove", NULL, "removes the file instead", NULL, &f.remove},
    };
    struct cli_args args;
    struct err err = {0};
    OWN(arena_free_p) struct arena *a = arena_new();
    int status = cli_parse(v, argc, argv, options, ARRAY_LEN(options), 2, &args);
    if (status != CLI_CONTINUE) return status;
    if (!args.n_words) return cli_usage(v, "needs the name of a topology");
    if (args.n_words == 1 && (f.name || f.remove)) return cli_usage(v, "needs a prefix");
    status = cli_root(v, &args, a, &f.root);
    if (status != CLI_CONTINUE) return status;
    f.a = a;
    f.topology = args.words[0];
    f.prefix = args.n_words == 2 ? args.words[1] : NULL;
    int r = f.config ? filter_file_work(&f, &err) : filter_work(&f, &err);
    return r < 0 ? cli_err(v, &err) : 0;
}

const struct verb sp_filter_verb = {
    "sp filter", "TOPOLOGY [PREFIX] [--name NAME] [--remove] [--config DIR]",
    "shows the subscription files of a Topology of the API; with a prefix, adds one. With --config "
    "DIR those that it has added to a Topology of that directory; they stand in "
    "DIR/TOPOLOGY.filters.",
    filter_run};
