/*
 * Pod groups (PodGroup of scheduling.x-k8s.io): pods that get nodes together or not at all. Pods
 * belong by the label scheduling.x-k8s.io/pod-group. Pure.
 */
#pragma once

#include "base/map.h"
#include "base/vec.h"
#include "scheduler/snapshot/resources.h"

#define GANG_LABEL "scheduling.x-k8s.io/pod-group"

struct snapshot;
struct sched_pod;

struct gang {
    char *key, *namespace; /* key: namespace/name */
    const char *name;      /* in key */
    bool known;            /* its PodGroup is there */
    int32_t min_member;
    uint64_t timeout_ms;
    struct arena *arena;
    const char *uid;                /* of its PodGroup, in arena */
    struct resources min_resources; /* in arena */
    VEC(struct sched_pod *) placed; /* members that use a node */
    struct map waiting;             /* uids of members that wait for one */
    size_t classes;
    uint64_t tried_ms; /* first try with enough members since the last success; 0: none */
};

/* The gang that pods of that label belong to, made when it is new; NULL without the label. */
struct gang *gang_use(struct snapshot *s, const char *namespace, const struct str_map *labels);
void gang_release(struct snapshot *s, struct gang *g);
struct gang *gang_of(const struct snapshot *s, const char *namespace, const char *name);
void gangs_done(struct snapshot *s); /* after all pods and caches are gone */
void gangs_put(struct snapshot *s, const struct scheduling_v1alpha1_pod_group *o);
void gangs_remove(struct snapshot *s, const char *namespace, const char *name);
void gang_place(struct gang *g, struct sched_pod *p);
void gang_unplace(struct gang *g, struct sched_pod *p);
/* A pod with these labels waits for a node, or no longer; twice is allowed. NULL: of no gang. */
struct gang *gang_wait(struct snapshot *s, const char *namespace, const struct str_map *labels,
                       const char *uid);
void gang_unwait(struct snapshot *s, struct gang *g, const char *uid);
/* Members that use a node and are not about to leave it. */
size_t gang_staying(const struct gang *g);
/* Why no node needs to be asked while `waiting` members want one: too few pods, no group, a cluster
 * that is too small. In a; NULL: its nodes may be sought. */
const char *gang_not_ready(struct arena *a, const struct snapshot *s, const struct gang *g,
                           size_t waiting);
