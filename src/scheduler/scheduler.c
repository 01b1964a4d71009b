/* The service `scheduler`: tells the core what happens, and gives every pod without a node the best
 * one, or says why there is none. */
#include "base/own.h"
#include "proc/service.h"
#include "scheduler/core/power.h"
#include "scheduler/feeds.h"

enum { BINDINGS_AT_ONCE = 48, PODS_PER_TURN = 256, QUOTA_STATUS_MS = 1000 };

static struct scheduler {
    struct service_ctx *ctx;
    struct api_client *events;
    struct informer *pods, *nodes, *budgets, *quotas, *groups;
    struct timer *tell_quotas, *power;
    struct feeds *feeds;
    struct acts acts;
    struct sched_core core;
} sched;

static uint64_t now_ms(void) { return loop_now_ms(sched.ctx->loop); }

static void run_soon(uint64_t delay_ms) { timer_start(sched.acts.wake, delay_ms, 0); }

static bool synced(void) {
    const struct informer *all[] = {sched.pods, sched.nodes, sched.budgets, sched.quotas,
                                    sched.groups};
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        if (!informer_synced(all[i])) return false;
    return feeds_synced(sched.feeds);
}

static void tell_quotas(void *user) { acts_tell_quotas(user); }

static void look_at_power(void *user) {
    (void)user;
    uint64_t wait_ms = core_power(&sched.core, now_ms());
    if (wait_ms != UINT64_MAX) timer_start(sched.power, wait_ms, 0);
}

static void run(void *user) {
    (void)user;
    if (!synced()) return;
    uint64_t wait_ms = core_run(&sched.core, now_ms(), PODS_PER_TURN);
    if (sched.core.snapshot.quotas.by_namespace.n && !timer_active(sched.tell_quotas))
        timer_start(sched.tell_quotas, QUOTA_STATUS_MS, 0);
    if (!timer_active(sched.power)) look_at_power(NULL);
    if (wait_ms != UINT64_MAX) run_soon(wait_ms ? wait_ms + 1 : 0);
}

/* Of pods that have a node the snapshot knows all that counts. */
static bool is_settled(const struct api_object *o) {
    const struct core_v1_pod *p = (const struct core_v1_pod *)o;
    return !str_empty(p->spec.node_name) || core_is_over(p);
}

/* No decision reads the rest of a pod. */
static const char *const kept_metadata[] = {"name",
                                            "namespace",
                                            "uid",
                                            "resourceVersion",
                                            "generation",
                                            "deletionTimestamp",
                                            "labels",
                                            "annotations",
                                            "ownerReferences",
                                            NULL};
static const char *const kept_container[] = {"name",  "image",         "resources",
                                             "ports", "restartPolicy", NULL};
#define VOLUMES                                                                                    \
    "persistentVolumeClaim", "ephemeral", "gcePersistentDisk", "awsElasticBlockStore", "iscsi",    \
        "rbd"
static const char *const kept_volume[] = {"name", VOLUMES, NULL};
static const char *const kept_volume_with[] = {VOLUMES, NULL};
static const char *const kept_status[] = {
    "phase", "conditions", "startTime", "nominatedNodeName", "containerStatuses", NULL};
static const char *const kept_container_status[] = {"name", "allocatedResources", NULL};
static const char *const granted[] = {"allocatedResources", NULL};
static const struct api_keep pod_keep[] = {
    {&meta_v1_object_meta_type, kept_metadata, NULL},
    {&core_v1_container_type, kept_container, NULL},
    {&core_v1_volume_type, kept_volume, kept_volume_with},
    {&core_v1_pod_status_type, kept_status, NULL},
    {&core_v1_container_status_type, kept_container_status, granted},
    {NULL, NULL, NULL}};

static bool same_map(const struct str_map *x, const struct str_map *y) {
    return api_equal(&meta_v1_label_selector_type,
                     &(struct meta_v1_label_selector){.match_labels = *x},
                     &(struct meta_v1_label_selector){.match_labels = *y});
}

static void pod_changed(void *user, enum informer_event e, const struct api_object *now,
                        const struct api_object *old) {
    const struct core_v1_pod *p = (const struct core_v1_pod *)now,
                             *was = (const struct core_v1_pod *)old;
    (void)user;
    if (e == INFORMER_DELETED)
        core_remove_pod(&sched.core, p->metadata.uid, now_ms());
    else if (e != INFORMER_SYNCED) {
        /* Its own status changes (the failure just written) are no reason to try again. */
        bool renewed = !was || was->metadata.generation != p->metadata.generation ||
                       !api_equal(&core_v1_pod_spec_type, &p->spec, &was->spec) ||
                       !same_map(&p->metadata.labels, &was->metadata.labels);
        core_put_pod(&sched.core, p, renewed, now_ms());
    }
    run_soon(0);
}

