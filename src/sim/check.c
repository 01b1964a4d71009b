/* Runs plans and compares how they end. */
#include "sim/check.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/own.h"
#include "sim/faults.h"
#include "sim/kubelet.h"
#include "sim/oracle.h"
#include "sim/process.h"
#include "sim/sim.h"
#include "sim/wire.h"

enum {
    START_S = 2,
    FAULTS_AFTER_MAX_S = 240, /* faults outlast the last action */
    QUIET_S = 660,            /* nothing is written for so long: all is done */
    STEP_S = 60,
    SETTLE_MAX_S = 6 * 3600,
    LOOK_AGAIN_S = 180,
    WRITES_MAX = 200 * 1000,
    SHOWN = 80, /* bytes before a difference */
};

void outcome_done(struct sim_outcome *o) {
    free(o->violation);
    buf_done(&o->state);
    *o = (struct sim_outcome){0};
}

/* Writes that are no heartbeats and no hints; an autoscaler that begins anew says that it has not
 * seen enough yet. */
static uint64_t real_writes(const struct sim *s) {
    static const char *const hints[] = {"Event", "Lease", "HorizontalPodAutoscaler"};
    uint64_t n = s->store->n_writes;
    for (size_t i = 0; i < s->store->n_resources; i++)
        for (size_t j = 0; j < ARRAY_LEN(hints); j++)
            if (str_eq(s->store->resources[i].kind->kind, hints[j]))
                n -= s->store->resources[i].n_writes;
    return n;
}

static void first_objects(struct sim *s, const struct sim_plan *p) {
    static const char *const names[] = {"default", "kube-system", "kube-public", "kube-node-lease"};
    char text[200];
    struct err err;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        snprintf(text, sizeof text,
                 "{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"%s\"}}",
                 names[i]);
        if (!api_put_new_json(s, text, &err)) sim_violation(s, "%s: %s", names[i], err.text);
    }
    for (unsigned i = 0; i < p->n_nodes; i++) {
        snprintf(text, sizeof text, "node-%u", i);
        node_add(s, text, p->cpus, 64, 110);
    }
}

static void settle(struct sim *s) {
    uint64_t writes = real_writes(s), since_us = s->now_us, began_us = s->now_us;
    while (!s->violation && s->now_us - since_us < (uint64_t)QUIET_S * SIM_SECOND_US) {
        sim_run_until(s, s->now_us + (uint64_t)STEP_S * SIM_SECOND_US);
        if (real_writes(s) != writes) since_us = s->now_us;
        writes = real_writes(s);
        if (writes > WRITES_MAX) sim_violation(s, "hot loop: %d writes", WRITES_MAX);
        if (s->now_us - began_us > (uint64_t)SETTLE_MAX_S * SIM_SECOND_US)
            sim_violation(s, "never comes to rest");
    }
}

/* The version before this one, while the log has it. */
static const struct sim_object *before(const struct sim_resource *r, const struct sim_object *o) {
    const struct sim_object *found = NULL;
    for (size_t i = 0; i < r->log.n; i++) {
        const struct sim_object *x = r->log.v[i].object;
        if (x->revision < o->revision && str_eq(x->ns, o->ns) && str_eq(x->name, o->name))
            found = x;
    }
    return found;
}

static void tell_last_write(struct sim *s) {
    const struct sim_object *last = NULL, *old = NULL;
    for (size_t i = 0; i < s->store->n_resources; i++) {
        struct sim_resource *r = &s->store->resources[i];
        if (!r->log.n || str_eq(r->kind->kind, "Lease") || str_eq(r->kind->kind, "Event")) continue;
        const struct sim_object *o = r->log.v[r->log.n - 1].object;
        if (last && o->revision <= last->revision) continue;
        last = o;
        old = before(r, o);
    }
    if (!last) return;
    /* From the spec on: what stands before differs by the version alone. */
    const char *x = strstr(last->json.p, "\"spec\""),
               *y = old ? strstr(old->json.p, "\"spec\"") : NULL;
    x = x ? x : last->json.p;
    y = y ? y : "";
    size_t at = 0;
    while (x[at] && x[at] == y[at]) at++;
    size_t from = at > SHOWN ? at - SHOWN : 0;
    sim_violation(s, "a second look writes: %s %s/%s: … %.*s … which was … %.*s", last->kind->kind,
                  last->ns, last->name, 3 * SHOWN, x + from, 3 * SHOWN,
                  from < strlen(y) ? y + from : "");
}

/* All begin anew and look at everything once more: they must like what they see. */
static void look_again(struct sim *s) {
    uint64_t writes = real_writes(s);
    processes_restart(s);
    sim_run_until(s, s->now_us + (uint64_t)LOOK_AGAIN_S * SIM_SECOND_US);
    if (!s->violation && real_writes(s) != writes) tell_last_write(s);
}

