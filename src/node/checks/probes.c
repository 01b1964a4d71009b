#include "node/checks/probes.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "node/checks/grpc_check.h"
#include "node/checks/net_check.h"
#include "node/pods/exec.h"

struct probe {
    struct container *c;
    enum probe_kind kind;
    struct timer *timer;
    struct capture *capture;
    struct net_check *check;
    struct grpc_check *grpc;
    struct probe_counts counts;
    struct probe_pace pace;
    bool passed; /* once at least */
};

static const char *const kind_names[] = {"Startup", "Liveness", "Readiness"};

static const struct core_v1_probe *spec_of(const struct container *c, enum probe_kind kind) {
    const struct core_v1_container *s = container_spec(c);
    if (kind == PROBE_STARTUP) return s->startup_probe;
    return kind == PROBE_LIVENESS ? s->liveness_probe : s->readiness_probe;
}

uint16_t probe_port(const struct core_v1_container *c, const struct int_or_string *p) {
    if (p->kind == IOS_INT) return p->i > 0 && p->i < 65536 ? (uint16_t)p->i : 0;
    for (size_t i = 0; i < c->ports.n; i++)
        if (str_eq(c->ports.v[i].name, p->s)) return (uint16_t)c->ports.v[i].container_port;
    uint64_t n;
    if (p->s && slice_u64(slice_of(p->s), &n) == 0 && n < 65536) return (uint16_t)n;
    return 0;
}

static void begin(struct container *c, enum probe_kind kind);

static void begin_rest(struct container *c) {
    c->started = true;
    begin(c, PROBE_LIVENESS);
    begin(c, PROBE_READINESS);
    if (!c->probes[PROBE_READINESS]) c->ready = true;
}

static void restart_container(struct probe *p, const struct core_v1_probe *spec) {
    struct container *c = p->c;
    const struct core_v1_pod_spec *ps = &c->pod->object->spec;
    int64_t grace =
        ps->termination_grace_period_seconds ? *ps->termination_grace_period_seconds : 30;
    if (spec->termination_grace_period_seconds) grace = *spec->termination_grace_period_seconds;
    OWN(buf_done) struct buf why = {0};
    buf_printf(&why, "Container %s failed %s probe, will be restarted", c->name,
               p->kind == PROBE_STARTUP ? "startup" : "liveness");
    container_stop(c, (uint64_t)(grace < 0 ? 0 : grace) * 1000, why.p);
}

static void judge(struct probe *p, bool ok, const char *text) {
    struct container *c = p->c;
    struct pod *pod = c->pod;
    const struct core_v1_probe *spec = spec_of(c, p->kind);
    enum probe_kind kind = p->kind;
    bool uncounted = !ok && p->pace.early;
    uint64_t period_ms = (uint64_t)(spec->period_seconds > 0 ? spec->period_seconds : 10) * 1000;
    bool waiting = !ok && !p->passed && kind != PROBE_LIVENESS;
    timer_start(p->timer,
                probe_pace_next(&p->pace, loop_now_ms(pod->agent->loop), period_ms, waiting), 0);
    if (uncounted) return;
    if (!ok)
        container_event(c, "Warning", "Unhealthy", "%s probe failed: %s", kind_names[kind], text);
    enum probe_verdict v = probe_count(&p->counts, spec, ok);
    if (v == PROBE_PASSED) p->passed = true;
    if (v == PROBE_UNCHANGED) return;
    if (kind == PROBE_READINESS) {
        c->ready = v == PROBE_PASSED;
    } else if (v == PROBE_FAILED) {
        timer_stop(p->timer);
        restart_container(p, spec);
    } else if (kind == PROBE_STARTUP) {
        timer_stop(p->timer);
        begin_rest(c);
    }
    pod_kick(pod);
}

static void on_captured(void *user, enum exec_end end, uint32_t code, struct slice output) {
    struct probe *p = user;
    p->capture = NULL;
    const struct core_v1_probe *spec = spec_of(p->c, p->kind);
    OWN(buf_done) struct buf text = {0};
    if (end == EXEC_TIMEOUT) {
        buf_str(&text, "command timed out: \"");
        for (size_t i = 0; i < spec->exec->command.n; i++)
            buf_printf(&text, "%s%s", i ? " " : "", spec->exec->command.v[i]);
        buf_printf(&text, "\" timed out after %ds",
                   spec->timeout_seconds > 0 ? (int)spec->timeout_seconds : 1);
    } else {
        buf_slice(&text, output);
    }
    judge(p, end == EXEC_EXITED && code == 0, text.p ? text.p : "");
}

