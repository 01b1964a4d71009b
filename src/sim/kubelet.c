#include "sim/kubelet.h"

#include <stdio.h>
#include <stdlib.h>

#include "api/rules/pods.h"
#include "base/own.h"
#include "base/times.h"

enum { LEASE_US = 10 * 1000 * 1000, NEWS_US = 50 * 1000, SIGTERM_STATUS = 143 };

struct local { /* a pod on its node */
    char uid[40];
    bool running, stateful, ready;
};

struct node {
    struct sim *s;
    char *name;
    bool off;
    bool doubted;          /* the API does not say that it is ready */
    uint64_t cut_until_us; /* does not reach the API before */
    uint64_t boots;
    struct map local; /* "ns/name" → struct local */
    struct map bound; /* "ns/name" → "": pods that the API has for it */
    unsigned number, next_address;
};

struct sim_nodes {
    VEC(struct node *) v;
    struct map by_name;
    struct map identities; /* "ns/name" of pods of StatefulSets → struct node that runs it */
};

struct task { /* something a kubelet does later for a pod */
    struct node *node;
    uint64_t boot;
    char uid[40];
    char ns[64], name[260];
};

static bool reachable(const struct node *n) { return !n->off && n->cut_until_us <= n->s->now_us; }

static struct slice key_of(char out[330], const char *ns, const char *name) {
    int n = snprintf(out, 330, "%s/%s", ns, name);
    return slice_from(out, n > 0 && n < 330 ? (size_t)n : 0);
}

static void later(struct node *n, uint64_t delay_us, sim_fn *fn, const char *uid, const char *ns,
                  const char *name) {
    struct task *t = calloc(1, sizeof *t);
    if (!t) abort();
    t->node = n;
    t->boot = n->boots;
    snprintf(t->uid, sizeof t->uid, "%s", uid);
    snprintf(t->ns, sizeof t->ns, "%s", ns);
    snprintf(t->name, sizeof t->name, "%s", name);
    sim_after_owned(n->s, delay_us, fn, t);
}

static const struct api_kind *pod_kind(void) { return api_kind_by_name("", "v1", "Pod"); }

/* ---- what runs on the machine ---- */

static bool is_stateful(const struct core_v1_pod *pod) {
    const struct meta_v1_owner_reference *owner =
        api_controller_of((const struct api_object *)(const void *)pod);
    return owner && str_eq(owner->kind, "StatefulSet");
}

static void identity_take(struct node *n, const char *ns, const char *name) {
    char text[330];
    struct slice key = key_of(text, ns, name);
    const struct node *other = map_get(&n->s->nodes->identities, key);
    if (other)
        sim_violation(n->s, "two pods of the identity %s run, on %s and on %s", text, other->name,
                      n->name);
    else
        map_put(&n->s->nodes->identities, key, n);
}

static void local_forget(struct node *n, const char *ns, const char *name) {
    char text[330];
    struct slice key = key_of(text, ns, name);
    struct local *l = map_del(&n->local, key);
    if (l && l->running && l->stateful) map_del(&n->s->nodes->identities, key);
    free(l);
}

/* ---- what the API is told ---- */

struct news {
    const char *phase;
    bool ready;
    int exit; /* −1: runs */
    const char *ip;
    const char *uid;
};

