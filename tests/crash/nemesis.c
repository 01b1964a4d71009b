#include "nemesis.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* The output of `atoll status`, without a shell. */
static bool status(const struct nemesis *n, char *ret, size_t size) {
    int fds[2];
    if (pipe(fds)) return false;
    pid_t pid = fork();
    if (pid == 0) {
        dup2(fds[1], 1);
        close(fds[0]);
        execl(n->atoll, n->atoll, "status", "--root", n->root, "-o", "json", (char *)NULL);
        _exit(127);
    }
    close(fds[1]);
    size_t have = 0;
    ssize_t got;
    while (have + 1 < size && (got = read(fds[0], ret + have, size - 1 - have)) > 0)
        have += (size_t)got;
    ret[have] = 0;
    close(fds[0]);
    waitpid(pid, NULL, 0);
    return have > 0;
}

static pid_t pid_of(const struct nemesis *n, const char *service) {
    char text[16384], name[64];
    if (!status(n, text, sizeof text)) return 0;
    snprintf(name, sizeof name, "\"name\":\"%s\"", service);
    const char *at = strstr(text, name);
    const char *pid = at ? strstr(at, "\"pid\":") : NULL;
    return pid ? (pid_t)strtol(pid + 6, NULL, 10) : 0;
}

static void rest(uint64_t ms) {
    struct timespec t = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
    nanosleep(&t, NULL);
}

bool nemesis_strike(struct nemesis *n) {
    pid_t pid = pid_of(n, disk_below(&n->random, 2) ? "api" : "store");
    if (pid <= 1) {
        rest(50); /* it is being started */
        return true;
    }
    if (disk_below(&n->random, 2)) {
        n->kills++;
        kill(pid, SIGKILL);
    } else {
        n->pauses++;
        kill(pid, SIGSTOP);
        rest(20 + disk_below(&n->random, 280));
        kill(pid, SIGCONT);
    }
    return true;
}
