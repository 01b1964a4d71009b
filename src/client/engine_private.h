/* The engine's parts: engine.c (watching, turns), engine_queue.c (keys and when they run),
 * engine_apply.c (one run: reconcile, then the writes), engine_polls.c (paths asked again and
 * again). */
#pragma once

#include "base/map.h"
#include "base/vec.h"
#include "client/client_private.h"
#include "client/dynamic.h"
#include "client/engine.h"
#include "client/world_private.h"

enum { ENGINE_RUNS_MAX = 64 }; /* plans that are being carried out at a time */

/* A write of ours that the world does not show yet. */
struct await {
    const struct api_kind *kind;
    uint64_t revision; /* the informer must have come so far; 0: the object must be gone */
    char *ns, *name, *uid;
};

enum key_state {
    KEY_QUEUED,  /* in the reconciler's queue */
    KEY_RUNNING, /* its plan is being applied */
    KEY_DELAYED, /* in the heap until due_ms */
    KEY_WAITING, /* until the world shows its writes */
};

struct key {
    struct controller *controller;
    char *text;
    char *last_failure; /* plan_last_failure of the next plan */
    enum key_state state;
    bool again; /* changed while running or waiting */
    unsigned failures;
    uint64_t due_ms;
    uint64_t requeue_ms; /* asked for by the last run; UINT64_MAX: no */
    VEC(struct await) awaits;
};

struct controller {
    struct engine *engine;
    const struct reconciler *r;
    struct map keys; /* text → struct key */
    struct {
        struct key **v;
        size_t n, cap;
    } queue;
    size_t queue_head;
    bool synced; /* all kinds of the tables that it watches have their first list */
};

/* A kind that is watched. */
struct source {
    struct engine *engine;
    const struct api_kind *kind;
    struct cache *cache; /* the world's */
    struct informer *informer;
    bool dynamic; /* a custom kind, known by its metadata */
    VEC(struct controller *) watchers;
};

/* A plan on its way. */
struct run {
    struct engine *engine;
    struct key *key;
    struct plan *plan;
    size_t next, outstanding;
    bool failed;
    struct err err;
    struct run *list_next, **list_prev;
};

struct engine {
    struct loop *loop;
    struct api_client *client;
    struct world *world;
    struct event_recorder *recorder;
    VEC(struct source *) sources;
    struct source *telling; /* whose change the world tells of now */
    VEC(struct controller *) controllers;
    VEC(struct key *) heap; /* delayed keys by due_ms */
    VEC(struct key *) waiting;
    struct run *runs;
    struct timer *turn, *delay, *idle;
    struct polls *polls;           /* NULL: nobody has wanted any */
    struct dynamic_kinds *dynamic; /* NULL: nobody watches "*" */
    bool discovered;               /* the first round of it is over */
    struct engine_stats stats;
    bool check_waiting;
    size_t rotation;    /* counts whose turn it is */
    uint64_t cooled_ms; /* when decoded objects were last let go */
};

struct keys { /* what a map function fills */
    struct controller *controller;
};

/* ---- engine.c ---- */
void engine_turn_soon(struct engine *e);
struct source *engine_source(const struct engine *e, const struct api_kind *k);

/* ---- engine_queue.c ---- */
void key_free(struct key *k);
/* The run is over and its writes have been seen: again, later, or forgotten. */
void key_settle(struct key *k);
/* The run failed: again after a back-off. */
void key_failed(struct key *k, const struct err *err);
/* The run's writes have not all been seen yet. */
void key_wait(struct key *k);
void engine_waiting_check(struct engine *e); /* moves on the keys whose writes are seen now */
void engine_delay_over(void *engine);        /* the delay timer's callback */
/* Remembers a write that succeeded; answer NULL: a deletion that was answered without the object.
 */
void await_add(struct key *k, const struct plan_step *s, const struct api_object *answer,
               struct slice body);
bool awaits_seen(struct key *k); /* and forgets them when they are */

/* ---- engine_polls.c ---- */
/* The paths this key wants from now on are those of its plan. */
void polls_set(struct key *k, const struct plan *p);
void polls_free(struct polls *p); /* NULL is allowed */

/* ---- engine_apply.c ---- */
void key_run(struct key *k);
void engine_runs_abandon(struct engine *e); /* answers still to come find no engine */
