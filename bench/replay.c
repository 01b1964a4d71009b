/* `bench_replay NODES.csv PODS.csv [MODE [FIRST_SEED SEEDS]]`: see src/sim/replay.h. */
#include <stdio.h>
#include <stdlib.h>

#include "sim/sim.h"

int main(int argc, char **argv) {
    struct err err;
    if (argc < 3) {
        fprintf(stderr, "usage: bench_replay NODES.csv PODS.csv [MODE|all [FIRST_SEED SEEDS]]\n");
        return 2;
    }
    struct sim_options o = {.nodes_csv = argv[1], .pods_csv = argv[2]};
    if (argc > 3) o.mode = argv[3];
    if (argc > 5) {
        o.seed = strtoull(argv[4], NULL, 10);
        o.seeds = strtoull(argv[5], NULL, 10);
    }
    if (sim_replay(&o, &err) == 0) return 0;
    fprintf(stderr, "bench_replay: %s\n", err.text);
    return 1;
}
