#include "node/status/status.h"

#include <string.h>

#include "base/own.h"
#include "base/times.h"
#include "node/pods/resize.h"
#include "node/pods/resources.h"

static const char *time_text(struct arena *a, int64_t ns) {
    char t[TIME_TEXT_MAX];
    if (!ns) return NULL;
    time_format(t, ns);
    return arena_str(a, t);
}

struct tally {
    size_t running, waiting, stopped, succeeded, main;
    bool init_failed, init_pending;
};

static void tally_container(const struct container *c, struct tally *t) {
    if (c->kind == CONTAINER_EPHEMERAL) return;
    if (c->kind != CONTAINER_MAIN) {
        if (c->kind == CONTAINER_SIDECAR) {
            if (!c->started && !c->pod->initialized) t->init_pending = true;
        } else if (c->state == CONTAINER_TERMINATED && c->now.exit_code != 0) {
            if (container_restarts(c))
                t->init_pending = true;
            else
                t->init_failed = true;
        } else if (c->state != CONTAINER_TERMINATED && !c->pod->initialized) {
            t->init_pending = true;
        }
        return;
    }
    t->main++;
    bool ended = c->state == CONTAINER_TERMINATED;
    if (c->state == CONTAINER_RUNNING)
        t->running++;
    else if (ended || c->last.reason)
        t->stopped++;
    else
        t->waiting++;
    if (ended && c->now.exit_code == 0) t->succeeded++;
}

const char *status_phase(const struct pod *p) {
    const char *known = p->object->status.phase;
    if (str_eq(known, "Failed") || str_eq(known, "Succeeded")) return known; /* for good */
    if (p->fail_reason && (p->state >= POD_TEARDOWN || p->state == POD_NEW)) return "Failed";
    struct tally t = {0};
    for (size_t i = 0; i < p->n_containers; i++) tally_container(p->containers[i], &t);
    const char *policy = str_or(p->object->spec.restart_policy, "Always");
    if (t.init_failed && !p->initialized) return "Failed";
    if (t.init_pending && !p->initialized && !p->stopping) return "Pending";
    if (t.running) return t.waiting ? "Pending" : "Running";
    if (t.waiting || !t.stopped) return p->deleted && t.stopped ? "Failed" : "Pending";
    if (p->stopping) return t.succeeded == t.main ? "Succeeded" : "Failed";
    if (str_eq(policy, "Always")) return "Running";
    if (t.succeeded == t.stopped) return "Succeeded";
    return str_eq(policy, "Never") ? "Failed" : "Running";
}

static void state_terminated(struct arena *a, const char *runtime, const struct termination *t,
                             struct core_v1_container_state *s) {
    s->terminated = ARENA_NEW(a, struct core_v1_container_state_terminated);
    s->terminated->exit_code = (int32_t)t->exit_code;
    s->terminated->reason = arena_str(a, t->reason);
    s->terminated->message = arena_str(a, t->message);
    s->terminated->started_at = time_text(a, t->started_ns);
    s->terminated->finished_at = time_text(a, t->finished_ns);
    if (t->id[0]) s->terminated->container_id = arena_printf(a, "%s://%s", runtime, t->id);
}

static void state_waiting(struct arena *a, const struct container *c,
                          struct core_v1_container_state *s) {
    const struct pod *p = c->pod;
    bool has_init = false;
    for (size_t i = 0; i < p->n_containers; i++)
        has_init |= p->containers[i]->kind < CONTAINER_MAIN;
    s->waiting = ARENA_NEW(a, struct core_v1_container_state_waiting);
    s->waiting->reason = arena_str(a, c->wait_reason ? c->wait_reason
                                      : has_init     ? "PodInitializing"
                                                     : "ContainerCreating");
    s->waiting->message = arena_str(a, c->wait_message);
}

static void state_of(struct arena *a, const char *runtime, const struct container *c,
                     struct core_v1_container_state *s) {
    if (c->state == CONTAINER_RUNNING) {
        s->running = ARENA_NEW(a, struct core_v1_container_state_running);
        s->running->started_at = time_text(a, c->started_ns);
    } else if (c->state == CONTAINER_TERMINATED && !c->wait_reason) {
        state_terminated(a, runtime, &c->now, s);
    } else {
        state_waiting(a, c, s);
    }
}

static bool container_ready(const struct container *c) {
    if (c->kind == CONTAINER_INIT) return c->state == CONTAINER_TERMINATED && c->now.exit_code == 0;
    return c->state == CONTAINER_RUNNING && c->started && c->ready;
}

