/* The service `scheduler`: gives every pod without a node the best one, or says why there is none.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/own.h"
#include "base/times.h"
#include "client/client.h"
#include "proc/service.h"
#include "scheduler/plugin.h"
#include "scheduler/queue.h"

static const char my_name[] = "default-scheduler";

static struct scheduler {
    struct service_ctx *ctx;
    struct api_client *client;
    struct informer *pods, *nodes;
    struct event_recorder *events;
    struct timer *wake;
    struct snapshot snapshot;
    struct queue queue;
} sched;

struct binding { /* a request under way */
    char *uid, *ns, *name;
};

static void binding_free(struct binding *b) {
    free(b->uid);
    free(b->ns);
    free(b->name);
    free(b);
}

static void run_soon(uint64_t delay_ms) { timer_start(sched.wake, delay_ms, 0); }

static bool wants_node(const struct core_v1_pod *p) {
    return str_empty(p->spec.node_name) && !p->metadata.deletion_timestamp &&
           str_eq(p->spec.scheduler_name, my_name) && !p->spec.scheduling_gates.n;
}

static bool is_over(const struct core_v1_pod *p) {
    return str_eq(p->status.phase, "Succeeded") || str_eq(p->status.phase, "Failed");
}

static void bound(void *user, const struct api_object *obj, struct slice body,
                  const struct err *err) {
    struct binding *b = user;
    (void)obj, (void)body;
    const struct api_object *head = informer_head(sched.pods, b->ns, b->name);
    bool current = head && str_eq(head->metadata.uid, b->uid);
    const struct core_v1_pod *p =
        current ? (const struct core_v1_pod *)informer_get(sched.pods, b->ns, b->name) : NULL;
    if (err) {
        /* Not ours any more, or the API was away: give the room back and look again. */
        log_warn("bind_failed", "pod=%s/%s error=\"%s\"", b->ns, b->name, err->text);
        /* What is bound has been forgotten: it is not in p. */
        if (!current || p) snapshot_remove_pod(&sched.snapshot, b->uid);
        if (p && wants_node(p))
            queue_add(&sched.queue, b->uid, b->ns, b->name,
                      p->spec.priority ? *p->spec.priority : 0);
        run_soon(100);
    } else if (current) {
        event_record(sched.events, head, "Normal", "Scheduled", "Successfully assigned %s/%s to %s",
                     b->ns, b->name,
                     snapshot_node_of(&sched.snapshot, b->uid)
                         ? snapshot_node_of(&sched.snapshot, b->uid)
                         : "a node");
    }
    binding_free(b);
}

static void bind_pod(struct arena *a, const struct core_v1_pod *pod, const char *node) {
    OWN(buf_done) struct buf body = {0};
    struct binding *b = calloc(1, sizeof *b);
    if (!b) abort();
    b->uid = strdup(pod->metadata.uid);
    b->ns = strdup(pod->metadata.namespace);
    b->name = strdup(pod->metadata.name);
    if (!b->uid || !b->ns || !b->name) abort();
    buf_str(&body, "{\"apiVersion\":\"v1\",\"kind\":\"Binding\",\"metadata\":{\"name\":");
    buf_json_str(&body, slice_of(b->name));
    buf_str(&body, ",\"namespace\":");
    buf_json_str(&body, slice_of(b->ns));
    buf_str(&body, ",\"uid\":");
    buf_json_str(&body, slice_of(b->uid));
    buf_str(&body, "},\"target\":{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"name\":");
    buf_json_str(&body, slice_of(node));
    buf_str(&body, "}}");
    api_request(sched.client, "POST",
                arena_printf(a, "/api/v1/namespaces/%s/pods/%s/binding", b->ns, b->name),
                "application/json", buf_view(&body), bound, b);
}

static void ignore_reply(void *user, const struct api_object *obj, struct slice body,
                         const struct err *err) {
    (void)user, (void)obj, (void)body, (void)err;
}

static void report_failure(const struct core_v1_pod *pod, const char *message) {
    for (size_t i = 0; i < pod->status.conditions.n; i++) {
        const struct core_v1_pod_condition *c = &pod->status.conditions.v[i];
        if (str_eq(c->type, "PodScheduled") && str_eq(c->status, "False") &&
            str_eq(c->message, message))
            return;
    }
    OWN(buf_done) struct buf patch = {0};
    char now[TIME_TEXT_MAX];
    time_format(now, loop_wall_ns(sched.ctx->loop));
    event_record(sched.events, (const struct api_object *)pod, "Warning", "FailedScheduling", "%s",
                 message);
    buf_printf(&patch,
               "{\"status\":{\"conditions\":[{\"type\":\"PodScheduled\",\"status\":\"False\","
               "\"reason\":\"Unschedulable\","
               "\"lastTransitionTime\":\"%s\",\"message\":",
               now);
    buf_json_str(&patch, slice_of(message));
    buf_str(&patch, "}]}}");
    api_patch(sched.client, api_kind_by_name("", "v1", "Pod"), pod->metadata.namespace,
              pod->metadata.name, "status", "application/strategic-merge-patch+json",
              buf_view(&patch), ignore_reply, NULL);
}

static void schedule_one(struct queued *q) {
    OWN(arena_free_p) struct arena *a = arena_new();
    const struct core_v1_pod *pod =
        (const struct core_v1_pod *)informer_get(sched.pods, q->ns, q->name);
    if (!pod || !str_eq(pod->metadata.uid, q->uid) || !wants_node(pod)) {
        queue_remove(&sched.queue, q->uid);
        return;
    }
    struct sched_result r = sched_place(a, &sched.snapshot, pod);
    if (!r.node) {
        report_failure(pod, r.message);
        queue_failed(&sched.queue, q, loop_now_ms(sched.ctx->loop));
        return;
    }
    snapshot_add_pod(&sched.snapshot, pod, r.node);
    queue_remove(&sched.queue, q->uid);
    bind_pod(a, pod, r.node);
}

