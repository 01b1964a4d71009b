#include "sim/core.h"

#include <stdio.h>

#include "base/buf.h"
#include "base/times.h"

/* Turns of the loop at one millisecond: more mean that something asks for itself for ever. */
enum { TURNS_MAX = 200 * 1000 };

/* ---- chance ---- */

uint64_t random_next(struct sim_random *r) {
    uint64_t z = r->state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t random_below(struct sim_random *r, uint64_t n) { return n ? random_next(r) % n : 0; }

bool random_one_in(struct sim_random *r, uint64_t n) { return n && random_below(r, n) == 0; }

uint64_t sim_between_us(struct sim *s, uint64_t low_us, uint64_t high_us) {
    return low_us + random_below(&s->random, high_us > low_us ? high_us - low_us : 1);
}

/* ---- clocks of the loop ---- */

static uint64_t mono_ms(void *user) { return ((struct sim *)user)->now_us / 1000; }
static int64_t wall_ns(void *user) { return sim_wall_ns(user); }
static uint64_t loop_chance(void *user) { return random_next(&((struct sim *)user)->random); }

int64_t sim_wall_ns(const struct sim *s) {
    static int64_t start_ns;
    if (!start_ns) time_parse("2026-01-01T00:00:00Z", &start_ns);
    return start_ns + (int64_t)s->now_us * 1000 + s->wall_jump_ns;
}

/* ---- the queue ---- */

static bool earlier(const struct sim_event *a, const struct sim_event *b) {
    if (a->at_us != b->at_us) return a->at_us < b->at_us;
    return a->tie != b->tie ? a->tie < b->tie : a->sequence < b->sequence;
}

static void swap(struct sim *s, size_t i, size_t j) {
    struct sim_event t = s->events.v[i];
    s->events.v[i] = s->events.v[j];
    s->events.v[j] = t;
}

static void push(struct sim *s, struct sim_event e) {
    vec_push(&s->events, e);
    for (size_t i = s->events.n - 1; i && earlier(&s->events.v[i], &s->events.v[(i - 1) / 2]);
         i = (i - 1) / 2)
        swap(s, i, (i - 1) / 2);
}

static struct sim_event pop(struct sim *s) {
    struct sim_event top = s->events.v[0];
    s->events.v[0] = s->events.v[--s->events.n];
    for (size_t i = 0;;) {
        size_t least = i;
        for (size_t c = 2 * i + 1; c <= 2 * i + 2 && c < s->events.n; c++)
            if (earlier(&s->events.v[c], &s->events.v[least])) least = c;
        if (least == i) return top;
        swap(s, i, least);
        i = least;
    }
}

static void schedule(struct sim *s, uint64_t delay_us, sim_fn *fn, void *user, enum sim_end end) {
    push(s, (struct sim_event){s->now_us + delay_us, random_next(&s->random), s->next_sequence++,
                               fn, user, end});
}

void sim_after(struct sim *s, uint64_t delay_us, sim_fn *fn, void *user) {
    schedule(s, delay_us, fn, user, SIM_END_NOTHING);
}

void sim_after_owned(struct sim *s, uint64_t delay_us, sim_fn *fn, void *user) {
    schedule(s, delay_us, fn, user, SIM_END_FREE);
}

void sim_after_surely(struct sim *s, uint64_t delay_us, sim_fn *fn, void *user) {
    schedule(s, delay_us, fn, user, SIM_END_CALL);
}

/* One turn of the loop; false when it turns for ever without time going on. */
static bool turn(struct sim *s) {
    uint64_t ms = s->now_us / 1000;
    if (ms != s->stuck_at_ms) s->stuck_turns = 0;
    s->stuck_at_ms = ms;
    loop_run_due(s->loop);
    if (++s->stuck_turns <= TURNS_MAX) return true;
    sim_violation(s, "hot loop: %d turns of the loop at one millisecond", TURNS_MAX);
    return false;
}

void sim_run_until(struct sim *s, uint64_t until_us) {
    while (!s->violation) {
        uint64_t timer_ms, timer_us = UINT64_MAX;
        uint64_t event_us = s->events.n ? s->events.v[0].at_us : UINT64_MAX;
        if (loop_next_ms(s->loop, &timer_ms) && timer_ms < UINT64_MAX / 1000)
            timer_us = timer_ms * 1000;
        if ((timer_us < event_us ? timer_us : event_us) > until_us) break;
        s->n_events++;
        if (timer_us <= event_us) {
            if (timer_us > s->now_us) s->now_us = timer_us;
            if (!turn(s)) return;
            continue;
        }
        struct sim_event e = pop(s);
        s->now_us = e.at_us;
        e.fn(s, e.user);
    }
    if (!s->violation && s->now_us < until_us) s->now_us = until_us;
}

/* ---- life ---- */

struct sim *sim_new(uint64_t seed) {
    struct sim *s = calloc(1, sizeof *s);
    if (!s) abort();
    map_seed(0x61746f6c6c, 0x73696d); /* the order of maps must repeat */
    s->random.state = seed;
    s->news_us = 2000;
    s->env = (struct loop_env){mono_ms, wall_ns, loop_chance, s};
    s->loop = loop_new(&s->env);
    return s;
}

void sim_drain(struct sim *s) {
    while (s->events.n) {
        struct sim_event e = pop(s);
        if (e.end == SIM_END_FREE) free(e.user);
        if (e.end == SIM_END_CALL) e.fn(s, e.user);
    }
}

void sim_free(struct sim *s) {
    if (!s) return;
    sim_drain(s);
    vec_done(&s->events);
    loop_free(s->loop);
    free(s->violation);
    free(s);
}

/* ---- telling ---- */

void sim_violation(struct sim *s, const char *fmt, ...) {
    struct buf b = {0};
    va_list ap;
    va_start(ap, fmt);
    buf_vprintf(&b, fmt, ap);
    va_end(ap);
    sim_say(s, "VIOLATION %s", b.p);
    if (s->violation)
        buf_done(&b);
    else
        s->violation = buf_steal(&b);
}

void sim_say(const struct sim *s, const char *fmt, ...) {
    va_list ap;
    if (!s->verbose) return;
    fprintf(stderr, "%12.6f ", (double)s->now_us / 1e6);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}
