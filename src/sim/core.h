/*
 * Virtual time, chance and the queue of what is to happen. One thread; the earliest event runs
 * next, of those at the same microsecond the one that the seed draws. Timers of the loop, which the
 * engine, the informers and the scheduler use, are events like all others.
 */
#pragma once

#include "base/map.h"
#include "base/vec.h"
#include "proc/loop.h"

struct sim;
typedef void sim_fn(struct sim *s, void *user);

struct sim_random { /* SplitMix64 (Steele, Lea, Flood 2014) */
    uint64_t state;
};
uint64_t random_next(struct sim_random *r);
uint64_t random_below(struct sim_random *r, uint64_t n); /* 0 … n−1; 0 when n is 0 */
/* True once in n times; n 0: never. */
bool random_one_in(struct sim_random *r, uint64_t n);

struct sim_event {
    uint64_t at_us, tie, sequence;
    sim_fn *fn;
    void *user;
    enum sim_end { SIM_END_NOTHING, SIM_END_FREE, SIM_END_CALL } end; /* when it never runs */
};

struct sim_store;
struct sim_wire;
struct sim_faults;
struct sim_nodes;
struct sim_oracle;
struct sim_process;

/* Faults of the simulated API itself, by which tests show that the oracles see them. */
enum sim_bug {
    SIM_BUG_REBIND = 1,      /* a bound pod may be bound again */
    SIM_BUG_NO_REVISION = 2, /* answers do not say which version was written */
    SIM_BUG_SKIP = 4,        /* a watch leaves an event out, now and then */
    SIM_BUG_EVICT = 8,       /* evictions do not ask what a budget has left */
};

struct sim {
    unsigned bugs; /* enum sim_bug */
    uint64_t now_us;
    uint64_t news_us;     /* that a watch takes at most, without faults */
    int64_t wall_jump_ns; /* what the clocks of all machines are ahead of the time that passed */
    struct sim_random random;
    VEC(struct sim_event) events; /* a heap */
    uint64_t next_sequence, n_events;
    struct loop_env env;
    struct loop *loop;
    uint64_t stuck_at_ms, stuck_turns;
    bool verbose;
    /* The parts of the cluster, each NULL until it is made. */
    struct sim_store *store;
    struct sim_wire *wire;
    struct sim_faults *faults;
    struct sim_nodes *nodes;
    struct sim_oracle *oracle;
    struct sim_process *processes; /* linked */
    bool evictions_only;           /* nothing but evictions makes a pod unavailable in this run */
    /* What any part objects to; the first one is told. */
    char *violation;
};

enum { SIM_SECOND_US = 1000 * 1000 };

struct sim *sim_new(uint64_t seed);
/* No event runs any more: those with an end are ended. Processes are gone, the other parts not. */
void sim_drain(struct sim *s);
void sim_free(struct sim *s);
void sim_after(struct sim *s, uint64_t delay_us, sim_fn *fn, void *user);
void sim_after_owned(struct sim *s, uint64_t delay_us, sim_fn *fn, void *user); /* fn frees user */
/* fn is called in any case, at the latest by sim_drain. */
void sim_after_surely(struct sim *s, uint64_t delay_us, sim_fn *fn, void *user);
/* Runs all that happens until then. Stops early at a violation. */
void sim_run_until(struct sim *s, uint64_t until_us);
int64_t sim_wall_ns(const struct sim *s);
/* What may not happen has happened. */
void sim_violation(struct sim *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A line when verbose: time, then text. */
void sim_say(const struct sim *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
uint64_t sim_between_us(struct sim *s, uint64_t low_us, uint64_t high_us);
