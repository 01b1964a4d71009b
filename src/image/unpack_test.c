/* Hostile archives: whatever they say, nothing outside of the directory changes. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/own.h"
#include "base/test.h"
#include "image/remove_tree.h"
#include "image/unpack.h"

struct member {
    const char *name;
    char type;        /* '0' file, '1' hard link, '2' symbolic link, '3' device, '5' directory */
    const char *text; /* content or link target */
};

/* One ustar header (POSIX.1-1988) and its content. */
static void put(struct buf *b, const struct member *m) {
    char h[512] = {0};
    size_t n = m->type == '0' ? strlen(m->text) : 0;
    unsigned sum = 0;
    snprintf(h, 100, "%s", m->name);
    snprintf(h + 100, 8, "%07o", m->type == '5' ? 0755u : 0640u);
    snprintf(h + 108, 8, "%07o", 12u);
    snprintf(h + 116, 8, "%07o", 34u);
    snprintf(h + 124, 12, "%011o", (unsigned)n);
    snprintf(h + 136, 12, "%011o", 1000u);
    memset(h + 148, ' ', 8);
    h[156] = m->type;
    if (m->type == '1' || m->type == '2') snprintf(h + 157, 100, "%s", m->text);
    memcpy(h + 257,
           "ustar\0"
           "00",
           8);
    for (size_t i = 0; i < sizeof h; i++) sum += (unsigned char)h[i];
    snprintf(h + 148, 8, "%06o", sum);
    buf_append(b, h, sizeof h);
    if (m->type == '0') {
        static const char zero[512];
        buf_str(b, m->text);
        if (n % 512) buf_append(b, zero, 512 - n % 512);
    }
}

static char top[64], dir[96];

static int unpack(const struct member *members, size_t n, struct err *err) {
    static const char end[1024];
    OWN(buf_done) struct buf tar = {0};
    struct unpack_result r;
    for (size_t i = 0; i < n; i++) put(&tar, &members[i]);
    buf_append(&tar, end, sizeof end);
    snprintf(top, sizeof top, "/tmp/atoll-unpack-XXXXXX");
    assert_non_null(mkdtemp(top));
    snprintf(dir, sizeof dir, "%s/layer", top);
    assert_int_equal(mkdir(dir, 0755), 0);
    OWN(close_p) int fd = open(top, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, tar.p, tar.n), tar.n);
    return unpack_run("", dir, fd, UNPACK_LAYER, &r, err);
}

static int stat_in(const char *base, const char *name, struct stat *st) {
    OWN(close_p) int fd = open(base, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return fstatat(fd, name, st, AT_SYMLINK_NOFOLLOW);
}

static void need_root(void) {
    /* The sanitizer's own system calls are not in the child's filter. */
    if (geteuid() != 0 || TEST_SANITIZED) skip();
}

TEST(unpack_keeps_owners_modes_and_links) {
    static const struct member good[] = {
        {"./", '5', ""},           {"bin/sh", '0', "#!"}, {"bin/ash", '1', "bin/sh"},
        {"bin/link", '2', "/etc"}, {"dev/null", '3', ""}, {"bin/sh", '0', "newer"}};
    struct err err = {0};
    struct stat st;
    need_root();
    if (unpack(good, ARRAY_LEN(good), &err) < 0) fail_msg("%s", err.text);
    assert_int_equal(stat_in(dir, "bin/sh", &st), 0);
    assert_int_equal(st.st_uid, 12);
    assert_int_equal(st.st_gid, 34);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_int_equal(st.st_size, 5);
    assert_int_equal(stat_in(dir, "bin/ash", &st), 0);
    assert_int_equal(st.st_size, 2);
    assert_int_equal(stat_in(dir, "bin/link", &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_int_equal(stat_in(dir, "dev/null", &st), -1);
    remove_tree(top);
}

TEST(unpack_turns_whiteouts_into_overlay_marks) {
    static const struct member marks[] = {{"a/.wh.gone", '0', ""}, {"b/.wh..wh..opq", '0', ""}};
    struct err err = {0};
    struct stat st;
    char path[128], value[4] = {0};
    need_root();
    if (unpack(marks, ARRAY_LEN(marks), &err) < 0) fail_msg("%s", err.text);
    assert_int_equal(stat_in(dir, "a/gone", &st), 0);
    assert_true(S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0));
    snprintf(path, sizeof path, "%s/b", dir);
    assert_int_equal(getxattr(path, "user.overlay.opaque", value, sizeof value), 1);
    assert_int_equal(value[0], 'y');
    assert_int_equal(stat_in(dir, "b/.wh..wh..opq", &st), -1);
    remove_tree(top);
}

static void expect_contained(const struct member *members, size_t n) {
    struct err err = {0};
    struct stat st;
    need_root();
    unpack(members, n, &err); /* refused or harmless: both are well */
    assert_int_equal(stat_in(top, "evil", &st), -1);
    assert_int_equal(stat_in("/tmp", "atoll-unpack-evil", &st), -1);
    assert_int_equal(stat_in("/", "atoll-unpack-evil", &st), -1);
    remove_tree(top);
}

TEST(unpack_stays_inside_whatever_names_say) {
    static const struct member dots[] = {{"../evil", '0', "x"}};
    static const struct member deep[] = {{"a/b/../../../evil", '0', "x"}};
    static const struct member absolute[] = {{"/tmp/atoll-unpack-evil", '0', "x"}};
    static const struct member link[] = {{"up", '2', ".."}, {"up/evil", '0', "x"}};
    static const struct member root_link[] = {{"r", '2', "/"}, {"r/atoll-unpack-evil", '0', "x"}};
    static const struct member proc_link[] = {{"p", '2', "/proc/self/cwd/.."},
                                              {"p/evil", '0', "x"}};
    expect_contained(dots, ARRAY_LEN(dots));
    expect_contained(deep, ARRAY_LEN(deep));
    expect_contained(absolute, ARRAY_LEN(absolute));
    expect_contained(link, ARRAY_LEN(link));
    expect_contained(root_link, ARRAY_LEN(root_link));
    expect_contained(proc_link, ARRAY_LEN(proc_link));
}

TEST(unpack_refuses_hard_links_out_of_the_layer) {
    static const struct member passwd[] = {{"x", '1', "/etc/passwd"}};
    static const struct member dots[] = {{"x", '1', "../../../../etc/passwd"}};
    struct err err = {0};
    need_root();
    assert_true(unpack(passwd, 1, &err) < 0);
    assert_non_null(strstr(err.text, "hard link"));
    remove_tree(top);
    assert_true(unpack(dots, 1, &err) < 0);
    remove_tree(top);
}

TEST(unpack_says_that_garbage_is_no_archive) {
    struct err err = {0};
    struct unpack_result r;
    need_root();
    snprintf(top, sizeof top, "/tmp/atoll-unpack-XXXXXX");
    assert_non_null(mkdtemp(top));
    OWN(close_p) int fd = open(top, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    for (int i = 0; i < 1000; i++) assert_int_equal(write(fd, "garbage!", 8), 8);
    assert_true(unpack_run("", top, fd, UNPACK_LAYER, &r, &err) < 0);
    assert_non_null(strstr(err.text, "damaged"));
    remove_tree(top);
}
