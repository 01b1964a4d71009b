#include "scheduler/acts.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "api/values/quantity.h"
#include "base/log.h"
#include "base/own.h"
#include "base/times.h"
#include "scheduler/core/power.h"

struct refusal_told;

struct request { /* under way, about a pod */
    struct acts *acts;
    struct request *next, **prev;
    struct refusal_told *refusal; /* that it is about; NULL: none */
    char *uid, *ns, *name;
};

static struct request *request_new(struct acts *a, const char *uid, const char *ns,
                                   const char *name) {
    struct request *r = calloc(1, sizeof *r);
    if (!r) abort();
    r->acts = a;
    r->uid = strdup(str_or(uid, ""));
    r->ns = strdup(str_or(ns, ""));
    r->name = strdup(str_or(name, ""));
    if (!r->uid || !r->ns || !r->name) abort();
    r->next = a->requests;
    r->prev = &a->requests;
    if (r->next) r->next->prev = &r->next;
    a->requests = r;
    return r;
}

static void request_free(struct request *r) {
    *r->prev = r->next;
    if (r->next) r->next->prev = r->prev;
    free(r->uid);
    free(r->ns);
    free(r->name);
    free(r);
}

/* The pod of that uid as the informer has it; NULL when it is gone or another one. */
static const struct api_object *head_of(const struct request *r) {
    const struct api_object *head = informer_head(r->acts->pods, r->ns, r->name);
    return head && str_eq(head->metadata.uid, r->uid) ? head : NULL;
}

static const struct core_v1_pod *pod_of(void *user, const char *ns, const char *name) {
    return (const struct core_v1_pod *)informer_get(((struct acts *)user)->pods, ns, name);
}

static void pod_patch(struct acts *a, const char *ns, const char *name, const char *subresource,
                      const struct buf *patch, api_reply_fn *fn, void *user) {
    api_patch(a->client, api_kind_by_name("", "v1", "Pod"), ns, name, subresource,
              "application/strategic-merge-patch+json", buf_view(patch), fn, user);
}

static void ignore_reply(void *user, const struct api_object *obj, struct slice body,
                         const struct err *err) {
    (void)user, (void)obj, (void)body, (void)err;
}

/* ---- bindings ---- */

static void bound(void *user, const struct api_object *obj, struct slice body,
                  const struct err *err) {
    struct request *r = user;
    struct acts *a = r->acts;
    const struct api_object *head = head_of(r);
    (void)obj, (void)body;
    if (err) {
        /* Not ours any more, or the API was away: give the room back and look again. What is bound
         * has been forgotten by the informer: it has only a head. */
        log_warn("bind_failed", "pod=%s/%s error=\"%s\"", r->ns, r->name, err->text);
        const struct core_v1_pod *p = head ? pod_of(a, r->ns, r->name) : NULL;
        if (!head || p) core_bind_failed(a->core, r->uid, p, loop_now_ms(a->loop));
        timer_start(a->wake, 100, 0);
    } else if (head) {
        const char *node = snapshot_node_of(&a->core->snapshot, r->uid);
        event_record(a->events, head, "Normal", "Scheduled", "Successfully assigned %s/%s to %s",
                     r->ns, r->name, node ? node : "a node");
    }
    request_free(r);
}

static void bind(void *user, const struct core_v1_pod *pod, const char *node) {
    struct acts *a = user;
    OWN(buf_done) struct buf body = {0}, path = {0};
    const struct meta_v1_object_meta *m = &pod->metadata;
    char gpus[GPU_INDEX_TEXT_MAX];
    buf_str(&body, "{\"apiVersion\":\"v1\",\"kind\":\"Binding\",\"metadata\":{\"name\":");
    buf_json_str(&body, slice_of(m->name));
    buf_str(&body, ",\"namespace\":");
    buf_json_str(&body, slice_of(m->namespace));
    buf_str(&body, ",\"uid\":");
    buf_json_str(&body, slice_of(m->uid));
    if (gpu_index_of(&a->core->snapshot, m->uid, gpus))
        buf_printf(&body, ",\"annotations\":{\"" GPU_INDEX_ANNOTATION "\":\"%s\"}", gpus);
    buf_str(&body, "},\"target\":{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"name\":");
    buf_json_str(&body, slice_of(node));
    buf_str(&body, "}}");
    buf_printf(&path, "/api/v1/namespaces/%s/pods/%s/binding%c", m->namespace, m->name, 0);
    api_request(a->client, "POST", path.p, "application/json", buf_view(&body), bound,
                request_new(a, m->uid, m->namespace, m->name));
}

