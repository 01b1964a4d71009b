/* atoll sp filter: the socket files sub@… of a topology; with a prefix, one more of them. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "api/registry.h"
#include "api/topology_graph.h"
#include "base/own.h"
#include "cli/api_get.h"
#include "cli/sp/sp_cli.h"
#include "client/path.h"

struct filter {
    const char *root, *topology, *prefix, *name;
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
    if (r == 0) r = api_object_decode(f->a, k, body, &o, err);
    if (r == 0 && f->prefix) r = change(f, (void *)o, err);
    if (r == 1) {
        api_object_encode(&json, k, o);
        r = cli_api_send(f->root, f->a, "PUT", path.p, buf_view(&json), &body, err);
    }
    if (r == 0) list_print(f, (const void *)o);
    return r;
}

static int filter_run(const struct verb *v, int argc, char **argv) {
    struct filter f = {0};
    const struct cli_option options[] = {
        {"--name", "NAME", "the file is sub@NAME; default: the prefix, percent-encoded", &f.name,
         NULL},
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
    return filter_work(&f, &err) < 0 ? cli_err(v, &err) : 0;
}

const struct verb sp_filter_verb = {
    "sp filter", "TOPOLOGY [PREFIX] [--name NAME] [--remove]",
    "shows the subscription files of a Topology of the API; with a prefix, adds one. (Those of "
    "atoll sp --config stand in its files.)",
    filter_run};