static void run(void *user) {
    (void)user;
    uint64_t wait_ms;
    struct queued *q;
    if (!informer_synced(sched.pods) || !informer_synced(sched.nodes)) return;
    while ((q = queue_next(&sched.queue, loop_now_ms(sched.ctx->loop), &wait_ms))) schedule_one(q);
    if (wait_ms != UINT64_MAX) run_soon(wait_ms + 1);
}

/* Of pods that have a node the snapshot knows all that counts. */
static bool is_settled(const struct api_object *o) {
    const struct core_v1_pod *p = (const struct core_v1_pod *)o;
    return !str_empty(p->spec.node_name) || is_over(p);
}

/* No decision reads the rest of a pod. */
static const char *const kept_metadata[] = {
    "name",       "namespace",         "uid",    "resourceVersion",
    "generation", "deletionTimestamp", "labels", NULL};
static const char *const kept_container[] = {"name",  "image",         "resources",
                                             "ports", "restartPolicy", NULL};
static const char *const kept_volume[] = {"name", "persistentVolumeClaim", "ephemeral", NULL};
static const char *const kept_volume_with[] = {"persistentVolumeClaim", "ephemeral", NULL};
static const char *const kept_status[] = {"phase", "conditions", NULL};
static const struct api_keep pod_keep[] = {{&meta_v1_object_meta_type, kept_metadata, NULL},
                                           {&core_v1_container_type, kept_container, NULL},
                                           {&core_v1_volume_type, kept_volume, kept_volume_with},
                                           {&core_v1_pod_status_type, kept_status, NULL},
                                           {NULL, NULL, NULL}};

static void pod_changed(void *user, enum informer_event e, const struct api_object *now,
                        const struct api_object *old) {
    const struct core_v1_pod *p = (const struct core_v1_pod *)now;
    (void)user, (void)old;
    if (e == INFORMER_SYNCED) {
        run_soon(0);
        return;
    }
    if (e == INFORMER_DELETED || is_over(p)) {
        queue_remove(&sched.queue, p->metadata.uid);
        if (snapshot_remove_pod(&sched.snapshot, p->metadata.uid)) {
            queue_wake(&sched.queue);
            run_soon(0);
        }
        return;
    }
    if (!str_empty(p->spec.node_name)) {
        queue_remove(&sched.queue, p->metadata.uid);
        snapshot_add_pod(&sched.snapshot, p, p->spec.node_name);
    } else if (wants_node(p) && !snapshot_node_of(&sched.snapshot, p->metadata.uid)) {
        /* Its own status changes (the failure just written) are no reason to try again. */
        bool spec_changed =
            !old || old->metadata.generation != now->metadata.generation ||
            !api_equal(&core_v1_pod_spec_type, &p->spec, &((const struct core_v1_pod *)old)->spec);
        if (!spec_changed) return;
        queue_add(&sched.queue, p->metadata.uid, p->metadata.namespace, p->metadata.name,
                  p->spec.priority ? *p->spec.priority : 0);
        run_soon(0);
    }
}

/* Heartbeats change nothing that a decision reads. */
static bool matters(const struct core_v1_node *now, const struct core_v1_node *old) {
    return !old || !api_equal(&core_v1_node_spec_type, &now->spec, &old->spec) ||
           !api_equal(&meta_v1_label_selector_type,
                      &(struct meta_v1_label_selector){.match_labels = now->metadata.labels},
                      &(struct meta_v1_label_selector){.match_labels = old->metadata.labels}) ||
           !api_equal(&meta_v1_label_selector_type,
                      &(struct meta_v1_label_selector){.match_labels = now->status.allocatable},
                      &(struct meta_v1_label_selector){.match_labels = old->status.allocatable}) ||
           now->status.images.n != old->status.images.n;
}

static void node_changed(void *user, enum informer_event e, const struct api_object *now,
                         const struct api_object *old) {
    (void)user;
    if (e == INFORMER_SYNCED) {
        run_soon(0);
        return;
    }
    if (e == INFORMER_DELETED) {
        snapshot_remove_node(&sched.snapshot, now->metadata.name);
        return;
    }
    if (!matters((const struct core_v1_node *)now, (const struct core_v1_node *)old)) return;
    snapshot_put_node(&sched.snapshot, (const struct core_v1_node *)now);
    queue_wake(&sched.queue);
    run_soon(0);
}

static int start(struct service_ctx *ctx, struct err *err) {
    (void)err;
    sched.ctx = ctx;
    sched.wake = timer_new(ctx->loop, run, NULL);
    sched.client = api_client_new(ctx->loop, "api.sock");
    sched.events = event_recorder_new(sched.client, my_name, ctx->settings->node_name);
    sched.pods = informer_new(sched.client, api_kind_by_name("", "v1", "Pod"), NULL, NULL,
                              pod_changed, NULL);
    informer_keep(sched.pods, pod_keep);
    informer_forget(sched.pods, is_settled);
    sched.nodes = informer_new(sched.client, api_kind_by_name("", "v1", "Node"), NULL, NULL,
                               node_changed, NULL);
    service_ready(ctx);
    return 0;
}

static bool stop(struct service_ctx *ctx) {
    (void)ctx;
    informer_free(sched.pods);
    informer_free(sched.nodes);
    event_recorder_free(sched.events);
    api_client_free(sched.client);
    timer_free(sched.wake);
    queue_done(&sched.queue);
    snapshot_done(&sched.snapshot);
    return false;
}

static const struct service scheduler_service = {.name = "scheduler", .start = start, .stop = stop};
SERVICE(scheduler_service);
