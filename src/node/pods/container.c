/* One container's way up and its end: image, configuration, the broker's start, the exit. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "node/agent.h"
#include "node/checks/probes.h"
#include "node/images.h"
#include "node/pods/container_spec.h"
#include "node/pods/resize.h"
#include "node/streams/log_tail.h"

enum { CONFIG_RETRY_MS = 10 * 1000, BACKOFF_NOTICE_MS = 2000 };

struct start_op {
    struct container *c;
    char id[CONTAINER_ID_BYTES];
};

static void op_free(struct start_op *op) {
    struct pod *p = op->c->pod;
    free(op);
    pod_kick(p);
    pod_unref(p);
}

static void random_id(struct loop *l, char out[CONTAINER_ID_BYTES]) {
    for (int i = 0; i < 4; i++) snprintf(out + i * 16, 17, "%016" PRIx64, loop_random(l));
}

static void not_configured(struct container *c, const char *reason, const char *text) {
    uint64_t now = loop_now_ms(c->pod->agent->loop);
    if (!str_eq(c->wait_reason, reason) || !str_eq(c->wait_message, text))
        container_event(c, "Warning", "Failed", "Error: %s", text);
    container_wait(c, reason, text);
    c->image_failed = true;
    c->image.until_ms = now + CONFIG_RETRY_MS;
    c->image.delay_ms = 0;
}

static void image_failed(struct container *c, const struct image_result *r) {
    uint64_t now = loop_now_ms(c->pod->agent->loop);
    container_wait(c, r->reason, r->message);
    c->image_failed = true;
    c->image_failed_ms = now;
    backoff_grow(&c->image, now, BACKOFF_FIRST_MS, BACKOFF_MAX_MS);
}

uint64_t container_image_step(struct container *c, uint64_t now_ms) {
    if (!c->image_failed || !str_eq(c->wait_reason, "ErrImagePull")) return 0;
    if (now_ms < c->image_failed_ms + BACKOFF_NOTICE_MS)
        return c->image_failed_ms + BACKOFF_NOTICE_MS;
    const char *ref = str_or(container_spec(c)->image, "");
    OWN(buf_done) struct buf text = {0};
    buf_printf(&text, "Back-off pulling image \"%s\": ErrImagePull: %s", ref,
               str_or(c->wait_message, ""));
    container_event(c, "Normal", "BackOff", "Back-off pulling image \"%s\"", ref);
    container_event(c, "Warning", "Failed", "Error: ImagePullBackOff");
    container_wait(c, "ImagePullBackOff", text.p);
    return 0;
}

static void discard(void *user, struct ipc_msg *m, const struct err *err) {}

static void remove_old(struct container *c) {
    if (!c->last.id[0] || str_eq(c->last.id, c->id)) return;
    OWN(buf_done) struct buf b = {0};
    pack_str(&b, c->pod->uid);
    pack_str(&b, c->last.id);
    link_call(c->pod->agent->broker, BROKER_CONTAINER_REMOVE, buf_view(&b), NULL, 0, discard, NULL);
}

void container_running(struct container *c, int64_t started_ns) {
    struct loop *l = c->pod->agent->loop;
    c->state = CONTAINER_RUNNING;
    c->started_ns = started_ns ? started_ns : loop_wall_ns(l);
    c->started_ms = loop_now_ms(l);
    c->stop = STOP_NONE;
    c->stop_wanted = false;
    container_wait(c, NULL, NULL);
}

static void start_failed(struct container *c, const struct err *err) {
    int64_t now_ns = loop_wall_ns(c->pod->agent->loop);
    if (err->reason == ERR_UNAVAILABLE) { /* the broker went away: nothing is known to have run */
        c->state = CONTAINER_WAITING;
        return;
    }
    container_event(c, "Warning", "Failed", "Error: %s", err->text);
    termination_set(&c->now, c->id, 128, "StartError", err->text, now_ns, now_ns);
    c->state = CONTAINER_TERMINATED;
    backoff_exited(&c->restart, loop_now_ms(c->pod->agent->loop), 0);
    if (container_restarts(c) && !c->pod->stopping)
        container_wait(c, "RunContainerError", err->text);
}