static bool write_status(struct sim *s, struct arena *a, struct api_object *o, void *user) {
    const struct news *w = user;
    struct core_v1_pod *pod = (void *)o;
    const char *now = api_now(s, a);
    if (!str_eq(pod->metadata.uid, w->uid) || pod_is_terminal(pod)) return false;
    pod->status.phase = w->phase;
    if (w->ip) pod->status.pod_ip = w->ip;
    if (!pod->status.start_time) pod->status.start_time = now;
    pod_condition_set(a, pod, "Initialized", "True", NULL, NULL, now);
    pod_condition_set(a, pod, "Ready", w->ready ? "True" : "False", NULL, NULL, now);
    pod_condition_set(a, pod, "ContainersReady", w->ready ? "True" : "False", NULL, NULL, now);
    pod->status.container_statuses.n = 0;
    pod->status.container_statuses.v = NULL;
    for (size_t i = 0; i < pod->spec.containers.n; i++) {
        struct core_v1_container_status *c = ARENA_PUSH(a, &pod->status.container_statuses);
        c->name = pod->spec.containers.v[i].name;
        c->image = pod->spec.containers.v[i].image;
        c->image_id = c->image;
        c->ready = w->ready;
        if (w->exit < 0) {
            c->state.running = ARENA_NEW(a, struct core_v1_container_state_running);
            c->state.running->started_at = now;
        } else {
            c->state.terminated = ARENA_NEW(a, struct core_v1_container_state_terminated);
            c->state.terminated->exit_code = w->exit;
            c->state.terminated->finished_at = now;
            c->state.terminated->reason = w->exit ? "Error" : "Completed";
        }
    }
    return true;
}

static void tell(struct task *t, const struct news *w) {
    struct err err;
    int r = api_edit(t->node->s, pod_kind(), t->ns, t->name, "status", write_status,
                     (void *)(uintptr_t)w, &err);
    if (r < 0 && err.reason != ERR_NOT_FOUND)
        sim_violation(t->node->s, "status of pod %s/%s: %s", t->ns, t->name, err.text);
}

/* ---- the life of a pod ---- */

static struct local *task_local(const struct task *t) {
    char text[330];
    struct local *l = map_get(&t->node->local, key_of(text, t->ns, t->name));
    return l && t->boot == t->node->boots && str_eq(l->uid, t->uid) ? l : NULL;
}

/* Not now: as soon as the API can be reached again. */
static bool must_wait(struct sim *s, struct task *t, sim_fn *fn) {
    if (reachable(t->node)) return false;
    if (!t->node->off && t->boot == t->node->boots)
        sim_after_owned(s, t->node->cut_until_us - s->now_us + NEWS_US, fn, t);
    else
        free(t);
    return true;
}

static void on_ready(struct sim *s, void *user) {
    struct task *t = user;
    if (must_wait(s, t, on_ready)) return;
    struct local *l = task_local(t);
    if (l && l->running) {
        l->ready = true;
        tell(t, &(struct news){.phase = "Running", .ready = true, .exit = -1, .uid = t->uid});
    }
    free(t);
}

static const struct core_v1_pod *current(struct arena *a, const struct task *t) {
    struct sim_object *o = store_get(store_resource(t->node->s, pod_kind()), t->ns, t->name);
    const struct core_v1_pod *pod = o ? (const void *)store_decode(a, o) : NULL;
    return pod && str_eq(pod->metadata.uid, t->uid) ? pod : NULL;
}

static uint64_t annotation_u64(const struct core_v1_pod *pod, const char *key, uint64_t fallback) {
    uint64_t v = fallback;
    const char *text = str_map_get(&pod->metadata.annotations, key);
    if (text) slice_u64(slice_of(text), &v);
    return v;
}

static void on_ended(struct sim *s, void *user) {
    struct task *t = user;
    OWN(arena_free_p) struct arena *a = arena_new();
    struct local *l = task_local(t);
    if (l && l->running && l->stateful) {
        char text[330];
        map_del(&s->nodes->identities, key_of(text, t->ns, t->name));
    }
    if (l) l->running = l->ready = false;
    if (must_wait(s, t, on_ended)) return;
    const struct core_v1_pod *pod = l ? current(a, t) : NULL;
    if (pod) {
        int status = (int)annotation_u64(pod, SIM_EXIT, 0);
        tell(t, &(struct news){
                    .phase = status ? "Failed" : "Succeeded", .exit = status, .uid = t->uid});
    }
    free(t);
}

