/*
 * Profiles: for each schedulerName which plugins take part, with which weights and arguments. They
 * come from a KubeSchedulerConfiguration (kubescheduler.config.k8s.io/v1); what it does not say is
 * as in the default profile. Pure.
 */
#pragma once

#include "scheduler/place/plugin.h"

struct sched_profiles {
    struct arena *arena;
    struct sched_profile *v;
    size_t n;
};
enum { SCHED_PROFILES_MAX = 32 };

/* The ConfigMap that holds the configuration, in its only key or, of several, this one. */
#define SCHED_CONFIGURATION_NAMESPACE "kube-system"
#define SCHED_CONFIGURATION_NAME "atoll-scheduler"
#define SCHED_CONFIGURATION_KEY "config.yaml"

/* YAML or JSON. On failure err has the field, and nothing was made. */
int sched_profiles_parse(struct slice text, struct sched_profiles **ret, struct err *err);
/* The same from that ConfigMap. */
int sched_profiles_of(const struct core_v1_config_map *map, struct sched_profiles **ret,
                      struct err *err);
void sched_profiles_free(struct sched_profiles *p); /* NULL is allowed */
/* The profile of that schedulerName; NULL: none. p NULL: there is only the default one. */
const struct sched_profile *sched_profile_named(const struct sched_profiles *p, const char *name);
/* What a snapshot's decisions go by; it borrows them, and forgets what it knew by the last ones. */
void snapshot_use_profiles(struct snapshot *s, const struct sched_profiles *p);
