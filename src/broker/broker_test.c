/* Checks, users, runtime messages and path work of the broker; the service itself is tested end to
 * end (tests/e2e/test_broker.py). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/own.h"
#include "base/test.h"
#include "broker/check.h"
#include "broker/paths.h"
#include "broker/runtime.h"
#include "broker/user.h"

static const char id[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

static struct broker_container container(void) {
    static const char *args[] = {"sh"}, *layers[] = {id};
    return (struct broker_container){
        .uid = "u",
        .id = id,
        .name = "app",
        .pod_namespace = "default",
        .pod_name = "web",
        .n_layers = 1,
        .layers = layers,
        .n_args = 1,
        .args = args,
        .cwd = "",
        .user_spec = "",
        .run_as_user = -1,
        .run_as_group = -1,
        .seccomp = "",
        .resources = {-1, -1, -1, -1, INT64_MIN},
        .termination_path = "",
    };
}

TEST(check_container_accepts_the_ordinary) {
    struct broker_container c = container();
    struct err err = {0};
    assert_int_equal(check_container(&c, &err), 0);
}

TEST(check_container_names_the_wrong_field) {
    static const char *bad_env[] = {"NOVALUE"}, *bad_layer[] = {"../x"}, *bad_cap[] = {"NOPE"};
    static int64_t bad_group[] = {-2};
    struct broker_mount up = {BROKER_MOUNT_VOLUME, "v", 0, "a/../b", "/t", false, 0};
    struct broker_mount name = {BROKER_MOUNT_VOLUME, "../v", 0, "", "/t", false, 0};
    struct broker_mount local = {BROKER_MOUNT_LOCAL, "..", 0, "", "/t", false, 0};
    struct broker_mount target = {BROKER_MOUNT_VOLUME, "v", 0, "", "/a/../b", false, 0};
    struct broker_mount shared = {BROKER_MOUNT_HOST, "/h", 0, "", "/t", false, 2};
    struct broker_container c[17];
    const char *fields[17];
    size_t n = 0;
#define BAD(name_of_field, ...)                                                                    \
    do {                                                                                           \
        c[n] = container();                                                                        \
        c[n].__VA_ARGS__;                                                                          \
        fields[n++] = name_of_field;                                                               \
    } while (0)
    BAD("uid", uid = "../x");
    BAD("id", id = "abc");
    BAD("name", name = "App");
    BAD("namespace", pod_namespace = "a/b");
    BAD("pod_name", pod_name = "a_b");
    BAD("layers", n_layers = 0);
    BAD("layers", layers = bad_layer);
    BAD("args", n_args = 0);
    BAD("env", n_env = 1, c[n].env = bad_env);
    BAD("securityContext.capabilities.add", n_cap_add = 1, c[n].cap_add = bad_cap);
    BAD("supplementalGroups", n_groups = 1, c[n].groups = bad_group);
    BAD("mounts.sub_path", n_mounts = 1, c[n].mounts = &up);
    BAD("mounts.source", n_mounts = 1, c[n].mounts = &name);
    BAD("mounts.source", n_mounts = 1, c[n].mounts = &local);
    BAD("mounts.target", n_mounts = 1, c[n].mounts = &target);
    BAD("mounts.propagation", n_mounts = 1, c[n].mounts = &shared);
    BAD("seccompProfile", seccomp = "Localhost");
    for (size_t i = 0; i < n; i++) {
        struct err err = {0};
        assert_true(check_container(&c[i], &err) < 0);
        assert_string_equal(err.field, fields[i]);
    }
}

TEST(check_sysctl_allows_the_safe_set_only) {
    struct err err;
    assert_int_equal(check_sysctl("net.ipv4.tcp_syncookies=1", false, false, &err), 0);
    assert_true(check_sysctl("net.ipv4.tcp_syncookies=1", true, false, &err) < 0);
    assert_true(check_sysctl("kernel.shm_rmid_forced=1", false, true, &err) < 0);
    assert_true(check_sysctl("kernel.core_pattern=|x", false, false, &err) < 0);
    assert_true(check_sysctl("net.ipv4.tcp_syncookies", false, false, &err) < 0);
    assert_true(check_sysctl("net/../kernel.x=1", false, false, &err) < 0);
}

TEST(check_volume_files_stay_inside) {
    struct broker_file f = {"a/b", SLICE("x"), 0644, -1};
    struct broker_volume_write v = {"u", "vol", -1, 1, &f};
    struct err err;
    assert_int_equal(check_volume_write(&v, &err), 0);
    const char *const bad[] = {"", "/a", "../a", "a/../b", "..data", "a//b", "a/", "./a"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        f.path = bad[i];
        assert_true(check_volume_write(&v, &err) < 0);
    }
}

/* ---- users ---- */

#define PASSWD "root:x:0:0::/:/bin/sh\nbad line\nweb:x:33:34::/:\nbig:x:99999999999:1::/:\n"
#define GROUP "root:x:0:\nwww:x:34:\nextra:x:50:web,other\nmore:x:51:other\n"

static int resolve(struct broker_container *c, struct arena *a, struct oci_user *u,
                   struct err *err) {
    return user_resolve(c, SLICE(PASSWD), SLICE(GROUP), a, u, err);
}