static void on_started(struct sim *s, void *user) {
    struct task *t = user;
    if (must_wait(s, t, on_started)) return;
    OWN(arena_free_p) struct arena *a = arena_new();
    struct local *l = task_local(t);
    const struct core_v1_pod *pod = l ? current(a, t) : NULL;
    if (pod && !pod_is_terminating(pod) && !pod_is_terminal(pod) && !l->running) {
        struct node *n = t->node;
        l->running = true;
        l->stateful = is_stateful(pod);
        if (l->stateful) identity_take(n, t->ns, t->name);
        unsigned at = ++n->next_address;
        const char *ip =
            arena_printf(a, "10.%u.%u.%u", 100 + (n->number >> 8), n->number & 255, 1 + at % 250);
        uint64_t runs_ms = annotation_u64(pod, SIM_RUNS_MS, 0);
        tell(t, &(struct news){.phase = "Running", .exit = -1, .ip = ip, .uid = t->uid});
        later(n, sim_between_us(s, SIM_SECOND_US / 5, 2 * SIM_SECOND_US), on_ready, t->uid, t->ns,
              t->name);
        if (runs_ms) later(n, runs_ms * 1000, on_ended, t->uid, t->ns, t->name);
    }
    free(t);
}

static void on_stopped(struct sim *s, void *user) {
    struct task *t = user;
    if (task_local(t)) local_forget(t->node, t->ns, t->name);
    if (must_wait(s, t, on_stopped)) return;
    struct err err;
    struct sim_delete now = {.grace_s = 0, .uid = t->uid};
    tell(t, &(struct news){.phase = "Failed", .exit = SIGTERM_STATUS, .uid = t->uid});
    api_remove(s, pod_kind(), t->ns, t->name, &now, NULL, &err);
    free(t);
}

static void look_at(struct sim *s, void *user) {
    struct task *t = user;
    char text[330];
    if (!reachable(t->node)) { /* it looks at all its pods when it comes back */
        free(t);
        return;
    }
    OWN(arena_free_p) struct arena *a = arena_new();
    struct slice key = key_of(text, t->ns, t->name);
    struct local *l = map_get(&t->node->local, key);
    struct sim_object *o = store_get(store_resource(s, pod_kind()), t->ns, t->name);
    const struct core_v1_pod *pod = o ? (const void *)store_decode(a, o) : NULL;
    if (l && (!pod || !str_eq(pod->metadata.uid, l->uid))) {
        local_forget(t->node, t->ns, t->name); /* removed by force: the kubelet kills it */
        l = NULL;
    }
    if (pod && str_eq(pod->spec.node_name, t->node->name)) {
        if (pod_is_terminating(pod)) {
            later(t->node, sim_between_us(s, SIM_SECOND_US / 5, 2 * SIM_SECOND_US), on_stopped,
                  pod->metadata.uid, t->ns, t->name);
        } else if (l && l->ready && !pod_is_ready(pod)) { /* others wrote that: it knows better */
            later(t->node, NEWS_US, on_ready, l->uid, t->ns, t->name);
        } else if (!pod_is_terminal(pod) && !l) {
            l = calloc(1, sizeof *l);
            if (!l) abort();
            snprintf(l->uid, sizeof l->uid, "%s", pod->metadata.uid);
            map_put(&t->node->local, key, l);
            later(t->node, sim_between_us(s, SIM_SECOND_US / 2, 3 * SIM_SECOND_US), on_started,
                  l->uid, t->ns, t->name);
        }
    }
    free(t);
}

/* ---- news from the API ---- */

static const char *node_of(const struct sim_object *o, char out[256]) {
    static const char mark[] = "\"nodeName\":\"";
    const char *at = strstr(o->json.p, mark), *end;
    if (!at || !(end = strchr(at + sizeof mark - 1, '"'))) return NULL;
    size_t n = (size_t)(end - at) - (sizeof mark - 1);
    if (n >= 256) return NULL;
    memcpy(out, at + sizeof mark - 1, n);
    out[n] = 0;
    return out;
}

