/*
 * The service: handover, informers, adoption of what runs, and the dispatch to the pods' workers.
 */
#include "node/agent.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/own.h"
#include "node/host.h"
#include "node/pods/exec.h"
#include "node/pods/orphans.h"
#include "node/pods/sandbox.h"
#include "node/status/registration.h"
#include "node/streams/streams.h"
#include "node/volumes/local_volumes.h"
#include "node/volumes/objects.h"

static struct agent agent;

/* ---- events ---- */

static void record(struct pod *p, const char *field, const char *type, const char *reason,
                   const char *fmt, va_list ap) __attribute__((format(printf, 5, 0)));
static void record(struct pod *p, const char *field, const char *type, const char *reason,
                   const char *fmt, va_list ap) {
    OWN(buf_done) struct buf b = {0};
    buf_vprintf(&b, fmt, ap);
    const struct api_object *about = (const void *)p->object;
    const char *text = b.p ? b.p : "";
    if (field)
        event_record_field(p->agent->events, about, field, type, reason, "%s", text);
    else
        event_record(p->agent->events, about, type, reason, "%s", text);
}

void container_event(struct container *c, const char *type, const char *reason, const char *fmt,
                     ...) {
    OWN(buf_done) struct buf field = {0};
    buf_printf(&field, "spec.%s{%s}",
               c->kind == CONTAINER_MAIN        ? "containers"
               : c->kind == CONTAINER_EPHEMERAL ? "ephemeralContainers"
                                                : "initContainers",
               c->name);
    va_list ap;
    va_start(ap, fmt);
    record(c->pod, field.p, type, reason, fmt, ap);
    va_end(ap);
}

void pod_event(struct pod *p, const char *type, const char *reason, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    record(p, NULL, type, reason, fmt, ap);
    va_end(ap);
}

/* ---- pods ---- */

struct pod *agent_pod(const struct agent *g, const char *ns, const char *name) {
    size_t at = 0;
    struct map_entry *e;
    while ((e = map_next(&g->workers, &at))) {
        struct pod *p = e->value;
        if (str_eq(p->ns, ns) && str_eq(p->name, name) && !p->vanished) return p;
    }
    return NULL;
}

void pod_worker_gone(struct pod *p) {
    if (map_get(&p->agent->workers, slice_of(p->uid)) != p) return;
    map_del(&p->agent->workers, slice_of(p->uid));
    log_info("pod_gone", "pod=%s/%s uid=%s", p->ns, p->name, p->uid);
    pod_unref(p);
}

static void on_pod(void *user, enum informer_event e, const struct api_object *now,
                   const struct api_object *old);

/* What the broker said at the start, until every pod has been adopted. */
struct adoption {
    struct arena *arena;
    struct broker_container_state *v;
    size_t n;
};
static struct adoption adoption;

static void pod_seen(struct agent *g, const struct core_v1_pod *object) {
    struct pod *p = map_get(&g->workers, slice_of(str_or(object->metadata.uid, "")));
    if (p)
        pod_worker_update(p, object);
    else
        pod_worker_start(g, object, adoption.v, adoption.n);
}

static void on_pod(void *user, enum informer_event e, const struct api_object *now,
                   const struct api_object *old) {
    struct agent *g = user;
    if (!g->started) return; /* all are read at once when everything is known */
    if (e == INFORMER_DELETED) {
        struct pod *p = map_get(&g->workers, slice_of(str_or(now->metadata.uid, "")));
        if (p) pod_worker_vanished(p);
    } else if (now) {
        if (old && !str_eq(old->metadata.uid, now->metadata.uid)) {
            struct pod *p = map_get(&g->workers, slice_of(str_or(old->metadata.uid, "")));
            if (p) pod_worker_vanished(p);
        }
        pod_seen(g, (const void *)now);
    }
}

/* ---- adoption ---- */

static void begin(struct agent *g) {
    g->started = true;
    size_t at = 0;
    const struct api_object *o;
    while ((o = informer_next(g->pods, &at))) pod_seen(g, (const void *)o);
    orphans_start(g);
    log_info("pods_adopted", "pods=%zu containers=%zu", g->workers.n, adoption.n);
    arena_free(adoption.arena);
    adoption = (struct adoption){0};
    registration_set_ready(g->registration, true, NULL);
}

static void on_synced(void *user, enum informer_event e, const struct api_object *now,
                      const struct api_object *old) {
    struct agent *g = user;
    on_pod(user, e, now, old);
    if (e == INFORMER_SYNCED && !g->started) agent_list(g);
}

static void on_service(void *user, enum informer_event e, const struct api_object *now,
                       const struct api_object *old) {
    struct agent *g = user;
    if (e != INFORMER_SYNCED) return;
    size_t at = 0;
    struct map_entry *w;
    while ((w = map_next(&g->workers, &at))) pod_kick(w->value);
}

