#include "proto/cgroup.h"

#include <errno.h>
#include <stdio.h>

#include "base/test.h"

static const char v1[] =
    "20 1 0:19 / / rw - ext4 /dev/root rw\n"
    "30 20 0:22 / /sys/fs/cgroup rw shared:1 - tmpfs tmpfs rw,mode=755\n"
    "31 30 0:23 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "32 30 0:24 / /sys/fs/cgroup/memory rw shared:3 master:2 - cgroup cgroup rw,memory\n"
    "33 30 0:25 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n"
    "34 30 0:26 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n"
    "35 30 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
    "36 20 0:28 / /other/memory rw - cgroup cgroup rw,memory\n";

TEST(cgroup_layout_version_1) {
    struct cgroup_layout l;
    assert_int_equal(cgroup_layout_parse(SLICE(v1), &l), 0);
    assert_false(l.unified);
    assert_int_equal(l.n, 4);
    assert_string_equal(l.hybrid_path, "/sys/fs/cgroup/unified");
    assert_string_equal(cgroup_layout_find(&l, CGROUP_CPUACCT)->path, "/sys/fs/cgroup/cpu,cpuacct");
    assert_ptr_equal(cgroup_layout_find(&l, CGROUP_CPU), cgroup_layout_find(&l, CGROUP_CPUACCT));
    assert_string_equal(cgroup_layout_find(&l, CGROUP_MEMORY)->path, "/sys/fs/cgroup/memory");
    assert_null(cgroup_layout_find(&l, CGROUP_FREEZER));
}

TEST(cgroup_layout_sees_the_cover) {
    char text[2048];
    snprintf(text, sizeof text, "%s40 35 0:30 / /sys/fs/cgroup/unified rw - tmpfs tmpfs rw\n", v1);
    struct cgroup_layout l;
    assert_int_equal(cgroup_layout_parse(slice_of(text), &l), 0);
    assert_string_equal(l.hybrid_path, "");
}

TEST(cgroup_layout_version_2_and_none) {
    struct cgroup_layout l;
    assert_int_equal(
        cgroup_layout_parse(SLICE("30 20 0:22 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"), &l), 0);
    assert_true(l.unified);
    assert_string_equal(cgroup_layout_find(&l, CGROUP_PIDS)->path, "/sys/fs/cgroup");
    assert_int_equal(cgroup_layout_parse(SLICE("1 2 0:1 / / rw - ext4 a rw\n"), &l), -ENOENT);
    assert_int_equal(cgroup_layout_parse(SLICE("garbage\n\n - \n"), &l), -ENOENT);
}

static bool writes(const struct cgroup_write *w, unsigned n, const char *file, const char *text) {
    for (unsigned i = 0; i < n; i++)
        if (str_eq(w[i].file, file)) return str_eq(w[i].text, text);
    return false;
}

TEST(cgroup_limits_become_files) {
    struct cgroup_limits l = {1024, 50000, 100000, 1 << 20, 10, false};
    struct cgroup_write w[CGROUP_WRITES_MAX];
    unsigned n = cgroup_limit_writes(&l, false, w);
    assert_true(writes(w, n, "cpu.shares", "1024"));
    assert_true(writes(w, n, "cpu.cfs_quota_us", "50000"));
    assert_true(writes(w, n, "cpu.cfs_period_us", "100000"));
    assert_true(writes(w, n, "memory.limit_in_bytes", "1048576"));
    assert_true(writes(w, n, "pids.max", "10"));
    n = cgroup_limit_writes(&l, true, w);
    assert_true(writes(w, n, "cpu.weight", "39"));
    assert_true(writes(w, n, "cpu.max", "50000 100000"));
    assert_true(writes(w, n, "memory.max", "1048576"));
    assert_false(writes(w, n, "memory.swap.max", "0"));
    l.swap_accounted = true;
    n = cgroup_limit_writes(&l, true, w);
    assert_true(writes(w, n, "memory.swap.max", "0"));
    n = cgroup_limit_writes(&l, false, w);
    assert_true(writes(w, n, "memory.memsw.limit_in_bytes", "1048576"));
    struct cgroup_limits none = {-1, -1, -1, -1, -1, true};
    assert_int_equal(cgroup_limit_writes(&none, false, w), 0);
    assert_int_equal(cgroup_limit_writes(&none, true, w), 0);
}

TEST(cgroup_weight_of_shares_ends_and_middle) {
    assert_int_equal(cgroup_weight_of_shares(0), 1);
    assert_int_equal(cgroup_weight_of_shares(2), 1);
    assert_int_equal(cgroup_weight_of_shares(262144), 10000);
    assert_int_equal(cgroup_weight_of_shares(UINT64_MAX), 10000);
}

TEST(cgroup_values) {
    uint64_t v = 7;
    assert_int_equal(cgroup_value(SLICE("oom 1\noom_kill 3\n"), "oom_kill", &v), 0);
    assert_int_equal(v, 3);
    assert_int_equal(cgroup_value(SLICE("oom_kill x\n"), "oom_kill", &v), -ENOENT);
    assert_int_equal(cgroup_value(SLICE("oom 1\n"), "oom_kill", &v), -ENOENT);
    assert_int_equal(v, 3);
    assert_int_equal(cgroup_number(SLICE("max\n"), &v), 0);
    assert_true(v == UINT64_MAX);
    assert_int_equal(cgroup_number(SLICE("12\n"), &v), 0);
    assert_int_equal(v, 12);
    assert_int_equal(cgroup_number(SLICE("-1\n"), &v), -EINVAL);
}
