/* atoll sim: seeds one after the other, and what is told of them. */
#include "sim/sim.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/own.h"
#include "client/engine.h"
#include "sim/check.h"
#include "sim/faults.h"

enum { NAMES_MAX = 64 };

struct tally {
    uint64_t plans[NAMES_MAX]; /* by reconciler */
    uint64_t seeds, failed, events, faults, writes, virtual_us;
};

static void count_plan(struct tally *t, const struct sim_plan *p,
                       const struct reconciler *const *list, size_t n) {
    for (size_t i = 0; i < n && i < NAMES_MAX; i++) {
        bool covered = false;
        for (size_t j = 0; j < p->scenarios.n; j++)
            covered = covered || scenario_covers(p->scenarios.v[j], list[i]->name);
        t->plans[i] += covered;
    }
}

static void tell_failure(uint64_t seed, const struct sim_plan *p, unsigned drawn,
                         const char *wrong) {
    printf("FAILED: atoll sim --seed %" PRIu64 " --scenarios ", seed);
    for (size_t i = 0; i < p->scenarios.n; i++)
        printf("%s%s", i ? "+" : "", p->scenarios.v[i]->name);
    printf(" (");
    for (unsigned k = 0, n = 0; k < FAULT_COUNT; k++)
        if (drawn & 1u << k) printf("%s%s", n++ ? " " : "", fault_names[k]);
    printf(")\n  %s\n", wrong);
    fflush(stdout);
}

/* controller and names: see plan_draw. */
static void one_seed(const struct sim_options *o, uint64_t seed, const char *controller,
                     const char *names, const struct reconciler *const *list, size_t n,
                     struct tally *t) {
    struct sim_plan *p = plan_draw(seed, controller, names);
    t->seeds++;
    if (!p) {
        t->failed++;
        printf("seed %" PRIu64 ": there is no scenario %s\n", seed, str_or(names, controller));
        return;
    }
    struct sim_outcome out;
    OWN(free_p) char *wrong = check_seed(seed, controller, names, o->verbose, &out);
    count_plan(t, p, list, n);
    t->events += out.events;
    t->faults += out.faults;
    t->writes += out.writes;
    t->virtual_us += out.virtual_us;
    if (wrong) {
        t->failed++;
        tell_failure(seed, p, out.drawn, wrong);
    } else if (o->seeds == 1 && !o->seeds_file && !o->each) {
        printf("seed %" PRIu64 " hash %016" PRIx64 " events %" PRIu64 " writes %" PRIu64
               " faults %" PRIu64 "\n",
               seed, out.hash, out.events, out.writes, out.faults);
    }
    outcome_done(&out);
    plan_drop(p);
}

static int seeds_of_file(const struct sim_options *o, const struct reconciler *const *list,
                         size_t n, struct tally *t) {
    char line[256];
    OWN(fclose_p) FILE *f = fopen(o->seeds_file, "re");
    if (!f) {
        fprintf(stderr, "atoll sim: %s cannot be read\n", o->seeds_file);
        return -1;
    }
    while (fgets(line, sizeof line, f)) {
        struct slice rest = slice_trim(slice_of(line)), number;
        uint64_t seed;
        if (!rest.n || *rest.p == '#') continue;
        slice_cut(&rest, ' ', &number);
        if (slice_u64(number, &seed) < 0) {
            fprintf(stderr, "atoll sim: %s: '%.*s' is no seed\n", o->seeds_file, (int)number.n,
                    number.p);
            return -1;
        }
        OWN(free_p) char *names = rest.n ? strndup(rest.p, rest.n) : NULL;
        one_seed(o, seed, NULL, names, list, n, t);
    }
    return 0;
}

/* Controllers that chance has passed by; one that no scenario exercises is a failure. */
static void fill_up(const struct sim_options *o, const struct reconciler *const *list, size_t n,
                    struct tally *t) {
    for (size_t i = 0; i < n && i < NAMES_MAX; i++) {
        struct sim_plan *p = plan_draw(o->seed, list[i]->name, NULL);
        if (!p) {
            printf("%s: no scenario exercises it\n", list[i]->name);
            t->failed++;
            continue;
        }
        plan_drop(p);
        for (uint64_t seed = o->seed; t->plans[i] < o->each; seed++)
            one_seed(o, seed, list[i]->name, NULL, list, n, t);
    }
}

static bool is_known(const char *controller, const struct reconciler *const *list, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (str_eq(list[i]->name, controller)) return true;
    return false;
}

static void tell_tally(const struct tally *t, const struct reconciler *const *list, size_t n,
                       double seconds) {
    for (size_t i = 0; i < n && i < NAMES_MAX; i++)
        printf("%-24s %6" PRIu64 " plans\n", list[i]->name, t->plans[i]);
    printf("%" PRIu64 " seeds, %" PRIu64 " failed; %.1f seeds/s; %.3f simulated years in %.1f s; "
           "%" PRIu64 " events, %" PRIu64 " writes, %" PRIu64 " faults\n",
           t->seeds, t->failed, (double)t->seeds / seconds,
           (double)t->virtual_us / 1e6 / 86400 / 365.25, seconds, t->events, t->writes, t->faults);
}

int sim_check(const struct sim_options *o) {
    size_t n;
    OWN(free_p) const struct reconciler **list = reconcilers(&n);
    struct tally t = {0};
    if (o->controller && !is_known(o->controller, list, n)) {
        fprintf(stderr, "atoll sim: --controller: there is no controller '%s'\n", o->controller);
        return 2;
    }
    struct sim_plan *first = plan_draw(o->seed, o->controller, o->scenarios);
    if (!first) {
        fprintf(stderr, "atoll sim: --scenarios: there is no scenario '%s'\n",
                str_or(o->scenarios, str_or(o->controller, "")));
        return 2;
    }
    plan_drop(first);
    log_setup("sim", LOG_LEVEL_ERROR);
    uint64_t began = clock_span_ns();
    if (o->seeds_file) {
        if (seeds_of_file(o, list, n, &t) < 0) return 1;
    } else {
        for (uint64_t i = 0; i < o->seeds; i++)
            one_seed(o, o->seed + i, o->controller, o->scenarios, list, n, &t);
        fill_up(o, list, o->each ? n : 0, &t);
    }
    if (t.seeds > 1 || t.failed) tell_tally(&t, list, n, (double)(clock_span_ns() - began) / 1e9);
    return t.failed != 0;
}
