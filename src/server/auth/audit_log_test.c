/* The file of the audit log and the one before it. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/own.h"
#include "base/test.h"
#include "server/auth/audit.h"

static const char *const dirs[] = {"", "/var", "/var/log", "/var/log/atoll"};
static char root[64];

static const char *path_of(const char *rest) {
    static char path[160];
    snprintf(path, sizeof path, "%s%s", root, rest);
    return path;
}

static off_t size_of(const char *name) {
    struct stat st;
    return stat(path_of(name), &st) == 0 ? st.st_size : -1;
}

static void file_make(const char *name, off_t size, const char *end) {
    OWN(close_p) int fd = open(path_of(name), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    ssize_t n = (ssize_t)strlen(end);
    assert_int_equal(ftruncate(fd, size - n), 0);
    assert_int_equal(lseek(fd, 0, SEEK_END), size - n);
    assert_int_equal(write(fd, end, (size_t)n), n);
}

static void ends_with(const char *name, const char *want) {
    char got[64] = "";
    size_t n = strlen(want);
    OWN(close_p) int fd = open(path_of(name), O_RDONLY | O_CLOEXEC);
    assert_true(lseek(fd, -(off_t)n, SEEK_END) >= 0);
    assert_int_equal(read(fd, got, n), n);
    assert_string_equal(got, want);
}

static void turns(struct loop *l, int n) {
    while (n-- > 0) loop_run_once(l, 0);
}

TEST(a_full_audit_log_becomes_the_older_one) {
    snprintf(root, sizeof root, "/tmp/atoll-audit-test-XXXXXX");
    assert_non_null(mkdtemp(root));
    for (size_t i = 1; i < ARRAY_LEN(dirs); i++) assert_int_equal(mkdir(path_of(dirs[i]), 0700), 0);
    file_make("/var/log/atoll/audit.log", LIMIT_AUDIT_FILE_BYTES - 4, "last\n");
    file_make("/var/log/atoll/audit.log.1", LIMIT_AUDIT_FILE_BYTES + 100, "older\n");
    struct loop *l = loop_new(NULL);
    struct err err;
    if (audit_log_open(root, &err) < 0) fail_msg("%s", err.text);
    audit_log_start(l);
    audit_log_line(SLICE("full"));
    turns(l, 2);
    audit_log_line(SLICE("meanwhile"));
    turns(l, 2000); /* at most: 64 KiB copied, 256 KiB cut in each */
    assert_int_equal(size_of("/var/log/atoll/audit.log.1"), LIMIT_AUDIT_FILE_BYTES + 1);
    ends_with("/var/log/atoll/audit.log.1", "last\nfull\n");
    assert_int_equal(size_of("/var/log/atoll/audit.log"), 10);
    ends_with("/var/log/atoll/audit.log", "meanwhile\n");
    audit_log_line(SLICE("next"));
    turns(l, 2);
    ends_with("/var/log/atoll/audit.log", "meanwhile\nnext\n");
    audit_log_close();
    loop_free(l);
    unlink(path_of("/var/log/atoll/audit.log"));
    unlink(path_of("/var/log/atoll/audit.log.1"));
    for (size_t i = ARRAY_LEN(dirs); i-- > 0;) assert_int_equal(rmdir(path_of(dirs[i])), 0);
}
