#include "proc/loop.h"

#include <assert.h>
#include <malloc.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <uv.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/times.h"
#include "base/vec.h"

/*
 * Timers are kept in a heap of our own over one uv timer: they obey the replaceable clock, fire in
 * a fixed order (deadline, then order of starting), and can be freed at once.
 */
struct timer {
    struct loop *loop;
    void (*fn)(void *user);
    void *user;
    uint64_t deadline_ms, repeat_ms, order;
    size_t at; /* place in the heap; NOT_IN_HEAP when it does not run */
};

struct fd_watch {
    struct loop *loop;
    uv_poll_t poll;
    fd_fn *fn;
    void *user;
    unsigned events;
};

struct signal_watch {
    uv_signal_t handle;
    void (*fn)(void *user, int signum);
    void *user;
    struct signal_watch *next;
};

struct deferred {
    void (*fn)(void *user);
    void *user;
};

typedef VEC(struct deferred) deferred_list;

struct loop {
    uv_loop_t uv;
    uv_timer_t wake;
    uv_idle_t idle;
    uv_prepare_t prepare;
    uv_check_t check;
    bool polling;           /* events are being waited for or handed out */
    uint64_t slice_ns;      /* see loop_set_slice */
    bool reserve, reserved; /* the next turn, this one: see loop_reserve */
    void (*on_turn)(void *user, uint64_t busy_ns);
    void *on_turn_user;
    uint64_t turn_began_ns; /* when the first callback of this turn was called; 0: none was */
    uv_idle_t look;         /* runs: uv does not wait */
    uint64_t look_ns;       /* 0: the loop never looks without sleeping */
    uint64_t rest_ns;       /* when the last turn ended */
    uint64_t look_from_ns;  /* not before */
    uint64_t no_look_ns;    /* how long that was put off */
    unsigned soon;          /* events in a row that came soon after a turn */
    const struct loop_env *env;
    VEC(struct timer *) heap;
    uint64_t next_order;
    deferred_list deferred, after_events;
    struct signal_watch *signals;
    uint64_t random_state[4]; /* xoshiro256** (Blackman, Vigna 2018) */
    uint64_t until_ms;        /* loop_run_once waits no longer; UINT64_MAX: loop_run */
    bool stopped;
};

enum { IDLE_WAKE_MS = 3600 * 1000 };
/* Looking begins after so many events in a row (a request now and then is a few, too) that came
 * within so many times as long as it takes: to who sleeps they come later. */
enum { SOON_MIN = 4, SOON_TIMES = 3 };
/* See on_look: after how long somebody else has kept the processor, and for how long nobody looks
 * then: the least, the most. */
#define KEPT_NS (2 * (uint64_t)LOOP_LOOK_NS)
#define NO_LOOK_NS UINT64_C(20000000)
#define NO_LOOK_MAX_NS UINT64_C(2560000000)
/* A turn of several slices is about so long, and each of them has so much at least. */
enum { SLICES_PER_TURN = 2, LEAST_PART = 4 };
#define NOT_IN_HEAP SIZE_MAX

static void *zalloc(size_t size) {
    void *p = calloc(1, size);
    if (!p) abort();
    return p;
}

uint64_t loop_now_ms(const struct loop *l) {
    return l->env && l->env->mono_ms ? l->env->mono_ms(l->env->user) : clock_mono_ms();
}

int64_t loop_wall_ns(const struct loop *l) {
    return l->env && l->env->wall_ns ? l->env->wall_ns(l->env->user) : clock_wall_ns();
}

static bool virtual_time(const struct loop *l) { return l->env && l->env->mono_ms; }

static uint64_t rotate_left(uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }

