#include "sim/oracle.h"

#include <stdio.h>
#include <stdlib.h>

#include "api/rules/pods.h"
#include "api/values/selector.h"
#include "base/own.h"
#include "scheduler/snapshot/resources.h"
#include "sim/faults.h"

/* How long a controller may act on an older spec of a Deployment. */
enum { VIEW_US = 120 * 1000 * 1000, BOUNDS_MAX = 16 };

struct usage { /* of a node */
    int64_t cpu_milli, memory_bytes, pods;
};

struct bounds { /* what a spec allowed from then on */
    uint64_t since_us;
    int32_t least, most;
};

struct bounds_book {
    struct bounds v[BOUNDS_MAX];
    size_t n;
};

struct job_book {     /* by the Job's uid */
    struct map ended; /* pod uid → "s" or "f" */
    size_t succeeded, failed;
};

struct sim_oracle {
    struct map nodes;  /* name → struct usage */
    struct map placed; /* pod uid → its node's name, malloc'd */
    struct map bounds; /* uid of a Deployment or ReplicaSet → struct bounds_book */
    struct map jobs;   /* uid → struct job_book */
};

/* ---- nodes and what is placed on them ---- */

static void count_pod(struct sim *s, struct arena *a, const struct core_v1_pod *pod,
                      const char *node, int sign) {
    struct resources asks = pod_asks(a, pod);
    struct usage *u = map_gets(&s->oracle->nodes, node);
    if (!u) {
        u = calloc(1, sizeof *u);
        if (!u) abort();
        map_put(&s->oracle->nodes, slice_of(node), u);
    }
    u->cpu_milli += sign * asks.cpu_milli;
    u->memory_bytes += sign * asks.memory_bytes;
    u->pods += sign;
    if (sign < 0) return;
    struct sim_object *o = store_get(store_resource_of(s, "", "Node"), NULL, node);
    if (!o) return;
    struct resources offers = node_offers(a, (const void *)store_decode(a, o));
    if (u->cpu_milli > offers.cpu_milli || u->memory_bytes > offers.memory_bytes ||
        u->pods > offers.pods)
        sim_violation(s,
                      "node %s is over-committed by pod %s/%s: %lldm of %lldm CPU, %lld of %lld "
                      "pods",
                      node, pod->metadata.namespace, pod->metadata.name, (long long)u->cpu_milli,
                      (long long)offers.cpu_milli, (long long)u->pods, (long long)offers.pods);
}

static void look_at_placement(struct sim *s, struct arena *a, const struct core_v1_pod *now,
                              const struct core_v1_pod *old) {
    struct sim_oracle *o = s->oracle;
    const struct core_v1_pod *pod = now ? now : old;
    const char *known = map_gets(&o->placed, pod->metadata.uid);
    const char *node = now && !pod_is_terminal(now) ? now->spec.node_name : NULL;
    if (known && now && !str_eq(known, now->spec.node_name))
        sim_violation(s, "pod %s/%s is bound twice: to %s, then to %s", pod->metadata.namespace,
                      pod->metadata.name, known, str_or(now->spec.node_name, "none"));
    if (!known && !str_empty(node)) {
        char *copy = strdup(node);
        if (!copy) abort();
        map_put(&o->placed, slice_of(pod->metadata.uid), copy);
        count_pod(s, a, now, node, 1);
    } else if (known && str_empty(node)) {
        count_pod(s, a, pod, known, -1);
        free(map_del(&o->placed, slice_of(pod->metadata.uid)));
    }
}

/* ---- Jobs: a pod is counted once ---- */

static struct job_book *job_book(struct sim *s, const char *uid) {
    struct job_book *b = map_gets(&s->oracle->jobs, uid);
    if (b) return b;
    b = calloc(1, sizeof *b);
    if (!b) abort();
    map_put(&s->oracle->jobs, slice_of(uid), b);
    return b;
}

