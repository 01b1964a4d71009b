/* atoll version. */
#include <stdio.h>

#include "cli/verb.h"

static int version_run(const struct verb *v, int argc, char **argv) {
    struct cli_args args;
    int status = cli_parse(v, argc, argv, NULL, 0, 0, &args);
    if (status != CLI_CONTINUE) return status;
    printf("atoll %s (Kubernetes API v1.32)\n", ATOLL_VERSION);
    return 0;
}

static const struct verb version_verb = {"version", "", "print the version", version_run};
VERB(version_verb);