/* Heartbeats change nothing that a decision reads. */
static bool matters(const struct core_v1_node *now, const struct core_v1_node *old) {
    return !old || !api_equal(&core_v1_node_spec_type, &now->spec, &old->spec) ||
           !same_map(&now->metadata.labels, &old->metadata.labels) ||
           !same_map(&now->status.allocatable, &old->status.allocatable) ||
           now->status.images.n != old->status.images.n || power_is_down(now) != power_is_down(old);
}

static void node_changed(void *user, enum informer_event e, const struct api_object *now,
                         const struct api_object *old) {
    (void)user;
    if (e == INFORMER_DELETED)
        core_remove_node(&sched.core, now->metadata.name);
    else if (e != INFORMER_SYNCED) {
        if (!matters((const struct core_v1_node *)now, (const struct core_v1_node *)old)) return;
        core_put_node(&sched.core, (const struct core_v1_node *)now, now_ms());
    }
    run_soon(0);
}

static void budget_changed(void *user, enum informer_event e, const struct api_object *now,
                           const struct api_object *old) {
    (void)user, (void)old;
    if (e == INFORMER_DELETED)
        budgets_remove(&sched.core.budgets, now->metadata.namespace, now->metadata.name);
    else if (e != INFORMER_SYNCED)
        budgets_put(&sched.core.budgets, (const struct policy_v1_pod_disruption_budget *)now);
    run_soon(0);
}

static void quota_changed(void *user, enum informer_event e, const struct api_object *now,
                          const struct api_object *old) {
    (void)user;
    const struct scheduling_v1alpha1_elastic_quota
        *q = (const struct scheduling_v1alpha1_elastic_quota *)now,
        *was = (const struct scheduling_v1alpha1_elastic_quota *)old;
    if (e == INFORMER_DELETED)
        core_remove_quota(&sched.core, now->metadata.namespace, now->metadata.name, now_ms());
    else if (e != INFORMER_SYNCED) {
        if (was && was->metadata.generation == q->metadata.generation) return; /* its status */
        core_put_quota(&sched.core, q, now_ms());
    }
    run_soon(0);
}

static void group_changed(void *user, enum informer_event e, const struct api_object *now,
                          const struct api_object *old) {
    (void)user;
    if (e == INFORMER_DELETED)
        gangs_remove(&sched.core.snapshot, now->metadata.namespace, now->metadata.name);
    else if (e != INFORMER_SYNCED) {
        if (old && old->metadata.generation == now->metadata.generation) return;
        core_put_group(&sched.core, (const struct scheduling_v1alpha1_pod_group *)now, now_ms());
    }
    run_soon(0);
}

static struct informer *watch(const char *group, const char *version, const char *kind,
                              informer_fn *fn) {
    return informer_new(sched.events, api_kind_by_name(group, version, kind), NULL, NULL, fn, NULL);
}

static int start(struct service_ctx *ctx, struct err *err) {
    (void)err;
    sched.ctx = ctx;
    sched.acts.loop = ctx->loop;
    sched.acts.core = &sched.core;
    sched.acts.wake = timer_new(ctx->loop, run, NULL);
    sched.tell_quotas = timer_new(ctx->loop, tell_quotas, &sched.acts);
    sched.power = timer_new(ctx->loop, look_at_power, NULL);
    sched.core.acts = &sched_acts_api;
    sched.core.user = &sched.acts;
    sched.acts.client = api_client_new(ctx->loop, "api.sock");
    api_client_widen(sched.acts.client, BINDINGS_AT_ONCE);
    sched.events = api_client_new(ctx->loop, "api.sock");
    sched.acts.events =
        event_recorder_new(sched.events, "default-scheduler", ctx->settings->node_name);
    sched.pods = sched.acts.pods = watch("", "v1", "Pod", pod_changed);
    informer_keep(sched.pods, pod_keep);
    informer_forget(sched.pods, is_settled);
    sched.nodes = watch("", "v1", "Node", node_changed);
    sched.feeds = feeds_new(sched.events, &sched.acts, run_soon);
    sched.budgets = watch("policy", "v1", "PodDisruptionBudget", budget_changed);
    sched.quotas = watch("scheduling.x-k8s.io", "v1alpha1", "ElasticQuota", quota_changed);
    sched.groups = watch("scheduling.x-k8s.io", "v1alpha1", "PodGroup", group_changed);
    service_ready(ctx);
    return 0;
}

static bool stop(struct service_ctx *ctx) {
    (void)ctx;
    informer_free(sched.pods);
    informer_free(sched.nodes);
    informer_free(sched.budgets);
    informer_free(sched.quotas);
    informer_free(sched.groups);
    event_recorder_free(sched.acts.events);
    api_client_free(sched.events);
    api_client_free(sched.acts.client);
    acts_done(&sched.acts);
    timer_free(sched.acts.wake);
    timer_free(sched.tell_quotas);
    timer_free(sched.power);
    core_done(&sched.core);
    feeds_free(sched.feeds);
    return false;
}

static const struct service scheduler_service = {.name = "scheduler", .start = start, .stop = stop};
SERVICE(scheduler_service);