static void on_started(void *user, struct ipc_msg *m, const struct err *err) {
    struct start_op *op = user;
    struct container *c = op->c;
    if (c->state != CONTAINER_STARTING || strcmp(c->id, op->id) != 0) { /* settled by a re-sync */
        op_free(op);
        return;
    }
    if (err) {
        start_failed(c, err);
        op_free(op);
        return;
    }
    container_running(c, 0);
    container_event(c, "Normal", "Created", "Created container: %s", c->name);
    container_event(c, "Normal", "Started", "Started container %s", c->name);
    remove_old(c);
    container_post_start(c);
    op_free(op);
}

static void become_starting(struct container *c, const struct image_info *image, const char *id) {
    if (c->state == CONTAINER_TERMINATED) {
        termination_done(&c->last);
        c->last = c->now;
        c->now = (struct termination){0};
        c->attempt++;
    }
    c->state = CONTAINER_STARTING;
    memcpy(c->id, id, sizeof c->id);
    c->started = c->ready = c->hook_done = false;
    c->image_failed = false;
    backoff_reset(&c->image);
    free(c->image_id);
    c->image_id = strdup(str_or(image->repo_digest, str_or(image->id, "")));
    free(c->stop_signal);
    c->stop_signal = str_empty(image->stop_signal) ? NULL : strdup(image->stop_signal);
    container_wait(c, NULL, NULL);
}

/* Services of the pod's namespace and the API's own, in name order. */
static size_t services_of(struct arena *a, struct pod *p, const struct core_v1_service ***ret) {
    struct {
        const struct core_v1_service **v;
        size_t n;
    } l = {0};
    const struct api_object *o;
    size_t at = 0;
    while ((o = informer_next(p->agent->services, &at))) {
        bool api =
            str_eq(o->metadata.namespace, "default") && str_eq(o->metadata.name, "kubernetes");
        if (api || str_eq(o->metadata.namespace, p->ns)) *ARENA_PUSH(a, &l) = (const void *)o;
    }
    *ret = l.v;
    return l.n;
}

static int build(struct arena *a, struct container *c, const struct image_info *image,
                 const char *id, struct broker_container *ret, struct err *err) {
    struct pod_facts facts = pod_facts_of(c->pod);
    struct object_source source = pod_source(c->pod);
    struct container_input in = {.container = c,
                                 .id = id,
                                 .attempt = c->attempt + (c->state == CONTAINER_TERMINATED),
                                 .facts = &facts,
                                 .source = &source,
                                 .image = image,
                                 .root = c->pod->agent->settings->root};
    const struct core_v1_service **services = NULL;
    in.n_services = services_of(a, c->pod, &services);
    in.services = services;
    return container_spec_build(a, &in, ret, err);
}

static void on_image(void *user, const struct image_result *r) {
    struct start_op *op = user;
    struct container *c = op->c;
    c->busy = false;
    if (c->pod->stopping || container_alive(c) || (!r->info && !r->reason)) {
        op_free(op);
        return;
    }
    if (!r->info) {
        image_failed(c, r);
        op_free(op);
        return;
    }
    OWN(arena_free_p) struct arena *a = arena_new();
    struct broker_container spec;
    struct err err = {0};
    int rc = build(a, c, r->info, op->id, &spec, &err);
    if (rc < 0) {
        if (rc != -EAGAIN) not_configured(c, "CreateContainerConfigError", err.text);
        op_free(op);
        return;
    }
    OWN(buf_done) struct buf b = {0};
    broker_container_pack(&b, &spec);
    become_starting(c, r->info, op->id);
    resize_started(c, &spec.resources);
    link_call(c->pod->agent->broker, BROKER_CONTAINER_START, buf_view(&b), NULL, 0, on_started, op);
}

