/*
 * How fast the number of pods may change, and what must be remembered for that. The memory is text
 * in a note of the world, a line for each thing: "a FROM UNTIL LOW HIGH" advice that was given, "c
 * AT ADDED" a change that was made, "s AT" the last write of the status; times in nanoseconds.
 */
#include <inttypes.h>
#include <math.h>

#include "base/own.h"
#include "controllers/autoscaling/hpa.h"
#include "controllers/common.h"

typedef struct autoscaling_v2_hpa_scaling_rules rules;

static const int64_t second_ns = 1000000000;
enum { DOWN_WINDOW_S = 300, PERIOD_S = 15, PARTS = 64 };

/* ---- rules ---- */

static void add_policy(struct hpa_run *r, rules *s, const char *type, int32_t value) {
    *ARENA_PUSH(r->a, &s->policies) =
        (struct autoscaling_v2_hpa_scaling_policy){type, value, PERIOD_S};
}

/* The rules in force: those of the object, or the defaults. */
static rules rules_of(struct hpa_run *r, bool up) {
    const struct autoscaling_v2_horizontal_pod_autoscaler_behavior *b = r->hpa->spec.behavior;
    const rules *own = !b ? NULL : up ? b->scale_up : b->scale_down;
    rules s = own ? *own : (rules){0};
    bool none = !s.policies.n;
    if (none && up) add_policy(r, &s, "Pods", 4);
    if (none) add_policy(r, &s, "Percent", 100);
    if (!s.select_policy) s.select_policy = "Max";
    if (!s.stabilization_window_seconds)
        s.stabilization_window_seconds = int_new(r->a, up ? 0 : DOWN_WINDOW_S);
    return s;
}

/* ---- memory ---- */

static bool next_number(struct slice *line, int64_t *ret) {
    struct slice word;
    uint64_t n;
    slice_cut(line, ' ', &word);
    bool negative = word.n && word.p[0] == '-';
    if (negative) word = slice_from(word.p + 1, word.n - 1);
    if (slice_u64(word, &n) < 0 || n > INT64_MAX) return false;
    *ret = negative ? -(int64_t)n : (int64_t)n;
    return true;
}

static const char *note_name(struct hpa_run *r) {
    return arena_printf(r->a, "hpa %s %s", r->key, str_or(r->hpa->metadata.uid, ""));
}

struct hpa_memory hpa_memory_read(struct hpa_run *r) {
    struct hpa_memory m = {0};
    struct {
        struct hpa_change *v;
        size_t n;
    } changes = {0};
    const struct fact *f = world_fact(r->w, note_name(r));
    struct slice text = f ? f->body : SLICE(""), line, what;
    while (text.n) {
        int64_t v[4] = {0};
        slice_cut(&text, '\n', &line);
        slice_cut(&line, ' ', &what);
        size_t n = 0;
        while (n < ARRAY_LEN(v) && line.n && next_number(&line, &v[n])) n++;
        if (slice_is(what, "a") && n == 4)
            *ARENA_PUSH(r->a, &m) = (struct hpa_advice){v[0], v[1], (int32_t)v[2], (int32_t)v[3]};
        else if (slice_is(what, "c") && n == 2)
            *ARENA_PUSH(r->a, &changes) = (struct hpa_change){v[0], (int32_t)v[1]};
        else if (slice_is(what, "s") && n == 1)
            m.status_ns = v[0];
    }
    m.changes = changes.v;
    m.n_changes = changes.n;
    return m;
}

void hpa_memory_write(struct hpa_run *r, const struct hpa_memory *m) {
    OWN(buf_done) struct buf b = {0};
    for (size_t i = 0; i < m->n; i++)
        buf_printf(&b, "a %" PRId64 " %" PRId64 " %d %d\n", m->v[i].from_ns, m->v[i].until_ns,
                   m->v[i].low, m->v[i].high);
    for (size_t i = 0; i < m->n_changes; i++)
        buf_printf(&b, "c %" PRId64 " %d\n", m->changes[i].at_ns, m->changes[i].added);
    if (m->status_ns) buf_printf(&b, "s %" PRId64 "\n", m->status_ns);
    const char *name = note_name(r);
    const struct fact *f = world_fact(r->w, name);
    if (!slice_eq(f ? f->body : SLICE(""), buf_view(&b))) plan_note(r->p, name, buf_view(&b));
}

