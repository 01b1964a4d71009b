#include "api/rules/deletion.h"

#include "api/rules/pods.h"
#include "api/types.h"
#include "base/own.h"
#include "base/times.h"

static bool is(const struct api_kind *k, const char *plural) {
    return !*k->group && str_eq(k->plural, plural);
}

static void set_finalizer(struct arena *a, struct str_list *l, const char *name, bool wanted) {
    if (str_list_has(l, name) == wanted) return;
    struct str_list out = {0};
    for (size_t i = 0; i < l->n; i++)
        if (!str_eq(l->v[i], name)) *ARENA_PUSH(a, &out) = l->v[i];
    if (wanted) *ARENA_PUSH(a, &out) = name;
    *l = out;
}

/* Seconds the pod gets; 0 when nothing of it runs. */
static int64_t pod_grace_s(const struct core_v1_pod *pod, int64_t asked_s) {
    if (str_empty(pod->spec.node_name) || pod_is_terminal(pod)) return 0;
    int64_t grace_s = asked_s;
    if (grace_s < 0)
        grace_s = pod->spec.termination_grace_period_seconds
                      ? *pod->spec.termination_grace_period_seconds
                      : 30;
    return grace_s < 0 ? 1 : grace_s;
}

static void set_deadline(struct arena *a, struct meta_v1_object_meta *m, int64_t grace_s,
                         int64_t now_ns) {
    int64_t start_ns = now_ns, old_end_ns;
    if (!str_empty(m->deletion_timestamp) && time_parse(m->deletion_timestamp, &old_end_ns) == 0 &&
        m->deletion_grace_period_seconds)
        start_ns = old_end_ns - *m->deletion_grace_period_seconds * 1000000000;
    char text[TIME_TEXT_MAX];
    time_format(text, start_ns + grace_s * 1000000000);
    m->deletion_timestamp = arena_str(a, text);
    m->deletion_grace_period_seconds = arena_copy(a, &grace_s, sizeof grace_s);
}

static void set_finalizers(struct arena *a, struct str_list *l, const struct deletion *d,
                           bool dying) {
    if (d->policy != PROPAGATE_DEFAULT) {
        set_finalizer(a, l, "foregroundDeletion", d->policy == PROPAGATE_FOREGROUND);
        set_finalizer(a, l, "orphan", d->policy == PROPAGATE_ORPHAN);
    }
    if (d->finalizer && !dying) set_finalizer(a, l, d->finalizer, true);
}

/* A namespace ends when it has nothing in it, which its spec.finalizers say. */
static bool is_full(const struct api_kind *k, const struct api_object *o) {
    return is(k, "namespaces") &&
           ((const struct core_v1_namespace *)(const void *)o)->spec.finalizers.n > 0;
}

enum deletion_outcome deletion_apply(struct arena *a, const struct api_kind *k,
                                     struct api_object *o, const struct deletion *d,
                                     int64_t now_ns) {
    struct meta_v1_object_meta *m = &o->metadata;
    bool dying = !str_empty(m->deletion_timestamp);
    size_t n_before = m->finalizers.n;
    set_finalizers(a, &m->finalizers, d, dying);
    int64_t left_s = m->deletion_grace_period_seconds ? *m->deletion_grace_period_seconds : 0;
    int64_t grace_s = 0;
    if (dying && d->grace_s < 0)
        grace_s = left_s;
    else if (is(k, "pods"))
        grace_s = pod_grace_s((const struct core_v1_pod *)(const void *)o, d->grace_s);
    if (is(k, "namespaces")) ((struct core_v1_namespace *)(void *)o)->status.phase = "Terminating";
    if (grace_s == 0 && !m->finalizers.n && !is_full(k, o)) return DELETION_NOW;
    if (dying && grace_s >= left_s && m->finalizers.n == n_before) return DELETION_NOTHING;
    if (!dying || grace_s < left_s) set_deadline(a, m, grace_s, now_ns);
    if (!dying && k->flags & API_GENERATION) m->generation++;
    return DELETION_LATER;
}

bool deletion_is_complete(const struct api_kind *k, const struct api_object *o) {
    const struct meta_v1_object_meta *m = &o->metadata;
    if (str_empty(m->deletion_timestamp) || m->finalizers.n) return false;
    if (m->deletion_grace_period_seconds && *m->deletion_grace_period_seconds > 0) return false;
    return !is_full(k, o);
}

bool deletion_answers_object(const struct api_kind *k) {
    static const char *const plurals[] = {
        "pods",           "services",          "serviceaccounts",       "podtemplates",
        "resourcequotas", "persistentvolumes", "persistentvolumeclaims"};
    for (size_t i = 0; i < ARRAY_LEN(plurals); i++)
        if (is(k, plurals[i])) return true;
    return false;
}

bool eviction_is_free(const struct core_v1_pod *pod,
                      const struct policy_v1_pod_disruption_budget *b) {
    if (pod_is_ready(pod)) return false;
    if (str_eq(b->spec.unhealthy_pod_eviction_policy, "AlwaysAllow")) return true;
    return b->status.current_healthy >= b->status.desired_healthy && b->status.desired_healthy > 0;
}
