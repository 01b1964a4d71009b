/* atoll help: the list of verbs. */
#include <stdio.h>

#include "base/own.h"
#include "cli/verb.h"

static int help_run(const struct verb *v, int argc, char **argv) {
    struct cli_args args;
    OWN(arena_free_p) struct arena *a = arena_new();
    int status = cli_parse(v, argc, argv, NULL, 0, 0, &args);
    if (status != CLI_CONTINUE) return status;
    size_t n;
    const struct verb **verbs = verbs_sorted(a, &n);
    printf("Atoll turns this machine into a cloud that speaks the Kubernetes API.\n\n"
           "usage: atoll VERB [--root DIR] [...]; `atoll VERB --help` says more\n\n");
    for (size_t i = 0; i < n; i++) printf("  %-10s %s\n", verbs[i]->name, verbs[i]->summary);
    return 0;
}

static const struct verb help_verb = {"help", "", "list the verbs", help_run};
VERB(help_verb);