/* ConfigMaps and Secrets are asked for before the image, so that a start is not tried twice. */
static bool sources_there(struct container *c) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct pod_facts facts = pod_facts_of(c->pod);
    struct object_source source = pod_source(c->pod);
    struct env_input in = {.facts = &facts, .container = container_spec(c), .source = &source};
    OWN(environment_done) struct environment env = {0};
    struct err err = {0};
    int rc = env_render(a, &in, &env, &err);
    if (rc == -EAGAIN) return false;
    if (rc < 0) not_configured(c, "CreateContainerConfigError", err.text);
    return rc == 0;
}

void container_start(struct container *c) {
    if (!informer_synced(c->pod->agent->services) || !sources_there(c)) return;
    struct start_op *op = calloc(1, sizeof *op);
    if (!op) abort();
    op->c = c;
    random_id(c->pod->agent->loop, op->id);
    c->busy = true;
    pod_ref(c->pod);
    image_ensure(c, on_image, op);
}

/* ---- the end of a run ---- */

static void crash_loop(struct container *c, uint64_t now_ms) {
    if (!container_restarts(c) || c->pod->stopping || !backoff_waiting(&c->restart, now_ms)) return;
    struct pod *p = c->pod;
    char delay[24];
    OWN(buf_done) struct buf text = {0};
    backoff_text(delay, c->restart.delay_ms);
    buf_printf(&text, "back-off %s restarting failed container=%s pod=%s_%s(%s)", delay, c->name,
               p->name, p->ns, p->uid);
    container_wait(c, "CrashLoopBackOff", text.p);
    container_event(c, "Warning", "BackOff",
                    "Back-off restarting failed container %s in pod %s_%s(%s)", c->name, p->name,
                    p->ns, p->uid);
}

static void ended(struct container *c) {
    struct loop *l = c->pod->agent->loop;
    probes_stop(c);
    container_hook_cancel(c);
    c->state = CONTAINER_TERMINATED;
    c->started = c->ready = false;
    c->stop = STOP_NONE;
    c->stop_wanted = false;
    int64_t ran_ns = c->now.finished_ns - c->now.started_ns;
    uint64_t now = loop_now_ms(l);
    backoff_exited(&c->restart, now, ran_ns > 0 ? (uint64_t)ran_ns / 1000000 : 0);
    crash_loop(c, now);
    pod_kick(c->pod);
}

static void on_tail(void *user, const char *text) {
    struct start_op *op = user;
    struct container *c = op->c;
    if (c->state == CONTAINER_TERMINATED && str_eq(c->now.id, op->id) && !c->now.message && *text)
        c->now.message = strdup(text);
    op_free(op);
}

void container_exited(struct container *c, const struct broker_container_state *s) {
    if (!container_alive(c) || strcmp(c->id, s->id) != 0) return;
    uint32_t code = s->exit_code;
    if (s->signal && !code) code = 128 + s->signal;
    const char *reason = s->oom_killed ? "OOMKilled" : code ? "Error" : "Completed";
    int64_t started = c->started_ns ? c->started_ns : s->started_ns;
    termination_set(&c->now, s->id, code, reason, s->message, started,
                    s->finished_ns ? s->finished_ns : loop_wall_ns(c->pod->agent->loop));
    ended(c);
    const struct core_v1_container *spec = container_spec(c);
    if (!code || c->now.message ||
        !str_eq(spec->termination_message_policy, "FallbackToLogsOnError"))
        return;
    struct start_op *op = calloc(1, sizeof *op);
    if (!op) abort();
    op->c = c;
    memcpy(op->id, c->now.id, sizeof op->id);
    pod_ref(c->pod);
    log_tail(c, on_tail, op);
}

void container_lost(struct container *c) {
    int64_t now_ns = loop_wall_ns(c->pod->agent->loop);
    termination_set(&c->now, c->id, 137, "ContainerStatusUnknown",
                    "The container could not be located when the pod was terminated", c->started_ns,
                    now_ns);
    ended(c);
}
