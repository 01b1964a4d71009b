#include "broker/reaper.h"

#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/vec.h"

struct watched {
    pid_t pid;
    uint64_t mark;
    reaped_fn *fn;
    void *user;
};
struct ended {
    pid_t pid;
    int status;
    uint64_t at; /* how many had ended before */
};
enum { ENDED_KEPT = 256 }; /* ends nobody asked for yet: an exec's pid is learned after its start */

struct reaper {
    struct loop *loop;
    struct timer *again;
    uint64_t ends; /* so far */
    VEC(struct watched) watched;
    VEC(struct ended) ended;
};

enum { CONTAINER_FILES = 1048576 }; /* RLIMIT_NOFILE, what Docker and containerd give */

static bool is_end_of(const struct ended *e, const struct watched *w) {
    return e->pid == w->pid && e->at >= w->mark;
}

/* Matches ends with watchers. A callback may watch more. */
static void match(void *user) {
    struct reaper *r = user;
    for (size_t i = 0; i < r->ended.n;) {
        size_t w = 0;
        while (w < r->watched.n && !is_end_of(&r->ended.v[i], &r->watched.v[w])) w++;
        if (w == r->watched.n) {
            i++;
            continue;
        }
        struct watched found = r->watched.v[w];
        struct ended e = r->ended.v[i];
        vec_remove(&r->watched, w);
        vec_remove(&r->ended, i);
        found.fn(found.user, e.pid, e.status);
        i = 0;
    }
    while (r->ended.n > ENDED_KEPT) vec_remove(&r->ended, 0);
}

static void collect(void *user, int signum) {
    struct reaper *r = user;
    (void)signum;
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        for (size_t i = 0; i < r->ended.n; i++) /* a recycled number: the old end is of no use */
            if (r->ended.v[i].pid == pid) {
                vec_remove(&r->ended, i);
                break;
            }
        vec_push(&r->ended, (struct ended){pid, status, r->ends++});
    }
    match(r);
}

struct reaper *reaper_new(struct loop *l) {
    struct reaper *r = calloc(1, sizeof *r);
    if (!r) abort();
    r->loop = l;
    r->again = timer_new(l, match, r);
    loop_on_signal(l, SIGCHLD, collect, r);
    return r;
}

uint64_t reaper_mark(const struct reaper *r) { return r->ends; }

void reaper_watch(struct reaper *r, pid_t pid, uint64_t mark, reaped_fn *fn, void *user) {
    vec_push(&r->watched, (struct watched){pid, mark, fn, user});
    timer_start(r->again, 0, 0);
}

/* The broker's own limits are for the broker: containers inherit from what it starts. */
static void limits_reset(void) {
    static const int lifted[] = {RLIMIT_DATA, RLIMIT_AS, RLIMIT_NPROC, RLIMIT_CORE};
    for (size_t i = 0; i < sizeof lifted / sizeof *lifted; i++)
        setrlimit((__rlimit_resource_t)lifted[i], &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY});
    setrlimit(RLIMIT_NOFILE, &(struct rlimit){CONTAINER_FILES, CONTAINER_FILES});
}

pid_t reaper_fork(void) {
    sigset_t all, old;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &old); /* no handler of the loop may run in the child */
    pid_t pid = fork();
    if (pid == 0) {
        for (int s = 1; s < NSIG; s++) signal(s, SIG_DFL);
        limits_reset();
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        return 0;
    }
    sigprocmask(SIG_SETMASK, &old, NULL);
    return pid;
}
