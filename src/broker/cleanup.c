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

enum { ENTRIES_INLINE = 4000, DELAY_FIRST_MS = 1, DELAY_LAST_MS = 200, TRIES_MAX = 120 };

struct running {
    struct cleanup job;
    struct broker *broker;
    struct timer *timer;
    uint64_t delay_ms;
    unsigned tries;
    bool in_child;
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

static int remove_dirs(struct running *r, size_t budget) {
    for (int i = 0; i < 2; i++) {
        if (!r->job.dirs[i].parent) continue;
        OWN(close_p) int parent = open(r->job.dirs[i].parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int e = parent < 0 ? (errno == ENOENT ? 0 : -errno)
                           : path_remove(parent, r->job.dirs[i].name, &budget);
        if (e) return e;
    }
    return 0;
}

static void again(struct running *r);

static void child_ended(void *user, pid_t pid, int status) {
    (void)pid, (void)status;
    struct running *r = user;
    r->in_child = false;
    again(r);
}

static void remove_in_child(struct running *r) {
    pid_t pid = reaper_fork();
    if (pid == 0) _exit(remove_dirs(r, SIZE_MAX) ? 1 : 0);
    if (pid < 0) {
        again(r);
        return;
    }
    r->in_child = true;
    reaper_watch(r->broker->reaper, pid, child_ended, r);
}

static int attempt(struct running *r) {
    if (r->job.cgroup[0]) {
        int e = cgroups_remove(&r->broker->cgroups, r->job.cgroup);
        if (e == -EBUSY) {
            cgroups_signal(&r->broker->cgroups, r->job.cgroup, SIGKILL);
            return e;
        }
        if (e) return e;
    }
    for (int i = 0; i < 2; i++)
        if (r->job.mounts[i]) mounts_undo(r->job.mounts[i]);
    return remove_dirs(r, ENTRIES_INLINE);
}

static void turn(void *user) {
    struct running *r = user;
    int e = attempt(r);
    if (e == -EAGAIN) {
        remove_in_child(r);
    } else if (e && r->tries < TRIES_MAX) {
        again(r);
    } else if (e) {
        struct err err;
        err_errno(&err, -e, "cannot remove what is left of %s",
                  str_or(r->job.cgroup, "a container"));
        log_warn("cleanup_failed", "cgroup=%s text=\"%s\"", r->job.cgroup, err.text);
        finish(r, &err);
    } else {
        finish(r, NULL);
    }
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
