/*
 * The node agent: converges this machine's pods to what the API wants. It holds no privilege: it
 * asks the broker (namespaces, mounts, containers), the network service (links) and the image
 * service, and writes status through the API.
 */
#pragma once

#include "base/map.h"
#include "client/client.h"
#include "node/link.h"
#include "node/pods/pod.h"
#include "node/volumes/downward.h"
#include "proc/service.h"
#include "wire/broker.h"

struct objects;
struct streams;
struct registration;

/* What was read of the machine before the sandbox closed. */
struct host_info {
    char *os_image, *kernel, *machine_id, *boot_id, *architecture, *hostname;
    char *runtime, *runtime_version; /* "crun", "1.8.1" */
    char *resolv_conf, *hosts;
    char *ip; /* InternalIP */
    int64_t cpu_milli, memory_bytes, storage_bytes;
    int state_fd, meminfo_fd; /* for disk and memory pressure */
    int pods_fd, logs_fd; /* ROOT/run/atoll/pods and ROOT/var/log/atoll/pods, to find what is left
                             of pods that are gone */
};

struct agent {
    struct service_ctx *ctx;
    struct loop *loop;
    const struct settings *settings;
    struct host_info host;
    struct api_client *client;
    struct event_recorder *events;
    struct link *broker, *image, *network;
    struct informer *pods, *services;
    struct objects *objects;
    struct local_volumes *local_volumes;
    struct registration *registration;
    struct streams *streams;
    struct map workers; /* uid → struct pod */
    struct map execs;   /* exec id (decimal) → struct exec */
    bool started;       /* first adoption is done: pods are worked on */
    bool broker_synced; /* the broker's list has been seen on this connection */
};

/* ---- pod_worker.c ---- */
/* Looks at the pod soon; cheap to call often. */
void pod_kick(struct pod *p);
struct pod *pod_worker_start(struct agent *g, const struct core_v1_pod *object,
                             const struct broker_container_state *running, size_t n_running);
void pod_worker_update(struct pod *p, const struct core_v1_pod *object);
void pod_worker_vanished(struct pod *p); /* the object is gone from the API */
void pod_worker_gone(struct pod *p);     /* agent.c: forgets it */
/* Asks the broker what runs, and takes it over. */
void agent_list(struct agent *g);
struct pod *agent_pod(const struct agent *g, const char *ns, const char *name);

/* ---- container.c: starting, ends ---- */
void container_start(struct container *c);
void container_exited(struct container *c, const struct broker_container_state *s);
/* The broker knows no such container any more. */
void container_lost(struct container *c);
void container_running(struct container *c, int64_t started_ns);
/* Flips ErrImagePull to ImagePullBackOff after a moment; returns when to look again, 0 = never. */
uint64_t container_image_step(struct container *c, uint64_t now_ms);

/* ---- lifecycle.c: hooks and stopping ---- */
void container_post_start(struct container *c);
/* Asks for the end; repeated calls only shorten the grace. */
void container_stop(struct container *c, uint64_t grace_ms, const char *why);
/* Moves the stop on; returns when to look again (monotonic), 0 = on events. */
uint64_t container_stop_step(struct container *c, uint64_t now_ms);
void container_hook_cancel(struct container *c);

/* ---- volume_writer.c ---- */
/* Makes and fills what is stale. 0: all are there; -EAGAIN: at work; else err is for FailedMount.
 */
int pod_volumes_step(struct pod *p, struct err *err);

/* ---- pod_sources.c: ConfigMaps, Secrets, tokens of a pod ---- */
struct object_source pod_source(struct pod *p);
struct pod_facts pod_facts_of(const struct pod *p);
uint64_t pod_tokens_refresh(struct pod *p, uint64_t now_ms); /* asks anew what is due; next time */
void pod_tokens_done(struct pod *p);

/* ---- status_writer.c ---- */
void status_write(struct pod *p); /* coalesced; only when changed */

/* Events about a container, as kubectl shows them. */
void container_event(struct container *c, const char *type, const char *reason, const char *fmt,
                     ...) __attribute__((format(printf, 4, 5)));
void pod_event(struct pod *p, const char *type, const char *reason, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
