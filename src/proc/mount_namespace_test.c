/* In a mount namespace of its own, so that nothing of the machine's changes. */
#include "proc/mount_namespace.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/own.h"
#include "base/test.h"

static char root[64], dir[96], pinned[112], here[96], there[96];

static void check(bool ok, const char *what) {
    if (ok) return;
    fprintf(stderr, "mount namespace: not so: %s\n", what);
    _exit(1);
}

static void mount_at(const char *path) {
    check(mkdir(path, 0700) == 0 || access(path, F_OK) == 0, "mkdir");
    check(mount("test", path, "tmpfs", 0, "size=64k") == 0, "mount");
}

static bool is_mounted(const char *path) {
    struct stat at, above;
    char up[128];
    snprintf(up, sizeof up, "%s/..", path);
    return stat(path, &at) == 0 && stat(up, &above) == 0 && at.st_dev != above.st_dev;
}

/* Runs fn in a child that has entered the pinned namespace. */
static void inside(void (*fn)(void)) {
    struct err err;
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        if (mount_namespace_enter(pinned, &err) < 0) {
            fprintf(stderr, "%s\n", err.text);
            _exit(1);
        }
        fn();
        _exit(0);
    }
    check(waitpid(pid, &status, 0) == pid && status == 0, "a child inside");
}

static void sees_host_mount(void) { check(is_mounted(here), "a mount of the host comes in"); }
static void mounts_there(void) { mount_at(there); }
static void still_mounted(void) { check(is_mounted(there), "a mount outlives who made it"); }

static void life_of_a_namespace(void) {
    struct err err;
    check(unshare(CLONE_NEWNS) == 0, "unshare");
    /* Away from the machine's, then with followers of its own, as a host has them. */
    check(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0, "private propagation");
    check(mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL) == 0, "shared propagation");
    check(!mount_namespace_exists(dir), "there is none at first");
    mount_namespace_remove(dir);
    for (int i = 0; i < 2; i++)
        if (mount_namespace_ensure(dir, &err) < 0) {
            fprintf(stderr, "%s\n", err.text);
            _exit(1);
        }
    check(mount_namespace_exists(dir), "it is pinned");
    mount_at(here);
    inside(sees_host_mount);
    inside(mounts_there);
    check(!is_mounted(there), "its own mounts never come out");
    inside(still_mounted);
    for (int i = 0; i < 2; i++) mount_namespace_remove(dir);
    check(!mount_namespace_exists(dir), "it is gone");
    check(access(pinned, F_OK) < 0, "nothing is left of it");
    umount2(here, MNT_DETACH);
    _exit(0);
}

TEST(a_namespace_is_pinned_takes_mounts_of_the_host_and_keeps_its_own) {
    if (geteuid() != 0) skip(); /* mounting is root's */
    snprintf(root, sizeof root, "/tmp/atoll-mnt-test-XXXXXX");
    assert_non_null(mkdtemp(root));
    snprintf(dir, sizeof dir, "%s/mnt", root);
    snprintf(pinned, sizeof pinned, "%s/namespace", dir);
    snprintf(here, sizeof here, "%s/here", root);
    snprintf(there, sizeof there, "%s/there", root);
    assert_int_equal(mkdir(there, 0700), 0);
    int status;
    pid_t pid = fork();
    if (pid == 0) life_of_a_namespace();
    assert_int_equal(waitpid(pid, &status, 0), pid);
    rmdir(dir);
    rmdir(here);
    rmdir(there);
    rmdir(root);
    assert_int_equal(status, 0);
}
