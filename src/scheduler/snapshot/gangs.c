#include "scheduler/snapshot/gangs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "scheduler/snapshot/snapshot.h"

enum { TIMEOUT_S = 60 };

static char *key_of(const char *namespace, const char *name) {
    char *key;
    if (asprintf(&key, "%s/%s", str_or(namespace, ""), str_or(name, "")) < 0) abort();
    return key;
}

struct gang *gang_of(const struct snapshot *s, const char *namespace, const char *name) {
    OWN(free_p) char *key = key_of(namespace, name);
    return map_gets(&s->gangs, key);
}

static struct gang *get(struct snapshot *s, const char *namespace, const char *name) {
    struct gang *g = gang_of(s, namespace, name);
    if (g) return g;
    g = calloc(1, sizeof *g);
    if (!g || !(g->namespace = strdup(str_or(namespace, "")))) abort();
    g->key = key_of(namespace, name);
    g->name = strchr(g->key, '/') + 1;
    map_put(&s->gangs, slice_of(g->key), g);
    return g;
}

static void forget(struct snapshot *s, struct gang *g) {
    if (g->classes || g->known || g->waiting.n) return;
    map_del(&s->gangs, slice_of(g->key));
    map_done(&g->waiting);
    vec_done(&g->placed);
    arena_free(g->arena);
    free(g->namespace);
    free(g->key);
    free(g);
}

void gangs_done(struct snapshot *s) {
    while (s->gangs.n) {
        size_t at = 0;
        struct gang *g = map_next(&s->gangs, &at)->value;
        map_done(&g->waiting);
        g->known = false;
        g->classes = 0;
        forget(s, g);
    }
    map_done(&s->gangs);
}

struct gang *gang_use(struct snapshot *s, const char *namespace, const struct str_map *labels) {
    const char *name = str_map_get(labels, GANG_LABEL);
    if (str_empty(name)) return NULL;
    struct gang *g = get(s, namespace, name);
    g->classes++;
    return g;
}

void gang_release(struct snapshot *s, struct gang *g) {
    if (!g) return;
    g->classes--;
    forget(s, g);
}

void gangs_put(struct snapshot *s, const struct scheduling_v1alpha1_pod_group *o) {
    struct gang *g = get(s, o->metadata.namespace, o->metadata.name);
    const struct str_map *m = &o->spec.min_resources;
    g->known = true;
    g->min_member = o->spec.min_member;
    g->timeout_ms = 1000 * (uint64_t)(o->spec.schedule_timeout_seconds
                                          ? MAX_OF(*o->spec.schedule_timeout_seconds, 1)
                                          : TIMEOUT_S);
    arena_free(g->arena);
    g->arena = arena_new_sized(256);
    g->uid = arena_str(g->arena, str_or(o->metadata.uid, ""));
    g->min_resources = resources_of(g->arena, m);
}

void gangs_remove(struct snapshot *s, const char *namespace, const char *name) {
    struct gang *g = gang_of(s, namespace, name);
    if (!g) return;
    g->known = false;
    forget(s, g);
}

void gang_place(struct gang *g, struct sched_pod *p) {
    p->at_gang = (uint32_t)g->placed.n;
    vec_push(&g->placed, p);
}

void gang_unplace(struct gang *g, struct sched_pod *p) {
    vec_swap_remove(&g->placed, p->at_gang);
    if (p->at_gang < g->placed.n) g->placed.v[p->at_gang]->at_gang = p->at_gang;
}

struct gang *gang_wait(struct snapshot *s, const char *namespace, const struct str_map *labels,
                       const char *uid) {
    const char *name = str_map_get(labels, GANG_LABEL);
    if (str_empty(name)) return NULL;
    struct gang *g = get(s, namespace, name);
    map_put(&g->waiting, slice_of(uid), g);
    return g;
}

void gang_unwait(struct snapshot *s, struct gang *g, const char *uid) {
    map_del(&g->waiting, slice_of(uid));
    forget(s, g);
}

size_t gang_staying(const struct gang *g) {
    size_t n = 0;
    for (size_t i = 0; i < g->placed.n; i++) n += !g->placed.v[i]->leaving;
    return n;
}

/* What the nodes offer together is less than minResources: which, or NULL. */
static const char *lacks(const struct snapshot *s, const struct gang *g) {
    const struct resources *want = &g->min_resources;
    struct resources have = {0};
    for (size_t i = 0; i < s->nodes.n; i++) {
        const struct resources *offers = &s->nodes.v[i]->offers;
        have.cpu_milli += offers->cpu_milli;
        have.memory_bytes += offers->memory_bytes;
        have.ephemeral_bytes += offers->ephemeral_bytes;
        have.pods += offers->pods;
    }
    if (want->cpu_milli > have.cpu_milli) return "cpu";
    if (want->memory_bytes > have.memory_bytes) return "memory";
    if (want->ephemeral_bytes > have.ephemeral_bytes) return "ephemeral-storage";
    if (want->pods > have.pods) return "pods";
    for (size_t i = 0; i < want->n; i++) {
        int64_t sum = 0;
        for (size_t j = 0; j < s->nodes.n; j++)
            sum += extended_amount(&s->nodes.v[j]->offers, want->v[i].name);
        if (want->v[i].amount > sum) return want->v[i].name;
    }
    return NULL;
}

const char *gang_not_ready(struct arena *a, const struct snapshot *s, const struct gang *g,
                           size_t waiting) {
    size_t n = gang_staying(g) + waiting;
    if (!g->known) return arena_printf(a, "PodGroup %s not found", g->key);
    if (n < (size_t)MAX_OF(g->min_member, 0))
        return arena_printf(a,
                            "cannot find enough sibling pods, current pods number: %zu, "
                            "minMember of group %s: %d",
                            n, g->key, g->min_member);
    const char *which = lacks(s, g);
    return which ? arena_printf(a, "the nodes together offer less %s than minResources of group %s",
                                which, g->key)
                 : NULL;
}
