/* atoll debug: what the system is allowed to do, and what it left behind. */
#include <stdio.h>
#include <unistd.h>

#include "base/own.h"
#include "cli/leftovers.h"
#include "cli/verb.h"
#include "proc/authority.h"
#include "proc/settings.h"

static int debug_authority(const struct verb *v, const char *root, struct arena *a) {
    OWN(buf_done) struct buf b = {0};
    authority_print(&b);
    fputs(b.p, stdout);
    return 0;
}

static int debug_leaks(const struct verb *v, const char *root, struct arena *a) {
    struct err err;
    struct settings s;
    struct settings_choice choice = {.root = root};
    struct leftovers l;
    size_t leaks = 0;
    if (geteuid() != 0) return cli_fail(v, "leaks needs root: run it with sudo");
    if (settings_resolve(&choice, a, &s, &err) < 0) return cli_err(v, &err);
    leftovers_scan(&l, a, root, s.instance);
    for (size_t i = 0; i < l.list.n; i++) {
        const struct leftover *x = &l.list.v[i];
        if (x->pod_running) continue;
        leaks++;
        printf("%-8s %s%s%s\n", x->kind, x->name, *x->pod_uid ? "  of pod " : "", x->pod_uid);
    }
    if (leaks) return cli_fail(v, "%zu leftovers of no running pod", leaks);
    printf("nothing is left over (%zu pods run)\n", l.running.n);
    return 0;
}

static const struct {
    const char *name;
    int (*run)(const struct verb *v, const char *root, struct arena *a);
    bool needs_root_dir;
} topics[] = {{"authority", debug_authority, false}, {"leaks", debug_leaks, true}};

static int debug_run(const struct verb *v, int argc, char **argv) {
    struct cli_args args;
    OWN(arena_free_p) struct arena *a = arena_new();
    const char *root = "";
    int status = cli_parse(v, argc, argv, NULL, 0, 1, &args);
    if (status != CLI_CONTINUE) return status;
    for (size_t i = 0; args.n_words && i < ARRAY_LEN(topics); i++) {
        if (!str_eq(topics[i].name, args.words[0])) continue;
        if (topics[i].needs_root_dir) status = cli_root(v, &args, a, &root);
        return status == CLI_CONTINUE ? topics[i].run(v, root, a) : status;
    }
    return cli_usage(v, "say `authority` (who may do what) or `leaks` (what pods left behind)");
}

static const struct verb debug_verb = {"debug", "authority|leaks",
                                       "show the authority table, or leftovers of pods", debug_run,
                                       "  authority                   what each service may do\n"
                                       "  leaks                       what pods that do not run "
                                       "left behind; status 1 when there is any\n"};
VERB(debug_verb);
