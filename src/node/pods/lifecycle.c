/* postStart and preStop hooks, and the stopping of a container: hook, signal, grace, kill. */
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "node/agent.h"
#include "node/checks/net_check.h"
#include "node/checks/probes.h"
#include "node/pods/exec.h"

enum {
    HOOK_TIMEOUT_MS = 24 * 3600 * 1000,
    AFTER_HOOK_MIN_MS = 2000,
    KILLED_WAIT_MS = 3000,
    HTTP_HOOK_MS = 30 * 1000
};

typedef void hook_fn(struct container *c, bool ok, const char *text);

struct hook {
    struct container *c;
    hook_fn *done;
    struct capture *capture;
    struct net_check *check;
    struct timer *sleep;
};

static void hook_free(struct hook *h) {
    timer_free(h->sleep);
    capture_cancel(h->capture);
    net_check_cancel(h->check);
    free(h);
}

void container_hook_cancel(struct container *c) {
    struct hook *h = TAKE(c->hook);
    if (h) hook_free(h);
}

static void hook_end(struct hook *h, bool ok, const char *text) {
    struct container *c = h->c;
    hook_fn *done = h->done;
    c->hook = NULL;
    done(c, ok, text);
    hook_free(h);
    pod_kick(c->pod);
}

static void on_exec(void *user, enum exec_end end, uint32_t code, struct slice output) {
    struct hook *h = user;
    OWN(buf_done) struct buf text = {0};
    h->capture = NULL;
    if (end == EXEC_EXITED && code)
        buf_printf(&text, "command exited with %" PRIu32 ": %.*s", code,
                   (int)MIN_OF(output.n, (size_t)512), output.p ? output.p : "");
    else if (end != EXEC_EXITED)
        buf_printf(&text, "%.*s", (int)MIN_OF(output.n, (size_t)512), output.p ? output.p : "");
    hook_end(h, end == EXEC_EXITED && !code, text.p ? text.p : "");
}

static void on_http(void *user, bool ok, const char *text) {
    struct hook *h = user;
    h->check = NULL;
    hook_end(h, ok, text);
}

static void on_sleep(void *user) { hook_end(user, true, ""); }

static void hook_start(struct container *c, const struct core_v1_lifecycle_handler *spec,
                       hook_fn *done) {
    struct pod *p = c->pod;
    struct hook *h = calloc(1, sizeof *h);
    if (!h) abort();
    *h = (struct hook){.c = c, .done = done};
    c->hook = h;
    h->sleep = timer_new(p->agent->loop, on_sleep, h);
    if (spec->exec) {
        h->capture =
            capture_start(p->agent, p->uid, c->id, (const char *const *)spec->exec->command.v,
                          spec->exec->command.n, HOOK_TIMEOUT_MS, on_exec, h);
    } else if (spec->http_get) {
        const struct core_v1_http_get_action *g = spec->http_get;
        struct net_target t = {.ip = p->host_network ? p->agent->host.ip : str_or(p->ip, ""),
                               .port = probe_port(container_spec(c), &g->port),
                               .timeout_ms = HTTP_HOOK_MS,
                               .path = str_or(g->path, "/"),
                               .https = str_eq(g->scheme, "HTTPS"),
                               .headers = &g->http_headers};
        if (g->host) t.ip = g->host;
        h->check = net_check_start(p->agent->loop, &t, on_http, h);
    } else {
        int64_t s = spec->sleep ? spec->sleep->seconds : 0;
        timer_start(h->sleep, s > 0 ? (uint64_t)s * 1000 : 0, 0);
    }
}

/* ---- start ---- */

static uint64_t pod_grace_ms(const struct pod *p) {
    const int64_t *s = p->object->spec.termination_grace_period_seconds;
    return s && *s >= 0 ? (uint64_t)*s * 1000 : 30 * 1000;
}

static void post_started(struct container *c, bool ok, const char *text) {
    c->hook_done = true;
    if (ok) {
        probes_start(c);
        return;
    }
    container_event(c, "Warning", "FailedPostStartHook", "PostStartHook failed: %s", text);
    container_stop(c, pod_grace_ms(c->pod), "FailedPostStartHook");
}

void container_post_start(struct container *c) {
    const struct core_v1_lifecycle *l = container_spec(c)->lifecycle;
    if (!l || !l->post_start) {
        c->hook_done = true;
        probes_start(c);
        return;
    }
    hook_start(c, l->post_start, post_started);
}

/* ---- stop ---- */