/* ---- refusals ---- */

static bool told(const struct core_v1_pod *pod, const char *message) {
    for (size_t i = 0; i < pod->status.conditions.n; i++) {
        const struct core_v1_pod_condition *c = &pod->status.conditions.v[i];
        if (str_eq(c->type, "PodScheduled") && str_eq(c->status, "False") &&
            str_eq(c->message, message))
            return true;
    }
    return false;
}

static void put_condition(struct buf *patch, const struct acts *a, const char *type,
                          const char *status, const char *reason, const char *message) {
    char now[TIME_TEXT_MAX];
    time_format(now, loop_wall_ns(a->loop));
    buf_printf(patch,
               "\"conditions\":[{\"type\":\"%s\",\"status\":\"%s\",\"reason\":\"%s\","
               "\"lastTransitionTime\":\"%s\",\"message\":",
               type, status, reason, now);
    buf_json_str(patch, slice_of(message));
    buf_str(patch, "}]");
}

/* version: of the pod that this is said about; NULL: whatever has happened to it since. */
static void begin_patch(struct buf *patch, const char *uid, const char *version) {
    buf_str(patch, "{\"metadata\":{\"uid\":");
    buf_json_str(patch, slice_of(uid));
    if (!str_empty(version)) {
        buf_str(patch, ",\"resourceVersion\":");
        buf_json_str(patch, slice_of(version));
    }
    buf_str(patch, "},\"status\":{");
}

static void put_nominated(struct buf *patch, const char *node) {
    buf_str(patch, "\"nominatedNodeName\":");
    if (node)
        buf_json_str(patch, slice_of(node));
    else
        buf_str(patch, "null");
}

/* A refusal that met a newer pod than the one it was about is said of that, while it is true. */
struct refusal_told {
    struct request *about;
    char *message, *nominated; /* nominated NULL: none */
    struct timer *again;
    unsigned tries;
    uint32_t attempt; /* of the pod: a later one has its own */
};
enum { REFUSE_TRIES = 5, REFUSE_AGAIN_MS = 50 };

static void refusal_free(struct refusal_told *t) {
    request_free(t->about);
    timer_free(t->again);
    free(t->message);
    free(t->nominated);
    free(t);
}

void acts_done(struct acts *a) {
    while (a->requests) {
        if (a->requests->refusal)
            refusal_free(a->requests->refusal);
        else
            request_free(a->requests);
    }
}

static void refusal_send(struct refusal_told *t, const struct core_v1_pod *pod);

static void refuse_again(void *user) {
    struct refusal_told *t = user;
    struct request *r = t->about;
    const struct core_v1_pod *pod = pod_of(r->acts, r->ns, r->name);
    struct queued *q = queue_get(&r->acts->core->queue, r->uid);
    bool holds = pod && str_eq(pod->metadata.uid, r->uid) && q && q->attempts == t->attempt + 1 &&
                 core_wants_node(r->acts->core, pod);
    if (holds)
        refusal_send(t, pod);
    else
        refusal_free(t);
}

static void refused(void *user, const struct api_object *obj, struct slice body,
                    const struct err *err) {
    struct refusal_told *t = user;
    (void)obj, (void)body;
    if (err && err->reason == ERR_CONFLICT && t->tries++ < REFUSE_TRIES)
        timer_start(t->again, REFUSE_AGAIN_MS, 0);
    else
        refusal_free(t);
}

static void refusal_send(struct refusal_told *t, const struct core_v1_pod *pod) {
    struct acts *a = t->about->acts;
    OWN(buf_done) struct buf patch = {0};
    /* It may have been bound by a request whose answer was lost. */
    begin_patch(&patch, pod->metadata.uid, pod->metadata.resource_version);
    if (!str_eq(str_or(pod->status.nominated_node_name, ""), str_or(t->nominated, ""))) {
        put_nominated(&patch, t->nominated);
        buf_char(&patch, ',');
    }
    put_condition(&patch, a, "PodScheduled", "False", "Unschedulable", t->message);
    buf_str(&patch, "}}");
    pod_patch(a, pod->metadata.namespace, pod->metadata.name, "status", &patch, refused, t);
}

