#include "api/rules/pods.h"

#include <string.h>

#include "api/values/quantity.h"
#include "base/own.h"
#include "base/slice.h"
#include "base/times.h"

const struct core_v1_pod_condition *pod_condition_get(const struct core_v1_pod *pod,
                                                      const char *type) {
    for (size_t i = 0; i < pod->status.conditions.n; i++)
        if (str_eq(pod->status.conditions.v[i].type, type)) return &pod->status.conditions.v[i];
    return NULL;
}

bool pod_condition_is_true(const struct core_v1_pod *pod, const char *type) {
    const struct core_v1_pod_condition *c = pod_condition_get(pod, type);
    return c && str_eq(c->status, "True");
}

bool pod_condition_set(struct arena *a, struct core_v1_pod *pod, const char *type,
                       const char *status, const char *reason, const char *message,
                       const char *now) {
    struct core_v1_pod_condition *c = NULL;
    for (size_t i = 0; i < pod->status.conditions.n && !c; i++)
        if (str_eq(pod->status.conditions.v[i].type, type)) c = &pod->status.conditions.v[i];
    if (c && str_eq(c->status, status) && str_eq(c->reason, reason) && str_eq(c->message, message))
        return false;
    if (!c) {
        c = ARENA_PUSH(a, &pod->status.conditions);
        c->type = type;
    }
    if (!str_eq(c->status, status)) c->last_transition_time = now;
    c->status = status;
    c->reason = reason;
    c->message = message;
    return true;
}

bool pod_is_ready(const struct core_v1_pod *pod) { return pod_condition_is_true(pod, "Ready"); }

bool pod_is_terminal(const struct core_v1_pod *pod) {
    return str_eq(pod->status.phase, "Succeeded") || str_eq(pod->status.phase, "Failed");
}

bool pod_is_terminating(const struct core_v1_pod *pod) {
    return !str_empty(pod->metadata.deletion_timestamp);
}

bool pod_is_active(const struct core_v1_pod *pod) {
    return !pod_is_terminal(pod) && !pod_is_terminating(pod);
}

bool container_is_sidecar(const struct core_v1_container *c) {
    return str_eq(c->restart_policy, "Always");
}

const struct core_v1_container_status *
container_status_find(const struct core_v1_container_status_list *list, const char *name) {
    for (size_t i = 0; i < list->n; i++)
        if (str_eq(list->v[i].name, name)) return &list->v[i];
    return NULL;
}

/* How the containers of a list stand to cpu and memory: whether any asks for something, and whether
 * all have requests equal to limits for both. */
static void qos_look(const struct core_v1_container *v, size_t n, bool *any, bool *guaranteed) {
    static const char *const names[] = {"cpu", "memory"};
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < ARRAY_LEN(names); j++) {
            const char *request = str_map_get(&v[i].resources.requests, names[j]);
            const char *limit = str_map_get(&v[i].resources.limits, names[j]);
            bool asks = quantity_cmp(request, "0") > 0, caps = quantity_cmp(limit, "0") > 0;
            *any |= asks || caps;
            *guaranteed &= caps && (!request || quantity_cmp(request, limit) == 0);
        }
}

const char *pod_qos_class(const struct core_v1_pod_spec *spec) {
    bool any = false, guaranteed = true;
    qos_look(spec->containers.v, spec->containers.n, &any, &guaranteed);
    qos_look(spec->init_containers.v, spec->init_containers.n, &any, &guaranteed);
    if (!any) return "BestEffort";
    return guaranteed ? "Guaranteed" : "Burstable";
}

static int64_t add(int64_t x, int64_t y) {
    int64_t sum;
    return __builtin_add_overflow(x, y, &sum) ? INT64_MAX : sum;
}

struct pick {
    const char *name;
    int64_t (*measure)(const char *quantity);
};

static int64_t amount(const struct core_v1_container *c, const struct pick *p) {
    return p->measure(str_map_get(&c->resources.requests, p->name));
}

static int64_t pod_amount(const struct core_v1_pod_spec *spec, const struct pick *p) {
    int64_t running = 0, sidecars = 0, initializing = 0;
    for (size_t i = 0; i < spec->containers.n; i++)
        running = add(running, amount(&spec->containers.v[i], p));
    for (size_t i = 0; i < spec->init_containers.n; i++) {
        const struct core_v1_container *c = &spec->init_containers.v[i];
        int64_t step = add(sidecars, amount(c, p));
        if (container_is_sidecar(c)) sidecars = step;
        initializing = MAX_OF(initializing, step);
    }
    running = add(running, sidecars);
    int64_t all = MAX_OF(running, initializing);
    /* What the pod as a whole has stands above what its containers have (KEP-2837). */
    const char *whole = spec->resources ? str_map_get(&spec->resources->requests, p->name) : NULL;
    if (whole) all = p->measure(whole);
    return add(all, p->measure(str_map_get(&spec->overhead, p->name)));
}

