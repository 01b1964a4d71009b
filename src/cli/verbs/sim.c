/* atoll sim: a simulated cluster in virtual time; checks controllers and scheduler, or replays a
 * trace. */
#include <stdio.h>

#include "base/own.h"
#include "cli/verb.h"
#include "sim/sim.h"

static int take_number(const struct verb *v, const char *option, const char *text, uint64_t *ret) {
    if (text && slice_u64(slice_of(text), ret) < 0)
        return cli_usage(v, "%s: '%s' is no whole number", option, text);
    return CLI_CONTINUE;
}

static int run_replay(const struct verb *v, const struct sim_options *o) {
    struct err err;
    if (!o->nodes_csv || !o->pods_csv)
        return cli_usage(v, "--nodes and --pods belong together: give both files");
    if (!sim_replay) return cli_fail(v, "trace replay is not part of this build");
    return sim_replay(o, &err) < 0 ? cli_err(v, &err) : 0;
}

static int sim_run(const struct verb *v, int argc, char **argv) {
    const char *seed = NULL, *plans = NULL, *each = NULL;
    bool scale = false;
    struct sim_options o = {.seed = 1, .seeds = 1};
    const struct cli_option options[] = {
        {"--seed", "N", "the first seed; default 1", &seed, NULL},
        {"--plans", "N", "how many plans, one per seed; default 1", &plans, NULL},
        {"--each", "N", "then more, until each controller has had N", &each, NULL},
        {"--controller", "NAME", "only plans that exercise this controller", &o.controller, NULL},
        {"--scenarios", "A+B", "exactly these, as a failure names them", &o.scenarios, NULL},
        {"--seeds-file", "FILE", "runs the seeds of this list", &o.seeds_file, NULL},
        {"--verbose", NULL, "print what happens", NULL, &o.verbose},
        {"--scale", NULL, "measure cost and memory over sizes instead", NULL, &scale},
        {"--nodes", "FILE.csv", "replay a trace: its nodes", &o.nodes_csv, NULL},
        {"--pods", "FILE.csv", "replay a trace: its pods", &o.pods_csv, NULL},
        {"--mode", "NAME", "replay a trace: the scores that decide; default atoll", &o.mode, NULL},
    };
    struct cli_args args;
    int status = cli_parse(v, argc, argv, options, ARRAY_LEN(options), 0, &args);
    if (status == CLI_CONTINUE) status = take_number(v, "--seed", seed, &o.seed);
    if (status == CLI_CONTINUE) status = take_number(v, "--plans", plans, &o.seeds);
    if (status == CLI_CONTINUE) status = take_number(v, "--each", each, &o.each);
    if (status != CLI_CONTINUE) return status;
    if (o.nodes_csv || o.pods_csv) return run_replay(v, &o);
    int (*run)(const struct sim_options *) = scale ? sim_scale : sim_check;
    return run ? run(&o) : cli_fail(v, "this build replays traces only");
}

static const struct verb sim_verb = {
    "sim", "[--seed N] [--plans N] [--controller NAME]",
    "simulate a cluster in virtual time and check it", sim_run,
    "Status 1 when a plan fails; its line says how to run it again.\n"};
VERB(sim_verb);
