/*
 * `atoll sim`: a cluster in one process and in virtual time. The real controllers, engine,
 * informers and scheduler run against a simulated API (api.h) with simulated nodes (kubelet.h);
 * what happens when is decided by a seed alone, so that a run can be repeated bit for bit. A layer
 * above the services, which know nothing of it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct sim_options {
    uint64_t seed;          /* the first one */
    uint64_t seeds;         /* how many, one after the other */
    uint64_t each;          /* then more, until every controller was exercised by so many */
    const char *controller; /* only plans for this one; NULL: all in turn */
    const char *scenarios;  /* exactly those, "a+b+c"; NULL: drawn */
    bool verbose;           /* what happens, line by line */
    const char *seeds_file; /* seeds that failed once: "SEED a+b+c" per line; NULL: none */
    const char *nodes_csv, *pods_csv; /* trace replay */
    const char *mode;                 /* of the replay: which scores decide; NULL: the default */
};

/* Plans, each once undisturbed and once disturbed; 0, or 1 when any oracle objects. */
int sim_check(const struct sim_options *o) __attribute__((weak));
/* Cost per decision and memory per object over sizes of clusters; one JSON document on stdout. */
int sim_scale(const struct sim_options *o) __attribute__((weak));
/* Places the pods of a trace on its nodes and prints what fits. 0 or < 0 with err. replay.c. */
int sim_replay(const struct sim_options *o, struct err *err) __attribute__((weak));
