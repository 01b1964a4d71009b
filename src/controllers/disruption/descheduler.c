/*
 * The descheduler: now and then looks whether pods should be elsewhere by now, and asks for the
 * eviction of some, within their disruption budgets. A pod stays unless another node suits it and
 * the scheduler would prefer that one; what was evicted and came back all the same stays then.
 */
#include <stdlib.h>
#include <string.h>

#include "api/rules/pods.h"
#include "api/values/selector.h"
#include "base/own.h"
#include "base/times.h"
#include "controllers/disruption/descheduler.h"

enum { REMEMBER_S = 24 * 3600, MEMORIES_MAX = 10000 };

/* ---- memories: a note of evictions, one line each: owner, nanoseconds, node ---- */

struct memory {
    const char *owner, *place;
    int64_t at_ns;
};

enum held { /* why a candidate stays */
            HELD_LIMIT,
            HELD_OWNER,
            HELD_RETURNED,
            HELD_BUDGET,
            HELD_NOWHERE,
            HELD_SAME,
            HELD_NO_BETTER,
            HELD_COUNT
};
static const char *const held_texts[HELD_COUNT] = {
    [HELD_LIMIT] = "by the limits of a pass",
    [HELD_OWNER] = "while their controller cools down",
    [HELD_RETURNED] = "since they came back to their node",
    [HELD_BUDGET] = "by disruption budgets",
    [HELD_NOWHERE] = "since they fit nowhere",
    [HELD_SAME] = "since they would come back to their node",
    [HELD_NO_BETTER] = "since no node is better",
};

struct pass {
    struct view *v;
    struct plan *p;
    const struct descheduling_v1alpha1_descheduler_policy_spec *spec;
    int64_t now_ns;
    struct {
        struct memory *v;
        size_t n;
    } memories;
    struct move {
        struct resident *resident;
        const struct candidate *why;
        const struct place *from, *to;
    } * moves;
    size_t n_moves, n_candidates, held[HELD_COUNT];
};

static const char *note_name(struct arena *a, const descheduler_policy *policy) {
    return arena_printf(a, "descheduler/%s", policy->metadata.name);
}

static void memories_read(struct pass *pass, const struct fact *f) {
    struct arena *a = pass->v->a;
    struct slice left = f ? f->body : SLICE("");
    int64_t keep_ns = MAX_OF(int_or(pass->spec->cooldown_seconds, 600), (int32_t)REMEMBER_S) *
                      INT64_C(1000000000);
    while (left.n) {
        const char *end = memchr(left.p, '\n', left.n);
        size_t n = end ? (size_t)(end - left.p) : left.n;
        const char *space = memchr(left.p, ' ', n);
        const char *second =
            space ? memchr(space + 1, ' ', n - (size_t)(space + 1 - left.p)) : NULL;
        uint64_t at_ns;
        if (second && slice_u64(slice_from(space + 1, (size_t)(second - space - 1)), &at_ns) == 0 &&
            at_ns <= INT64_MAX && pass->now_ns - (int64_t)at_ns < keep_ns)
            *ARENA_PUSH(a, &pass->memories) = (struct memory){
                .owner = arena_strn(a, slice_from(left.p, (size_t)(space - left.p))),
                .place = arena_strn(a, slice_from(second + 1, n - (size_t)(second + 1 - left.p))),
                .at_ns = (int64_t)at_ns};
        n += end != NULL;
        left = slice_from(left.p + n, left.n - n);
    }
}

static void memories_write(struct pass *pass) {
    OWN(buf_done) struct buf b = {0};
    const char *name = note_name(pass->v->a, pass->v->policy);
    size_t first = pass->memories.n > MEMORIES_MAX ? pass->memories.n - MEMORIES_MAX : 0;
    for (size_t i = first; i < pass->memories.n; i++)
        buf_printf(&b, "%s %lld %s\n", pass->memories.v[i].owner,
                   (long long)pass->memories.v[i].at_ns, pass->memories.v[i].place);
    if (b.n || world_fact(pass->v->w, name)) plan_note(pass->p, name, buf_view(&b));
}

/* ---- the decision about one pod ---- */

static bool hold(struct pass *pass, enum held why) {
    pass->held[why]++;
    return false;
}

static bool over_limits(const struct pass *pass, const struct resident *r) {
    size_t of_namespace = 0;
    for (size_t i = 0; i < pass->n_moves; i++)
        of_namespace +=
            str_eq(pass->moves[i].resident->pod->metadata.namespace, r->pod->metadata.namespace);
    return pass->n_moves >= (size_t)int_or(pass->spec->max_evictions_per_pass, 10) ||
           r->place->evicted >= int_or(pass->spec->max_evictions_per_node, 3) ||
           of_namespace >= (size_t)int_or(pass->spec->max_evictions_per_namespace, INT32_MAX);
}

