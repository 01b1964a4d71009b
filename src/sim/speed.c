/* How fast virtual time passes with a large cluster that does its daily work. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/own.h"
#include "sim/check.h"
#include "sim/faults.h"
#include "sim/kubelet.h"
#include "sim/process.h"
#include "sim/wire.h"

enum { PODS_EACH = 100, ROLLOUT_EVERY_S = 1800, NODE_CPUS = 32, NODE_GIB = 128, NODE_PODS = 200 };

static uint64_t cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void make(struct sim *s, const char *json) {
    struct err err;
    if (!api_put_new_json(s, json, &err)) sim_violation(s, "%s: %s", json, err.text);
}

static void populate(struct sim *s, unsigned nodes, unsigned pods) {
    char text[600];
    static const char *const namespaces[] = {"default", "kube-system", "kube-node-lease"};
    for (size_t i = 0; i < ARRAY_LEN(namespaces); i++) {
        snprintf(text, sizeof text,
                 "{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"%s\"}}",
                 namespaces[i]);
        make(s, text);
    }
    for (unsigned i = 0; i < nodes; i++) {
        snprintf(text, sizeof text, "node-%u", i);
        node_add(s, text, NODE_CPUS, NODE_GIB, NODE_PODS);
    }
    for (unsigned i = 0; i < pods / PODS_EACH; i++) {
        snprintf(text, sizeof text,
                 "{\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\",\"metadata\":{\"name\":"
                 "\"web-%u\",\"namespace\":\"default\"},\"spec\":{\"replicas\":%d,\"selector\":{"
                 "\"matchLabels\":{\"app\":\"web-%u\"}},\"template\":{\"metadata\":{\"labels\":{"
                 "\"app\":\"web-%u\"}},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\","
                 "\"resources\":{\"requests\":{\"cpu\":\"100m\",\"memory\":\"64Mi\"}}}]}}}}",
                 i, PODS_EACH, i, i);
        make(s, text);
    }
}

static void roll_out(struct sim *s, unsigned which) {
    char name[32], patch[200];
    struct err err;
    snprintf(name, sizeof name, "web-%u", which);
    snprintf(patch, sizeof patch,
             "{\"spec\":{\"template\":{\"metadata\":{\"annotations\":{\"at\":\"%llu\"}}}}}",
             (unsigned long long)s->now_us);
    if (api_patch_json(s, api_kind_by_name("apps", "v1", "Deployment"), "default", name, "", patch,
                       &err) < 0)
        sim_violation(s, "%s: %s", name, err.text);
}

char *run_speed(unsigned nodes, unsigned pods, unsigned virtual_s, struct sim_speed *ret) {
    unsigned deployments = pods / PODS_EACH;
    struct sim *s = sim_new(1);
    s->news_us = SIM_SECOND_US / 10; /* a busy API tells several events at once */
    store_new(s);
    wire_new(s);
    nodes_new(s);
    populate(s, nodes, pods);
    processes_start(s, NULL, 0);
    /* The first minutes bring everything up: they are not daily work. */
    sim_run_until(s, 300ull * SIM_SECOND_US);
    uint64_t began = cpu_ns(), from_us = s->now_us;
    for (unsigned done_s = 0, n = 0; done_s < virtual_s && !s->violation;
         done_s += ROLLOUT_EVERY_S, n++) {
        if (deployments) roll_out(s, n % deployments);
        sim_run_until(s, s->now_us + (uint64_t)ROLLOUT_EVERY_S * SIM_SECOND_US);
    }
    *ret = (struct sim_speed){.events = s->n_events,
                              .writes = s->store->n_writes,
                              .virtual_us = s->now_us - from_us,
                              .cpu_ns = cpu_ns() - began,
                              .running = nodes_running(s)};
    char *wrong = TAKE(s->violation);
    processes_free(s);
    sim_drain(s);
    nodes_free(s);
    wire_free(s);
    store_free(s);
    sim_free(s);
    return wrong;
}
