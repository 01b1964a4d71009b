#include "proc/loop.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/test.h"
#include "base/times.h"

struct trace {
    struct loop *l;
    struct timer *t;
    char text[64];
    int n;
};

static struct trace *shared;

static void note(char c) {
    size_t n = strlen(shared->text);
    shared->text[n] = c;
    shared->text[n + 1] = 0;
}

static void note_a(void *user) { note('a'); }
static void note_b(void *user) { note('b'); }
static void note_stop(void *user) {
    note('.');
    loop_stop(user);
}

TEST(timers_fire_by_deadline_then_by_order_of_starting) {
    struct trace tr = {.l = loop_new(NULL)};
    shared = &tr;
    struct timer *a = timer_new(tr.l, note_a, NULL), *b = timer_new(tr.l, note_b, NULL);
    struct timer *b2 = timer_new(tr.l, note_b, NULL), *stop = timer_new(tr.l, note_stop, tr.l);
    timer_start(stop, 30, 0);
    timer_start(b, 10, 0);
    timer_start(a, 1, 0);
    timer_start(b2, 2000, 0);
    timer_stop(b2);
    assert_false(timer_active(b2));
    assert_true(timer_active(a));
    loop_run(tr.l);
    assert_string_equal(tr.text, "ab.");
    timer_free(a);
    timer_free(b);
    timer_free(b2);
    timer_free(stop);
    timer_free(NULL);
    loop_free(tr.l);
}

static void free_self(void *user) {
    struct trace *tr = user;
    if (++tr->n == 3) {
        timer_free(tr->t);
        loop_stop(tr->l);
    }
}

TEST(a_repeating_timer_may_free_itself) {
    struct trace tr = {.l = loop_new(NULL)};
    tr.t = timer_new(tr.l, free_self, &tr);
    timer_start(tr.t, 1, 1);
    loop_run(tr.l);
    assert_int_equal(tr.n, 3);
    loop_free(tr.l);
}

static uint64_t virtual_ms;
static uint64_t virtual_clock(void *user) { return virtual_ms; }
static uint64_t virtual_random(void *user) { return 4; }

TEST(timers_obey_a_replaced_clock) {
    struct loop_env env = {.mono_ms = virtual_clock, .random = virtual_random};
    struct trace tr = {.l = loop_new(&env)};
    shared = &tr;
    virtual_ms = 1000;
    struct timer *a = timer_new(tr.l, note_a, NULL);
    timer_start(a, 3600 * 1000, 0);
    loop_run_once(tr.l, 100);
    assert_string_equal(tr.text, "");
    virtual_ms += 3600 * 1000;
    loop_run_once(tr.l, 100);
    assert_string_equal(tr.text, "a");
    assert_int_equal(loop_random(tr.l), 4);
    timer_free(a);
    loop_free(tr.l);
}

static void defer_again(void *user) {
    note('1');
    loop_defer(user, note_b, NULL);
    loop_defer(user, note_stop, user);
}

TEST(deferred_calls_keep_their_order) {
    struct trace tr = {.l = loop_new(NULL)};
    shared = &tr;
    loop_defer(tr.l, defer_again, tr.l);
    loop_defer(tr.l, note_a, NULL);
    loop_run(tr.l);
    assert_string_equal(tr.text, "1ab.");
    loop_free(tr.l);
}

struct watching {
    struct loop *l;
    struct fd_watch *w;
    int fd;
    unsigned seen;
    int calls;
};

static void on_readable(void *user, unsigned events) {
    struct watching *w = user;
    char c;
    w->calls++;
    w->seen |= events;
    if (read(w->fd, &c, 1) == 0) {
        fd_watch_free(w->w);
        w->w = NULL;
        loop_stop(w->l);
    }
}

TEST(a_watch_reports_data_and_end_and_may_free_itself) {
    int p[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p), 0);
    struct watching w = {.l = loop_new(NULL), .fd = p[0]};
    w.w = fd_watch_new(w.l, p[0], FD_READ, on_readable, &w);
    assert_int_equal(write(p[1], "x", 1), 1);
    loop_run_once(w.l, 1000);
    assert_int_equal(w.calls, 1);
    fd_watch_set(w.w, 0);
    close(p[1]);
    loop_run_once(w.l, 5);
    assert_int_equal(w.calls, 1);
    fd_watch_set(w.w, FD_READ);
    loop_run(w.l);
    assert_int_equal(w.calls, 2);
    assert_null(w.w);
    close(p[0]);
    loop_free(w.l);
}

static void on_usr1(void *user, int signum) {
    assert_int_equal(signum, SIGUSR1);
    loop_stop(user);
}

