/* Job: what a failure or a success means, and how long to wait after one. */
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "base/times.h"
#include "controllers/jobs/job.h"

enum { BACKOFF_FIRST_MS = 10 * 1000, BACKOFF_MAX_MS = 6 * 60 * 1000 };

typedef struct batch_v1_pod_failure_policy_on_exit_codes_requirement exit_codes;

static const struct core_v1_container_status *
exit_code_find(const exit_codes *r, const struct core_v1_container_status_list *list) {
    for (size_t i = 0; i < list->n; i++) {
        const struct core_v1_container_status *c = &list->v[i];
        if (!c->state.terminated || c->state.terminated->exit_code == 0) continue;
        if (r->container_name && !str_eq(r->container_name, c->name)) continue;
        bool found = false;
        for (size_t k = 0; k < r->values.n; k++)
            found = found || r->values.v[k] == c->state.terminated->exit_code;
        if (found == str_eq(r->operator, "In")) return c;
    }
    return NULL;
}

static const char *exit_code_match(struct job_view *v, const struct core_v1_pod *pod,
                                   const struct batch_v1_pod_failure_policy_rule *r, size_t n) {
    const struct core_v1_container_status *c =
        exit_code_find(r->on_exit_codes, &pod->status.container_statuses);
    if (!c) c = exit_code_find(r->on_exit_codes, &pod->status.init_container_statuses);
    if (!c) return NULL;
    return arena_printf(v->a,
                        "Container %s for pod %s/%s failed with exit code %d matching %s rule at "
                        "index %zu",
                        c->name, pod->metadata.namespace, pod->metadata.name,
                        c->state.terminated->exit_code, r->action, n);
}

static const char *condition_match(struct job_view *v, const struct core_v1_pod *pod,
                                   const struct batch_v1_pod_failure_policy_rule *r, size_t n) {
    for (size_t i = 0; i < r->on_pod_conditions.n; i++)
        for (size_t k = 0; k < pod->status.conditions.n; k++) {
            const struct core_v1_pod_condition *c = &pod->status.conditions.v[k];
            if (!str_eq(c->type, r->on_pod_conditions.v[i].type) ||
                !str_eq(c->status, str_or(r->on_pod_conditions.v[i].status, "True")))
                continue;
            return arena_printf(v->a, "Pod %s/%s has condition %s matching %s rule at index %zu",
                                pod->metadata.namespace, pod->metadata.name, c->type, r->action, n);
        }
    return NULL;
}

enum job_action job_failure_action(struct job_view *v, const struct core_v1_pod *pod) {
    static const struct {
        const char *name;
        enum job_action action;
    } actions[] = {
        {"Ignore", JOB_IGNORE}, {"FailIndex", JOB_FAIL_INDEX}, {"FailJob", JOB_FAIL_JOB}};
    const struct batch_v1_pod_failure_policy *policy = v->job->spec.pod_failure_policy;
    for (size_t i = 0; policy && i < policy->rules.n; i++) {
        const struct batch_v1_pod_failure_policy_rule *r = &policy->rules.v[i];
        const char *message =
            r->on_exit_codes ? exit_code_match(v, pod, r, i) : condition_match(v, pod, r, i);
        if (!message) continue;
        enum job_action action = JOB_COUNT;
        for (size_t k = 0; k < ARRAY_LEN(actions); k++)
            if (str_eq(actions[k].name, r->action)) action = actions[k].action;
        if (action == JOB_FAIL_INDEX && !v->per_index) action = JOB_COUNT;
        if (action == JOB_FAIL_JOB && !v->fail_message) v->fail_message = message;
        return action;
    }
    return JOB_COUNT;
}

int32_t job_success_rule(const struct job_view *v) {
    const struct batch_v1_success_policy *policy = v->job->spec.success_policy;
    for (size_t i = 0; policy && i < policy->rules.n; i++) {
        const struct batch_v1_success_policy_rule *r = &policy->rules.v[i];
        int64_t want = r->succeeded_count ? *r->succeeded_count : 0;
        int64_t have = index_set_count(v->completed);
        if (r->succeeded_indexes) {
            struct index_set s = index_set_parse(v->a, r->succeeded_indexes, v->limit);
            if (!r->succeeded_count) want = index_set_count(s);
            have = index_set_common(s, v->completed);
        }
        if (want > 0 && have >= want) return (int32_t)i;
    }
    return -1;
}