/* *ret_returned: this very pod is on the node from which its forerunner was evicted. */
static bool rests(const struct pass *pass, const struct resident *r, bool *ret_returned) {
    int64_t cooldown_ns = int_or(pass->spec->cooldown_seconds, 600) * INT64_C(1000000000), born_ns;
    if (time_parse(str_or(r->pod->metadata.creation_timestamp, ""), &born_ns) < 0) born_ns = 0;
    for (size_t i = 0; i < pass->memories.n; i++) {
        const struct memory *m = &pass->memories.v[i];
        if (!str_eq(m->owner, r->owner)) continue;
        /* Creation times are whole seconds. */
        *ret_returned |=
            str_eq(m->place, r->place->object->metadata.name) && born_ns + 1000000000 > m->at_ns;
        if (m->at_ns == pass->now_ns || pass->now_ns - m->at_ns < cooldown_ns) return true;
    }
    return *ret_returned;
}

/* The budget that decides, NULL: none; false: it may not go. The API allows one over each pod. */
static bool within_budgets(const struct pass *pass, const struct resident *r,
                           struct budget_left **ret) {
    *ret = NULL;
    for (size_t i = 0; i < pass->v->budgets.n; i++) {
        struct budget_left *b = &pass->v->budgets.v[i];
        if (!b->selector || !str_eq(b->object->metadata.namespace, r->pod->metadata.namespace) ||
            !selector_matches(b->selector, &r->pod->metadata.labels))
            continue;
        if (*ret || b->left <= 0) return false;
        *ret = b;
    }
    return true;
}

bool pass_consider(struct pass *pass, const struct candidate *c) {
    struct resident *r = c->resident;
    struct budget_left *budget;
    bool returned = false;
    if (!r->movable) return false;
    pass->n_candidates++;
    if (over_limits(pass, r)) return hold(pass, HELD_LIMIT);
    if (rests(pass, r, &returned)) return hold(pass, returned ? HELD_RETURNED : HELD_OWNER);
    if (!within_budgets(pass, r, &budget)) return hold(pass, HELD_BUDGET);
    struct fit *q = c->fit ? c->fit : fit_new(pass->v, r);
    struct place *to = fit_place(q);
    if (!to) return hold(pass, HELD_NOWHERE);
    if (to == r->place) return hold(pass, HELD_SAME);
    if (c->improves && !c->improves(pass->v, r, to, c->user)) return hold(pass, HELD_NO_BETTER);
    pass->moves[pass->n_moves++] =
        (struct move){r, arena_copy(pass->v->a, c, sizeof *c), r->place, to};
    *ARENA_PUSH(pass->v->a, &pass->memories) =
        (struct memory){r->owner, r->place->object->metadata.name, pass->now_ns};
    if (budget) budget->left--;
    r->place->evicted++;
    r->movable = false;
    view_move(pass->v, r, to);
    return true;
}

/* ---- the pass ---- */

static void evict(struct pass *pass, const struct move *m) {
    struct arena *a = pass->v->a;
    const struct api_object *pod = (const struct api_object *)m->resident->pod;
    const char *text =
        arena_printf(a, "from node %s by %s: %s; node %s suits it", m->from->object->metadata.name,
                     m->why->strategy, m->why->why, m->to->object->metadata.name);
    if (pass->spec->dry_run) {
        plan_event(pass->p, pod, "Normal", "DescheduleDryRun", "would be evicted %s", text);
        return;
    }
    plan_evict(pass->p, pod);
    plan_report_as(pass->p, pod, "Descheduled", arena_printf(a, "evicted %s", text),
                   "DescheduleFailed", arena_printf(a, "eviction %s:", text));
}

static const char *held_message(struct pass *pass) {
    OWN(buf_done) struct buf b = {0};
    for (size_t i = 0; i < HELD_COUNT; i++)
        if (pass->held[i])
            buf_printf(&b, "%s%zu %s", b.n ? ", " : "held back: ", pass->held[i], held_texts[i]);
    return arena_strn(pass->v->a, buf_view(&b));
}

static const char *pass_note(struct arena *a, const descheduler_policy *policy) {
    return arena_printf(a, "descheduler/%s/pass", policy->metadata.name);
}

/* First what ends the pass: what fails later waits for the next one. A pass that finds the same as
 * the one before is only noted, so that a policy with nothing to do writes nothing. */