TEST(signals_arrive_as_events) {
    struct loop *l = loop_new(NULL);
    loop_on_signal(l, SIGUSR1, on_usr1, l);
    kill(getpid(), SIGUSR1);
    loop_run(l);
    loop_free(l);
}

static void tick(void *user) { ++*(int *)user; }

TEST(one_turn_does_not_wait_past_a_timer_that_is_due) {
    struct loop *l = loop_new(NULL);
    int ticks = 0;
    struct timer *t = timer_new(l, tick, &ticks);
    timer_start(t, 0, 0);
    loop_run_once(l, 60 * 1000);
    assert_int_equal(ticks, 1);
    timer_free(t);
    loop_free(l);
}

/* ---- one turn on a busy machine: somebody else gets the processor in between ---- */

static uint64_t turn_until_ms;

static void take_processor(int signum) {
    uint64_t now = clock_mono_ms();
    static const char late[] = "a turn waited longer than it was told\n";
    if (now > turn_until_ms) _exit(write(STDERR_FILENO, late, sizeof late - 1) ? 1 : 2);
    while (clock_mono_ms() < now + 3) continue;
}

/* Interrupts every instruction of a turn, sooner or later. */
TEST(one_turn_ends_in_time_on_a_busy_machine) {
    struct loop *l = loop_new(NULL);
    struct sigaction busy = {.sa_handler = take_processor, .sa_flags = SA_RESTART}, before;
    turn_until_ms = clock_mono_ms() + 60 * 1000;
    sigaction(SIGALRM, &busy, &before);
    for (int i = 0; i < 300; i++) {
        struct itimerval soon = {{1, 0}, {0, 1 + i % 20}};
        setitimer(ITIMER_REAL, &soon, NULL);
        loop_run_once(l, 1);
    }
    setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
    sigaction(SIGALRM, &before, NULL);
    loop_free(l);
}

/* ---- after the events ---- */

struct both {
    struct loop *l;
    char order[8];
    int fds[2];
};

static void note_in(struct both *b, char c) { b->order[strlen(b->order)] = c; }

static void note_end(void *user) { loop_stop(user); }
static void note_after(void *user) { note_in(user, '.'); }

static void note_event(void *user, unsigned events) {
    struct both *b = user;
    if (!strchr(b->order, 'e')) loop_after_events(b->l, note_after, b);
    note_in(b, 'e');
}

TEST(after_events_is_when_all_events_were_handed_out) {
    struct both b = {.l = loop_new(NULL)};
    struct fd_watch *watches[2];
    assert_int_equal(pipe2(b.fds, O_CLOEXEC), 0);
    int copy = fcntl(b.fds[0], F_DUPFD_CLOEXEC, 0);
    watches[0] = fd_watch_new(b.l, b.fds[0], FD_READ, note_event, &b);
    watches[1] = fd_watch_new(b.l, copy, FD_READ, note_event, &b);
    assert_int_equal(write(b.fds[1], "x", 1), 1);
    loop_run_once(b.l, 1000);
    assert_string_equal(b.order, "ee.");
    fd_watch_free(watches[0]);
    fd_watch_free(watches[1]);
    loop_run_once(b.l, 0);
    loop_after_events(b.l, note_after, &b); /* of a turn without any, which does not wait */
    alarm(30);
    loop_after_events(b.l, note_end, b.l);
    loop_run(b.l);
    alarm(0);
    assert_string_equal(b.order, "ee..");
    loop_free(b.l);
    close(b.fds[0]);
    close(b.fds[1]);
    close(copy);
}

static void take_byte(void *user, unsigned events) {
    char c;
    assert_int_equal(read(*(int *)user, &c, 1), 1);
}

static void count_up(void *user) { ++*(int *)user; }

TEST(a_loop_that_looks_does_not_sleep_while_events_come_soon) {
    const uint64_t hour_ns = UINT64_C(3600) * 1000 * 1000 * 1000;
    struct loop *l = loop_new(NULL);
    int fds[2], fired = 0;
    struct timer *t = timer_new(l, count_up, &fired);
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    struct fd_watch *w = fd_watch_new(l, fds[0], FD_READ, take_byte, &fds[0]);
    loop_look(l, hour_ns);
    timer_start(t, 20, 0);
    loop_run_once(l, 1000); /* nothing has come yet: it sleeps until the timer */
    assert_int_equal(fired, 1);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(write(fds[1], "x", 1), 1);
        loop_run_once(l, 1000);
    }
    alarm(30);
    loop_run_once(l, 60 * 1000); /* does not wait for the whole minute */
    loop_look(l, 0);
    loop_run_once(l, 0);
    timer_start(t, 20, 0);
    loop_run_once(l, 1000);
    assert_int_equal(fired, 2);
    alarm(0);
    fd_watch_free(w);
    timer_free(t);
    loop_free(l);
    close(fds[0]);
    close(fds[1]);
}

