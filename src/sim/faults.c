#include "sim/faults.h"

#include <stdlib.h>

#include "base/own.h"
#include "sim/kubelet.h"
#include "sim/process.h"
#include "sim/wire.h"

const char *const fault_names[FAULT_COUNT] = {
    [FAULT_CRASH_CONTROLLERS] = "crash-controllers",
    [FAULT_CRASH_SCHEDULER] = "crash-scheduler",
    [FAULT_REFUSE] = "refuse",
    [FAULT_LOSE] = "lose",
    [FAULT_LAG] = "lag",
    [FAULT_BREAK] = "break",
    [FAULT_REPEAT] = "repeat",
    [FAULT_SLOW] = "slow",
    [FAULT_PARTITION] = "partition",
    [FAULT_POWER] = "power",
    [FAULT_CLOCK] = "clock",
};

struct sim_faults {
    unsigned drawn;
    uint64_t one_in[FAULT_COUNT]; /* how rare those of requests are */
    bool active;
    uint64_t count;
};

static bool has(const struct sim *s, enum sim_fault_kind k) {
    return s->faults && s->faults->active && s->faults->drawn & 1u << k;
}

static bool strikes(struct sim *s, enum sim_fault_kind k) {
    if (!has(s, k) || !random_one_in(&s->random, s->faults->one_in[k])) return false;
    s->faults->count++;
    return true;
}

/* ---- requests ---- */

static bool refuse(struct sim *s, const struct sim_request *q, struct sim_fault *f) {
    static const enum err_reason reasons[] = {ERR_TOO_MANY_REQUESTS, ERR_INTERNAL, ERR_UNAVAILABLE,
                                              ERR_CONFLICT, ERR_TIMEOUT};
    if (!strikes(s, FAULT_REFUSE)) return false;
    /* A conflict is told to those who gave a version only; 429 and worse to anyone. */
    bool may_conflict = str_eq(q->method, "PUT") || str_eq(q->method, "PATCH");
    f->refuse = reasons[random_below(&s->random, ARRAY_LEN(reasons))];
    if (f->refuse == ERR_CONFLICT && !may_conflict) f->refuse = ERR_UNAVAILABLE;
    sim_say(s, "fault: %s %s by %s is refused with %d", q->method, q->target, q->asker,
            err_http(f->refuse));
    return true;
}

struct sim_fault faults_of_request(struct sim *s, const struct sim_request *q) {
    struct sim_fault f = {.refuse = ERR_NONE};
    if (str_eq(q->method, "GET")) return f;
    bool scheduler = str_eq(q->asker, SIM_SCHEDULER);
    if (strikes(s, scheduler ? FAULT_CRASH_SCHEDULER : FAULT_CRASH_CONTROLLERS)) {
        f.kill = true;
        f.lost_before = random_one_in(&s->random, 2);
        return f;
    }
    if (refuse(s, q, &f) || !strikes(s, FAULT_LOSE)) return f;
    f.lost_before = random_one_in(&s->random, 3);
    f.lost_after = !f.lost_before;
    sim_say(s, "fault: the answer to %s %s by %s is lost%s", q->method, q->target, q->asker,
            f.lost_before ? " with the request" : "");
    return f;
}

void faults_kill(struct sim *s, const char *process) {
    process_kill(s, process, sim_between_us(s, 1000, 3 * SIM_SECOND_US));
}

uint64_t faults_latency_us(struct sim *s) {
    if (has(s, FAULT_SLOW) && random_one_in(&s->random, 8))
        return sim_between_us(s, 1000, 2 * SIM_SECOND_US);
    return sim_between_us(s, 100, 800);
}

uint64_t faults_event_delay_us(struct sim *s) {
    if (has(s, FAULT_SLOW) && random_one_in(&s->random, 4))
        return sim_between_us(s, 1000, 3 * SIM_SECOND_US);
    return sim_between_us(s, s->news_us / 20, s->news_us);
}

/* ---- what happens by itself ---- */

static void strike_wire(struct sim *s, enum sim_fault_kind k) {
    uint64_t n = random_next(&s->random);
    switch (k) {
    case FAULT_LAG: wire_hold_watch(s, n, sim_between_us(s, 10000, 30 * SIM_SECOND_US)); break;
    case FAULT_BREAK: wire_break_watch(s, n, random_one_in(&s->random, 2)); break;
    case FAULT_REPEAT: wire_repeat_watch(s, n); break;
    default: break;
    }
}

static void jump(struct sim *s) {
    int64_t by_s = (int64_t)random_below(&s->random, 240) - 90;
    sim_say(s, "fault: the clocks jump by %d s", (int)by_s);
    s->wall_jump_ns += by_s * 1000000000;
}

static void strike(struct sim *s, enum sim_fault_kind k) {
    s->faults->count++;
    uint64_t n = random_next(&s->random);
    switch (k) {
    case FAULT_PARTITION:
        node_partition(s, n, sim_between_us(s, SIM_SECOND_US, 250ull * SIM_SECOND_US));
        break;
    case FAULT_POWER:
        node_power_off(s, n, sim_between_us(s, 5 * SIM_SECOND_US, 500ull * SIM_SECOND_US));
        break;
    case FAULT_CLOCK: jump(s); break;
    default: strike_wire(s, k);
    }
}

/* Seconds between two of a kind, on average. */
static const unsigned every_s[FAULT_COUNT] = {
    [FAULT_LAG] = 10,       [FAULT_BREAK] = 8,  [FAULT_REPEAT] = 8,
    [FAULT_PARTITION] = 60, [FAULT_POWER] = 90, [FAULT_CLOCK] = 80};

static void tick(struct sim *s, void *user) {
    (void)user;
    if (!s->faults->active) return;
    for (int k = 0; k < FAULT_COUNT; k++)
        if (every_s[k] && has(s, (enum sim_fault_kind)k) && random_one_in(&s->random, every_s[k]))
            strike(s, (enum sim_fault_kind)k);
    sim_after(s, SIM_SECOND_US, tick, NULL);
}

/* ---- life ---- */

void faults_new(struct sim *s, unsigned allowed) {
    struct sim_faults *f = s->faults = calloc(1, sizeof *f);
    if (!f) abort();
    for (unsigned k = 0; k < FAULT_COUNT; k++) {
        if (random_one_in(&s->random, 2)) f->drawn |= 1u << k;
        f->one_in[k] = 3 + random_below(&s->random, 30);
    }
    f->drawn &= allowed;
    if (!f->drawn) f->drawn = allowed & (1u << FAULT_CRASH_CONTROLLERS | 1u << FAULT_LOSE);
}

void faults_free(struct sim *s) {
    free(s->faults);
    s->faults = NULL;
}

void faults_begin(struct sim *s) {
    s->faults->active = true;
    tick(s, NULL);
}

void faults_end(struct sim *s) {
    s->faults->active = false;
    nodes_heal(s);
}

unsigned faults_drawn(const struct sim *s) { return s->faults ? s->faults->drawn : 0; }
uint64_t faults_count(const struct sim *s) { return s->faults ? s->faults->count : 0; }
