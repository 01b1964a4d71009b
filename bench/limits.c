/*
 * What the machine itself charges, microseconds, one sample a line:
 *   bench_limits spawn N PROGRAM      vfork, exec and the end of a program
 *   bench_limits isolate N PROGRAM    the same in new PID, mount, UTS, IPC and network namespaces
 *   bench_limits sync N FILE          append 256 bytes and fdatasync
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

static const struct {
    const char *name;
    void (*once)(char *what);
} kinds[] = {{"spawn", spawn}, {"isolate", isolate}, {"sync", append}};

int main(int argc, char **argv) {
    size_t kind = 0;
    char *end = NULL;
    long n = argc == 4 ? strtol(argv[2], &end, 10) : 0;
    while (argc == 4 && kind < 3 && strcmp(argv[1], kinds[kind].name) != 0) kind++;
    if (argc != 4 || kind == 3 || n < 1 || n > 100000 || *end) {
        fprintf(stderr, "usage: bench_limits spawn|isolate|sync N PROGRAM|FILE\n");
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