static int64_t longest_period_ns(struct hpa_run *r) {
    int64_t longest = 0;
    for (int up = 0; up <= 1; up++) {
        rules s = rules_of(r, up);
        for (size_t i = 0; i < s.policies.n; i++)
            longest = MAX_OF(longest, (int64_t)s.policies.v[i].period_seconds);
    }
    return longest * second_ns;
}

void hpa_memory_changed(struct hpa_run *r, struct hpa_memory *m, int32_t added) {
    struct {
        struct hpa_change *v;
        size_t n;
    } kept = {0};
    int64_t now = world_now_ns(r->w), oldest = now - longest_period_ns(r);
    for (size_t i = 0; i < m->n_changes; i++)
        if (m->changes[i].at_ns > oldest) *ARENA_PUSH(r->a, &kept) = m->changes[i];
    *ARENA_PUSH(r->a, &kept) = (struct hpa_change){now, added};
    m->changes = kept.v;
    m->n_changes = kept.n;
}

/* Neighbours that are near in time share an entry, so that there are never many. */
static void remember_advice(struct hpa_run *r, struct hpa_memory *m, int32_t advice,
                            int64_t window_ns) {
    struct hpa_memory kept = *m;
    int64_t now = world_now_ns(r->w);
    kept.v = NULL;
    kept.n = 0;
    for (size_t i = 0; i < m->n; i++)
        if (m->v[i].until_ns > now - window_ns) *ARENA_PUSH(r->a, &kept) = m->v[i];
    struct hpa_advice *last = kept.n ? &kept.v[kept.n - 1] : NULL;
    bool same = last && last->low == advice && last->high == advice;
    if (last && (same || now - last->from_ns < window_ns / PARTS)) {
        last->until_ns = now;
        last->low = MIN_OF(last->low, advice);
        last->high = MAX_OF(last->high, advice);
    } else if (window_ns) {
        *ARENA_PUSH(r->a, &kept) = (struct hpa_advice){now, now, advice, advice};
    }
    *m = kept;
}

/* ---- limits ---- */

static int64_t changed_since(const struct hpa_memory *m, int64_t since_ns, bool up) {
    int64_t n = 0;
    for (size_t i = 0; i < m->n_changes; i++)
        if (m->changes[i].at_ns > since_ns && (m->changes[i].added > 0) == up)
            n += m->changes[i].added;
    return n;
}

/* An object without `behavior` is limited as it was before there was one: at most twice as many, or
 * up to four, in each period of 15 s (with behavior: four more); and the highest advice of the last
 * five minutes counts upwards, too. */
static bool is_plain(const struct hpa_run *r) { return !r->hpa->spec.behavior; }

/* How far the rules let the number go. */
static int32_t rate_limit(struct hpa_run *r, const struct hpa_memory *m, const rules *s, bool up) {
    int32_t now = r->target.spec_replicas;
    bool widest = !str_eq(s->select_policy, "Min");
    int64_t limit = 0;
    if (str_eq(s->select_policy, "Disabled")) return now;
    for (size_t i = 0; i < s->policies.n; i++) {
        const struct autoscaling_v2_hpa_scaling_policy *p = &s->policies.v[i];
        int64_t since = world_now_ns(r->w) - p->period_seconds * second_ns;
        int64_t start = now - changed_since(m, since, up), to;
        double share = p->value / 100.0;
        if (str_eq(p->type, "Pods"))
            to = !up ? start - p->value : is_plain(r) ? p->value : start + p->value;
        else
            to = up ? (int64_t)ceil((double)start * (1 + share) - 1e-9)
                    : (int64_t)((double)start * (1 - share) + 1e-9);
        if (!i || (up == widest ? to > limit : to < limit)) limit = to;
    }
    limit = up ? MAX_OF(limit, (int64_t)now) : MIN_OF(limit, (int64_t)now);
    return (int32_t)MIN_OF(MAX_OF(limit, (int64_t)0), (int64_t)INT32_MAX);
}