static void on_changed(struct sim *s, const struct sim_change *c, const struct sim_object *old) {
    char name[256], text[330];
    (void)old;
    if (*c->object->kind->group) return;
    if (str_eq(c->object->kind->kind, "Node")) {
        struct node *seen = map_gets(&s->nodes->by_name, c->object->name);
        if (seen) seen->doubted = strstr(c->object->json.p, "\"status\":\"Unknown\"");
    }
    if (!str_eq(c->object->kind->kind, "Pod")) return;
    const char *node_name = node_of(c->object, name);
    struct node *n = node_name ? map_gets(&s->nodes->by_name, node_name) : NULL;
    if (!n) return;
    struct slice key = key_of(text, c->object->ns, c->object->name);
    const struct local *l = map_get(&n->local, key);
    bool doubted = l && l->ready && strstr(c->object->json.p, "\"status\":\"False\"");
    if (c->type == SIM_DELETED)
        map_del(&n->bound, key);
    else
        map_put(&n->bound, key, n);
    if (c->type == SIM_DELETED || !l || doubted ||
        strstr(c->object->json.p, "\"deletionTimestamp\""))
        later(n, sim_between_us(s, 500, NEWS_US), look_at, "", c->object->ns, c->object->name);
}

static void look_at_all(struct node *n) {
    struct map_entry *e;
    const struct map *maps[] = {&n->bound, &n->local};
    for (size_t m = 0; m < ARRAY_LEN(maps); m++)
        for (size_t at = 0; (e = map_next(maps[m], &at));) {
            const char *slash = strchr(e->key, '/');
            char ns[64];
            snprintf(ns, sizeof ns, "%.*s", (int)(slash - e->key), e->key);
            later(n, sim_between_us(n->s, 500, NEWS_US), look_at, "", ns, slash + 1);
        }
}

/* ---- nodes ---- */

static bool say_ready(struct sim *s, struct arena *a, struct api_object *o, void *user) {
    struct core_v1_node *node = (void *)o;
    (void)user;
    for (size_t i = 0; i < node->status.conditions.n; i++) {
        struct core_v1_node_condition *c = &node->status.conditions.v[i];
        if (!str_eq(c->type, "Ready")) continue;
        if (str_eq(c->status, "True")) return false;
        c->status = "True";
        c->reason = "KubeletReady";
        c->message = NULL;
        c->last_transition_time = api_now(s, a);
        return true;
    }
    return false;
}

/* There are as many of these as of all else together: nothing is read for them. */
static void renew(struct node *n) {
    struct sim *s = n->s;
    static const struct api_kind *k;
    char now[TIME_TEXT_MAX];
    if (!k) k = api_kind_by_name("coordination.k8s.io", "v1", "Lease");
    time_format_micro(now, sim_wall_ns(s));
    struct coordination_v1_lease l = {
        .api_version = "coordination.k8s.io/v1",
        .kind = "Lease",
        .metadata = {.name = n->name, .namespace = "kube-node-lease", .uid = n->name},
        .spec = {.holder_identity = n->name, .renew_time = now}};
    store_put(s, k, (struct api_object *)(void *)&l);
}

static void give_sign(struct node *n) {
    struct err err;
    renew(n);
    if (!n->doubted) return;
    n->doubted = false;
    int r = api_edit(n->s, api_kind_by_name("", "v1", "Node"), NULL, n->name, "status", say_ready,
                     NULL, &err);
    if (r < 0 && err.reason != ERR_NOT_FOUND)
        sim_violation(n->s, "status of node %s: %s", n->name, err.text);
}

static void heartbeat(struct sim *s, void *user) {
    struct node *n = user;
    if (reachable(n)) give_sign(n);
    sim_after(s, LEASE_US, heartbeat, n);
}

