#include <stdio.h>
#include <unistd.h>

#include "base/own.h"
#include "base/test.h"
#include "sim/replay.h"
#include "sim/sim.h"

static void write_file(char *path, const char *text) {
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static int load(struct trace *t, const char *nodes, const char *pods, struct err *err) {
    char nodes_path[] = "/tmp/replay-nodes-XXXXXX", pods_path[] = "/tmp/replay-pods-XXXXXX";
    write_file(nodes_path, nodes);
    write_file(pods_path, pods);
    int rc = trace_load(t, nodes_path, pods_path, err);
    unlink(nodes_path);
    unlink(pods_path);
    return rc;
}

static const char nodes_csv[] =
    "sn,cpu_milli,memory_mib,gpu,model\nn1,8000,1024,2,A\nn2,8000,1024,0,\n";

TEST(a_trace_has_its_columns_by_name) {
    struct trace t = {.gpu_milli = 0};
    struct err err;
    assert_int_equal(load(&t, nodes_csv,
                          "gpu_spec,name,gpu_milli,num_gpu,cpu_milli,memory_mib\nA|B,p2,500,1,100,"
                          "10\n,p1,1000,1,100,10\n,p0,500,1,100,10\n",
                          &err),
                     0);
    assert_int_equal(t.gpu_milli, 2000);
    assert_int_equal(t.pods.n, 3);
    assert_string_equal(t.pods.v[0].name, "p0"); /* by name */
    assert_int_equal(t.n_shapes, 3);
    assert_int_equal(t.pods.v[2].ask.models, 5); /* A is the first, nothing the second, B third */
    trace_done(&t);
}

TEST(a_wrong_cell_is_named) {
    struct trace t = {.gpu_milli = 0};
    struct err err;
    assert_true(
        load(&t, nodes_csv, "name,cpu_milli,memory_mib,num_gpu,gpu_milli\np,1x,1,1,1\n", &err) < 0);
    assert_non_null(strstr(err.text, ":2: cpu_milli: \"1x\""));
    trace_done(&t);
    t = (struct trace){.gpu_milli = 0};
    assert_true(load(&t, nodes_csv, "name,cpu_milli,memory_mib,num_gpu,gpu_milli\np,1,1,2,500\n",
                     &err) < 0);
    assert_non_null(strstr(err.text, "gpu_milli: must be 1000 of several GPUs"));
    trace_done(&t);
}

TEST(numbers_by_chance_repeat_with_their_seed) {
    uint64_t a = 42, b = 42;
    for (int i = 0; i < 100; i++) {
        uint32_t x = replay_random_below(&a, 7);
        assert_true(x < 7);
        assert_int_equal(x, replay_random_below(&b, 7));
    }
}

/* Two devices half used each by two nodes' worth of room: every score leaves the node consistent.
 */
TEST(every_score_chooses_devices_with_enough) {
    struct gpu_demand *d = calloc(1, sizeof *d);
    assert_non_null(d);
    struct replay_pod share = {.ask = {100, 0, 1, 400}}, whole = {.ask = {100, 0, 1, 1000}};
    gpu_demand_add(d, &share.ask);
    gpu_demand_add(d, &whole.ask);
    gpu_demand_settle(d, true);
    struct replay r = {.demand = d};
    for (const struct replay_mode *m = replay_modes; m->name; m++) {
        struct replay_node n = {
            .room = {.cpu_milli = 1000, .usable = -1, .n = 3, .idle = {300, 1000, 500}}};
        uint32_t devices = 0;
        if (!m->score) continue;
        assert_true(m->score(&r, &n, &share, &devices) >= 0);
        assert_true(devices == 2 || devices == 4);
        assert_true(m->score(&r, &n, &whole, &devices) >= 0);
        assert_int_equal(devices, 2);
    }
    free(d);
}

TEST(the_scheduler_itself_places_a_trace) {
    struct trace t = {.gpu_milli = 0};
    struct err err;
    static const uint32_t order[] = {1, 0};
    uint32_t devices = 0;
    assert_int_equal(
        load(&t, nodes_csv,
             "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec\np0,1000,10,1,600,A\n"
             "p1,1000,10,2,1000,\np2,1000,10,0,0,\np3,1000,10,1,1000,B\n",
             &err),
        0);
    struct replay_cluster *c = replay_cluster_new(&t, order);
    assert_int_equal(replay_cluster_place(c, &t.pods.v[0], &devices), 0);
    assert_true(devices == 1 || devices == 2);
    uint32_t first = devices;
    assert_int_equal(replay_cluster_place(c, &t.pods.v[0], &devices), 0);
    assert_int_equal(devices, 3 - first);
    assert_int_equal(replay_cluster_place(c, &t.pods.v[1], &devices), -1); /* no two are whole */
    assert_int_equal(replay_cluster_place(c, &t.pods.v[2], &devices), 1);  /* keeps off GPUs */
    assert_int_equal(replay_cluster_place(c, &t.pods.v[3], &devices), -1); /* no such model */
    replay_cluster_free(c);
    trace_done(&t);
}

TEST(a_mode_that_nobody_knows_is_named) {
    struct err err;
    struct sim_options o = {.nodes_csv = "/", .pods_csv = "/", .mode = "odd"};
    assert_true(sim_replay(&o, &err) < 0);
    assert_string_equal(err.field, "--mode");
    assert_non_null(strstr(err.text, "no mode is called \"odd\"; there are random, "));
}