/* Upwards the least that was advised within the window counts, downwards the most. */
static int32_t stabilize(struct hpa_run *r, const struct hpa_memory *m, int32_t desired, bool up,
                         int64_t window_ns) {
    int32_t out = desired;
    int64_t since = world_now_ns(r->w) - window_ns;
    for (size_t i = 0; i < m->n; i++) {
        if (m->v[i].until_ns <= since) continue;
        out = up ? MIN_OF(out, m->v[i].low) : MAX_OF(out, m->v[i].high);
    }
    return out;
}

static void limit_up(struct hpa_run *r, const struct hpa_memory *m, const rules *s,
                     struct hpa_verdict *v) {
    int32_t by_rate = rate_limit(r, m, s, true), most = r->hpa->spec.max_replicas;
    bool rate = by_rate < most;
    if (rate) most = by_rate;
    if (v->replicas <= most) return;
    v->replicas = most;
    v->limited = true;
    v->limited_reason = rate ? "ScaleUpLimit" : "TooManyReplicas";
    v->limited_message =
        rate ? "the desired replica count is increasing faster than the maximum scale rate"
             : "the desired replica count is more than the maximum replica count";
}

static void limit_down(struct hpa_run *r, const struct hpa_memory *m, const rules *s, int32_t min,
                       struct hpa_verdict *v) {
    int32_t by_rate = rate_limit(r, m, s, false), least = min;
    bool rate = by_rate > least;
    if (rate) least = by_rate;
    if (v->replicas >= least) return;
    v->replicas = least;
    v->limited = true;
    v->limited_reason = rate ? "ScaleDownLimit" : "TooFewReplicas";
    v->limited_message =
        rate ? "the desired replica count is decreasing faster than the maximum scale rate"
             : "the desired replica count is less than the minimum replica count";
}

struct hpa_verdict hpa_limit(struct hpa_run *r, struct hpa_memory *m, int32_t desired,
                             int32_t min) {
    int32_t now = r->target.spec_replicas;
    bool up = desired >= now;
    rules up_rules = rules_of(r, true), down_rules = rules_of(r, false);
    int64_t up_ns = *up_rules.stabilization_window_seconds * second_ns;
    int64_t down_ns = *down_rules.stabilization_window_seconds * second_ns;
    /* What a restart made forgotten: the present number was somebody's advice. */
    if (!world_fact(r->w, note_name(r))) remember_advice(r, m, now, MAX_OF(up_ns, down_ns));
    struct hpa_verdict v = {.able_reason = "ReadyForNewScale",
                            .able_message = "recommended size matches current size",
                            .limited_reason = "DesiredWithinRange",
                            .limited_message = "the desired count is within the acceptable range"};
    bool lowest = up && !is_plain(r);
    v.replicas = stabilize(r, m, desired, lowest, lowest ? up_ns : down_ns);
    remember_advice(r, m, desired, MAX_OF(up_ns, down_ns));
    if (v.replicas != desired) {
        v.able_reason = lowest ? "ScaleUpStabilized" : "ScaleDownStabilized";
        v.able_message = lowest
                             ? "recent recommendations were lower than current one, applying the "
                               "lowest recent recommendation"
                             : "recent recommendations were higher than current one, applying the "
                               "highest recent recommendation";
    }
    if (v.replicas > now)
        limit_up(r, m, &up_rules, &v);
    else if (v.replicas < now)
        limit_down(r, m, &down_rules, min, &v);
    return v;
}