static void on_checked(void *user, bool ok, const char *text) {
    struct probe *p = user;
    p->check = NULL;
    judge(p, ok, text);
}

static void on_grpc(void *user, bool ok, const char *text) {
    struct probe *p = user;
    p->grpc = NULL;
    judge(p, ok, text);
}

static void check_http(struct probe *p, const struct core_v1_http_get_action *h,
                       struct net_target *t) {
    t->path = str_or(h->path, "/");
    t->headers = &h->http_headers;
    t->port = probe_port(container_spec(p->c), &h->port);
    if (h->host) t->ip = h->host;
    t->https = str_eq(h->scheme, "HTTPS");
    p->check = net_check_start(p->c->pod->agent->loop, t, on_checked, p);
}

static void look(void *user) {
    struct probe *p = user;
    struct pod *pod = p->c->pod;
    const struct core_v1_probe *spec = spec_of(p->c, p->kind);
    uint64_t timeout_ms = (uint64_t)(spec->timeout_seconds > 0 ? spec->timeout_seconds : 1) * 1000;
    struct net_target t = {.ip = pod->host_network ? pod->agent->host.ip : str_or(pod->ip, ""),
                           .timeout_ms = timeout_ms};
    if (p->capture || p->check || p->grpc) return;
    if (spec->exec) {
        p->capture = capture_start(pod->agent, pod->uid, p->c->id,
                                   (const char *const *)spec->exec->command.v,
                                   spec->exec->command.n, timeout_ms, on_captured, p);
    } else if (spec->http_get) {
        check_http(p, spec->http_get, &t);
    } else if (spec->tcp_socket) {
        if (spec->tcp_socket->host) t.ip = spec->tcp_socket->host;
        t.port = probe_port(container_spec(p->c), &spec->tcp_socket->port);
        p->check = net_check_start(pod->agent->loop, &t, on_checked, p);
    } else {
        struct grpc_target g = {.ip = t.ip, .timeout_ms = timeout_ms};
        g.port = spec->grpc ? (uint16_t)spec->grpc->port : 0;
        g.service = spec->grpc ? spec->grpc->service : NULL;
        p->grpc = grpc_check_start(pod->agent->loop, &g, on_grpc, p);
    }
}

static void begin(struct container *c, enum probe_kind kind) {
    const struct core_v1_probe *spec = spec_of(c, kind);
    if (!spec || c->probes[kind]) return;
    struct probe *p = calloc(1, sizeof *p);
    if (!p) abort();
    p->c = c;
    p->kind = kind;
    p->timer = timer_new(c->pod->agent->loop, look, p);
    c->probes[kind] = p;
    uint64_t age_ms = loop_now_ms(c->pod->agent->loop) - c->started_ms;
    uint64_t delay_ms = (uint64_t)MAX_OF(spec->initial_delay_seconds, 0) * 1000;
    timer_start(p->timer, age_ms < delay_ms ? delay_ms - age_ms : 0, 0);
}

void probes_start(struct container *c) {
    if (c->stop_wanted) return;
    if (c->started) { /* adopted: it had passed its startup probe before */
        bool ready = c->ready;
        begin_rest(c);
        c->ready = ready || !c->probes[PROBE_READINESS];
        if (ready && c->probes[PROBE_READINESS]) c->probes[PROBE_READINESS]->passed = true;
        return;
    }
    begin(c, PROBE_STARTUP);
    if (!c->probes[PROBE_STARTUP]) begin_rest(c);
}

void probes_stop(struct container *c) {
    for (size_t i = 0; i < ARRAY_LEN(c->probes); i++) {
        struct probe *p = TAKE(c->probes[i]);
        if (!p) continue;
        timer_free(p->timer);
        capture_cancel(p->capture);
        net_check_cancel(p->check);
        grpc_check_cancel(p->grpc);
        free(p);
    }
}
