#include "proto/oci.h"

#include <errno.h>

#include "base/own.h"
#include "base/test.h"

static const char *const args[] = {"/bin/echo", "say \"hi\"\n"};
static const char *const env[] = {"A=1"};

static struct oci_process process(void) {
    return (struct oci_process){
        .user = {1000, 1001, 0, NULL},
        .n_args = 2,
        .args = args,
        .n_env = 1,
        .env = env,
        .cwd = "/",
        .oom_score_adj = INT64_MIN,
    };
}

static struct oci_spec spec(void) {
    return (struct oci_spec){
        .process = process(),
        .rootfs = "/r",
        .netns = "/ns/net",
        .ipcns = "/ns/ipc",
        .utsns = "/ns/uts",
        .pidns = "",
        .cgroup_mount = true,
        .cgroups_path = "/atoll-x/pod/c",
        .cpu_shares = -1,
        .cpu_quota_us = -1,
        .memory_limit_bytes = -1,
        .pids_limit = -1,
    };
}

static char *written(const struct oci_spec *s) {
    struct buf b = {0};
    assert_int_equal(oci_spec_write(&b, s, NULL), 0);
    return buf_steal(&b);
}

#define HAS(text, piece) assert_non_null(strstr(text, piece))
#define LACKS(text, piece) assert_null(strstr(text, piece))

TEST(oci_process_golden) {
    struct oci_process p = process();
    static const char *const drop[] = {"all"}, *const add[] = {"NET_BIND_SERVICE", "cap_sys_time"};
    p.n_cap_drop = 1;
    p.cap_drop = drop;
    p.n_cap_add = 2;
    p.cap_add = add;
    p.terminal = p.no_new_privileges = true;
    OWN(buf_done) struct buf b = {0};
    assert_int_equal(oci_process_write(&b, &p, NULL), 0);
    assert_string_equal(
        b.p, "{\"terminal\":true,\"user\":{\"uid\":1000,\"gid\":1001,\"additionalGids\":[]},"
             "\"args\":[\"/bin/echo\",\"say \\\"hi\\\"\\n\"],\"env\":[\"A=1\"],\"cwd\":\"/\","
             "\"capabilities\":{\"bounding\":[\"CAP_NET_BIND_SERVICE\",\"CAP_SYS_TIME\"],"
             "\"effective\":[\"CAP_NET_BIND_SERVICE\",\"CAP_SYS_TIME\"],"
             "\"permitted\":[\"CAP_NET_BIND_SERVICE\",\"CAP_SYS_TIME\"]},"
             "\"noNewPrivileges\":true,\"oomScoreAdj\":0}");
}

TEST(oci_capabilities_of_default_add_drop) {
    struct oci_process p = process();
    uint64_t bits;
    assert_int_equal(oci_capabilities(&p, &bits, NULL), 0);
    assert_int_equal(bits, 0xa80425fb); /* as `docker run` has it */
    static const char *const chown[] = {"CHOWN"}, *const all[] = {"ALL"}, *const bad[] = {"X"};
    p.n_cap_drop = 1;
    p.cap_drop = chown;
    assert_int_equal(oci_capabilities(&p, &bits, NULL), 0);
    assert_int_equal(bits, 0xa80425fa);
    p.n_cap_add = 1;
    p.cap_add = all;
    assert_int_equal(oci_capabilities(&p, &bits, NULL), 0);
    assert_int_equal(bits, 0x1fffffffffe);
    p.cap_drop = bad;
    struct err err;
    assert_int_equal(oci_capabilities(&p, &bits, &err), err_code(ERR_INVALID));
    assert_string_equal(err.field, "securityContext.capabilities.drop");
    p.n_cap_drop = 0;
    p.capabilities_max = 0xff;
    assert_int_equal(oci_capabilities(&p, &bits, NULL), 0);
    assert_int_equal(bits, 0xff);
}