static void refuse(void *user, const struct core_v1_pod *pod, const char *message,
                   const char *nominated) {
    struct acts *a = user;
    bool known = told(pod, message),
         moved = !str_eq(str_or(pod->status.nominated_node_name, ""), str_or(nominated, ""));
    if (known && !moved) return;
    if (!known)
        event_record(a->events, (const struct api_object *)pod, "Warning", "FailedScheduling", "%s",
                     message);
    struct refusal_told *t = calloc(1, sizeof *t);
    if (!t) abort();
    t->about = request_new(a, pod->metadata.uid, pod->metadata.namespace, pod->metadata.name);
    t->about->refusal = t;
    t->message = strdup(message);
    t->nominated = nominated ? strdup(nominated) : NULL;
    if (!t->message || (nominated && !t->nominated)) abort();
    const struct queued *q = queue_get(&a->core->queue, pod->metadata.uid);
    t->attempt = q ? q->attempts : 0;
    t->again = timer_new(a->loop, refuse_again, t);
    refusal_send(t, pod);
}

static void unnominate(void *user, const struct nominated *m) {
    OWN(buf_done) struct buf patch = {0};
    begin_patch(&patch, m->uid, NULL);
    put_nominated(&patch, NULL);
    buf_str(&patch, "}}");
    pod_patch(user, m->ns, m->name, "status", &patch, ignore_reply, NULL);
}

/* ---- preemption: the condition first, so that whoever sees the pod go knows why ---- */

static void deleted(void *user, const struct api_object *obj, struct slice body,
                    const struct err *err) {
    struct request *r = user;
    (void)obj, (void)body;
    if (err && err->reason != ERR_NOT_FOUND && err->reason != ERR_CONFLICT) {
        log_warn("preemption_failed", "pod=%s/%s error=\"%s\"", r->ns, r->name, err->text);
        core_evict_failed(r->acts->core, r->uid);
    }
    request_free(r);
}

static void marked(void *user, const struct api_object *obj, struct slice body,
                   const struct err *err) {
    struct request *r = user;
    (void)obj, (void)body;
    if (err && (err->reason == ERR_NOT_FOUND || err->reason == ERR_CONFLICT)) {
        deleted(user, NULL, (struct slice){0}, err);
        return;
    }
    api_delete(r->acts->client, api_kind_by_name("", "v1", "Pod"), r->ns, r->name,
               &(struct api_delete_opts){.uid = r->uid, .grace_period_s = -1}, deleted, r);
}

static void evict(void *user, const struct sched_pod *victim, const struct core_v1_pod *by) {
    struct acts *a = user;
    OWN(buf_done) struct buf patch = {0}, message = {0};
    struct request *r =
        request_new(a, sched_pod_uid(victim), victim->class->namespace, sched_pod_name(victim));
    const struct api_object *head = head_of(r);
    if (head)
        event_record(a->events, head, "Normal", "Preempted", "Preempted by pod %s on node %s",
                     by->metadata.uid, victim->node->name);
    buf_printf(&message, "%s: preempting to accommodate a higher priority pod%c",
               str_or(by->spec.scheduler_name, "default-scheduler"), 0);
    begin_patch(&patch, r->uid, NULL);
    put_condition(&patch, a, "DisruptionTarget", "True", "PreemptionByScheduler", message.p);
    buf_str(&patch, "}}");
    pod_patch(a, r->ns, r->name, "status", &patch, marked, r);
}

static void tell_quota(struct acts *a, const struct quota *q) {
    OWN(buf_done) struct buf patch = {0};
    OWN(arena_free_p) struct arena *scratch = arena_new();
    buf_str(&patch, "{\"status\":{\"used\":{");
    for (size_t i = 0; i < q->lines.n; i++) {
        const struct quota_line *l = &q->lines.v[i];
        const char *amount = str_eq(l->resource, "cpu") ? quantity_from_milli(scratch, l->used)
                             : str_eq(l->resource, "memory")
                                 ? quantity_from_bytes(scratch, l->used)
                                 : arena_printf(scratch, "%" PRId64, l->used);
        if (i) buf_char(&patch, ',');
        buf_json_str(&patch, slice_of(l->resource));
        buf_char(&patch, ':');
        buf_json_str(&patch, slice_of(amount));
    }
    buf_str(&patch, "}}}");
    api_patch(a->client, api_kind_by_name("scheduling.x-k8s.io", "v1alpha1", "ElasticQuota"),
              q->namespace, q->name, "status", "application/merge-patch+json", buf_view(&patch),
              ignore_reply, NULL);
}

