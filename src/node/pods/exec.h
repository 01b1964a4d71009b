/*
 * Commands inside running containers, by the broker: for probes, hooks and kubectl exec.
 */
#pragma once

#include "node/agent.h"

struct exec;

struct exec_request {
    const char *uid, *container_id;
    const char *const *args;
    size_t n_args;
    bool tty, want_stdin, want_stdout, want_stderr;
};

struct exec_events {
    /* It runs: the descriptors (−1 where not asked for; tty: stdin is both ways) belong to the
     * callee. err set: it never ran, and no other call follows. */
    void (*started)(void *user, int in, int out, int err_fd, const struct err *err);
    void (*exited)(void *user, uint32_t code); /* −1: the broker was lost */
    void *user;
};

struct exec *exec_start(struct agent *g, const struct exec_request *r,
                        const struct exec_events *ev);
void exec_resize(struct exec *x, uint16_t width, uint16_t height);
/* No callbacks any more; kills it when it still runs. Frees. */
void exec_cancel(struct exec *x);
/* From the agent: an event of the broker, or the loss of it. */
void exec_on_exit(struct agent *g, uint32_t id, uint32_t code);
void exec_on_lost(struct agent *g);

/* Runs a command to its end and collects stdout and stderr together, at most EXEC_OUTPUT_MAX. */
enum { EXEC_OUTPUT_MAX = 10 * 1024 };
enum exec_end { EXEC_EXITED, EXEC_TIMEOUT, EXEC_FAILED };
struct capture;
typedef void capture_fn(void *user, enum exec_end end, uint32_t code, struct slice output);
struct capture *capture_start(struct agent *g, const char *uid, const char *container_id,
                              const char *const *args, size_t n_args, uint64_t timeout_ms,
                              capture_fn *fn, void *user);
void capture_cancel(struct capture *x); /* no callback any more */
