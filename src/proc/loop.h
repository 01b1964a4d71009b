/*
 * The event loop of a service (libuv underneath; nothing else includes uv.h). Single-threaded.
 * Clock and randomness come through here, so that the simulator can replace them. Callbacks may
 * free the object they are called for.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct loop;
struct timer;
struct fd_watch;

/* Replaceable time and randomness; NULL members fall back to the real ones. */
struct loop_env {
    uint64_t (*mono_ms)(void *user);
    int64_t (*wall_ns)(void *user);
    uint64_t (*random)(void *user);
    void *user;
};

struct loop *
loop_new(const struct loop_env *env); /* env is borrowed; NULL = real. Aborts without memory. */
void loop_free(struct loop *l);       /* everything made on it must be freed before */
void loop_run(struct loop *l);        /* until loop_stop */
void loop_run_once(struct loop *l,
                   uint64_t timeout_ms); /* one turn: waits at most timeout_ms for an event */
void loop_stop(struct loop *l);

uint64_t loop_now_ms(const struct loop *l); /* monotonic milliseconds */
/* The same when this turn began, without asking the clock: for what may be some milliseconds off.
 */
uint64_t loop_turn_ms(const struct loop *l);
int64_t loop_wall_ns(const struct loop *l); /* nanoseconds since 1970 */
uint64_t loop_random(struct loop *l);       /* 64 uniform bits; not for keys */

/* Virtual time (env with mono_ms), for the simulator: nothing of it asks the kernel. When the first
 * timer is due (false: none runs); fires what is due now. */
bool loop_next_ms(const struct loop *l, uint64_t *ret_deadline_ms);
void loop_run_due(struct loop *l);
/* A burst of work is over: what it has left goes back to the system. Not in virtual time. */
void loop_trim(const struct loop *l);

/* Calls fn soon, from the loop, after what runs now; order is kept. Cannot be cancelled. */
void loop_defer(struct loop *l, void (*fn)(void *user), void *user);

/* Calls fn once the events of this turn have all been handed out, or of the next one, which does
 * not wait then: for who collects events and chooses between them. */
void loop_after_events(struct loop *l, void (*fn)(void *user), void *user);

/* When the first callback of this turn was called, by clock_span_ns; 0: none was. */
uint64_t loop_turn_began_ns(const struct loop *l);

/* How long work of one kind that can be cut may take (CLOCK_SLICE_NS, unless set), and half of
 * what a turn may. Short ones when somebody waits for the end of the turn; long ones do more. */
void loop_set_slice(struct loop *l, uint64_t ns);
uint64_t loop_slice_ns(const struct loop *l);

/* Until when work of one kind that can be cut, and begins now, may go on in this turn: slice_ns, in
 * proportion to what CLOCK_SLICE_NS has been set to, less if others have had much of the turn, but
 * never nothing. By clock_span_ns. */
uint64_t loop_slice_end(const struct loop *l, uint64_t slice_ns);

/* Slices of the next turn have the least: something that takes as long as a turn will be done in
 * it in one piece. */
void loop_reserve(struct loop *l);

/* From now on, when the last events each came soon (three times for_ns) after what the one before
 * had caused, the loop looks for the next one for that long before it sleeps: to be woken takes
 * longer than most answers of a service that is asked one thing after the other. for_ns 0: it
 * always sleeps. Then loop_run_once may return without an event. */
void loop_look(struct loop *l, uint64_t for_ns);
enum { LOOP_LOOK_NS = 150 * 1000 }; /* more than the store needs for one write */

/* Told at the end of each turn in which something ran how long that was: what whoever came
 * meanwhile has waited. At most one listener. */
void loop_on_turn(struct loop *l, void (*fn)(void *user, uint64_t busy_ns), void *user);

/* Timers. timer_start on a running timer restarts it. repeat_ms 0 = once. timer_free stops it; NULL
 * is allowed. */
struct timer *timer_new(struct loop *l, void (*fn)(void *user), void *user);
void timer_start(struct timer *t, uint64_t delay_ms, uint64_t repeat_ms);
void timer_stop(struct timer *t);
bool timer_active(const struct timer *t);
void timer_free(struct timer *t);

/* Readiness of a descriptor. The descriptor is borrowed: free the watch before closing it. FD_END:
 * only when both directions have ended. */
enum { FD_READ = 1, FD_WRITE = 2, FD_HANGUP = 4, FD_END = 8 };
typedef void fd_fn(void *user,
                   unsigned events); /* events: FD_* bits; errors arrive as all bits asked for */
struct fd_watch *fd_watch_new(struct loop *l, int fd, unsigned events, fd_fn *fn, void *user);
void fd_watch_set(struct fd_watch *w, unsigned events); /* 0 pauses */
/* Of a watch for FD_READ that has called its fn: whether it is not told for a while. Unlike a pause
 * it stays in the kernel's set; to put a set of a thousand descriptors there looks at each. */
void fd_watch_mute(struct fd_watch *w, bool mute);
void fd_watch_free(struct fd_watch *w); /* NULL is allowed */

/* Signals (SIGTERM, SIGCHLD, …) as loop events. At most one handler per signal. */
void loop_on_signal(struct loop *l, int signum, void (*fn)(void *user, int signum), void *user);
