/*
 * The agent's model of one pod on this machine: what the API wants (object), what is known of its
 * containers, and where its life stands. Plain data: the pure parts (pod_plan, status, env,
 * volumes) read it, pod_worker.c changes it. One pod = one worker; workers never touch each other.
 */
#pragma once

#include "api/registry.h"
#include "api/types.h"
#include "base/limits.h"
#include "base/vec.h"
#include "node/pods/backoff.h"
#include "proc/loop.h"

struct agent;
struct pod;
struct probe;
struct hook;
struct pod_token;
struct pod_claim;

enum container_kind { CONTAINER_INIT, CONTAINER_SIDECAR, CONTAINER_MAIN, CONTAINER_EPHEMERAL };
enum container_state {
    CONTAINER_WAITING,  /* not there */
    CONTAINER_STARTING, /* the runtime is at work */
    CONTAINER_RUNNING,
    CONTAINER_TERMINATED,
};
/* How far the stopping of a running container is. */
enum stop_state { STOP_NONE, STOP_HOOK, STOP_SIGNALLED, STOP_KILLED };

enum { CONTAINER_ID_BYTES = 65 };

/* What a control group may use, as the broker was told. */
struct container_amounts {
    int64_t cpu_shares, cpu_quota_us, memory_bytes;
};

/* One finished run. Strings are owned; reason NULL = no such run. */
struct termination {
    char id[CONTAINER_ID_BYTES];
    uint32_t exit_code;
    char *reason, *message;
    int64_t started_ns, finished_ns; /* wall clock */
};

struct container {
    struct pod *pod;
    char *name;
    enum container_kind kind;
    size_t index; /* in spec.initContainers or spec.containers; of ephemeral ones the name counts */

    enum container_state state;
    bool busy; /* image or configuration is being fetched for the next start */
    char id[CONTAINER_ID_BYTES];
    uint32_t attempt;    /* restart count: names the log file */
    int64_t started_ns;  /* wall clock, of the present run */
    uint64_t started_ms; /* monotonic */
    bool started;        /* startup probe passed, or none; postStart done */
    bool ready;
    bool hook_done;    /* postStart ran to its end */
    bool adopt_probes; /* runs since before the agent: probes start with the pod's work */
    char *wait_reason, *wait_message; /* why it waits; NULL = the usual reason */
    char *image_id;                   /* as the status shows it */
    struct termination now;           /* state TERMINATED */
    struct termination last;          /* the run before */

    struct backoff restart, image;
    uint64_t image_failed_ms;
    bool image_failed; /* image.until_ms is being waited for: image or configuration */

    enum stop_state stop;
    bool stop_wanted;
    uint64_t stop_deadline_ms; /* monotonic, of the kill */
    char *stop_why;            /* for the Killing event */
    char *stop_signal;         /* of the image: "SIGTERM", "15"; NULL = SIGTERM */

    struct container_amounts applied, refused; /* resize.h */
    bool applied_known, refused_known;
    bool resize_busy; /* the broker is changing them */
    bool resized;     /* they were changed since the container started */

    struct hook *hook;       /* postStart or preStop at work; NULL = none */
    struct probe *probes[3]; /* startup, liveness, readiness; NULL = none */
};

/* The life of a pod here. pod_worker.c has one row per state; transitions are asserted. */
enum pod_state {
    POD_NEW,
    POD_SANDBOX,  /* the broker makes namespaces and shim */
    POD_NETWORK,  /* the network service links it */
    POD_VOLUMES,  /* volumes are made and filled */
    POD_RUN,      /* containers come, run and go */
    POD_STOP,     /* everything is being stopped */
    POD_TEARDOWN, /* link, sandbox and directories go */
    POD_DONE,     /* finished; waits for its deletion */
    POD_DELETE,   /* last status, logs go, object goes */
    POD_GONE,
};