/* Nodes that fail, are cut off or emptied make pods unavailable, too. */
static bool evictions_only(const struct sim *s, const struct sim_plan *p) {
    static const char *const others[] = {"tainted", "descheduled"};
    for (size_t i = 0; i < p->scenarios.n; i++)
        for (size_t j = 0; j < ARRAY_LEN(others); j++)
            if (str_eq(p->scenarios.v[i]->name, others[j])) return false;
    return !(faults_drawn(s) & (1u << FAULT_POWER | 1u << FAULT_PARTITION));
}

static void run_plan(const struct sim_run *r, struct sim_outcome *ret) {
    const struct sim_plan *p = r->plan;
    struct sim *s = sim_new(r->seed * 2 + r->disturbed);
    *ret = (struct sim_outcome){0};
    s->verbose = r->verbose;
    s->bugs = r->bugs;
    store_new(s);
    wire_new(s);
    nodes_new(s);
    oracle_new(s);
    first_objects(s, p);
    processes_start(s, r->list, r->n);
    plan_begin(s, p);
    sim_run_until(s, (uint64_t)START_S * SIM_SECOND_US);
    if (r->disturbed) {
        faults_new(s, ((1u << FAULT_COUNT) - 1) & ~p->no_faults);
        faults_begin(s);
    }
    s->evictions_only = evictions_only(s, p);
    sim_run_until(s, p->end_us + sim_between_us(s, 30ull * SIM_SECOND_US,
                                                (uint64_t)FAULTS_AFTER_MAX_S * SIM_SECOND_US));
    if (r->disturbed) faults_end(s);
    settle(s);
    if (!s->violation) look_again(s);
    if (!s->violation) oracle_final(s);
    normal_form(s, &ret->state);
    ret->violation = TAKE(s->violation);
    ret->hash = state_hash(s);
    ret->events = s->n_events;
    ret->writes = s->store->n_writes;
    ret->requests = wire_stats(s).requests;
    ret->faults = faults_count(s);
    ret->drawn = faults_drawn(s);
    ret->virtual_us = s->now_us;
    processes_free(s);
    sim_drain(s);
    oracle_free(s);
    nodes_free(s);
    wire_free(s);
    faults_free(s);
    store_free(s);
    sim_free(s);
}

/* ---- comparing ---- */

static char *first_difference(const struct buf *want, const struct buf *have) {
    struct slice x = buf_view(want), y = buf_view(have), a = {0}, b = {0};
    struct buf out = {0};
    bool more_x = slice_cut(&x, '\n', &a), more_y = slice_cut(&y, '\n', &b);
    while (more_x && more_y && slice_eq(a, b)) {
        more_x = slice_cut(&x, '\n', &a);
        more_y = slice_cut(&y, '\n', &b);
    }
    size_t same = 0;
    while (same < a.n && same < b.n && a.p[same] == b.p[same]) same++;
    size_t from = same > SHOWN ? same - SHOWN : 0;
    buf_printf(&out, "ends differently\n  undisturbed: %.60s … %.*s\n  disturbed:   %.60s … %.*s",
               a.n ? a.p : "", (int)MIN_OF(a.n - MIN_OF(from, a.n), 3 * SHOWN),
               a.n > from ? a.p + from : "", b.n ? b.p : "",
               (int)MIN_OF(b.n - MIN_OF(from, b.n), 3 * SHOWN), b.n > from ? b.p + from : "");
    return buf_steal(&out);
}

static char *compare(const struct sim_outcome *calm, const struct sim_outcome *wild) {
    struct buf b = {0};
    if (calm->violation)
        buf_printf(&b, "undisturbed: %s", calm->violation);
    else if (wild->violation)
        buf_str(&b, wild->violation);
    else if (!slice_eq(buf_view(&calm->state), buf_view(&wild->state)))
        return first_difference(&calm->state, &wild->state);
    return b.n ? buf_steal(&b) : NULL;
}

static char *check(struct sim_run r, const char *controller, const char *names,
                   struct sim_outcome *ret_disturbed) {
    struct sim_plan *p = plan_draw(r.seed, controller, names);
    struct sim_outcome calm, wild;
    bool verbose = r.verbose;
    *ret_disturbed = (struct sim_outcome){0};
    if (!p) return strdup("there is no scenario for this controller");
    r.plan = p;
    r.verbose = false;
    run_plan(&r, &calm);
    r.disturbed = true;
    r.verbose = verbose;
    run_plan(&r, &wild);
    char *wrong = compare(&calm, &wild);
    wild.virtual_us += calm.virtual_us;
    outcome_done(&calm);
    *ret_disturbed = wild;
    plan_drop(p);
    return wrong;
}

char *check_seed(uint64_t seed, const char *controller, const char *names, bool verbose,
                 struct sim_outcome *ret_disturbed) {
    return check((struct sim_run){.seed = seed, .verbose = verbose}, controller, names,
                 ret_disturbed);
}

char *check_with_bugs(uint64_t seed, const char *controller, const struct reconciler *const *list,
                      size_t n, unsigned bugs) {
    struct sim_outcome out;
    char *wrong = check((struct sim_run){.seed = seed, .list = list, .n = n, .bugs = bugs},
                        controller, NULL, &out);
    outcome_done(&out);
    return wrong;
}
