/* atoll sp: messaging. Its sub-verbs are in cli/sp; --config runs the service alone. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/own.h"
#include "cli/sp/sp_cli.h"
#include "proc/service.h"
#include "proc/settings.h"

static const struct verb *const verbs[] = {&sp_ls_verb,    &sp_show_verb, &sp_graph_verb,
                                           &sp_tail_verb,  &sp_send_verb, &sp_bench_verb,
                                           &sp_filter_verb};

static int help(const struct verb *v) {
    printf("usage: atoll sp --config DIR [--root DIR]\n"
           "       atoll sp VERB …\n\n"
           "%s\n\n"
           "  --config DIR                serves the Topologies in the YAML and JSON files of DIR, "
           "and nothing else, until\n"
           "                              it is interrupted; files that change are read again\n"
           "  --root DIR                  the socket files are under DIR/run/atoll/sp; default /\n",
           v->summary);
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
        printf("  %-26s  %s\n", verbs[i]->name + sizeof "sp " - 1, verbs[i]->summary);
    printf("\nEach verb has its --help. The guide is docs/messaging.md.\n");
    return 0;
}

static void ready(void *user) {
    printf("atoll sp: socket files are under %s/run/atoll/sp\n", (const char *)user);
    fflush(stdout);
}

static int serve(const struct verb *v, int argc, char **argv) {
    const char *config = NULL;
    const struct cli_option options[] = {{"--config", "DIR", "", &config, NULL}};
    struct cli_args args;
    struct settings s = {0};
    struct err err = {0};
    char path[PATH_MAX];
    OWN(arena_free_p) struct arena *a = arena_new();
    int status = cli_parse(v, argc, argv, options, ARRAY_LEN(options), 0, &args);
    if (status != CLI_CONTINUE) return status;
    if (!config) return cli_usage(v, "needs --config DIR or a verb; `atoll sp --help` lists them");
    if (!realpath(config, path)) return cli_fail(v, "--config %s: %m", config);
    if (settings_root(args.root, true, a, &s.root, &err) < 0) return cli_err(v, &err);
    s.sp_config = path;
    return service_alone("sp", &s, ready, (void *)(uintptr_t)s.root);
}

static int sp_run(const struct verb *v, int argc, char **argv) {
    const char *word = argc > 1 ? argv[1] : "--help";
    if (str_eq(word, "--help") || str_eq(word, "-h") || str_eq(word, "help")) return help(v);
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
        if (str_eq(verbs[i]->name + sizeof "sp " - 1, word))
            return verbs[i]->run(verbs[i], argc - 1, argv + 1);
    if (word[0] != '-')
        return cli_usage(v, "unknown verb '%s'; `atoll sp --help` lists them", word);
    return serve(v, argc, argv);
}

static const struct verb sp_verb = {"sp", "--config DIR | VERB …",
                                    "messaging: topologies, what passes them; see atoll sp --help",
                                    sp_run};
VERB(sp_verb);
