/*
 * Eviction (policy/v1, v1beta1): a deletion that PodDisruptionBudgets may forbid. A budget is
 * charged before the pod goes, by a write on the version that was read, so that no number of
 * parallel evictions gets more out of it than it allows; evictions under one budget take turns at
 * it. Then the pod is told why it goes (condition DisruptionTarget, KEP-3329), then it is deleted.
 */
#include <stdlib.h>
#include <string.h>

#include "api/rules/deletion.h"
#include "api/rules/pods.h"
#include "api/values/selector.h"
#include "base/own.h"
#include "base/times.h"
#include "server/admission/plugin.h"
#include "server/media/body.h"
#include "server/storage/raw.h"
#include "server/verbs/remove.h"
#include "server/verbs/write.h"

enum { ATTEMPTS_MAX = 20, DISRUPTED_MAX = 2000, RETRY_AFTER_S = 10 };
#define VIOLATION "Cannot evict pod as it would violate the pod's disruption budget."

struct eviction {
    struct admission *ad;
    struct remove_options o;
    const char *asked_version; /* the client's own precondition */
    const char *budget;        /* that decides; NULL: none */
    bool by_version;           /* the pod must not change before it goes */
    bool charging;             /* its turn at the budget */
    unsigned attempts;
    struct eviction *next; /* of those that have or want a turn */
};

static void attempt(struct eviction *e);

/* ---- answers ---- */

static void refuse(struct eviction *e, const char *why, int retry_after_s) {
    struct call *c = e->ad->c;
    struct api_causes causes = {.a = c->a};
    *ARENA_PUSH(c->a, &causes) = (struct api_cause){"DisruptionBudget", NULL, why};
    admission_over(e->ad, false);
    reply_failure(
        c, ERR_TOO_MANY_REQUESTS,
        &(struct failure){.message = VIOLATION, .causes = &causes, .retry_after_s = retry_after_s});
}

static void refuse_stale(struct eviction *e) {
    refuse(e,
           arena_printf(e->ad->a,
                        "The disruption budget %s is still being processed by the server.",
                        e->budget),
           RETRY_AFTER_S);
}

static void fail(struct eviction *e, const struct err *err) {
    struct call *c = e->ad->c;
    struct err copy = *err;
    admission_over(e->ad, false);
    if (copy.reason == ERR_NOT_FOUND)
        reply_not_found(c, c->route.name);
    else if (copy.reason == ERR_CONFLICT)
        reply_conflict(c, c->route.name, copy.text);
    else
        reply_error(c, &copy);
}

static void forbid(struct eviction *e, const char *why) {
    struct err err;
    err_set(&err, ERR_FORBIDDEN, "poddisruptionbudget.policy \"%s\" is forbidden: %s", e->budget,
            why);
    fail(e, &err);
}

/* What the pod did meanwhile is no reason to fail, when the client did not ask for one version. */
static bool is_raced(const struct eviction *e, const struct err *err) {
    return err && err->reason == ERR_CONFLICT && e->by_version && !e->asked_version;
}

static void race(struct eviction *e, const struct err *err) {
    if (e->budget)
        refuse_stale(e);
    else if (++e->attempts < ATTEMPTS_MAX)
        attempt(e);
    else
        fail(e, err);
}

/* ---- the pod goes ---- */

static void on_removed(void *user, struct slice json, bool gone, const struct err *err) {
    struct eviction *e = user;
    if (!err) {
        struct call *c = e->ad->c;
        admission_over(e->ad, true);
        reply_success(c, 201, NULL, NULL);
    } else if (is_raced(e, err)) {
        race(e, err);
    } else {
        fail(e, err);
    }
}

static void remove_now(struct eviction *e, const char *version) {
    struct call *c = e->ad->c;
    e->o.once = e->by_version;
    e->o.resource_version = e->by_version || e->asked_version ? version : NULL;
    remove_object(c->api, c->kind, c->route.ns, c->route.name, &e->o, on_removed, e);
}

static void mark(struct eviction *e);

static void on_marked(void *user, struct slice json, const struct err *err) {
    struct eviction *e = user;
    if (!err)
        remove_now(e, raw_path_string(e->ad->a, json, "metadata.resourceVersion"));
    else if (is_raced(e, err))
        race(e, err);
    else if (err->reason == ERR_CONFLICT && ++e->attempts < ATTEMPTS_MAX)
        mark(e);
    else
        fail(e, err);
}