void acts_tell_quotas(struct acts *a) {
    size_t at = 0;
    struct map_entry *e;
    while ((e = map_next(&a->core->snapshot.quotas.by_namespace, &at))) {
        struct quota *q = e->value;
        if (q->changed) tell_quota(a, q);
        q->changed = false;
    }
}

static void gang_late(void *user, const struct gang *g, const char *message) {
    struct acts *a = user;
    struct scheduling_v1alpha1_pod_group group = {.api_version = "scheduling.x-k8s.io/v1alpha1",
                                                  .kind = "PodGroup"};
    group.metadata.namespace = g->namespace;
    group.metadata.name = g->name;
    group.metadata.uid = g->uid;
    event_record(a->events, (const struct api_object *)&group, "Warning", "ScheduleTimeout", "%s",
                 message);
}

/* ---- power ---- */

struct marked_node {
    struct acts *acts;
    char *name;
};

static void power_marked(void *user, const struct api_object *obj, struct slice body,
                         const struct err *err) {
    struct marked_node *m = user;
    (void)obj, (void)body;
    if (err) {
        log_warn("power_failed", "node=%s error=\"%s\"", m->name, err->text);
        core_power_failed(m->acts->core, m->name);
    }
    free(m->name);
    free(m);
}

static void power(void *user, const struct sched_node *n, bool down) {
    struct acts *a = user;
    OWN(buf_done) struct buf patch = {0};
    const char *message = down ? "The node is idle; it may be switched off."
                               : "Pods need the node; it is to be switched on.";
    struct marked_node *m = calloc(1, sizeof *m);
    if (!m) abort();
    m->acts = a;
    m->name = strdup(n->name);
    if (!m->name) abort();
    buf_str(&patch, "{\"status\":{");
    put_condition(&patch, a, POWER_CONDITION, down ? "True" : "False", down ? "Idle" : "Needed",
                  message);
    buf_str(&patch, "}}");
    event_record(a->events, (const struct api_object *)n->object, "Normal",
                 down ? "PowerDown" : "PowerUp", "%s", message);
    api_patch(a->client, api_kind_by_name("", "v1", "Node"), NULL, n->name, "status",
              "application/strategic-merge-patch+json", buf_view(&patch), power_marked, m);
}

/* What the claim was to be told did not get there: whoever waits for it says it again. */
static void selected(void *user, const struct api_object *obj, struct slice body,
                     const struct err *err) {
    struct acts *a = user;
    (void)obj, (void)body;
    if (!err) return;
    log_warn("claim_failed", "error=\"%s\"", err->text);
    core_wake_all(a->core, loop_now_ms(a->loop));
    timer_start(a->wake, 100, 0);
}

static void select_node(void *user, const struct core_v1_persistent_volume_claim *claim,
                        const char *node) {
    struct acts *a = user;
    OWN(buf_done) struct buf patch = {0};
    buf_str(&patch, "{\"metadata\":{\"uid\":");
    buf_json_str(&patch, slice_of(claim->metadata.uid));
    buf_str(&patch, ",\"annotations\":{\"" CLAIM_SELECTED_NODE "\":");
    buf_json_str(&patch, slice_of(node));
    buf_str(&patch, "}}}");
    api_patch(a->client, api_kind_by_name("", "v1", "PersistentVolumeClaim"),
              claim->metadata.namespace, claim->metadata.name, "", "application/merge-patch+json",
              buf_view(&patch), selected, a);
}

const struct sched_acts sched_acts_api = {.pod = pod_of,
                                          .bind = bind,
                                          .refuse = refuse,
                                          .evict = evict,
                                          .unnominate = unnominate,
                                          .gang_late = gang_late,
                                          .power = power,
                                          .select_node = select_node};