/* A process that computes, on the processor of this one alone; *ret_before: where both were. */
static pid_t compute_beside(cpu_set_t *ret_before) {
    cpu_set_t one;
    int first = 0;
    assert_int_equal(sched_getaffinity(0, sizeof *ret_before, ret_before), 0);
    while (!CPU_ISSET(first, ret_before)) first++;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    pid_t p = fork();
    if (p) return p;
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a failing test leaves nothing running */
    for (;;) (void)clock_span_ns();
}

static long sleeps(void) {
    struct rusage u;
    assert_int_equal(getrusage(RUSAGE_SELF, &u), 0);
    return u.ru_nvcsw;
}

TEST(a_loop_that_looks_sleeps_once_others_keep_the_processor) {
    const uint64_t hour_ns = UINT64_C(3600) * 1000 * 1000 * 1000;
    struct loop *l = loop_new(NULL);
    cpu_set_t before;
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    struct fd_watch *w = fd_watch_new(l, fds[0], FD_READ, take_byte, &fds[0]);
    loop_look(l, hour_ns);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(write(fds[1], "x", 1), 1);
        loop_run_once(l, 1000);
    }
    pid_t other = compute_beside(&before);
    alarm(30);
    for (long n = sleeps(); sleeps() == n;) loop_run_once(l, 20); /* not for an hour */
    alarm(0);
    kill(other, SIGKILL);
    assert_int_equal(waitpid(other, NULL, 0), other);
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
    fd_watch_free(w);
    loop_free(l);
    close(fds[0]);
    close(fds[1]);
}

static uint64_t slices[2];

static void measure_slices(void *user) {
    struct loop *l = user;
    uint64_t now = clock_span_ns();
    slices[0] = loop_slice_end(l, CLOCK_SLICE_NS) - now;
    while (clock_span_ns() < now + 4 * CLOCK_SLICE_NS) continue;
    now = clock_span_ns();
    slices[1] = loop_slice_end(l, CLOCK_SLICE_NS) - now;
}

TEST(slices_of_a_long_turn_are_short_and_never_nothing) {
    struct loop *l = loop_new(NULL);
    loop_defer(l, measure_slices, l);
    loop_run_once(l, 0);
    assert_true(slices[0] > slices[1]);
    assert_true(slices[1] >= CLOCK_SLICE_NS / 4);
    assert_true(slices[0] <= CLOCK_SLICE_NS * 2);
    loop_free(l);
}

static void measure_set(void *user) {
    struct loop *l = user;
    assert_int_equal(loop_slice_ns(l), CLOCK_SLICE_NS);
    loop_set_slice(l, CLOCK_SLICE_NS / 2);
    uint64_t slice_end = loop_slice_end(l, CLOCK_SLICE_NS);
    assert_true(slice_end <= clock_span_ns() + CLOCK_SLICE_NS / 2);
    uint64_t turn_end = loop_slice_end(l, 8 * CLOCK_SLICE_NS);
    assert_true(turn_end <= clock_span_ns() + CLOCK_SLICE_NS);
}

TEST(slices_are_as_long_as_they_have_been_set) {
    struct loop *l = loop_new(NULL);
    loop_defer(l, measure_set, l);
    loop_run_once(l, 0);
    loop_free(l);
}

static void check_least(void *user) {
    uint64_t end = loop_slice_end(user, CLOCK_SLICE_NS);
    assert_true(end <= clock_span_ns() + CLOCK_SLICE_NS / 4);
}

static void reserve_next(void *user) {
    loop_reserve(user);
    loop_defer(user, check_least, user);
}

TEST(slices_of_a_reserved_turn_are_the_least) {
    struct loop *l = loop_new(NULL);
    loop_defer(l, reserve_next, l);
    loop_run_once(l, 0);
    loop_run_once(l, 0);
    loop_free(l);
}

static void ask_the_time_twice(void *user) {
    struct loop *l = user;
    uint64_t before = loop_turn_ms(l), began = clock_span_ns();
    while (clock_span_ns() < began + 12 * CLOCK_SLICE_NS) continue;
    assert_int_equal(loop_turn_ms(l), before);
    assert_true(loop_now_ms(l) > before);
}

TEST(a_turn_has_one_time) {
    struct loop *l = loop_new(NULL);
    assert_in_range(loop_now_ms(l) - loop_turn_ms(l), 0, UINT32_MAX);
    loop_defer(l, ask_the_time_twice, l);
    loop_run_once(l, 0);
    loop_free(l);
}