/* Decodes BROKER_LIST_OK. */
static int decode_list(struct ipc_msg *m, struct adoption *ret) {
    struct unpack u = unpack_init(m->body);
    uint32_t n = unpack_u32(&u);
    ret->arena = arena_new();
    for (uint32_t i = 0; i < n && !u.bad; i++) {
        struct broker_container_state s;
        if (broker_container_state_unpack(&u, ret->arena, &s) < 0) break;
        *ARENA_PUSH(ret->arena, ret) = s;
    }
    return unpack_end(&u);
}

static void on_list(void *user, struct ipc_msg *m, const struct err *err) {
    struct agent *g = user;
    if (err) return; /* the link comes up again, and asks again */
    struct adoption list = {0};
    if (m->type != BROKER_LIST_OK || decode_list(m, &list) < 0) {
        log_error("broker_list_malformed", "bytes=%zu", m->body.n);
        arena_free(list.arena);
        return;
    }
    g->broker_synced = true;
    if (g->started) {
        size_t at = 0;
        struct map_entry *e;
        while ((e = map_next(&g->workers, &at))) sandbox_resync(e->value, list.v, list.n);
        orphans_look(g);
        arena_free(list.arena);
        return;
    }
    if (!informer_synced(g->pods)) { /* asked again then: an older list would miss ends */
        arena_free(list.arena);
        return;
    }
    adoption = list;
    begin(g);
}

void agent_list(struct agent *g) {
    link_call(g->broker, BROKER_LIST, slice_from("", 0), NULL, 0, on_list, g);
}

/* ---- the broker ---- */

static void on_broker_up(void *user) {
    struct agent *g = user;
    g->broker_synced = false;
    exec_on_lost(g);
    agent_list(g);
}

static void on_container_event(struct agent *g, struct ipc_msg *m) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct unpack u = unpack_init(m->body);
    struct broker_container_state s = {0};
    s.uid = unpack_str(&u, a);
    s.id = unpack_str(&u, a);
    s.exit_code = unpack_u32(&u);
    s.signal = unpack_u32(&u);
    s.oom_killed = unpack_bool(&u);
    s.started_ns = unpack_i64(&u);
    s.finished_ns = unpack_i64(&u);
    s.message = unpack_str(&u, a);
    if (unpack_end(&u) < 0) return;
    struct pod *p = map_get(&g->workers, slice_of(s.uid));
    for (size_t i = 0; p && i < p->n_containers; i++)
        if (str_eq(p->containers[i]->id, s.id)) container_exited(p->containers[i], &s);
}

static void on_broker_message(void *user, struct ipc_msg *m) {
    struct agent *g = user;
    if (m->type == BROKER_CONTAINER_EVENT) on_container_event(g, m);
    if (m->type != BROKER_EXEC_EXIT) return;
    struct unpack u = unpack_init(m->body);
    uint32_t id = unpack_u32(&u), code = unpack_u32(&u);
    if (unpack_end(&u) == 0) exec_on_exit(g, id, code);
}

static void on_image_up(void *user) {
    registration_images_changed(((struct agent *)user)->registration);
}

static void on_object_changed(struct pod *p) { pod_configuration_changed(p); }

/* ---- the service ---- */

static int prepare(struct service_ctx *ctx, struct err *err) {
    return host_read(&agent.host, ctx, err);
}

static int start(struct service_ctx *ctx, struct err *err) {
    struct agent *g = &agent;
    g->ctx = ctx;
    g->loop = ctx->loop;
    g->settings = ctx->settings;
    g->client = api_client_new(g->loop, "api.sock");
    g->events = event_recorder_new(g->client, "kubelet", g->settings->node_name);
    g->objects = objects_new(g->client, on_object_changed);
    struct link_events broker = {on_broker_up, on_broker_message, g};
    struct link_events image = {on_image_up, NULL, g};
    struct link_events network = {NULL, NULL, g};
    g->broker = link_new(g->loop, "broker.sock", &broker);
    g->image = link_new(g->loop, "image.sock", &image);
    g->network = link_new(g->loop, "network.sock", &network);
    g->local_volumes = local_volumes_new(g);
    g->registration = registration_new(g);
    OWN(buf_done) struct buf fields = {0};
    buf_printf(&fields, "spec.nodeName=%s", g->settings->node_name);
    g->pods =
        informer_new(g->client, api_kind_by_name("", "v1", "Pod"), fields.p, NULL, on_synced, g);
    g->services =
        informer_new(g->client, api_kind_by_name("", "v1", "Service"), NULL, NULL, on_service, g);
    int rc = streams_start(g, service_fd(ctx, "listen"), &g->streams, err);
    if (rc < 0) return rc;
    service_ready(ctx);
    return 0;
}

static const struct service node_service = {.name = "node", .prepare = prepare, .start = start};
SERVICE(node_service);