static void look_at_end(struct sim *s, const struct core_v1_pod *now,
                        const struct core_v1_pod *old) {
    const struct core_v1_pod *pod = now ? now : old;
    const struct meta_v1_owner_reference *owner =
        api_controller_of((const struct api_object *)(const void *)pod);
    if (old && now && pod_is_terminal(old) && !str_eq(old->status.phase, now->status.phase))
        sim_violation(s, "pod %s/%s was %s and is %s", pod->metadata.namespace, pod->metadata.name,
                      old->status.phase, now->status.phase);
    if (!owner || !str_eq(owner->kind, "Job")) return;
    struct job_book *b = job_book(s, owner->uid);
    /* One that goes before it has ended counts as failed. */
    bool over = !now || pod_is_terminal(now) || pod_is_terminating(now);
    bool well = now && str_eq(now->status.phase, "Succeeded");
    const char *before = map_gets(&b->ended, pod->metadata.uid);
    if (!over || (before && (*before == 's' || !well))) return;
    static const char succeeded[] = "s", failed[] = "f";
    map_put(&b->ended, slice_of(pod->metadata.uid), (void *)(uintptr_t)(well ? succeeded : failed));
    if (before) b->failed--;
    b->succeeded += well;
    b->failed += !well;
}

static void look_at_job(struct sim *s, const struct batch_v1_job *now,
                        const struct batch_v1_job *old) {
    if (!now) return;
    struct job_book *b = job_book(s, now->metadata.uid);
    int64_t succeeded = now->status.succeeded, failed = now->status.failed;
    if (succeeded > (int64_t)b->succeeded || failed > (int64_t)(b->failed + b->succeeded))
        sim_violation(s,
                      "job %s/%s counts %lld succeeded and %lld failed pods; there were %zu and "
                      "%zu",
                      now->metadata.namespace, now->metadata.name, (long long)succeeded,
                      (long long)failed, b->succeeded, b->failed);
    if (old && (succeeded < old->status.succeeded || failed < old->status.failed) &&
        str_eq(old->metadata.uid, now->metadata.uid))
        sim_violation(s, "job %s/%s forgets pods that it has counted", now->metadata.namespace,
                      now->metadata.name);
}

/* ---- Deployments: never more or less than the strategy allows, by what they order ---- */

static int32_t share(const struct int_or_string *v, int32_t of, bool up, int32_t fallback) {
    if (v->kind == IOS_INT) return v->i;
    if (v->kind != IOS_STRING) return fallback;
    uint64_t percent = 0;
    slice_u64(slice_from(v->s, strlen(v->s) - 1), &percent);
    int64_t scaled = (int64_t)percent * of;
    return (int32_t)(up ? (scaled + 99) / 100 : scaled / 100);
}

static void bounds_note(struct sim *s, const char *uid, int32_t least, int32_t most) {
    struct bounds_book *b = map_gets(&s->oracle->bounds, uid);
    if (!b) {
        b = calloc(1, sizeof *b);
        if (!b) abort();
        map_put(&s->oracle->bounds, slice_of(uid), b);
    }
    struct bounds *last = b->n ? &b->v[b->n - 1] : NULL;
    if (last && last->least == least && last->most == most) return;
    if (b->n == BOUNDS_MAX) {
        memmove(b->v, b->v + 1, (BOUNDS_MAX - 1) * sizeof *b->v);
        b->n--;
    }
    b->v[b->n++] = (struct bounds){s->now_us, least, most};
}

/* The widest that a controller may believe in. */
static struct bounds bounds_of(const struct sim *s, const char *uid) {
    const struct bounds_book *b = map_gets(&s->oracle->bounds, uid);
    struct bounds all = {0, b ? INT32_MAX : 0, b ? 0 : INT32_MAX};
    for (size_t i = 0; b && i < b->n; i++) {
        uint64_t until = i + 1 < b->n ? b->v[i + 1].since_us : UINT64_MAX;
        if (until != UINT64_MAX && until + VIEW_US < s->now_us) continue;
        all.least = MIN_OF(all.least, b->v[i].least);
        all.most = MAX_OF(all.most, b->v[i].most);
    }
    return all;
}

static void look_at_deployment(struct sim *s, const struct apps_v1_deployment *now) {
    static const struct int_or_string none;
    if (!now) return;
    const struct apps_v1_rolling_update_deployment *r = now->spec.strategy.rolling_update;
    int32_t replicas = now->spec.replicas ? *now->spec.replicas : 1;
    int32_t surge = share(r ? &r->max_surge : &none, replicas, true, 0);
    int32_t missing = share(r ? &r->max_unavailable : &none, replicas, false, 0);
    if (!surge && !missing) missing = r ? 1 : replicas;
    bounds_note(s, now->metadata.uid, replicas - missing, replicas + surge);
}