TEST(user_by_name_number_and_group) {
    static const struct {
        const char *spec;
        int64_t user, group;
        uint32_t uid, gid, n_groups;
    } cases[] = {
        {"", -1, -1, 0, 0, 1},         {"web", -1, -1, 33, 34, 2},   {"33", -1, -1, 33, 34, 2},
        {"7", -1, -1, 7, 0, 1},        {"7:www", -1, -1, 7, 34, 1},  {"web:0", -1, -1, 33, 0, 2},
        {"web", 1000, -1, 1000, 0, 1}, {"web:www", 33, 5, 33, 5, 2},
    };
    OWN(arena_free_p) struct arena *a = arena_new();
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct broker_container c = container();
        struct oci_user u;
        c.user_spec = cases[i].spec;
        c.run_as_user = cases[i].user;
        c.run_as_group = cases[i].group;
        assert_int_equal(resolve(&c, a, &u, NULL), 0);
        assert_int_equal(u.uid, cases[i].uid);
        assert_int_equal(u.gid, cases[i].gid);
        assert_int_equal(u.n_groups, cases[i].n_groups);
    }
}

TEST(user_unknown_names_and_non_root) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct broker_container c = container();
    struct oci_user u;
    struct err err;
    c.user_spec = "nobody";
    assert_true(resolve(&c, a, &u, &err) < 0);
    assert_string_equal(err.text, "unable to find user nobody: no matching entries in passwd file");
    c.user_spec = "big";
    assert_true(resolve(&c, a, &u, &err) < 0);
    c.user_spec = "0:none";
    assert_true(resolve(&c, a, &u, &err) < 0);
    c.run_as_non_root = true;
    c.user_spec = "";
    assert_true(resolve(&c, a, &u, &err) < 0);
    assert_non_null(strstr(err.text, "container has runAsNonRoot and image will run as root"));
    c.user_spec = "web";
    assert_true(resolve(&c, a, &u, &err) < 0);
    assert_non_null(strstr(err.text, "non-numeric user (web)"));
    c.run_as_user = 0;
    assert_true(resolve(&c, a, &u, &err) < 0);
    assert_non_null(strstr(err.text, "runAsUser breaks non-root policy"));
    c.run_as_user = 33;
    assert_int_equal(resolve(&c, a, &u, &err), 0);
}

TEST(runtime_message_takes_the_last_words) {
    char out[512];
    runtime_message(SLICE("first\nexecutable file `x` not found\n"), out);
    assert_string_equal(out, "executable file `x` not found");
    runtime_message(SLICE("time=\"t\" level=error msg=\"exec: \\\"x\\\": no\"\n"), out);
    assert_string_equal(out, "exec: \"x\": no");
    runtime_message(SLICE(""), out);
    assert_string_equal(out, "");
}

/* ---- paths ---- */

static int scratch(char *path) {
    assert_non_null(mkdtemp(path));
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

TEST(path_opens_stay_beneath) {
    char path[] = "/tmp/atoll-paths-XXXXXX";
    OWN(close_p) int top = scratch(path);
    OWN(close_p) int dir = path_open_dir(top, "volume", 0755);
    assert_int_equal(symlinkat("/etc", dir, "absolute"), 0);
    assert_int_equal(symlinkat("../..", dir, "up"), 0);
    assert_int_equal(symlinkat("/proc/self/root", dir, "magic"), 0);
    assert_int_equal(symlinkat("inner/file", dir, "fine"), 0);
    OWN(close_p) int inner = path_open_dir(dir, "inner", 0755);
    assert_int_equal(path_write(inner, "file", SLICE("x"), 0644), 0);
    assert_int_equal(path_open_beneath(dir, "absolute/passwd", O_PATH, 0), -EXDEV);
    assert_int_equal(path_open_beneath(dir, "up", O_PATH, 0), -EXDEV);
    assert_int_equal(path_open_beneath(dir, "../volume", O_PATH, 0), -EXDEV);
    assert_true(path_open_beneath(dir, "magic/etc", O_PATH, 0) < 0);
    assert_true(path_open_child(dir, "fine", O_RDONLY, 0) < 0);
    assert_true(path_make_dirs(dir, "absolute/made", 0755) < 0);
    OWN(close_p) int fine = path_open_beneath(dir, "fine", O_RDONLY, 0);
    assert_true(fine >= 0);
    OWN(close_p) int rooted = path_open_in_root(dir, "up/inner/file", O_RDONLY);
    assert_true(rooted >= 0);
    size_t budget = 100;
    OWN(close_p) int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(path_remove(tmp, path + 5, &budget), 0);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(access("/etc/passwd", F_OK), 0);
}

TEST(path_remove_goes_deeper_than_its_stack_and_keeps_its_budget) {
    char path[] = "/tmp/atoll-paths-XXXXXX";
    OWN(close_p) int top = scratch(path);
    OWN(close_p) int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    OWN(close_p) int at = fcntl(top, F_DUPFD_CLOEXEC, 3);
    for (int i = 0; i < 500; i++) {
        int next = path_open_dir(at, "d", 0755);
        assert_true(next >= 0);
        close(at);
        at = next;
    }
    size_t budget = 50;
    assert_int_equal(path_remove(tmp, path + 5, &budget), -EAGAIN);
    assert_int_equal(budget, 0);
    budget = 10000;
    assert_int_equal(path_remove(tmp, path + 5, &budget), 0);
    assert_int_equal(access(path, F_OK), -1);
    budget = 1;
    assert_int_equal(path_remove(tmp, path + 5, &budget), 0); /* absent is fine */
}

TEST(path_shapes) {
    assert_true(path_is_relative("a/b"));
    assert_true(path_is_relative("..a"));
    assert_false(path_is_relative(""));
    assert_false(path_is_relative("/a"));
    assert_false(path_is_relative("a/.."));
    assert_false(path_is_relative("a//b"));
    assert_true(path_is_absolute("/a/b"));
    assert_true(path_is_absolute("/"));
    assert_false(path_is_absolute("/a/../b"));
    assert_false(path_is_absolute("a"));
}
