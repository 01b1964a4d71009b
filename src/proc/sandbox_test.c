#include "proc/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/own.h"
#include "base/slice.h"
#include "base/test.h"

static char root[] = "/tmp/proc-sandbox-XXXXXX";

static void skip_unless_possible(void) {
    if (geteuid() != 0 || TEST_SANITIZED) skip();         /* sanitizers need calls of their own */
    if (strcmp(root + sizeof root - 7, "XXXXXX")) return; /* made: a name may end in one X */
    assert_non_null(mkdtemp(root));
    chmod(root, 0755);
}

/* Runs fn inside the sandbox of a row; returns the wait status. */
static int run_in(const struct authority *row, int (*fn)(void)) {
    pid_t child = fork();
    if (child == 0) {
        struct err err;
        if (sandbox_apply(row, &(struct sandbox_options){.root = root}, &err) < 0) {
            fprintf(stderr, "%s: %s\n", row->name, err.text);
            _exit(99);
        }
        _exit(fn());
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static int try_ptrace(void) { return ptrace(PTRACE_TRACEME, 0, 0, 0) < 0 ? 1 : 0; }
static int try_mount(void) { return chroot("/") < 0 ? 1 : 0; }
static int try_open(void) { return open("/tmp", O_RDONLY | O_CLOEXEC) < 0 ? 42 : 0; }

static int try_regain_root(void) { return setuid(0) == 0 ? 0 : 1; }

TEST(a_forbidden_system_call_kills_each_service) {
    skip_unless_possible();
    for (size_t i = 0; i < authority_count; i++) {
        const struct authority *row = &authority_table[i];
        if (row->calls & CALLS_UNRESTRICTED) continue;
        int status = run_in(row, try_ptrace);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGSYS);
        if (row->calls & CALLS_SPAWN) continue;
        status = run_in(row, try_mount);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
        status = run_in(row, try_regain_root);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
    }
}

TEST(a_forbidden_open_fails_in_each_service) {
    skip_unless_possible();
    for (size_t i = 0; i < authority_count; i++) {
        const struct authority *row = &authority_table[i];
        if (row->keeps_root) continue;
        int status = run_in(row, try_open);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 42);
    }
}

static int try_harmless(void) {
    int r = 0, p[2];
    void *m = malloc(300000);
    free(m);
    if (getuid() == 0) r = 1;
    if (pipe2(p, O_CLOEXEC) < 0 || epoll_create1(EPOLL_CLOEXEC) < 0) r = 2;
    struct stat st;
    if (r == 0 && fstat(p[0], &st) < 0) r = 3;
    return r;
}

TEST(ordinary_work_goes_on_in_each_service) {
    skip_unless_possible();
    for (size_t i = 0; i < authority_count; i++) {
        const struct authority *row = &authority_table[i];
        if (row->keeps_root) continue;
        assert_int_equal(run_in(row, try_harmless), 0);
    }
}

static int write_state(void) {
    char path[200];
    snprintf(path, sizeof path, "%s/var/lib/atoll/store/x", root);
    int fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0) return 1;
    if (write(fd, "x", 1) != 1 || fsync(fd) < 0 || ftruncate(fd, 0) < 0) return 2;
    snprintf(path, sizeof path, "%s/var/lib/atoll/elsewhere", root);
    if (open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600) >= 0) return 3;
    return socket(AF_INET, SOCK_STREAM, 0) < 0 ? 4 : 5; /* must not get here */
}

TEST(the_store_writes_its_own_directory_only_and_has_no_network) {
    skip_unless_possible();
    const char *const dirs[] = {"var", "var/lib", "var/lib/atoll", "var/lib/atoll/store"};
    char path[200];
    for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
        snprintf(path, sizeof path, "%s/%s", root, dirs[i]);
        mkdir(path, 0777);
        chmod(path, 0777);
    }
    int status = run_in(authority_find("store"), write_state);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSYS); /* by socket(), after all else went well */
    snprintf(path, sizeof path, "%s/var/lib/atoll/store/x", root);
    assert_int_equal(unlink(path), 0);
    for (size_t i = ARRAY_LEN(dirs); i-- > 0;) {
        snprintf(path, sizeof path, "%s/%s", root, dirs[i]);
        rmdir(path);
    }
    rmdir(root);
    memcpy(root + sizeof root - 7, "XXXXXX", 6);
}

TEST(rows_of_the_table_agree_with_each_other) {
    for (size_t i = 0; i < authority_count; i++) {
        const struct authority *row = &authority_table[i];
        assert_non_null(row->user_why);
        for (size_t p = 0; p < AUTHORITY_LIST_MAX && row->peers[p]; p++) {
            const struct authority *peer = authority_find(row->peers[p]);
            assert_non_null(peer);                    /* a peer is a row, */
            assert_true(peer->calls & CALLS_CONNECT); /* and able to connect */
        }
        for (size_t k = 0; k < i; k++)
            assert_true(row->uid == 0 || row->uid != authority_table[k].uid);
    }
    OWN(buf_done) struct buf b = {0};
    authority_print(&b);
    assert_non_null(strstr(b.p, "net_admin"));
}
