/* atoll sp ls: topologies, one a line. */
#include <inttypes.h>
#include <stdio.h>

#include "base/own.h"
#include "cli/sp/sp_cli.h"

static void line_print(const struct sp_view *v) {
    OWN(buf_done) struct buf roles = {0};
    for (size_t i = 0; i < v->roles.n; i++)
        buf_printf(&roles, "%s%s:%s", i ? "," : "", v->roles.v[i].name,
                   sp_fact(&v->roles.v[i], "clients"));
    printf("%-24s %-9s %-5s %-22s %8s/%-5s %12s %12s\n", v->name, sp_fact(&v->values, "pattern"),
           sp_fact(&v->values, "ready"), str_or(roles.p, "-"), sp_fact(&v->values, "links"),
           sp_fact(&v->values, "wanted_links"), sp_fact(&v->values, "messages_per_second"),
           sp_fact(&v->values, "dropped"));
}

static void facts_json(struct buf *b, const struct sp_facts *f) {
    for (size_t i = 0; i < f->n; i++) {
        uint64_t number;
        buf_char(b, ',');
        buf_json_str(b, slice_of(f->v[i].key));
        buf_char(b, ':');
        if (slice_u64(slice_of(f->v[i].value), &number) == 0)
            buf_u64(b, number);
        else
            buf_json_str(b, slice_of(f->v[i].value));
    }
}

static void list_json(struct buf *b, const char *key, const struct sp_facts_list *l) {
    buf_printf(b, ",\"%s\":[", key);
    for (size_t i = 0; i < l->n; i++) {
        buf_str(b, i ? ",{\"name\":" : "{\"name\":");
        buf_json_str(b, slice_of(l->v[i].name));
        facts_json(b, &l->v[i]);
        buf_char(b, '}');
    }
    buf_char(b, ']');
}

static void view_json(struct buf *b, const struct sp_view *v) {
    buf_str(b, "{\"name\":");
    buf_json_str(b, slice_of(v->name));
    facts_json(b, &v->values);
    list_json(b, "roles", &v->roles);
    list_json(b, "edges", &v->edges);
    buf_char(b, '}');
}

static int ls_run(const struct verb *v, int argc, char **argv) {
    const char *output = NULL, *root;
    const struct cli_option options[] = {{"-o", "json", "machine-readable output", &output, NULL}};
    struct cli_args args;
    struct err err = {0};
    struct sp_names names;
    OWN(arena_free_p) struct arena *a = arena_new();
    OWN(buf_done) struct buf json = {0};
    int status = cli_parse(v, argc, argv, options, ARRAY_LEN(options), 0, &args);
    if (status != CLI_CONTINUE) return status;
    if (output && !str_eq(output, "json")) return cli_usage(v, "-o: only json is known");
    status = sp_cli_root(v, &args, a, &root);
    if (status != CLI_CONTINUE) return status;
    if (sp_view_names(root, a, &names, &err) < 0) return cli_err(v, &err);
    if (!output)
        printf("%-24s %-9s %-5s %-22s %8s/%-5s %12s %12s\n", "NAME", "PATTERN", "READY", "PROGRAMS",
               "LINKS", "EDGES", "MESSAGES/S", "DROPPED");
    for (size_t i = 0; i < names.n; i++) {
        struct sp_view view;
        if (sp_view_read(root, names.v[i], a, &view, &err) < 0) continue; /* removed meanwhile */
        buf_str(&json, json.n ? "," : "[");
        view_json(&json, &view);
        if (!output) line_print(&view);
    }
    if (output) printf("%s]\n", json.n ? json.p : "[");
    return 0;
}

const struct verb sp_ls_verb = {"sp ls", "[-o json]",
                                "shows topologies, their programs, edges and rates", ls_run};
