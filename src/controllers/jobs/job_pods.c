/* Job: which pods it has, makes and deletes. */
#include <stdlib.h>
#include <string.h>

#include "api/rules/pods.h"
#include "api/values/selector.h"
#include "base/own.h"
#include "controllers/jobs/job.h"

enum {
    CHANGES_MAX = 500,       /* pods made or deleted in one run */
    GENERATED_NAME_MAX = 58, /* of a prefix to which the server adds five letters */
    HOST_NAME_MAX_BYTES = 63
};

bool job_tracks(const struct core_v1_pod *pod) {
    for (size_t i = 0; i < pod->metadata.finalizers.n; i++)
        if (str_eq(pod->metadata.finalizers.v[i], JOB_FINALIZER)) return true;
    return false;
}

static void strip(struct plan *p, const struct core_v1_pod *pod) {
    plan_set_finalizers(p, (const struct api_object *)pod, JOB_FINALIZER);
}

void job_strip(struct job_view *v, const struct core_v1_pod *pod) { strip(v->p, pod); }

void job_orphans(const struct world *w, const char *ns, const char *name, struct plan *p) {
    const struct api_object *o;
    size_t at = 0;
    while ((o = world_next(w, "Pod", ns, &at))) {
        const struct meta_v1_owner_reference *owner = api_controller_of(o);
        if (!owner || !str_eq(owner->kind, "Job") || !str_eq(owner->name, name)) continue;
        const struct api_object *job = world_get(w, "Job", ns, name);
        if (job && str_eq(job->metadata.uid, owner->uid)) continue;
        if (job_tracks((const struct core_v1_pod *)o)) strip(p, (const struct core_v1_pod *)o);
    }
}

/* Owner and finalizer in one write: a pod of ours that is not tracked would never be counted. */
static void adopt(struct job_view *v, const struct api_object *o) {
    OWN(buf_done) struct buf b = {0};
    struct meta_v1_owner_reference me =
        controller_reference(v->a, (const struct api_object *)v->job);
    buf_str(&b, "{\"metadata\":{\"uid\":");
    buf_json_str(&b, slice_of(o->metadata.uid));
    buf_str(&b, ",\"resourceVersion\":");
    buf_json_str(&b, slice_of(o->metadata.resource_version));
    buf_str(&b, ",\"finalizers\":[");
    for (size_t i = 0; i < o->metadata.finalizers.n; i++) {
        if (str_eq(o->metadata.finalizers.v[i], JOB_FINALIZER)) continue;
        buf_json_str(&b, slice_of(o->metadata.finalizers.v[i]));
        buf_char(&b, ',');
    }
    buf_str(&b, "\"" JOB_FINALIZER "\"],\"ownerReferences\":[");
    for (size_t i = 0; i < o->metadata.owner_references.n; i++) {
        api_encode(&b, &meta_v1_owner_reference_type, &o->metadata.owner_references.v[i]);
        buf_char(&b, ',');
    }
    api_encode(&b, &meta_v1_owner_reference_type, &me);
    buf_str(&b, "]}}");
    plan_patch(v->p, o, "", "application/merge-patch+json", buf_view(&b));
}

/* A pod that is not ours any more must not wait for us. */
static void release(struct job_view *v, const struct core_v1_pod *pod) {
    if (job_tracks(pod))
        strip(v->p, pod); /* the reference goes in the next run, when this has been seen */
    else
        plan_release(v->p, (const struct api_object *)pod, v->job->metadata.uid);
}

void job_claim(struct job_view *v) {
    struct selector *selector;
    const struct api_object *o;
    const char *uid = v->job->metadata.uid;
    bool dying = !str_empty(v->job->metadata.deletion_timestamp);
    size_t at = 0;
    if (selector_from_labels(v->a, v->job->spec.selector, &selector, NULL) < 0) return;
    while ((o = world_claimable(v->w, uid, "Pod", v->job->metadata.namespace, &at))) {
        const struct core_v1_pod *pod = (const struct core_v1_pod *)o;
        const struct meta_v1_owner_reference *owner = api_controller_of(o);
        bool matches = selector_matches(selector, &o->metadata.labels);
        if (owner && matches)
            ARENA_PUSH(v->a, &v->pods)->pod = pod;
        else if (owner && !dying && !o->metadata.deletion_timestamp)
            release(v, pod);
        else if (!owner && matches && !dying && pod_is_active(pod)) {
            adopt(v, o);
            ARENA_PUSH(v->a, &v->pods)->pod = pod;
        }
    }
}

/* ---- making ---- */

static const struct core_v1_env_var *env_find(const struct core_v1_container *c, const char *name) {
    for (size_t i = 0; i < c->env.n; i++)
        if (str_eq(c->env.v[i].name, name)) return &c->env.v[i];
    return NULL;
}