static int64_t later(const char *time, int64_t than_ns) {
    int64_t ns;
    return str_empty(time) || time_parse(time, &ns) < 0 ? than_ns : MAX_OF(ns, than_ns);
}

/* When its last container ended; of one that never ran when it became unready, was deleted or made,
 * whatever is known first. Never in the future: a deletion's time is that of its grace's end. */
int64_t job_pod_end_ns(const struct core_v1_pod *pod, int64_t now_ns) {
    int64_t ns = INT64_MIN;
    for (size_t i = 0; i < pod->status.container_statuses.n; i++) {
        const struct core_v1_container_state *s = &pod->status.container_statuses.v[i].state;
        if (s->terminated) ns = later(s->terminated->finished_at, ns);
    }
    for (size_t i = 0; ns == INT64_MIN && i < pod->status.conditions.n; i++) {
        const struct core_v1_pod_condition *c = &pod->status.conditions.v[i];
        if (str_eq(c->type, "Ready") && str_eq(c->status, "False"))
            ns = later(c->last_transition_time, ns);
    }
    if (ns == INT64_MIN) ns = later(pod->metadata.deletion_timestamp, ns);
    if (ns == INT64_MIN) ns = later(pod->metadata.creation_timestamp, ns);
    return ns == INT64_MIN ? now_ns : MIN_OF(ns, now_ns);
}

uint64_t job_backoff_ms(const struct job_view *v, int64_t n, int64_t end_ns) {
    if (n <= 0) return 0;
    int64_t shift = MIN_OF(n - 1, (int64_t)6);
    int64_t delay_ms = MIN_OF((int64_t)BACKOFF_FIRST_MS << shift, (int64_t)BACKOFF_MAX_MS);
    /* Ends are told in whole seconds: the last part of one counts as over. */
    int64_t left_ms = delay_ms - (world_now_ns(v->w) - end_ns) / 1000000;
    return left_ms > 0 ? (uint64_t)left_ms : 0;
}

uint64_t job_wait_ms(const struct job_view *v) {
    int64_t n = 0, success_ns = INT64_MIN, last_ns = INT64_MIN;
    for (size_t i = 0; i < v->pods.n; i++)
        if (v->pods.v[i].succeeded) success_ns = MAX_OF(success_ns, v->pods.v[i].end_ns);
    for (size_t i = 0; i < v->pods.n; i++) {
        const struct job_pod *x = &v->pods.v[i];
        if (!x->failed || x->end_ns <= success_ns) continue;
        n++;
        last_ns = MAX_OF(last_ns, x->end_ns);
    }
    return job_backoff_ms(v, n, last_ns);
}

static int64_t total(const struct job_pod *x) { return (int64_t)x->failures + x->ignored; }

static int by_index(const void *x, const void *y) {
    const struct job_pod *a = *(struct job_pod *const *)x, *b = *(struct job_pod *const *)y;
    int d = (a->index > b->index) - (a->index < b->index);
    if (!d) d = (total(a) > total(b)) - (total(a) < total(b));
    return d ? d : strcmp(a->pod->metadata.name, b->pod->metadata.name);
}

void job_order(struct job_view *v) {
    for (size_t i = 0; i < v->pods.n; i++)
        if (v->pods.v[i].index >= 0) *ARENA_PUSH(v->a, &v->by_index) = &v->pods.v[i];
    if (v->by_index.n) qsort(v->by_index.v, v->by_index.n, sizeof *v->by_index.v, by_index);
}

/* Where the pods of the index end. */
static size_t index_end(const struct job_view *v, int32_t index) {
    size_t low = 0, high = v->by_index.n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (v->by_index.v[mid]->index <= index)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

const struct job_pod *job_last_failure(const struct job_view *v, int32_t index) {
    for (size_t i = index_end(v, index); i > 0 && v->by_index.v[i - 1]->index == index; i--)
        if (v->by_index.v[i - 1]->failed) return v->by_index.v[i - 1];
    return NULL;
}

bool job_replaced(const struct job_view *v, const struct job_pod *x) {
    size_t i = index_end(v, x->index);
    if (i > 0 && v->by_index.v[i - 1] == x) i--;
    return i > 0 && v->by_index.v[i - 1]->index == x->index &&
           total(v->by_index.v[i - 1]) >= total(x);
}
