/* atoll sp show: one topology with its roles, edges, counters and peers. */
#include <stdio.h>

#include "base/own.h"
#include "cli/sp/sp_cli.h"

/* A table of facts: the keys of the first line are the columns. */
static void table_print(const char *title, const struct sp_facts_list *l) {
    if (!l->n) return;
    printf("\n%s\n", title);
    for (size_t i = 0; i < l->n; i++) {
        printf("  %-16s", l->v[i].name);
        for (size_t j = 0; j < l->v[i].n; j++)
            printf("  %s=%s", l->v[i].v[j].key, l->v[i].v[j].value);
        putchar('\n');
    }
}

static int show_run(const struct verb *v, int argc, char **argv) {
    const char *root;
    struct cli_args args;
    struct sp_view view;
    OWN(arena_free_p) struct arena *a = arena_new();
    int status = cli_parse(v, argc, argv, NULL, 0, 1, &args);
    if (status != CLI_CONTINUE) return status;
    status = sp_cli_topology(v, &args, a, &root, &view);
    if (status != CLI_CONTINUE) return status;
    for (size_t i = 0; i < view.values.n; i++)
        printf("%-20s %s\n", view.values.v[i].key, view.values.v[i].value);
    table_print("roles", &view.roles);
    table_print("edges", &view.edges);
    const char *stats = sp_view_file(root, args.words[0], "stats", a);
    const char *peers = sp_view_file(root, args.words[0], "peers", a);
    if (stats) printf("\nstats\n%s", stats);
    if (peers) printf("\npeers\n%s", peers);
    return 0;
}

const struct verb sp_show_verb = {
    "sp show", "TOPOLOGY", "shows one topology with its counters and everybody who is connected",
    show_run};