static void env_add(struct arena *a, struct core_v1_container_list *list) {
    static const char name[] = "JOB_COMPLETION_INDEX";
    for (size_t i = 0; i < list->n; i++) {
        if (env_find(&list->v[i], name)) continue;
        struct core_v1_env_var *e = ARENA_PUSH(a, &list->v[i].env);
        e->name = name;
        e->value_from = ARENA_NEW(a, struct core_v1_env_var_source);
        e->value_from->field_ref = ARENA_NEW(a, struct core_v1_object_field_selector);
        e->value_from->field_ref->field_path = "metadata.labels['" JOB_INDEX_KEY "']";
    }
}

static void index_give(struct job_view *v, struct core_v1_pod *pod, int32_t index) {
    const char *number = arena_printf(v->a, "%d", index), *job = v->job->metadata.name;
    str_map_set(v->a, &pod->metadata.annotations, JOB_INDEX_KEY, number);
    str_map_set(v->a, &pod->metadata.labels, JOB_INDEX_KEY, number);
    if (v->per_index) {
        const struct job_pod *last = job_last_failure(v, index);
        str_map_set(v->a, &pod->metadata.annotations, JOB_FAILURES_KEY,
                    arena_printf(v->a, "%d", last ? last->failures : 0));
        if (last && last->ignored)
            str_map_set(v->a, &pod->metadata.annotations, JOB_IGNORED_KEY,
                        arena_printf(v->a, "%d", last->ignored));
    }
    int room = GENERATED_NAME_MAX - (int)strlen(number) - 2;
    pod->metadata.generate_name = arena_printf(v->a, "%.*s-%s-", room, job, number);
    room = HOST_NAME_MAX_BYTES - (int)strlen(number) - 1;
    if (str_empty(pod->spec.hostname))
        pod->spec.hostname = arena_printf(v->a, "%.*s-%s", room, job, number);
    env_add(v->a, &pod->spec.containers);
    env_add(v->a, &pod->spec.init_containers);
}

static void create(struct job_view *v, int32_t index) {
    const struct core_v1_pod_template_spec *t = &v->job->spec.template;
    struct api_object *o = api_object_new(v->a, api_kind_by_name("", "v1", "Pod"));
    struct core_v1_pod *pod = (struct core_v1_pod *)o;
    pod->metadata.generate_name = arena_printf(v->a, "%s-", v->job->metadata.name);
    pod->metadata.namespace = v->job->metadata.namespace;
    str_map_merge(v->a, &pod->metadata.labels, &t->metadata.labels);
    str_map_merge(v->a, &pod->metadata.annotations, &t->metadata.annotations);
    for (size_t i = 0; i < t->metadata.finalizers.n; i++)
        if (!str_eq(t->metadata.finalizers.v[i], JOB_FINALIZER))
            *ARENA_PUSH(v->a, &pod->metadata.finalizers) = t->metadata.finalizers.v[i];
    *ARENA_PUSH(v->a, &pod->metadata.finalizers) = JOB_FINALIZER;
    *ARENA_PUSH(v->a, &pod->metadata.owner_references) =
        controller_reference(v->a, (const struct api_object *)v->job);
    pod->spec = *(struct core_v1_pod_spec *)api_copy(v->a, &core_v1_pod_spec_type, &t->spec);
    if (index >= 0) index_give(v, pod, index);
    plan_create(v->p, o);
    plan_report(v->p, (const struct api_object *)v->job, "SuccessfulCreate", "FailedCreate");
}

static int32_t create_indexed(struct job_view *v, int32_t n) {
    struct index_list busy = {0};
    int32_t made = 0;
    for (size_t i = 0; i < v->pods.n; i++) {
        const struct job_pod *x = &v->pods.v[i];
        bool in_use = x->active || (v->waits_for_end && x->terminating);
        if (in_use && x->index >= 0) *ARENA_PUSH(v->a, &busy) = x->index;
        if (!v->per_index || !x->failed || x->index < 0) continue;
        const struct job_pod *last = job_last_failure(v, x->index);
        if (last != x) continue;
        uint64_t ms = job_backoff_ms(v, (int64_t)x->failures + x->ignored, x->end_ns);
        if (!ms || index_set_has(v->failed, x->index) || index_set_has(v->completed, x->index))
            continue;
        *ARENA_PUSH(v->a, &busy) = x->index;
        plan_requeue(v->p, ms);
    }
    struct index_set taken = index_set_union(v->a, v->completed, v->failed);
    taken = index_set_with(v->a, taken, busy);
    for (int32_t i = index_set_gap(taken, 0); i < v->limit && made < n;
         i = index_set_gap(taken, i + 1), made++)
        create(v, i);
    return made;
}