static int check_preconditions(const struct eviction *e, const struct meta_v1_object_meta *m,
                               struct err *err) {
    if (e->o.uid && !str_eq(e->o.uid, m->uid))
        return err_set(err, ERR_CONFLICT,
                       "Precondition failed: UID in precondition: %s, UID in object meta: %s",
                       e->o.uid, m->uid);
    if (e->asked_version && !str_eq(e->asked_version, m->resource_version))
        return err_set(err, ERR_CONFLICT,
                       "Precondition failed: ResourceVersion in precondition: %s, ResourceVersion "
                       "in object meta: %s",
                       e->asked_version, m->resource_version);
    return 0;
}

/* The pod as it is now; NULL when the request has been answered. */
static struct core_v1_pod *load(struct eviction *e, struct object **ret_stored) {
    struct call *c = e->ad->c;
    struct object *o = resource_get(c->resource, c->route.ns, c->route.name);
    struct api_object *pod;
    struct err err;
    *ret_stored = o;
    if (!o)
        err_set(&err, ERR_NOT_FOUND, "gone");
    else if (api_object_decode(c->a, c->kind, object_json(o), &pod, &err) == 0 &&
             check_preconditions(e, &pod->metadata, &err) == 0)
        return (void *)pod;
    fail(e, &err);
    return NULL;
}

static void mark(struct eviction *e) {
    struct call *c = e->ad->c;
    struct object *stored;
    struct core_v1_pod *pod = load(e, &stored);
    if (!pod) return;
    bool needless = e->o.dry_run || pod_is_terminal(pod) || pod_is_terminating(pod);
    if (needless ||
        !pod_condition_set(c->a, pod, "DisruptionTarget", "True", "EvictionByEvictionAPI",
                           "Eviction API: evicting", time_now(c)))
        remove_now(e, pod->metadata.resource_version);
    else
        commit_submit(c->api,
                      &(struct commit){STORE_UPDATE, c->kind, (void *)pod, stored->revision},
                      on_marked, e);
}

/* by_version: the pod must not change any more before it goes. */
static void remove_pod(struct eviction *e, bool by_version) {
    e->by_version = by_version;
    mark(e);
}

/* ---- budgets ---- */

/* The budget over this pod, decoded; *ret_n is how many there are. */
static struct policy_v1_pod_disruption_budget *find_budget(struct eviction *e,
                                                           const struct core_v1_pod *pod,
                                                           struct object **ret_stored,
                                                           size_t *ret_n) {
    struct arena *a = e->ad->a;
    struct policy_v1_pod_disruption_budget *found = NULL;
    const struct api_kind *k = api_kind_by_plural("policy", "v1", "poddisruptionbudgets");
    struct resource *r = cache_of_kind(&e->ad->api->cache, k);
    struct slice prefix = slice_of(arena_printf(a, "%s/", e->ad->c->route.ns));
    struct key_cursor at = key_index_seek(&r->index, prefix, false);
    *ret_n = 0;
    for (struct object *o; pod->metadata.labels.n && (o = key_index_next(&r->index, &at));) {
        struct api_object *decoded;
        struct selector *selector;
        if (o->key_n < prefix.n || memcmp(o->key, prefix.p, prefix.n) != 0) break;
        if (api_object_decode(a, k, object_json(o), &decoded, NULL) < 0) continue;
        struct policy_v1_pod_disruption_budget *b = (void *)decoded;
        if (!b->spec.selector || selector_from_labels(a, b->spec.selector, &selector, NULL) < 0)
            continue;
        if (!selector_matches(selector, &pod->metadata.labels)) continue;
        found = b;
        *ret_stored = o;
        ++*ret_n;
    }
    return found;
}

static const char *no_budget_left(struct arena *a,
                                  const struct policy_v1_pod_disruption_budget *b) {
    for (size_t i = 0; i < b->status.conditions.n; i++) {
        const struct meta_v1_condition *c = &b->status.conditions.v[i];
        if (str_eq(c->type, "DisruptionAllowed") && str_eq(c->status, "False") &&
            str_eq(c->reason, "SyncFailed"))
            return arena_printf(a,
                                "The disruption budget %s does not allow evicting pods currently "
                                "because it failed sync: %s",
                                b->metadata.name, str_or(c->message, ""));
    }
    return arena_printf(a, "The disruption budget %s needs %d healthy pods and has %d currently",
                        b->metadata.name, b->status.desired_healthy, b->status.current_healthy);
}

