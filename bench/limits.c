/*
 * What the machine itself charges, microseconds, one sample a line:
 *   bench_limits spawn N PROGRAM      vfork, exec and the end of a program
 *   bench_limits isolate N PROGRAM    the same in new PID, mount, UTS, IPC and network namespaces
 *   bench_limits sync N FILE          append 256 bytes and fdatasync
 *   bench_limits relay N FILE         2 KB through a process to another one, which writes a block
 * of a file past the page cache and syncs it, and back: what a durable create over a socket cannot
 * do without
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static _Noreturn void die(const char *what) {
    fprintf(stderr, "bench_limits: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int exec_program(void *path) {
    char *argv[] = {path, (char[]){"true"}, NULL};
    execv(path, argv);
    _exit(127);
}

static void start(int flags, char *program) {
    static char stack[64 * 1024] __attribute__((aligned(16)));
    int status;
    pid_t pid = clone(exec_program, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD | flags,
                      program);
    if (pid < 0) die("clone");
    if (waitpid(pid, &status, 0) < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
        die(program);
}

static void spawn(char *program) { start(0, program); }

static void isolate(char *program) {
    start(CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET, program);
}

static void append(char *path) {
    static int fd = -1;
    static const char record[256];
    if (fd < 0) fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, record, sizeof record) != sizeof record || fdatasync(fd) < 0) die(path);
}

enum { REQUEST_BYTES = 2048, ACK_BYTES = 32, BLOCK_BYTES = 4096, BLOCKS = 256 };

/* One whole message of n bytes, by epoll as the services wait. */
static void take(int epoll, int fd, size_t n) {
    static char buf[REQUEST_BYTES];
    for (size_t got = 0; got < n;) {
        struct epoll_event e;
        if (epoll_wait(epoll, &e, 1, -1) < 0) die("epoll_wait");
        ssize_t r = recv(fd, buf, n - got, MSG_DONTWAIT);
        if (r <= 0) _exit(0); /* the other end has gone */
        got += (size_t)r;
    }
}

static void give(int fd, size_t n) {
    static const char buf[REQUEST_BYTES];
    if (send(fd, buf, n, MSG_NOSIGNAL) != (ssize_t)n) _exit(0);
}

static int watched(int fd) {
    struct epoll_event e = {.events = EPOLLIN};
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) < 0) die("epoll");
    return epoll;
}

static _Noreturn void relay_store(int fd, const char *path) {
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600), epoll = watched(fd);
    char *block;
    if (file < 0 || posix_memalign((void **)&block, BLOCK_BYTES, BLOCK_BYTES) != 0) die(path);
    memset(block, 1, BLOCK_BYTES);
    for (int i = 0; i < BLOCKS; i++)
        if (pwrite(file, block, BLOCK_BYTES, i * BLOCK_BYTES) != BLOCK_BYTES) die(path);
    if (fsync(file) < 0) die(path);
    fcntl(file, F_SETFL, O_DIRECT); /* through the cache where that is not possible */
    for (int i = 0;; i = (i + 1) % BLOCKS) {
        take(epoll, fd, REQUEST_BYTES);
        if (pwrite(file, block, BLOCK_BYTES, i * BLOCK_BYTES) < 0 || fdatasync(file) < 0) die(path);
        give(fd, ACK_BYTES);
    }
}

static _Noreturn void relay_api(int client, int store) {
    int from_client = watched(client), from_store = watched(store);
    for (;;) {
        take(from_client, client, REQUEST_BYTES);
        give(store, REQUEST_BYTES);
        take(from_store, store, ACK_BYTES);
        give(client, REQUEST_BYTES);
    }
}

static void relay(char *path) {
    static int fd = -1, epoll;
    int outer[2], inner[2];
    if (fd < 0) {
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, outer) < 0 ||
            socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, inner) < 0)
            die("socketpair");
        for (int i = 0; i < 2; i++) {
            if (fork()) continue;
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (i) relay_store(inner[1], path);
            relay_api(outer[1], inner[0]);
        }
        epoll = watched(fd = outer[0]);
        give(fd, REQUEST_BYTES); /* the file is made */
        take(epoll, fd, REQUEST_BYTES);
    }
    give(fd, REQUEST_BYTES);
    take(epoll, fd, REQUEST_BYTES);
}

static const struct {
    const char *name;
    void (*once)(char *what);
} kinds[] = {{"spawn", spawn}, {"isolate", isolate}, {"sync", append}, {"relay", relay}};
enum { KINDS = sizeof kinds / sizeof *kinds };

int main(int argc, char **argv) {
    size_t kind = 0;
    char *end = NULL;
    long n = argc == 4 ? strtol(argv[2], &end, 10) : 0;
    while (argc == 4 && kind < KINDS && strcmp(argv[1], kinds[kind].name) != 0) kind++;
    if (argc != 4 || kind == KINDS || n < 1 || n > 100000 || *end) {
        fprintf(stderr, "usage: bench_limits spawn|isolate|sync|relay N PROGRAM|FILE\n");
        return 2;
    }
    for (long i = 0; i < n; i++) {
        struct timespec a, b;
        clock_gettime(CLOCK_MONOTONIC, &a);
        kinds[kind].once(argv[3]);
        clock_gettime(CLOCK_MONOTONIC, &b);
        printf("%.1f\n",
               (double)(b.tv_sec - a.tv_sec) * 1e6 + (double)(b.tv_nsec - a.tv_nsec) / 1e3);
    }
    return 0;
}