static void container_status(struct arena *a, const char *runtime, const struct container *c,
                             struct core_v1_container_status *s) {
    const struct core_v1_container *spec = container_spec(c);
    const struct termination *last = &c->last;
    if (c->state == CONTAINER_TERMINATED && c->wait_reason) last = &c->now;
    s->name = arena_str(a, c->name);
    state_of(a, runtime, c, &s->state);
    if (last->reason) state_terminated(a, runtime, last, &s->last_state);
    s->ready = container_ready(c);
    s->restart_count = (int32_t)c->attempt;
    s->image = arena_str(a, str_or(spec->image, ""));
    s->image_id = arena_str(a, str_or(c->image_id, ""));
    s->started = ARENA_NEW(a, bool);
    *s->started = c->state == CONTAINER_RUNNING && c->started;
    if (c->id[0] && c->state >= CONTAINER_RUNNING)
        s->container_id = arena_printf(a, "%s://%s", runtime, c->id);
    else if (last->id[0])
        s->container_id = arena_printf(a, "%s://%s", runtime, last->id);
}

static void add_condition(struct arena *a, struct core_v1_pod_condition_list *l, const char *type,
                          struct pod_condition *have, bool value, int64_t now_ns,
                          const char *reason, const char *message) {
    if (!have->set || have->status != value)
        *have = (struct pod_condition){.set = true, .status = value, .since_ns = now_ns};
    struct core_v1_pod_condition *c = ARENA_PUSH(a, l);
    c->type = type;
    c->status = value ? "True" : "False";
    c->last_transition_time = time_text(a, have->since_ns);
    c->reason = reason;
    c->message = message;
}

static const char *names_list(struct arena *a, const struct pod *p, bool init, const char *text,
                              size_t *ret_n) {
    OWN(buf_done) struct buf b = {0};
    *ret_n = 0;
    for (size_t i = 0; i < p->n_containers; i++) {
        const struct container *c = p->containers[i];
        bool ok = container_ready(c);
        if (c->kind == CONTAINER_EPHEMERAL) continue;
        if (init && (c->kind == CONTAINER_MAIN || p->initialized)) continue;
        if (init && c->kind == CONTAINER_SIDECAR) ok = c->started;
        if (!init && c->kind == CONTAINER_INIT) continue;
        if (ok) continue;
        if ((*ret_n)++) buf_char(&b, ' ');
        buf_str(&b, c->name);
    }
    return *ret_n ? arena_printf(a, "%s: [%s]", text, b.p) : NULL;
}

static const struct core_v1_pod_condition *
find_condition(const struct core_v1_pod_condition_list *l, const char *type) {
    for (size_t i = 0; i < l->n; i++)
        if (str_eq(l->v[i].type, type)) return &l->v[i];
    return NULL;
}

/* The first readiness gate that is not True, or NULL. */
static const char *closed_gate(struct arena *a, const struct pod *p) {
    const struct core_v1_pod_readiness_gate_list *g = &p->object->spec.readiness_gates;
    for (size_t i = 0; i < g->n; i++) {
        const char *type = g->v[i].condition_type;
        const struct core_v1_pod_condition *c = find_condition(&p->object->status.conditions, type);
        if (!c)
            return arena_printf(a,
                                "corresponding condition of pod readiness gate \"%s\" does not "
                                "exist.",
                                type);
        if (!str_eq(c->status, "True"))
            return arena_printf(a,
                                "the status of pod readiness gate \"%s\" is not \"True\", but %s",
                                type, str_or(c->status, ""));
    }
    return NULL;
}

static const char *const own_conditions[] = {"PodReadyToStartContainers", "Initialized", "Ready",
                                             "ContainersReady"};

static void conditions(struct arena *a, struct pod *p, const char *phase, int64_t now_ns,
                       struct core_v1_pod_status *s) {
    struct core_v1_pod_condition_list *l = &s->conditions;
    bool succeeded = str_eq(phase, "Succeeded"), failed = str_eq(phase, "Failed");
    size_t n_init, n_main;
    const char *init = names_list(a, p, true, "containers with incomplete status", &n_init);
    const char *unready = names_list(a, p, false, "containers with unready status", &n_main);
    add_condition(a, l, own_conditions[0], &p->conditions[CONDITION_SANDBOX],
                  p->sandbox_ready || (p->adopted && !p->torn_down), now_ns, NULL, NULL);
    bool initialized = p->initialized || !n_init;
    const char *why =
        initialized ? (succeeded ? "PodCompleted" : NULL) : "ContainersNotInitialized";
    add_condition(a, l, own_conditions[1], &p->conditions[CONDITION_INITIALIZED], initialized,
                  now_ns, why, initialized ? NULL : init);
    bool ready = !n_main && !succeeded && !failed;
    why = ready ? NULL : succeeded ? "PodCompleted" : failed ? "PodFailed" : "ContainersNotReady";
    const char *text = ready || succeeded || failed ? NULL : unready;
    const char *gate = ready ? closed_gate(a, p) : NULL;
    add_condition(a, l, own_conditions[2], &p->conditions[CONDITION_READY], ready && !gate, now_ns,
                  gate ? "ReadinessGatesNotReady" : why, gate ? gate : text);
    add_condition(a, l, own_conditions[3], &p->conditions[CONDITION_CONTAINERS_READY], ready,
                  now_ns, why, text);
    const struct core_v1_pod_condition_list *old = &p->object->status.conditions;
    for (size_t i = 0; i < old->n; i++) {
        bool own = false;
        for (size_t j = 0; j < ARRAY_LEN(own_conditions); j++)
            own |= str_eq(old->v[i].type, own_conditions[j]);
        own |= str_eq(old->v[i].type, RESIZE_PENDING);
        if (!own) *ARENA_PUSH(a, l) = old->v[i];
    }
}