void node_add(struct sim *s, const char *name, unsigned cpus, unsigned memory_gib, unsigned pods) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct err err;
    struct node *n = calloc(1, sizeof *n);
    if (!n || !(n->name = strdup(name))) abort();
    n->s = s;
    n->number = (unsigned)s->nodes->v.n;
    vec_push(&s->nodes->v, n);
    map_put(&s->nodes->by_name, slice_of(name), n);
    const char *amounts = arena_printf(
        a, "{\"cpu\":\"%u\",\"memory\":\"%uGi\",\"ephemeral-storage\":\"100Gi\",\"pods\":\"%u\"}",
        cpus, memory_gib, pods);
    const char *json = arena_printf(
        a,
        "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"%s\",\"labels\":{"
        "\"kubernetes.io/hostname\":\"%s\",\"topology.kubernetes.io/zone\":\"z%u\"}},\"status\":{"
        "\"allocatable\":%s,\"capacity\":%s,\"conditions\":[{\"type\":\"Ready\",\"status\":"
        "\"True\",\"reason\":\"KubeletReady\",\"lastTransitionTime\":\"%s\"}]}}",
        name, name, n->number % 3, amounts, amounts, api_now(s, a));
    if (!api_put_new_json(s, json, &err)) sim_violation(s, "node %s: %s", name, err.text);
    renew(n);
    sim_after(s, sim_between_us(s, 0, LEASE_US), heartbeat, n);
}

static void on_return(struct sim *s, void *user) {
    struct task *t = user;
    struct node *n = t->node;
    if (n->boots == t->boot && n->cut_until_us <= s->now_us) {
        sim_say(s, "node %s is back", n->name);
        n->off = false;
        give_sign(n);
        look_at_all(n);
    }
    free(t);
}

void node_partition(struct sim *s, uint64_t n, uint64_t for_us) {
    struct node *node = s->nodes->v.n ? s->nodes->v.v[n % s->nodes->v.n] : NULL;
    if (!node || !reachable(node)) return;
    sim_say(s, "fault: node %s is cut off for %.1f s", node->name, (double)for_us / 1e6);
    node->cut_until_us = s->now_us + for_us;
    later(node, for_us, on_return, "", "", "");
}

static void power_off(struct node *n) {
    struct map_entry *e;
    n->boots++;
    n->off = true;
    for (size_t at = 0; (e = map_next(&n->local, &at));) {
        const struct local *l = e->value;
        if (l->running && l->stateful)
            map_del(&n->s->nodes->identities, slice_from(e->key, e->key_n));
        free(e->value);
    }
    map_done(&n->local);
}

void node_power_off(struct sim *s, uint64_t n, uint64_t for_us) {
    struct node *node = s->nodes->v.n ? s->nodes->v.v[n % s->nodes->v.n] : NULL;
    if (!node || node->off) return;
    sim_say(s, "fault: node %s fails for %.1f s", node->name, (double)for_us / 1e6);
    power_off(node);
    later(node, for_us, on_return, "", "", "");
}

void nodes_heal(struct sim *s) {
    for (size_t i = 0; i < s->nodes->v.n; i++) {
        struct node *n = s->nodes->v.v[i];
        bool was = reachable(n);
        n->off = false;
        n->cut_until_us = s->now_us;
        if (was) continue;
        give_sign(n);
        look_at_all(n);
    }
}

size_t nodes_running(const struct sim *s) {
    size_t count = 0;
    struct map_entry *e;
    for (size_t i = 0; i < s->nodes->v.n; i++)
        for (size_t at = 0; (e = map_next(&s->nodes->v.v[i]->local, &at));)
            count += ((const struct local *)e->value)->running;
    return count;
}

void nodes_new(struct sim *s) {
    s->nodes = calloc(1, sizeof *s->nodes);
    if (!s->nodes) abort();
    store_listen(s, on_changed);
}

void nodes_free(struct sim *s) {
    if (!s->nodes) return;
    for (size_t i = 0; i < s->nodes->v.n; i++) {
        struct node *n = s->nodes->v.v[i];
        power_off(n);
        map_done(&n->bound);
        free(n->name);
        free(n);
    }
    vec_done(&s->nodes->v);
    map_done(&s->nodes->by_name);
    map_done(&s->nodes->identities);
    free(s->nodes);
    s->nodes = NULL;
}