/* ---- turns ---- */

static struct eviction *turns; /* in the order of their coming */

static bool is_about(const struct eviction *e, const char *ns, const char *budget) {
    return str_eq(e->budget, budget) && str_eq(e->ad->c->route.ns, ns);
}

static bool is_charged(const char *ns, const char *budget) {
    for (const struct eviction *t = turns; t; t = t->next)
        if (t->charging && is_about(t, ns, budget)) return true;
    return false;
}

static void turn_take(struct eviction *e, bool charging) {
    struct eviction **at = &turns;
    while (*at) at = &(*at)->next;
    *at = e;
    e->next = NULL;
    e->charging = charging;
}

static void turn_leave(struct eviction *e) {
    struct eviction **at = &turns;
    while (*at && *at != e) at = &(*at)->next;
    if (*at) *at = e->next;
    e->charging = false;
}

/* The budget is free again: who waits tries, until one charges it. */
static void turn_next(const char *ns, const char *budget) {
    struct eviction *t = turns;
    while (t && !is_charged(ns, budget)) {
        if (is_about(t, ns, budget)) {
            turn_leave(t);
            attempt(t);
            t = turns;
        } else {
            t = t->next;
        }
    }
}

static void on_charged(void *user, struct slice json, const struct err *err) {
    struct eviction *e = user;
    OWN(free_p) char *ns = strdup(e->ad->c->route.ns), *budget = strdup(e->budget);
    if (!ns || !budget) abort();
    turn_leave(e);
    if (!err) {
        remove_pod(e, false);
    } else if (err->reason != ERR_CONFLICT && err->reason != ERR_NOT_FOUND) {
        fail(e, err);
    } else if (++e->attempts < ATTEMPTS_MAX) {
        turn_take(e, false);
    } else {
        struct err timeout;
        err_set(&timeout, ERR_TIMEOUT,
                "couldn't update PodDisruptionBudget \"%s\" due to conflicts", e->budget);
        fail(e, &timeout);
    }
    turn_next(ns, budget);
}

/* ---- the decision ---- */

/* The eviction of this very pod has been charged already, and did not come to its end. */
static bool is_granted(const struct core_v1_pod *pod,
                       const struct policy_v1_pod_disruption_budget *b) {
    const char *text = str_map_get(&b->status.disrupted_pods, pod->metadata.name);
    int64_t granted_ns, made_ns;
    return text && time_parse(text, &granted_ns) == 0 &&
           time_parse(str_or(pod->metadata.creation_timestamp, ""), &made_ns) == 0 &&
           made_ns < granted_ns;
}

/* The last one that goes says so: no more are allowed. */
static void tell_exhausted(struct call *c, struct policy_v1_pod_disruption_budget *b) {
    for (size_t i = 0; i < b->status.conditions.n && !b->status.disruptions_allowed; i++) {
        struct meta_v1_condition *m = &b->status.conditions.v[i];
        if (!str_eq(m->type, "DisruptionAllowed") || !str_eq(m->status, "True")) continue;
        m->status = "False";
        m->reason = "InsufficientPods";
        m->last_transition_time = time_now(c);
    }
}

static void charge(struct eviction *e, const struct core_v1_pod *pod,
                   struct policy_v1_pod_disruption_budget *b, struct object *stored) {
    struct call *c = e->ad->c;
    if (b->status.observed_generation < b->metadata.generation) {
        refuse_stale(e);
    } else if (b->status.disruptions_allowed < 0) {
        forbid(e, "pdb disruptions allowed is negative");
    } else if (b->status.disrupted_pods.n > DISRUPTED_MAX) {
        forbid(e, "DisruptedPods map too big - too many evictions not confirmed by PDB controller");
    } else if (is_granted(pod, b)) {
        remove_pod(e, false);
    } else if (b->status.disruptions_allowed == 0) {
        refuse(e, no_budget_left(e->ad->a, b), 0);
    } else if (e->o.dry_run) {
        remove_pod(e, false);
    } else {
        b->status.disruptions_allowed--;
        str_map_set(e->ad->a, &b->status.disrupted_pods, c->route.name, time_now(c));
        tell_exhausted(c, b);
        turn_take(e, true);
        commit_submit(e->ad->api,
                      &(struct commit){STORE_UPDATE,
                                       api_kind_by_plural("policy", "v1", "poddisruptionbudgets"),
                                       (void *)b, stored->revision},
                      on_charged, e);
    }
}