static void look_at_set(struct sim *s, struct arena *a, const struct apps_v1_replica_set *now,
                        const struct apps_v1_replica_set *old) {
    if (!now) return;
    const struct meta_v1_owner_reference *owner =
        api_controller_of((const struct api_object *)(const void *)now);
    int32_t want = now->spec.replicas ? *now->spec.replicas : 1, total = 0;
    int32_t before = old ? (old->spec.replicas ? *old->spec.replicas : 1) : 0;
    bounds_note(s, now->metadata.uid, want, want);
    if (want == before || !owner || !str_eq(owner->kind, "Deployment")) return;
    struct bounds b = bounds_of(s, owner->uid);
    size_t n;
    OWN(free_p)
    struct sim_object **list = store_list(store_resource_of(s, "apps", "ReplicaSet"), &n);
    for (size_t i = 0; i < n; i++) {
        const struct apps_v1_replica_set *r = (const void *)store_decode(a, list[i]);
        const struct meta_v1_owner_reference *o =
            api_controller_of((const struct api_object *)(const void *)r);
        if (o && str_eq(o->uid, owner->uid)) total += r->spec.replicas ? *r->spec.replicas : 1;
    }
    if (want > before && total > b.most)
        sim_violation(s, "deployment %s/%s orders %d pods, more than %d", now->metadata.namespace,
                      owner->name, total, b.most);
    if (want < before && total < b.least)
        sim_violation(s, "deployment %s/%s orders %d pods, less than %d", now->metadata.namespace,
                      owner->name, total, b.least);
}

/* A ReplicaSet waits for what it has ordered. Only an answer that got lost may cost a pod more. */
static void look_at_birth(struct sim *s, struct arena *a, const struct api_object *pod) {
    const struct meta_v1_owner_reference *owner = api_controller_of(pod);
    if (!owner || !str_eq(owner->kind, "ReplicaSet") ||
        faults_drawn(s) & (1u << FAULT_LOSE | 1u << FAULT_CRASH_CONTROLLERS))
        return;
    int32_t have = 0;
    size_t n;
    OWN(free_p) struct sim_object **list = store_list(store_resource_of(s, "", "Pod"), &n);
    for (size_t i = 0; i < n; i++) {
        if (!str_eq(list[i]->ns, pod->metadata.namespace)) continue;
        const struct api_object *p = store_decode(a, list[i]);
        const struct meta_v1_owner_reference *mine = api_controller_of(p);
        have += mine && str_eq(mine->uid, owner->uid) && pod_is_active((const void *)p);
    }
    if (have > bounds_of(s, owner->uid).most)
        sim_violation(s, "ReplicaSet %s/%s has made %d pods, it wants %d", pod->metadata.namespace,
                      owner->name, have, bounds_of(s, owner->uid).most);
}

/* ---- budgets: evictions alone never take the last that must stay ---- */

void oracle_eviction(struct sim *s, const struct sim_object *budget) {
    OWN(arena_free_p) struct arena *a = arena_new();
    const struct policy_v1_pod_disruption_budget *b = (const void *)store_decode(a, budget);
    struct selector *selector;
    size_t n;
    int32_t healthy = 0, members = 0;
    if (!s->oracle || !s->evictions_only ||
        selector_from_labels(a, b->spec.selector, &selector, NULL) < 0)
        return;
    OWN(free_p) struct sim_object **list = store_list(store_resource_of(s, "", "Pod"), &n);
    for (size_t i = 0; i < n; i++) {
        if (!str_eq(list[i]->ns, budget->ns)) continue;
        const struct core_v1_pod *pod = (const void *)store_decode(a, list[i]);
        if (!selector_matches(selector, &pod->metadata.labels)) continue;
        members += pod_is_active(pod);
        healthy += pod_is_active(pod) && pod_is_ready(pod);
    }
    int32_t least = share(&b->spec.min_available, members, true, -1);
    /* Those on their way out are missing already. */
    if (least < 0)
        least = b->status.expected_pods - share(&b->spec.max_unavailable, members, true, 0);
    if (healthy - 1 < least)
        sim_violation(s, "an eviction leaves %d healthy pods of budget %s/%s, which needs %d",
                      healthy - 1, budget->ns, budget->name, least);
}

/* ---- every change ---- */

