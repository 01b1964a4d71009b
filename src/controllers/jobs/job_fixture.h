/* Tests of Jobs: one Job, its pods, and what happens to them. */
#pragma once

#include "api/rules/pods.h"
#include "base/times.h"
#include "controllers/fixture.h"
#include "controllers/jobs/job.h"
#include <stdio.h>
#include <string.h>

/* A Job of the name j; spec is JSON members that follow the selector and the template. */
static inline void add_job(struct world *w, const char *restart, const char *spec) {
    char json[2000];
    snprintf(json, sizeof json,
             "{\"apiVersion\":\"batch/v1\",\"kind\":\"Job\",\"metadata\":{\"name\":\"j\","
             "\"namespace\":\"default\",\"uid\":\"u-j\",\"generation\":1},\"spec\":{\"selector\":{"
             "\"matchLabels\":{\"job\":\"j\"}},\"template\":{\"metadata\":{\"labels\":{\"job\":"
             "\"j\"}},\"spec\":{\"restartPolicy\":\"%s\",\"containers\":[{\"name\":\"c\",\"image\":"
             "\"i\"}]}}%s}}",
             restart, spec);
    world_add_json(w, json);
}

static inline const struct batch_v1_job *job(const struct world *w) {
    return (const struct batch_v1_job *)world_get(w, "Job", "default", "j");
}

static inline const char *why(const struct world *w, const char *type) {
    for (size_t i = 0; i < job(w)->status.conditions.n; i++) {
        const struct batch_v1_job_condition *c = &job(w)->status.conditions.v[i];
        if (str_eq(c->type, type) && str_eq(c->status, "True")) return c->reason;
    }
    return "";
}

static inline void rest(struct world *w) { settle(w, "job", "default/j"); }

/* The nth active pod in the order of names, or the one with that index. */
static inline const struct core_v1_pod *active(const struct world *w, int nth, const char *index) {
    const struct api_object *o;
    size_t at = 0;
    while ((o = world_next(w, "Pod", "default", &at))) {
        const struct core_v1_pod *pod = (const struct core_v1_pod *)o;
        if (!pod_is_active(pod)) continue;
        if (index ? str_eq(str_map_get(&pod->metadata.labels, JOB_INDEX_KEY), index) : nth-- == 0)
            return pod;
    }
    return NULL;
}

static inline int actives(const struct world *w) {
    int n = 0;
    while (active(w, n, NULL)) n++;
    return n;
}

static inline int tracked(const struct world *w) {
    const struct api_object *o;
    size_t at = 0;
    int n = 0;
    while ((o = world_next(w, "Pod", "default", &at)))
        n += job_tracks((const struct core_v1_pod *)o);
    return n;
}

/* As a node: the container has ended with that code now. */
static inline void exits(struct world *w, const struct core_v1_pod *pod, int code) {
    struct arena *a;
    assert_non_null(pod);
    struct core_v1_pod *p = (struct core_v1_pod *)edit((const struct api_object *)pod, &a);
    p->status.phase = code ? "Failed" : "Succeeded";
    p->spec.node_name = "n1";
    struct core_v1_container_status *c = ARENA_PUSH(a, &p->status.container_statuses);
    c->name = "c";
    c->state.terminated = ARENA_NEW(a, struct core_v1_container_state_terminated);
    c->state.terminated->exit_code = code;
    c->state.terminated->finished_at = now_text(a, w);
    edit_done(w, a, (struct api_object *)p);
}

static inline void suspend(struct world *w, bool on) {
    struct arena *a;
    struct batch_v1_job *j = (struct batch_v1_job *)edit((const struct api_object *)job(w), &a);
    j->spec.suspend = bool_new(a, on);
    edit_done(w, a, (struct api_object *)j);
}