struct pod_resources pod_requests(const struct core_v1_pod_spec *spec) {
    return (struct pod_resources){
        .cpu_milli = pod_amount(spec, &(struct pick){"cpu", quantity_milli}),
        .memory_bytes = pod_amount(spec, &(struct pick){"memory", quantity_value}),
        .ephemeral_storage_bytes =
            pod_amount(spec, &(struct pick){"ephemeral-storage", quantity_value}),
    };
}

int64_t pod_request_of(const struct core_v1_pod_spec *spec, const char *resource) {
    return pod_amount(spec, &(struct pick){resource, quantity_value});
}

static void note_restart(int64_t *last, const struct core_v1_container_status *s) {
    int64_t at;
    if (!s->last_state.terminated || str_empty(s->last_state.terminated->finished_at)) return;
    if (time_parse(s->last_state.terminated->finished_at, &at) == 0) *last = MAX_OF(*last, at);
}

static const char *terminated_reason(struct arena *a, const char *prefix,
                                     const struct core_v1_container_state_terminated *t) {
    if (!str_empty(t->reason)) return arena_printf(a, "%s%s", prefix, t->reason);
    if (t->signal) return arena_printf(a, "%sSignal:%d", prefix, t->signal);
    return arena_printf(a, "%sExitCode:%d", prefix, t->exit_code);
}

static bool is_sidecar_named(const struct core_v1_pod_spec *spec, const char *name) {
    for (size_t i = 0; i < spec->init_containers.n; i++)
        if (str_eq(spec->init_containers.v[i].name, name))
            return container_is_sidecar(&spec->init_containers.v[i]);
    return false;
}

/* What only sidecars contributed, for when initialization is over. */
struct sidecar_restarts {
    int restarts;
    int64_t last_ns;
};

/* The init containers' part; true while the pod is initializing. */
static bool summarize_init(struct arena *a, const struct core_v1_pod *pod, struct pod_summary *s,
                           struct sidecar_restarts *sidecars) {
    for (size_t i = 0; i < pod->status.init_container_statuses.n; i++) {
        const struct core_v1_container_status *c = &pod->status.init_container_statuses.v[i];
        bool sidecar = is_sidecar_named(&pod->spec, c->name);
        s->restarts += c->restart_count;
        note_restart(&s->last_restart_ns, c);
        if (sidecar) {
            sidecars->restarts += c->restart_count;
            note_restart(&sidecars->last_ns, c);
        }
        if (c->state.terminated && c->state.terminated->exit_code == 0) continue;
        if (sidecar && c->started && *c->started) {
            s->ready += c->ready;
            continue;
        }
        if (c->state.terminated)
            s->status = terminated_reason(a, "Init:", c->state.terminated);
        else if (c->state.waiting && !str_empty(c->state.waiting->reason) &&
                 !str_eq(c->state.waiting->reason, "PodInitializing"))
            s->status = arena_printf(a, "Init:%s", c->state.waiting->reason);
        else
            s->status = arena_printf(a, "Init:%zu/%zu", i, pod->spec.init_containers.n);
        return true;
    }
    return false;
}

static void summarize_containers(struct arena *a, const struct core_v1_pod *pod,
                                 struct pod_summary *s) {
    bool running = false;
    for (size_t i = pod->status.container_statuses.n; i-- > 0;) {
        const struct core_v1_container_status *c = &pod->status.container_statuses.v[i];
        s->restarts += c->restart_count;
        note_restart(&s->last_restart_ns, c);
        if (c->state.waiting && !str_empty(c->state.waiting->reason))
            s->status = c->state.waiting->reason;
        else if (c->state.terminated)
            s->status = terminated_reason(a, "", c->state.terminated);
        else if (c->ready && c->state.running) {
            running = true;
            s->ready++;
        }
    }
    if (running && str_eq(s->status, "Completed"))
        s->status = pod_is_ready(pod) ? "Running" : "NotReady";
}

struct pod_summary pod_summarize(struct arena *a, const struct core_v1_pod *pod) {
    struct pod_summary s = {.status = str_or(pod->status.reason, str_or(pod->status.phase, "")),
                            .total = (int)pod->spec.containers.n};
    const struct core_v1_pod_condition *scheduled = pod_condition_get(pod, "PodScheduled");
    if (scheduled && str_eq(scheduled->reason, "SchedulingGated")) s.status = "SchedulingGated";
    for (size_t i = 0; i < pod->spec.init_containers.n; i++)
        s.total += container_is_sidecar(&pod->spec.init_containers.v[i]);
    struct sidecar_restarts sidecars = {0};
    bool initializing = summarize_init(a, pod, &s, &sidecars);
    if (!initializing || pod_condition_is_true(pod, "Initialized")) {
        s.restarts = sidecars.restarts;
        s.last_restart_ns = sidecars.last_ns;
        summarize_containers(a, pod, &s);
    }
    if (pod_is_terminating(pod)) {
        if (str_eq(pod->status.reason, "NodeLost"))
            s.status = "Unknown";
        else if (!pod_is_terminal(pod))
            s.status = "Terminating";
    }
    return s;
}