/* ---- deleting ---- */

static void delete_one(struct job_view *v, struct job_pod *x, bool uncounted) {
    if (uncounted && x->tracked) strip(v->p, x->pod);
    plan_delete(v->p, (const struct api_object *)x->pod, NULL);
    plan_report(v->p, (const struct api_object *)v->job, "SuccessfulDelete", "FailedDelete");
    x->active = false;
}

int32_t job_delete_active(struct job_view *v, bool uncounted) {
    int32_t n = 0;
    for (size_t i = 0; i < v->pods.n && n < CHANGES_MAX; i++)
        if (v->pods.v[i].active) {
            delete_one(v, &v->pods.v[i], uncounted);
            n++;
        }
    return n;
}

void job_delete_abandoned(struct job_view *v) {
    for (size_t i = 0; i < v->pods.n; i++)
        if (v->pods.v[i].abandoned) delete_one(v, &v->pods.v[i], true);
}

/* Which active pod goes first: not bound, not running, not ready, newer. */
static int by_expendability(const void *x, const void *y) {
    const struct core_v1_pod *a = (*(struct job_pod *const *)x)->pod,
                             *b = (*(struct job_pod *const *)y)->pod;
    int d = !str_empty(a->spec.node_name) - !str_empty(b->spec.node_name);
    if (!d) d = str_eq(a->status.phase, "Running") - str_eq(b->status.phase, "Running");
    if (!d) d = pod_is_ready(a) - pod_is_ready(b);
    if (!d)
        d = strcmp(str_or(b->metadata.creation_timestamp, ""),
                   str_or(a->metadata.creation_timestamp, ""));
    return d ? d : strcmp(a->metadata.name, b->metadata.name);
}

struct pointers {
    struct job_pod **v;
    size_t n;
};

/* Of an Indexed Job: pods without an index that it has, and all but one of each index. Their order
 * in the world, by name, is the same in every run. */
static int32_t delete_surplus_indexes(struct job_view *v) {
    struct index_list seen = {0};
    struct index_set taken = {0};
    int32_t n = 0;
    for (size_t i = 0; i < v->pods.n; i++)
        if (v->pods.v[i].active && v->pods.v[i].index >= 0)
            *ARENA_PUSH(v->a, &seen) = v->pods.v[i].index;
    taken = index_set_with(v->a, taken, seen);
    bool doubled = index_set_count(taken) != (int64_t)seen.n;
    struct index_set kept = {0};
    for (size_t i = 0; i < v->pods.n; i++) {
        struct job_pod *x = &v->pods.v[i];
        if (!x->active) continue;
        bool bad = x->index < 0 || x->index >= v->limit || index_set_has(v->completed, x->index) ||
                   index_set_has(v->failed, x->index) || (doubled && index_set_has(kept, x->index));
        if (bad && n < CHANGES_MAX) {
            delete_one(v, x, true);
            n++;
        } else if (doubled) {
            int32_t one = x->index;
            kept = index_set_with(v->a, kept, (struct index_list){&one, 1});
        }
    }
    return n;
}

static int64_t wanted(const struct job_view *v, int32_t active) {
    int64_t parallel = MAX_OF(int_or(v->job->spec.parallelism, 1), 0);
    if (v->completions < 0)
        return v->succeeded_n > 0 ? MIN_OF((int64_t)active, parallel) : parallel;
    int64_t left = v->completions - v->succeeded_n - index_set_count(v->failed);
    return MAX_OF(MIN_OF(parallel, left), (int64_t)0);
}

int32_t job_scale(struct job_view *v) {
    int32_t gone = v->indexed ? delete_surplus_indexes(v) : 0, active = v->active_n - gone;
    int64_t want = wanted(v, active);
    if (active > want) {
        struct pointers list = {0};
        for (size_t i = 0; i < v->pods.n; i++)
            if (v->pods.v[i].active) *ARENA_PUSH(v->a, &list) = &v->pods.v[i];
        qsort(list.v, list.n, sizeof *list.v, by_expendability);
        int64_t n = MIN_OF(active - want, (int64_t)CHANGES_MAX);
        for (int64_t i = 0; i < n; i++) delete_one(v, list.v[i], true);
        return -gone - (int32_t)n;
    }
    int64_t missing = want - active - (v->waits_for_end ? v->terminating_n : 0);
    int32_t n = (int32_t)MIN_OF(missing, (int64_t)CHANGES_MAX);
    if (n <= 0) return -gone;
    uint64_t ms = v->per_index ? 0 : job_wait_ms(v);
    if (ms) {
        plan_requeue(v->p, ms);
        return -gone;
    }
    if (v->indexed) return create_indexed(v, n) - gone;
    for (int32_t i = 0; i < n; i++) create(v, -1);
    return n - gone;
}