uint64_t loop_random(struct loop *l) {
    if (l->env && l->env->random) return l->env->random(l->env->user);
    uint64_t *s = l->random_state;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

/* ---- turns ---- */

static void turn_mark(struct loop *l) {
    if (!l->turn_began_ns) l->turn_began_ns = clock_span_ns();
}

/* Who looks has nothing to do: whoever waits for this processor, perhaps with what is looked for,
 * would otherwise wait until the looking is over. But who only computes keeps it until the kernel's
 * next tick, whatever comes meanwhile, while whoever sleeps is woken at once. So the loop sleeps
 * for a while, and for twice as long if it was no better when that was over. */
static void on_look(uv_idle_t *look) {
    struct loop *l = look->data;
    uint64_t before = clock_span_ns();
    sched_yield();
    uint64_t now = clock_span_ns(), twice = 2 * l->no_look_ns;
    if (now - before < KEPT_NS) return;
    bool again = now - l->look_from_ns < l->no_look_ns;
    l->no_look_ns = !again ? NO_LOOK_NS : twice < NO_LOOK_MAX_NS ? twice : NO_LOOK_MAX_NS;
    l->look_from_ns = now + l->no_look_ns;
}

/* Whether to wait for the next event without sleeping; the first turn after the last event begins
 * the time anew. */
static void look_on(struct loop *l) {
    if (!l->look_ns || (l->soon < SOON_MIN && !l->turn_began_ns)) return;
    uint64_t now = clock_span_ns();
    if (l->turn_began_ns) l->rest_ns = now;
    if (l->soon >= SOON_MIN && now >= l->look_from_ns && now - l->rest_ns < l->look_ns)
        uv_idle_start(&l->look, on_look);
    else
        uv_idle_stop(&l->look);
}

static void event_mark(struct loop *l) {
    if (l->turn_began_ns) return;
    turn_mark(l);
    bool soon = l->turn_began_ns - l->rest_ns < SOON_TIMES * l->look_ns;
    l->soon = soon ? l->soon + 1 : 0;
}

void loop_look(struct loop *l, uint64_t for_ns) {
    l->look_ns = for_ns;
    l->soon = 0;
    l->look_from_ns = l->no_look_ns = 0;
    uv_idle_stop(&l->look);
}

/* Just before the loop asks for new events: who has come since the last time waits no longer. */
static void on_prepare(uv_prepare_t *p) {
    struct loop *l = p->data;
    l->polling = true;
    if (l->turn_began_ns && l->on_turn)
        l->on_turn(l->on_turn_user, clock_span_ns() - l->turn_began_ns);
    look_on(l);
    l->turn_began_ns = 0;
    l->reserved = l->reserve;
    l->reserve = false;
}

uint64_t loop_turn_began_ns(const struct loop *l) { return l->turn_began_ns; }

void loop_set_slice(struct loop *l, uint64_t ns) { l->slice_ns = ns; }

uint64_t loop_slice_ns(const struct loop *l) { return l->slice_ns; }

uint64_t loop_slice_end(const struct loop *l, uint64_t slice_ns) {
    uint64_t now = clock_span_ns(), end = now + slice_ns * l->slice_ns / CLOCK_SLICE_NS;
    uint64_t turn_end = l->turn_began_ns + SLICES_PER_TURN * l->slice_ns;
    uint64_t least = now + l->slice_ns / LEAST_PART;
    if (l->turn_began_ns && end > turn_end) end = turn_end;
    return l->reserved || end < least ? least : end;
}

void loop_reserve(struct loop *l) { l->reserve = true; }

uint64_t loop_turn_ms(const struct loop *l) {
    enum { NS_PER_MS = 1000000 };
    return l->turn_began_ns && !virtual_time(l) ? l->turn_began_ns / NS_PER_MS : loop_now_ms(l);
}

void loop_on_turn(struct loop *l, void (*fn)(void *user, uint64_t busy_ns), void *user) {
    l->on_turn = fn;
    l->on_turn_user = user;
}

/* ---- timers ---- */

static bool earlier(const struct timer *a, const struct timer *b) {
    return a->deadline_ms != b->deadline_ms ? a->deadline_ms < b->deadline_ms : a->order < b->order;
}

static void heap_place(struct loop *l, struct timer *t, size_t at) {
    l->heap.v[at] = t;
    t->at = at;
}

static void heap_up(struct loop *l, struct timer *t, size_t at) {
    while (at > 0 && earlier(t, l->heap.v[(at - 1) / 2])) {
        heap_place(l, l->heap.v[(at - 1) / 2], at);
        at = (at - 1) / 2;
    }
    heap_place(l, t, at);
}

static void heap_down(struct loop *l, struct timer *t, size_t at) {
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= l->heap.n) break;
        if (child + 1 < l->heap.n && earlier(l->heap.v[child + 1], l->heap.v[child])) child++;
        if (!earlier(l->heap.v[child], t)) break;
        heap_place(l, l->heap.v[child], at);
        at = child;
    }
    heap_place(l, t, at);
}

