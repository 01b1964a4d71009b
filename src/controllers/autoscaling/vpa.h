/*
 * VerticalPodAutoscaler: what its files share. vpa_recommend.c looks at what pods use and writes
 * recommendations and checkpoints, vpa_state.c is what it remembers, vpa_estimate.c turns that into
 * amounts, vpa_update.c brings recommendations to pods that run.
 */
#pragma once

#include "api/rules/vpa.h"
#include "controllers/autoscaling/histogram.h"
#include "controllers/autoscaling/hpa.h"

enum { VPA_SAMPLE_S = 15 };
/* Kinds that it may be for. */
#define VPA_TARGETS                                                                                \
    "Deployment", "ReplicaSet", "StatefulSet", "ReplicationController", "DaemonSet", "Job",        \
        "CronJob"

/* What has been seen of the containers of one name. */
struct vpa_container {
    const char *name;
    struct histogram cpu, memory;
    int64_t first_ns, last_ns, samples;
};
/* The peak of memory of one running container: it counts once in a day. */
struct vpa_peak {
    const char *pod_uid, *container;
    int64_t until_ns; /* end of that day */
    double bytes;
    int64_t killed_ns; /* the last time it ran out of memory */
    bool seen;
};
struct vpa_state {
    int64_t sampled_ns, saved_ns, status_ns;
    struct {
        struct vpa_container **v;
        size_t n;
    } containers;
    struct {
        struct vpa_peak *v;
        size_t n;
    } peaks;
};

/* ---- vpa_state.c ---- */
/* From the note, else from checkpoints. */
struct vpa_state *vpa_state_read(const struct world *w, struct arena *a, const vpa_object *v);
/* Whether the time has come, without reading all of it. */
bool vpa_state_due(const struct world *w, struct arena *a, const vpa_object *v);
void vpa_state_write(struct plan *p, const vpa_object *v, const struct vpa_state *s);
void vpa_state_drop(const struct world *w, struct plan *p, const char *ns, const char *name);
/* One sample of a container; cpu in cores. */
void vpa_sample(struct arena *a, struct vpa_state *s, const struct core_v1_pod *pod,
                const char *container, double cpu, double request_cores, double memory_bytes,
                int64_t at_ns);
/* The container was killed for want of memory while it asked for that much. */
void vpa_sample_kill(struct arena *a, struct vpa_state *s, const struct core_v1_pod *pod,
                     const char *container, double request_bytes, int64_t at_ns);
/* Creates or updates the checkpoint of every container. */
void vpa_checkpoint(const struct world *w, struct plan *p, const vpa_object *v,
                    const struct vpa_state *s);

/* ---- vpa_estimate.c ---- */
struct autoscaling_v1_recommended_pod_resources *vpa_estimate(struct arena *a, const vpa_object *v,
                                                              const struct vpa_state *s);

/* ---- vpa_recommend.c ---- */
/* The pods of the target. 0; or < 0 with *ret_error; or 1: not known yet. */
int vpa_pods_of(const struct world *w, struct plan *p, const vpa_object *v, struct hpa_pods *ret,
                int32_t *ret_replicas, const char **ret_error);