/* A pod that has ended, not begun or is going is nobody's loss. */
static bool is_beyond_budgets(const struct core_v1_pod *pod) {
    return pod_is_terminal(pod) || pod_is_terminating(pod) || str_eq(pod->status.phase, "Pending");
}

static void attempt(struct eviction *e) {
    struct object *stored = NULL;
    struct err err;
    size_t n = 0;
    const struct core_v1_pod *pod = load(e, &stored);
    if (!pod) return;
    if (is_beyond_budgets(pod)) {
        remove_pod(e, !pod_is_terminal(pod) && !pod_is_terminating(pod));
        return;
    }
    struct policy_v1_pod_disruption_budget *b = find_budget(e, pod, &stored, &n);
    if (n > 1) {
        err_set(&err, ERR_INTERNAL,
                "This pod has more than one PodDisruptionBudget, which the eviction subresource "
                "does not support.");
        fail(e, &err);
    } else if (!b) {
        remove_pod(e, false);
    } else {
        e->budget = b->metadata.name;
        if (eviction_is_free(pod, b))
            remove_pod(e, true);
        else if (is_charged(e->ad->c->route.ns, e->budget))
            turn_take(e, false);
        else
            charge(e, pod, b, stored);
    }
}

/* ---- the request ---- */

static void on_admitted(struct admission *ad, int answer) {
    const struct policy_v1_eviction *asked = (const void *)ad->object;
    const struct meta_v1_delete_options *d = asked->delete_options;
    if (answer != ADMISSION_OK) {
        admission_refused(ad, answer);
        return;
    }
    struct eviction *e = ARENA_NEW(ad->a, struct eviction);
    e->ad = ad;
    e->o = (struct remove_options){.grace_s = -1, .dry_run = ad->c->dry_run};
    if (d && d->grace_period_seconds) e->o.grace_s = remove_grace_s(*d->grace_period_seconds);
    if (d && d->preconditions) {
        e->o.uid = d->preconditions->uid;
        e->asked_version = d->preconditions->resource_version;
    }
    if (d && d->dry_run.n) e->o.dry_run = true; /* All, as was checked */
    attempt(e);
}

/* v1 and v1beta1 have the same fields. */
static const struct api_kind *eviction_kind(struct slice json) {
    static const struct api_kind kinds[] = {{.group = "policy",
                                             .version = "v1",
                                             .kind = "Eviction",
                                             .plural = "evictions",
                                             .type = &policy_v1_eviction_type,
                                             .api_version = "policy/v1"},
                                            {.group = "policy",
                                             .version = "v1beta1",
                                             .kind = "Eviction",
                                             .plural = "evictions",
                                             .type = &policy_v1_eviction_type,
                                             .api_version = "policy/v1beta1"}};
    struct slice version;
    bool beta = raw_get(json, "apiVersion", &version) && slice_is(version, "\"policy/v1beta1\"");
    return &kinds[beta];
}

static int check_dry_run(const struct policy_v1_eviction *e, struct err *err) {
    bool asked;
    return e->delete_options ? remove_dry_run(&e->delete_options->dry_run, &asked, err) : 0;
}

void eviction_create(struct call *c) {
    struct err err;
    struct slice json;
    struct api_object *eviction, *pod;
    struct object *o = named_object_to_create(c);
    if (!o) return;
    if (body_options(c, &err) < 0 || body_json(c, &json, &err) < 0 ||
        body_object(c, eviction_kind(json), json, &eviction, &err) < 0 ||
        check_dry_run((const void *)eviction, &err) < 0 ||
        api_object_decode(c->a, c->kind, object_json(o), &pod, &err) < 0) {
        reply_error(c, &err);
        return;
    }
    if (!str_empty(eviction->metadata.name) && !str_eq(eviction->metadata.name, c->route.name)) {
        reply_failure(c, ERR_BAD_REQUEST,
                      &(struct failure){.message = "name in URL does not match name in Eviction "
                                                   "object"});
        return;
    }
    struct admission *ad = admission_new(c, ADMIT_CREATE, o, pod);
    ad->object = eviction;
    ad->object_kind = eviction_kind(json);
    admission_ask(ad, on_admitted);
}