static void on_wake(uv_timer_t *w);

/* Arms the uv timer for the first deadline, at least `least_ms` away. */
static void wake_arm(struct loop *l, uint64_t least_ms) {
    if (virtual_time(l)) return; /* loop_run_once looks for itself */
    uint64_t now = loop_now_ms(l), first = l->until_ms;
    if (l->heap.n && l->heap.v[0]->deadline_ms < first) first = l->heap.v[0]->deadline_ms;
    uint64_t left = first > now ? first - now : 0;
    left = left < least_ms ? least_ms : left;
    uv_update_time(&l->uv);
    uv_timer_start(&l->wake, on_wake, left < IDLE_WAKE_MS ? left : IDLE_WAKE_MS, 0);
}

/* Fires what is due. Timers started meanwhile wait for the next turn, so that one that restarts
 * itself with delay 0 starves nobody. */
static void timers_run(struct loop *l) {
    uint64_t now = loop_now_ms(l), before = l->next_order;
    while (l->heap.n) {
        struct timer *t = l->heap.v[0];
        if (t->deadline_ms > now || t->order >= before) break;
        uint64_t repeat = t->repeat_ms;
        timer_stop(t);
        if (repeat) timer_start(t, repeat, repeat);
        t->fn(t->user);
    }
}

static void on_wake(uv_timer_t *w) {
    struct loop *l = w->data;
    turn_mark(l);
    timers_run(l);
    /* uv fires timers before it waits, too: on a busy machine the time may be up by then. */
    if (loop_now_ms(l) >= l->until_ms) uv_stop(&l->uv);
    wake_arm(l, 1); /* uv would call us again before it looks for events */
}

struct timer *timer_new(struct loop *l, void (*fn)(void *user), void *user) {
    struct timer *t = zalloc(sizeof *t);
    *t = (struct timer){.loop = l, .fn = fn, .user = user, .at = NOT_IN_HEAP};
    return t;
}

void timer_start(struct timer *t, uint64_t delay_ms, uint64_t repeat_ms) {
    struct loop *l = t->loop;
    timer_stop(t);
    if (__builtin_add_overflow(loop_now_ms(l), delay_ms, &t->deadline_ms))
        t->deadline_ms = UINT64_MAX;
    t->repeat_ms = repeat_ms;
    t->order = l->next_order++;
    vec_push(&l->heap, t);
    heap_up(l, t, l->heap.n - 1);
    if (t->at == 0) wake_arm(l, 0);
}

void timer_stop(struct timer *t) {
    if (t->at == NOT_IN_HEAP) return;
    struct loop *l = t->loop;
    size_t at = t->at;
    t->at = NOT_IN_HEAP;
    struct timer *last = l->heap.v[--l->heap.n];
    if (last == t) return;
    if (at > 0 && earlier(last, l->heap.v[(at - 1) / 2]))
        heap_up(l, last, at);
    else
        heap_down(l, last, at);
}

bool timer_active(const struct timer *t) { return t->at != NOT_IN_HEAP; }