void status_compute(struct arena *a, struct pod *p, const struct status_host *h, int64_t now_ns,
                    struct core_v1_pod_status *ret) {
    memset(ret, 0, sizeof *ret);
    ret->phase = status_phase(p);
    ret->reason = arena_str(a, p->fail_reason);
    ret->message = arena_str(a, p->fail_message);
    if (p->rejected)
        ret->conditions = p->object->status.conditions;
    else
        conditions(a, p, ret->phase, now_ns, ret);
    ret->host_ip = h->host_ip;
    if (h->host_ip) ARENA_PUSH(a, &ret->host_ips)->ip = h->host_ip;
    const char *ip = p->host_network ? h->host_ip : p->ip;
    if (ip && p->state != POD_NEW) {
        ret->pod_ip = arena_str(a, ip);
        ARENA_PUSH(a, &ret->pod_ips)->ip = ret->pod_ip;
    }
    if (!p->rejected) resize_status(a, p, ret);
    ret->start_time = time_text(a, p->start_ns);
    ret->qos_class = str_or(p->object->status.qos_class, resources_qos(&p->object->spec));
    for (size_t i = 0; !p->rejected && i < p->n_containers; i++) {
        const struct container *c = p->containers[i];
        struct core_v1_container_status *s =
            ARENA_PUSH(a, c->kind == CONTAINER_MAIN        ? &ret->container_statuses
                          : c->kind == CONTAINER_EPHEMERAL ? &ret->ephemeral_container_statuses
                                                           : &ret->init_container_statuses);
        container_status(a, h->runtime, c, s);
        if (c->kind == CONTAINER_EPHEMERAL)
            s->ready = false, s->started = NULL;
        else
            resize_container_status(a, c, s);
    }
}

void status_patch(struct buf *out, const struct pod *p, const struct core_v1_pod_status *s) {
    OWN(buf_done) struct buf body = {0};
    api_encode(&body, &core_v1_pod_status_type, s);
    buf_str(out, "{\"metadata\":{\"uid\":");
    buf_json_str(out, slice_of(p->uid));
    buf_str(out, "},\"status\":{");
    if (!s->reason) buf_str(out, "\"reason\":null,");
    if (!s->message) buf_str(out, "\"message\":null,");
    if (!s->resize && !str_empty(p->object->status.resize)) buf_str(out, "\"resize\":null,");
    buf_append(out, body.p + 1, body.n - 1);
    buf_char(out, '}');
}

static void adopt_termination(struct termination *t,
                              const struct core_v1_container_state_terminated *s) {
    int64_t started = 0, finished = 0;
    if (s->started_at) time_parse(s->started_at, &started);
    if (s->finished_at) time_parse(s->finished_at, &finished);
    const char *scheme = s->container_id ? strstr(s->container_id, "://") : NULL;
    const char *id = scheme ? scheme + 3 : "";
    if (strlen(id) >= CONTAINER_ID_BYTES) id = "";
    termination_set(t, id, (uint32_t)s->exit_code, str_or(s->reason, "Error"), s->message, started,
                    finished);
}

static void adopt_container(struct container *c, const struct core_v1_container_status *s) {
    c->attempt = s->restart_count > 0 ? (uint32_t)s->restart_count : 0;
    if (!c->image_id && s->image_id) c->image_id = strdup(s->image_id);
    if (s->last_state.terminated) adopt_termination(&c->last, s->last_state.terminated);
    if (!s->state.terminated) return;
    adopt_termination(&c->now, s->state.terminated);
    memcpy(c->id, c->now.id, sizeof c->id);
    c->state = CONTAINER_TERMINATED;
}

void status_adopt(struct pod *p, const struct core_v1_pod_status *s) {
    if (s->start_time) time_parse(s->start_time, &p->start_ns);
    for (size_t i = 0; i < ARRAY_LEN(own_conditions); i++) {
        const struct core_v1_pod_condition *c = find_condition(&s->conditions, own_conditions[i]);
        if (!c) continue;
        p->conditions[i].set = true;
        p->conditions[i].status = str_eq(c->status, "True");
        if (c->last_transition_time)
            time_parse(c->last_transition_time, &p->conditions[i].since_ns);
    }
    p->initialized = p->conditions[CONDITION_INITIALIZED].status && s->container_statuses.n;
    const struct core_v1_container_status_list *const lists[] = {
        &s->container_statuses, &s->init_container_statuses, &s->ephemeral_container_statuses};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        for (size_t j = 0; j < lists[i]->n; j++) {
            struct container *c = pod_container(p, lists[i]->v[j].name);
            if (c) adopt_container(c, &lists[i]->v[j]);
        }
    }
}