enum {
    CONDITION_SANDBOX,
    CONDITION_INITIALIZED,
    CONDITION_READY,
    CONDITION_CONTAINERS_READY,
    CONDITION_COUNT
};

struct pod_condition {
    bool set, status;
    int64_t since_ns; /* wall clock */
};

struct pod_volume {
    const char *name; /* in the pod's arena */
    bool made;
    bool written;
    uint64_t content; /* hash of what was written last */
};

struct pod {
    struct agent *agent;
    unsigned refs; /* the agent's and one per operation in flight */
    char *uid, *ns, *name;
    struct arena *arena;                     /* of object */
    const struct core_v1_pod *object;        /* last version seen */
    struct core_v1_container_list ephemeral; /* its ephemeral containers, as others are */

    enum pod_state state;
    bool busy;         /* an operation of the present state is in flight */
    bool rejected;     /* did not fit: no container was ever looked at */
    bool frozen;       /* had ended before the agent started: its status stays as it is */
    bool stopping;     /* deletion, eviction, deadline: no container starts any more */
    bool deleted;      /* deletionTimestamp is set, or the object is gone */
    bool vanished;     /* the object is not in the API any more */
    bool adopted;      /* containers of it were there when the agent started */
    bool adopted_lost; /* it had run, but nothing was left */
    bool linked, torn_down, removed;  /* results of the operations of the states below */
    bool grace_wanted;                /* the deletion gave time */
    uint64_t grace_deadline_ms;       /* monotonic; kill what is left; 0 = none */
    char *fail_reason, *fail_message; /* status.reason: Evicted, DeadlineExceeded, OutOfcpu… */
    struct backoff retry;             /* sandbox, network, volumes, teardown */

    const char *resize_pending; /* Deferred or Infeasible: resize.h; NULL = no */
    char *resize_message;
    int64_t resize_since_ns; /* wall clock */

    bool host_network;
    bool sandbox_ready;
    int netns_fd, netlink_fd; /* -1 = none */
    char *ip;

    /* Init containers first, each list in spec order; ephemeral ones last, as they come. */
    struct container **containers;
    size_t n_containers;
    bool initialized;
    int64_t start_ns; /* wall clock; status.startTime */
    struct pod_condition conditions[CONDITION_COUNT];

    VEC(struct pod_volume) volumes;
    bool volumes_stale;  /* a source changed: render again */
    unsigned volume_ops; /* writes in flight */
    char *volume_error;  /* the broker's last refusal, not reported yet */
    size_t volume_error_at;
    VEC(struct pod_token *) tokens;
    VEC(struct pod_claim *) claims;

    struct timer *wake;
    bool kicked;              /* a step is queued */
    uint64_t status_sent;     /* hash of the last status written */
    uint64_t status_revision; /* of the object that this made; UINT64_MAX: unknown */
    bool status_busy;
    struct backoff status_retry;
};

static inline bool container_alive(const struct container *c) {
    return c->state == CONTAINER_STARTING || c->state == CONTAINER_RUNNING;
}

/* The container's part of the spec. */
const struct core_v1_container *container_spec(const struct container *c);
struct container *pod_container(const struct pod *p, const char *name); /* NULL = no such */
/* Would the restart policy start it again after the end it had? */
bool container_restarts(const struct container *c);

struct pod *pod_model_new(const struct core_v1_pod *object); /* copies; one reference */
void pod_ref(struct pod *p);
void pod_unref(struct pod *p);
/* Copies. Ephemeral containers that are new join the others. */
void pod_set_object(struct pod *p, const struct core_v1_pod *object);

void termination_set(struct termination *t, const char *id, uint32_t exit_code, const char *reason,
                     const char *message, int64_t started_ns, int64_t finished_ns);
void termination_done(struct termination *t);
void container_wait(struct container *c, const char *reason, const char *message); /* copies */
/* What the pod is made of has changed: containers that could not be configured try again now. */
void pod_configuration_changed(struct pod *p);