void timer_free(struct timer *t) {
    if (!t) return;
    timer_stop(t);
    free(t);
}

/* ---- deferred calls ---- */

/* Calls all that are in the list now; what they add waits for the next turn. */
static void run_all(deferred_list *list) {
    deferred_list run = *list;
    memset(list, 0, sizeof *list);
    for (size_t i = 0; i < run.n; i++) run.v[i].fn(run.v[i].user);
    if (!list->v) { /* keep the storage for the next turn */
        run.n = 0;
        *list = run;
    } else {
        vec_done(&run);
    }
}

static void on_idle(uv_idle_t *idle) {
    struct loop *l = idle->data;
    turn_mark(l);
    if (!l->after_events.n) uv_idle_stop(idle); /* they come after a look that does not wait */
    run_all(&l->deferred);
}

void loop_defer(struct loop *l, void (*fn)(void *user), void *user) {
    vec_push(&l->deferred, (struct deferred){fn, user});
    uv_idle_start(&l->idle, on_idle);
}

static void on_check(uv_check_t *check) {
    struct loop *l = check->data;
    l->polling = false;
    if (!l->after_events.n) return;
    turn_mark(l);
    run_all(&l->after_events);
}

void loop_after_events(struct loop *l, void (*fn)(void *user), void *user) {
    vec_push(&l->after_events, (struct deferred){fn, user});
    if (!l->polling) uv_idle_start(&l->idle, on_idle);
}

/* ---- descriptors ---- */

static void on_poll(uv_poll_t *p, int status, int events) {
    struct fd_watch *w = p->data;
    event_mark(w->loop);
    unsigned got = (unsigned)events & w->events;
    if (status < 0) {
        /* libuv stops the watch on EPOLLERR; the owner must still learn of the next event. */
        uv_poll_start(p, (int)w->events, on_poll);
        got = w->events;
    }
    if (got) w->fn(w->user, got);
}

struct fd_watch *fd_watch_new(struct loop *l, int fd, unsigned events, fd_fn *fn, void *user) {
    struct fd_watch *w = zalloc(sizeof *w);
    w->loop = l;
    w->fn = fn;
    w->user = user;
    w->poll.data = w;
    /* Fails only for what cannot be polled (regular files) or is watched already: caller's bug. */
    int r = uv_poll_init(&l->uv, &w->poll, fd);
    assert(r == 0);
    (void)r;
    fd_watch_set(w, events);
    return w;
}

void fd_watch_set(struct fd_watch *w, unsigned events) {
    if (events == w->events) return;
    w->events = events;
    if (events)
        uv_poll_start(&w->poll, (int)events, on_poll);
    else
        uv_poll_stop(&w->poll);
}

void fd_watch_mute(struct fd_watch *w, bool mute) {
    struct loop *l = w->loop;
    uv_os_fd_t fd;
    assert(w->events == FD_READ);
    if (uv_fileno((uv_handle_t *)&w->poll, &fd) < 0) abort();
    /* As libuv has put it there, who does not touch it again before the watch changes. */
    struct epoll_event e = {.events = mute ? 0 : EPOLLIN, .data.fd = fd};
    if (epoll_ctl(uv_backend_fd(&l->uv), EPOLL_CTL_MOD, fd, &e) < 0) abort(); /* caller's bug */
}

static void poll_closed(uv_handle_t *h) { free(h->data); }

void fd_watch_free(struct fd_watch *w) {
    if (w) uv_close((uv_handle_t *)&w->poll, poll_closed);
}

/* ---- signals ---- */

static void on_signal(uv_signal_t *h, int signum) {
    struct signal_watch *s = h->data;
    s->fn(s->user, signum);
}