TEST(oci_namespaces_and_cgroup) {
    struct oci_spec s = spec();
    OWN(free_p) char *text = written(&s);
    HAS(text, "\"namespaces\":[{\"type\":\"mount\"},{\"type\":\"pid\"},"
              "{\"type\":\"network\",\"path\":\"/ns/net\"},{\"type\":\"ipc\",\"path\":\"/ns/ipc\"},"
              "{\"type\":\"uts\",\"path\":\"/ns/uts\"}],\"cgroupsPath\":\"/atoll-x/pod/c\"");
    HAS(text, "\"resources\":{\"devices\":[{\"allow\":false,\"access\":\"rwm\"}]}");
    LACKS(text, "annotations");
    s.netns = s.utsns = s.pidns = NULL;
    OWN(free_p) char *host = written(&s);
    HAS(host, "\"namespaces\":[{\"type\":\"mount\"},{\"type\":\"ipc\",\"path\":\"/ns/ipc\"}]");
}

TEST(oci_resources) {
    struct oci_spec s = spec();
    s.cpu_shares = 512;
    s.cpu_quota_us = 20000;
    s.memory_limit_bytes = 1 << 20;
    s.pids_limit = 9;
    OWN(free_p) char *text = written(&s);
    HAS(text, "\"memory\":{\"limit\":1048576},\"cpu\":{\"shares\":512,\"quota\":20000,"
              "\"period\":100000},\"pids\":{\"limit\":9}");
    s.oom_group = true;
    OWN(free_p) char *unified = written(&s);
    HAS(unified, "\"unified\":{\"memory.oom.group\":\"1\"}");
}

TEST(oci_dev_is_always_a_fresh_tmpfs_unless_a_volume_takes_its_place) {
    struct oci_spec s = spec();
    OWN(free_p) char *text = written(&s);
    HAS(text, "{\"destination\":\"/dev\",\"type\":\"tmpfs\",\"source\":\"tmpfs\"");
    HAS(text, "{\"destination\":\"/dev/shm\",\"type\":\"tmpfs\",\"source\":\"shm\"");
    struct oci_mount shm = {"/dev/shm", "bind", "/v", "rbind,rprivate,rw"};
    s.mounts = &shm;
    s.n_mounts = 1;
    OWN(free_p) char *own = written(&s);
    HAS(own, "{\"destination\":\"/dev/shm\",\"type\":\"bind\",\"source\":\"/v\","
             "\"options\":[\"rbind\",\"rprivate\",\"rw\"]}");
    LACKS(own, "\"source\":\"shm\"");
}

TEST(oci_masks_and_seccomp_are_lifted_for_the_privileged) {
    struct oci_spec s = spec();
    s.seccomp = true;
    OWN(free_p) char *text = written(&s);
    HAS(text, "\"maskedPaths\":[\"/proc/asound\"");
    HAS(text, "\"readonlyPaths\":[\"/proc/bus\"");
    HAS(text, "\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\"");
    s.unmasked = true;
    OWN(free_p) char *unmasked = written(&s);
    LACKS(unmasked, "maskedPaths");
    HAS(unmasked, "seccomp");
    s.process.privileged = true;
    OWN(free_p) char *privileged = written(&s);
    LACKS(privileged, "seccomp");
    HAS(privileged, "[{\"allow\":true,\"access\":\"rwm\"}]");
}

TEST(oci_seccomp_follows_capabilities) {
    OWN(buf_done) struct buf none = {0}, admin = {0};
    oci_seccomp_write(&none, 0);
    oci_seccomp_write(&admin, UINT64_C(1) << 21);
    HAS(none.p, "\"mount\"");
    HAS(none.p, "\"clone3\"");
    HAS(none.p, "\"io_uring_setup\"");
    LACKS(admin.p, "\"mount\"");
    LACKS(admin.p, "\"clone3\"");
    HAS(admin.p, "\"io_uring_setup\"");
    HAS(admin.p, "\"kexec_load\"");
}