static const struct {
    const char *name;
    uint32_t number;
} signals[] = {
    {"HUP", SIGHUP},   {"INT", SIGINT},   {"QUIT", SIGQUIT}, {"KILL", SIGKILL},   {"USR1", SIGUSR1},
    {"USR2", SIGUSR2}, {"TERM", SIGTERM}, {"CONT", SIGCONT}, {"WINCH", SIGWINCH}, {"PWR", SIGPWR},
    {"ABRT", SIGABRT}, {"ALRM", SIGALRM}, {"RTMIN", 34},     {"RTMIN+3", 37},
};

static uint32_t signal_number(const char *text) {
    uint64_t n;
    if (str_empty(text)) return SIGTERM;
    if (slice_u64(slice_of(text), &n) == 0 && n > 0 && n < 65) return (uint32_t)n;
    if (str_starts(text, "SIG")) text += 3;
    for (size_t i = 0; i < ARRAY_LEN(signals); i++)
        if (str_eq(signals[i].name, text)) return signals[i].number;
    return SIGTERM;
}

struct signal_op {
    struct container *c;
    char id[CONTAINER_ID_BYTES];
};

static void on_signalled(void *user, struct ipc_msg *m, const struct err *err) {
    struct signal_op *op = user;
    struct pod *p = op->c->pod;
    if (err && err->reason == ERR_NOT_FOUND && container_alive(op->c) && !strcmp(op->c->id, op->id))
        container_lost(op->c);
    free(op);
    pod_unref(p);
}

static void send_signal(struct container *c, uint32_t number, bool all) {
    struct signal_op *op = calloc(1, sizeof *op);
    if (!op) abort();
    op->c = c;
    memcpy(op->id, c->id, sizeof op->id);
    OWN(buf_done) struct buf b = {0};
    pack_str(&b, c->pod->uid);
    pack_str(&b, c->id);
    pack_u32(&b, number);
    pack_bool(&b, all);
    pod_ref(c->pod);
    link_call(c->pod->agent->broker, BROKER_CONTAINER_SIGNAL, buf_view(&b), NULL, 0, on_signalled,
              op);
}

static void pre_stopped(struct container *c, bool ok, const char *text) {
    uint64_t now = loop_now_ms(c->pod->agent->loop);
    if (!ok) container_event(c, "Warning", "FailedPreStopHook", "PreStopHook failed: %s", text);
    if (c->stop != STOP_HOOK) return;
    c->stop = STOP_SIGNALLED;
    c->stop_deadline_ms = MAX_OF(c->stop_deadline_ms, now + AFTER_HOOK_MIN_MS);
    send_signal(c, signal_number(c->stop_signal), false);
}

static void stop_begin(struct container *c) {
    const struct core_v1_lifecycle *l = container_spec(c)->lifecycle;
    container_event(c, "Normal", "Killing", "%s", c->stop_why);
    if (c->stop_deadline_ms <= loop_now_ms(c->pod->agent->loop)) return; /* straight to the kill */
    if (l && l->pre_stop && c->hook_done) {
        c->stop = STOP_HOOK;
        hook_start(c, l->pre_stop, pre_stopped);
        return;
    }
    c->stop = STOP_SIGNALLED;
    send_signal(c, signal_number(c->stop_signal), false);
}

void container_stop(struct container *c, uint64_t grace_ms, const char *why) {
    uint64_t deadline = loop_now_ms(c->pod->agent->loop) + grace_ms;
    if (c->stop_wanted) {
        if (c->stop != STOP_KILLED && deadline < c->stop_deadline_ms)
            c->stop_deadline_ms = deadline;
        return;
    }
    c->stop_wanted = true;
    c->stop_deadline_ms = deadline;
    free(c->stop_why);
    c->stop_why = strdup(why);
    probes_stop(c);
    pod_kick(c->pod);
}

uint64_t container_stop_step(struct container *c, uint64_t now_ms) {
    if (!c->stop_wanted || c->state != CONTAINER_RUNNING) return 0;
    if (c->stop == STOP_NONE) {
        container_hook_cancel(c); /* a postStart that still runs */
        stop_begin(c);
    }
    if (now_ms < c->stop_deadline_ms) return c->stop_deadline_ms;
    container_hook_cancel(c);
    if (c->stop == STOP_KILLED) agent_list(c->pod->agent); /* its end may have been missed */
    c->stop = STOP_KILLED;
    c->stop_deadline_ms = now_ms + KILLED_WAIT_MS;
    send_signal(c, SIGKILL, true);
    return c->stop_deadline_ms;
}