void loop_on_signal(struct loop *l, int signum, void (*fn)(void *user, int signum), void *user) {
    struct signal_watch *s = zalloc(sizeof *s);
    s->fn = fn;
    s->user = user;
    s->handle.data = s;
    s->next = l->signals;
    l->signals = s;
    int r = uv_signal_init(&l->uv, &s->handle);
    if (r == 0) r = uv_signal_start(&s->handle, on_signal, signum);
    assert(r == 0);
    (void)r;
}

static void signal_closed(uv_handle_t *h) { free(h->data); }

/* ---- life ---- */

struct loop *loop_new(const struct loop_env *env) {
    struct loop *l = zalloc(sizeof *l);
    l->env = env;
    l->slice_ns = CLOCK_SLICE_NS;
    l->until_ms = UINT64_MAX;
    if (uv_loop_init(&l->uv) < 0) abort();
    uv_timer_init(&l->uv, &l->wake);
    uv_idle_init(&l->uv, &l->idle);
    uv_prepare_init(&l->uv, &l->prepare);
    uv_check_init(&l->uv, &l->check);
    uv_idle_init(&l->uv, &l->look);
    l->look.data = l;
    l->prepare.data = l;
    l->check.data = l;
    uv_prepare_start(&l->prepare, on_prepare);
    uv_check_start(&l->check, on_check);
    uv_unref((uv_handle_t *)&l->prepare);
    uv_unref((uv_handle_t *)&l->check);
    l->wake.data = l;
    l->idle.data = l;
    if (getrandom(l->random_state, sizeof l->random_state, 0) != sizeof l->random_state) abort();
    l->random_state[0] |= 1; /* the state must not be all zero */
    return l;
}

void loop_free(struct loop *l) {
    if (!l) return;
    while (l->signals) {
        struct signal_watch *s = l->signals;
        l->signals = s->next;
        uv_close((uv_handle_t *)&s->handle, signal_closed);
    }
    uv_close((uv_handle_t *)&l->wake, NULL);
    uv_close((uv_handle_t *)&l->idle, NULL);
    uv_close((uv_handle_t *)&l->prepare, NULL);
    uv_close((uv_handle_t *)&l->check, NULL);
    uv_close((uv_handle_t *)&l->look, NULL);
    uv_run(&l->uv, UV_RUN_DEFAULT);
    assert(l->heap.n == 0);
    int r = uv_loop_close(&l->uv);
    assert(r == 0);
    (void)r;
    vec_done(&l->heap);
    vec_done(&l->deferred);
    vec_done(&l->after_events);
    free(l);
}

void loop_run_once(struct loop *l, uint64_t timeout_ms) {
    if (virtual_time(l)) { /* real time must not pass: never wait */
        uv_run(&l->uv, UV_RUN_NOWAIT);
        timers_run(l);
        return;
    }
    /* What is due runs before uv waits, which would then be for nothing. */
    if (l->heap.n && l->heap.v[0]->deadline_ms <= loop_now_ms(l)) timeout_ms = 0;
    l->until_ms = loop_now_ms(l) + timeout_ms;
    wake_arm(l, 0);
    uv_run(&l->uv, timeout_ms ? UV_RUN_ONCE : UV_RUN_NOWAIT);
}

bool loop_next_ms(const struct loop *l, uint64_t *ret_deadline_ms) {
    if (!l->heap.n) return false;
    *ret_deadline_ms = l->heap.v[0]->deadline_ms;
    return true;
}

void loop_run_due(struct loop *l) {
    assert(virtual_time(l));
    timers_run(l);
}

void loop_trim(const struct loop *l) {
    if (!virtual_time(l)) malloc_trim(0);
}

void loop_run(struct loop *l) {
    l->stopped = false;
    l->until_ms = UINT64_MAX;
    wake_arm(l, 0);
    while (!l->stopped) {
        if (virtual_time(l))
            loop_run_once(l, 0);
        else
            uv_run(&l->uv, UV_RUN_DEFAULT);
    }
}

void loop_stop(struct loop *l) {
    l->stopped = true;
    uv_stop(&l->uv);
}
