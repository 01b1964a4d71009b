#include "wire/broker.h"

#include "base/own.h"
#include "base/test.h"

/* Packing what was unpacked must give the same bytes, and every field must have arrived. */

static struct broker_resources resources(void) {
    return (struct broker_resources){1024, 50000, 1 << 30, 100, -5};
}

TEST(broker_pod_round_trip) {
    const char *sysctls[] = {"a=1", "b=2"};
    struct broker_pod p = {"uid", "name",   "ns",    "host", true,    false,      true,
                           false, "resolv", "hosts", 2,      sysctls, resources()},
                      q;
    OWN(buf_done) struct buf b = {0}, again = {0};
    OWN(arena_free_p) struct arena *a = arena_new();
    broker_pod_pack(&b, &p);
    assert_int_equal(broker_pod_unpack(buf_view(&b), a, &q), 0);
    broker_pod_pack(&again, &q);
    assert_true(slice_eq(buf_view(&b), buf_view(&again)));
    assert_string_equal(q.hostname, "host");
    assert_true(q.host_network && !q.host_ipc && q.host_pid && !q.share_process_namespace);
    assert_string_equal(q.etc_hosts, "hosts");
    assert_string_equal(q.sysctls[1], "b=2");
    assert_int_equal(q.resources.oom_score_adj, -5);
}

static struct broker_container container(void) {
    static const char *layers[] = {"l1", "l2"}, *args[] = {"sh", "-c", "x"}, *env[] = {"A=b"};
    static const char *add[] = {"NET_ADMIN"}, *drop[] = {"ALL", "KILL"};
    static int64_t groups[] = {7, 8};
    static struct broker_mount mounts[] = {
        {BROKER_MOUNT_VOLUME, "v", 0, "sub", "/t", true, 1},
        {BROKER_MOUNT_HOST, "/h", BROKER_HOST_FILE, "", "/u", false, 2},
    };
    return (struct broker_container){
        .uid = "uid",
        .id = "id",
        .name = "name",
        .pod_namespace = "ns",
        .pod_name = "pod",
        .attempt = 3,
        .n_layers = 2,
        .layers = layers,
        .n_args = 3,
        .n_env = 1,
        .n_mounts = 2,
        .args = args,
        .env = env,
        .mounts = mounts,
        .cwd = "/w",
        .user_spec = "u:g",
        .run_as_user = 5,
        .run_as_group = -1,
        .n_groups = 2,
        .groups = groups,
        .privileged = true,
        .read_only_rootfs = true,
        .tty = true,
        .stdin_once = true,
        .n_cap_add = 1,
        .n_cap_drop = 2,
        .cap_add = add,
        .cap_drop = drop,
        .seccomp = "Unconfined",
        .proc_mount_unmasked = true,
        .resources = resources(),
        .termination_path = "/dev/x",
    };
}

TEST(broker_container_round_trip) {
    struct broker_container c = container(), d;
    OWN(buf_done) struct buf b = {0}, again = {0};
    OWN(arena_free_p) struct arena *a = arena_new();
    broker_container_pack(&b, &c);
    assert_int_equal(broker_container_unpack(buf_view(&b), a, &d), 0);
    broker_container_pack(&again, &d);
    assert_true(slice_eq(buf_view(&b), buf_view(&again)));
    assert_int_equal(d.attempt, 3);
    assert_string_equal(d.layers[1], "l2");
    assert_string_equal(d.args[2], "x");
    assert_string_equal(d.mounts[0].sub_path, "sub");
    assert_int_equal(d.mounts[1].propagation, 2);
    assert_int_equal(d.groups[1], 8);
    assert_true(d.privileged && !d.allow_privilege_escalation && d.read_only_rootfs);
    assert_true(!d.run_as_non_root && d.tty && !d.stdin_open && d.stdin_once);
    assert_string_equal(d.cap_drop[1], "KILL");
    assert_string_equal(d.termination_path, "/dev/x");
}

TEST(broker_container_refuses_every_shorter_message) {
    struct broker_container c = container(), d;
    OWN(buf_done) struct buf b = {0};
    broker_container_pack(&b, &c);
    for (size_t n = 0; n < b.n; n++) {
        OWN(arena_free_p) struct arena *a = arena_new();
        assert_true(broker_container_unpack(slice_from(b.p, n), a, &d) < 0);
    }
    OWN(arena_free_p) struct arena *a = arena_new();
    buf_char(&b, 0);
    assert_true(broker_container_unpack(buf_view(&b), a, &d) < 0);
}

TEST(broker_counts_cannot_promise_more_than_the_message_holds) {
    OWN(buf_done) struct buf b = {0};
    OWN(arena_free_p) struct arena *a = arena_new();
    struct broker_exec e;
    pack_str(&b, "uid");
    pack_str(&b, "id");
    pack_u32(&b, 0xffffffff);
    assert_true(broker_exec_unpack(buf_view(&b), a, &e) < 0);
    assert_true(arena_used(a) < 4096);
}

TEST(broker_state_exec_and_volume_round_trip) {
    struct broker_container_state s = {"u", "i", "n", "ns", "p", 4,  true,
                                       99,  1,   2,   true, 10,  20, "m"},
                                  t;
    const char *args[] = {"ls", ""};
    struct broker_exec e = {"u", "i", 2, args, true, false, true, false}, f;
    struct broker_volume v = {"u", "n", true, 1 << 20, 01777, 2000}, w;
    OWN(buf_done) struct buf b = {0}, c = {0}, d = {0};
    OWN(arena_free_p) struct arena *a = arena_new();
    broker_container_state_pack(&b, &s);
    struct unpack u = unpack_init(buf_view(&b));
    assert_int_equal(broker_container_state_unpack(&u, a, &t), 0);
    assert_int_equal(unpack_end(&u), 0);
    assert_int_equal(t.pid, 99);
    assert_int_equal(t.finished_ns, 20);
    assert_true(t.running && t.oom_killed);
    assert_string_equal(t.message, "m");
    broker_exec_pack(&c, &e);
    assert_int_equal(broker_exec_unpack(buf_view(&c), a, &f), 0);
    assert_true(f.tty && !f.want_stdin && f.want_stdout && !f.want_stderr && f.n_args == 2);
    broker_volume_pack(&d, &v);
    assert_int_equal(broker_volume_unpack(buf_view(&d), a, &w), 0);
    assert_true(w.memory && w.size_bytes == 1 << 20 && w.mode == 01777 && w.group == 2000);
}

TEST(broker_volume_write_round_trip) {
    struct broker_file files[] = {{"a", SLICE("one\0two"), 0644, -1}, {"d/b", SLICE(""), 0400, 33}};
    struct broker_volume_write v = {"u", "n", -1, 2, files}, w;
    OWN(buf_done) struct buf b = {0};
    OWN(arena_free_p) struct arena *a = arena_new();
    broker_volume_write_pack(&b, &v);
    assert_int_equal(broker_volume_write_unpack(buf_view(&b), a, &w), 0);
    assert_int_equal(w.n_files, 2);
    assert_true(slice_eq(w.files[0].data, SLICE("one\0two")));
    assert_int_equal(w.files[1].mode, 0400);
    assert_int_equal(w.files[1].owner, 33);
}