static void on_changed(struct sim *s, const struct sim_change *c, const struct sim_object *before) {
    const struct api_kind *k = c->object->kind;
    bool pod = !*k->group && str_eq(k->kind, "Pod"), job = str_eq(k->kind, "Job"),
         set = str_eq(k->kind, "ReplicaSet"), deployment = str_eq(k->kind, "Deployment");
    if (!pod && !job && !set && !deployment) return;
    OWN(arena_free_p) struct arena *a = arena_new();
    const void *now = c->type == SIM_DELETED ? NULL : store_decode(a, c->object);
    const void *old = before ? store_decode(a, before) : NULL;
    if (!now && !old) return;
    if (pod) {
        look_at_placement(s, a, now, old);
        look_at_end(s, now, old);
        if (!old) look_at_birth(s, a, now);
    } else if (job) {
        look_at_job(s, now, old);
    } else if (set) {
        look_at_set(s, a, now, old);
    } else {
        look_at_deployment(s, now);
    }
}

/* ---- the end ---- */

static void look_at_owners(struct sim *s, const struct api_kind *k, const struct api_object *o) {
    size_t n = o->metadata.owner_references.n, alive = 0;
    for (size_t i = 0; i < n; i++) {
        const struct meta_v1_owner_reference *ref = &o->metadata.owner_references.v[i];
        const struct api_kind *ok = api_kind_by_api_version(ref->api_version, ref->kind);
        struct sim_resource *r = store_resource(s, ok);
        struct sim_object *owner =
            r ? store_get(r, ok->flags & API_NAMESPACED ? o->metadata.namespace : NULL, ref->name)
              : NULL;
        OWN(arena_free_p) struct arena *a = arena_new();
        alive += !r || (owner && str_eq(store_decode(a, owner)->metadata.uid, ref->uid));
    }
    if (n && !alive)
        sim_violation(s, "%s %s/%s is garbage and has not been collected", k->kind,
                      str_or(o->metadata.namespace, ""), o->metadata.name);
}

/* At rest, a pod of a Job either runs and is tracked, or has ended and is not tracked any more. */
static void look_at_work(struct sim *s, const struct api_object *o) {
    static const char finalizer[] = "batch.kubernetes.io/job-tracking";
    const struct meta_v1_owner_reference *owner = api_controller_of(o);
    bool tracked = false, ended = pod_is_terminal((const void *)o);
    if (!owner || !str_eq(owner->kind, "Job")) return;
    for (size_t i = 0; i < o->metadata.finalizers.n; i++)
        tracked = tracked || str_eq(o->metadata.finalizers.v[i], finalizer);
    if (tracked == ended)
        sim_violation(s, "pod %s/%s of a Job %s", o->metadata.namespace, o->metadata.name,
                      ended ? "has ended and is not counted" : "runs and will not be counted");
}

void oracle_final(struct sim *s) {
    for (size_t i = 0; i < s->store->n_resources; i++) {
        size_t n;
        OWN(free_p) struct sim_object **list = store_list(&s->store->resources[i], &n);
        for (size_t j = 0; j < n; j++) {
            OWN(arena_free_p) struct arena *a = arena_new();
            const struct api_object *o = store_decode(a, list[j]);
            if (!str_empty(o->metadata.deletion_timestamp))
                sim_violation(s, "%s %s/%s waits for its removal for ever", list[j]->kind->kind,
                              list[j]->ns, list[j]->name);
            look_at_owners(s, list[j]->kind, o);
            if (str_eq(list[j]->kind->kind, "Pod")) look_at_work(s, o);
        }
    }
}

/* ---- life ---- */

void oracle_new(struct sim *s) {
    s->oracle = calloc(1, sizeof *s->oracle);
    if (!s->oracle) abort();
    store_listen(s, on_changed);
}

static void free_values(struct map *m) {
    struct map_entry *e;
    for (size_t at = 0; (e = map_next(m, &at));) free(e->value);
    map_done(m);
}

void oracle_free(struct sim *s) {
    struct map_entry *e;
    if (!s->oracle) return;
    for (size_t at = 0; (e = map_next(&s->oracle->jobs, &at));)
        map_done(&((struct job_book *)e->value)->ended);
    free_values(&s->oracle->jobs);
    free_values(&s->oracle->nodes);
    free_values(&s->oracle->placed);
    free_values(&s->oracle->bounds);
    free(s->oracle);
    s->oracle = NULL;
}
