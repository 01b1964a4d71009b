#include "broker/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/own.h"
#include "broker/broker_internal.h"
#include "broker/paths.h"
#include "broker/reaper.h"

enum { CHILDREN_MAX = 2, DELAY_FIRST_MS = 1, DELAY_LAST_MS = 200, TRIES_MAX = 120 };

struct running {
    struct cleanup job;
    struct broker *broker;
    struct timer *timer;
    uint64_t delay_ms;
    unsigned tries;
};

static void finish(struct running *r, const struct err *err) {
    struct cleanup job = r->job;
    timer_free(r->timer);
    free(r);
    for (int i = 0; i < 2; i++) {
        free(job.mounts[i]);
        free(job.dirs[i].parent);
        free(job.dirs[i].name);
    }
    if (job.done) job.done(job.user, err);
}

static int remove_dirs(const struct running *r) {
    size_t budget = SIZE_MAX;
    for (int i = 0; i < 2; i++) {
        if (!r->job.dirs[i].parent) continue;
        OWN(close_p) int parent = open(r->job.dirs[i].parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int e = parent < 0 ? (errno == ENOENT ? 0 : -errno)
                           : path_remove(parent, r->job.dirs[i].name, &budget);
        if (e) return e;
    }
    return 0;
}

static int remove_cgroup(struct running *r) {
    if (!r->job.cgroup[0]) return 0;
    int e = cgroups_remove(&r->broker->cgroups, r->job.cgroup);
    if (e == -EBUSY) cgroups_signal(&r->broker->cgroups, r->job.cgroup, SIGKILL);
    return e;
}

static void again(struct running *r);

static void ended(struct running *r, int e) {
    if (!e) {
        finish(r, NULL);
    } else if (r->tries < TRIES_MAX) {
        again(r);
    } else {
        struct err err;
        err_errno(&err, -e, "cannot remove what is left of %s",
                  str_or(r->job.cgroup, "a container"));
        log_warn("cleanup_failed", "cgroup=%s text=\"%s\"", r->job.cgroup, err.text);
        finish(r, &err);
    }
}

static void remove_in_child(struct running *r);

static void child_ended(void *user, pid_t pid, int status) {
    (void)pid;
    struct running *r = user;
    struct broker *b = r->broker;
    b->cleanup_children--;
    if (b->cleanups.n) {
        struct running *next = b->cleanups.v[0];
        vec_remove(&b->cleanups, 0);
        remove_in_child(next);
    }
    ended(r, WIFEXITED(status) ? -WEXITSTATUS(status) : -EINTR);
}

/* Unmounting and unlinking wait for the disk, so that nothing of it may be done in the loop. Two at
 * a time: the end of a hundred pods leaves room for the start of another one. */
static void remove_in_child(struct running *r) {
    struct broker *b = r->broker;
    if (b->cleanup_children == CHILDREN_MAX) {
        vec_push(&b->cleanups, r);
        return;
    }
    uint64_t mark = reaper_mark(b->reaper);
    pid_t pid = reaper_fork();
    if (pid == 0) {
        for (int i = 0; i < 2; i++)
            if (r->job.mounts[i]) mounts_undo(r->job.mounts[i]);
        _exit(-remove_dirs(r));
    }
    if (pid < 0) {
        again(r);
        return;
    }
    b->cleanup_children++;
    reaper_watch(b->reaper, pid, mark, child_ended, r);
}

static void turn(void *user) {
    struct running *r = user;
    int e = remove_cgroup(r);
    if (e)
        ended(r, e);
    else
        remove_in_child(r);
}

static void again(struct running *r) {
    r->tries++;
    timer_start(r->timer, r->delay_ms, 0);
    r->delay_ms = MIN_OF(r->delay_ms * 2, (uint64_t)DELAY_LAST_MS);
}

void cleanup_start(struct broker *b, const struct cleanup *job) {
    struct running *r = calloc(1, sizeof *r);
    if (!r) abort();
    r->job = *job;
    r->broker = b;
    r->delay_ms = DELAY_FIRST_MS;
    r->timer = timer_new(b->loop, turn, r);
    turn(r);
}
