/*
 * What goes wrong, and how often: drawn from the seed once, then at each request. Between its
 * beginning and its end only; outside of that nothing fails and latencies are small.
 */
#pragma once

#include "sim/api.h"

enum sim_fault_kind {
    FAULT_CRASH_CONTROLLERS, /* killed after a write, before or after it is committed */
    FAULT_CRASH_SCHEDULER,
    FAULT_REFUSE,    /* 409, 429, 500, 503 instead of a write */
    FAULT_LOSE,      /* the answer is lost, with or without the write */
    FAULT_LAG,       /* a watch shows the past for a while */
    FAULT_BREAK,     /* a watch breaks off, its log is compacted: a new list instead of events */
    FAULT_REPEAT,    /* a watch tells events once more */
    FAULT_SLOW,      /* long latencies: events of different kinds overtake one another */
    FAULT_PARTITION, /* a node does not reach the API for a while */
    FAULT_POWER,     /* a node fails, and comes back */
    FAULT_CLOCK,     /* all clocks jump */
    FAULT_COUNT
};
extern const char *const fault_names[FAULT_COUNT];

struct sim_fault {
    enum err_reason refuse; /* ERR_NONE: it is served */
    bool lost_before, lost_after, kill;
};

/* Draws which kinds of faults there will be, of those in `allowed` (bits). */
void faults_new(struct sim *s, unsigned allowed);
void faults_free(struct sim *s);
void faults_begin(struct sim *s);
void faults_end(struct sim *s); /* everything heals */
unsigned faults_drawn(const struct sim *s);
uint64_t faults_count(const struct sim *s); /* that happened */

/* Asked by the wire. */
struct sim_fault faults_of_request(struct sim *s, const struct sim_request *q);
uint64_t faults_latency_us(struct sim *s);
uint64_t faults_event_delay_us(struct sim *s);
void faults_kill(struct sim *s, const char *process);