static void status_write(const struct pass *pass,
                         const struct descheduling_v1alpha1_descheduler_policy_status *s) {
    struct arena *a = pass->v->a;
    descheduler_policy *copy = arena_copy(a, pass->v->policy, sizeof *copy);
    copy->status = *s;
    copy->status.last_pass_time = pass->v->policy->status.last_pass_time;
    if (!api_equal(&descheduling_v1alpha1_descheduler_policy_status_type, &copy->status,
                   &pass->v->policy->status)) {
        copy->status.last_pass_time = s->last_pass_time;
        plan_update_status(pass->p, (struct api_object *)copy);
    }
    plan_note(pass->p, pass_note(a, pass->v->policy),
              slice_of(arena_printf(a, "%lld", (long long)pass->now_ns)));
}

static void run_pass(const struct world *w, const descheduler_policy *policy,
                     const struct score_rule *rule, struct plan *p) {
    struct arena *a = plan_arena(p);
    struct pass pass = {
        .v = view_new(w, a, policy), .p = p, .spec = &policy->spec, .now_ns = world_now_ns(w)};
    pass.v->rule = *rule;
    size_t most = (size_t)MAX_OF(int_or(policy->spec.max_evictions_per_pass, 10), 0);
    pass.moves = ARENA_ARRAY(a, struct move, MIN_OF(most, pass.v->residents.n) + 1);
    memories_read(&pass, world_fact(w, note_name(a, policy)));
    strategies_run(pass.v, &pass);
    status_write(&pass, &(struct descheduling_v1alpha1_descheduler_policy_status){
                            .observed_generation = policy->metadata.generation,
                            .last_pass_time = now_text(a, w),
                            .candidates = (int32_t)MIN_OF(pass.n_candidates, (size_t)INT32_MAX),
                            .evictions = (int32_t)MIN_OF(pass.n_moves, (size_t)INT32_MAX),
                            .total_evictions = policy->status.total_evictions +
                                               (policy->spec.dry_run ? 0 : (int64_t)pass.n_moves),
                            .message = held_message(&pass)});
    if (!policy->spec.dry_run) memories_write(&pass);
    for (size_t i = 0; i < pass.n_moves; i++) evict(&pass, &pass.moves[i]);
}

/* Milliseconds until the next pass. A changed policy is due at once. */
static int64_t due_ms(const struct world *w, const descheduler_policy *policy) {
    OWN(arena_free_p) struct arena *a = arena_new();
    const struct fact *f = world_fact(w, pass_note(a, policy));
    int64_t last_ns;
    uint64_t noted_ns = 0;
    if (policy->status.observed_generation < policy->metadata.generation ||
        time_parse(str_or(policy->status.last_pass_time, ""), &last_ns) < 0)
        return 0;
    if (f && slice_u64(f->body, &noted_ns) == 0 && noted_ns <= INT64_MAX)
        last_ns = MAX_OF(last_ns, (int64_t)noted_ns);
    return (last_ns - world_now_ns(w)) / 1000000 +
           int_or(policy->spec.interval_seconds, 300) * INT64_C(1000);
}

static void forget(const struct world *w, const char *name, struct plan *p) {
    const descheduler_policy gone = {.metadata.name = name};
    const char *notes[] = {note_name(plan_arena(p), &gone), pass_note(plan_arena(p), &gone)};
    for (size_t i = 0; i < ARRAY_LEN(notes); i++)
        if (world_fact(w, notes[i])) plan_note(p, notes[i], SLICE(""));
}

static int reconcile(const struct world *w, const char *key, struct plan *p, struct err *err) {
    (void)err;
    const descheduler_policy *policy =
        (const descheduler_policy *)world_get(w, "DeschedulerPolicy", NULL, key);
    if (!policy) forget(w, key, p);
    if (!policy || policy->metadata.deletion_timestamp || policy->spec.suspend) return 0;
    int64_t left_ms = due_ms(w, policy);
    struct score_rule rule;
    if (!score_rule_read(w, p, &rule)) return 0; /* its answer wakes this again */
    if (left_ms <= 0) {
        run_pass(w, policy, &rule, p);
        left_ms = MAX_OF(int_or(policy->spec.interval_seconds, 300), 1) * INT64_C(1000);
    }
    plan_requeue(p, (uint64_t)left_ms);
    return 0;
}

static const char *const watches[] = {
    "DeschedulerPolicy", "Pod", "Node", "Namespace", "PodDisruptionBudget", "PersistentVolumeClaim",
    "PersistentVolume",  NULL};
static const struct reconciler descheduler = {.name = "descheduler",
                                              .kind = "DeschedulerPolicy",
                                              .watches = watches,
                                              .map = map_own_kind,
                                              .reconcile = reconcile};
RECONCILER(descheduler);
