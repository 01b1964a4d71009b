/* What the files of the flow room share. */
#pragma once

#include "server/flow/flow.h"

enum {
    FLOW_TOTAL_SEATS = 600,   /* upstream: 400 reading and 200 writing requests at once */
    FLOW_WIDTH_MAX = 10,      /* seats of one request */
    FLOW_WIDTH_OBJECTS = 100, /* of a list: one seat for each so many objects */
    FLOW_CREDITS = 1024,
};

struct flow_level;

/* One request that is counted. */
struct flow_ticket {
    struct flow_ticket *next, *prev; /* of the queue, of the running ones, or of the refused ones */
    struct flow *flow;
    struct flow_level *level;
    struct flow_queue *queue; /* NULL: not waiting */
    struct flow_credit *credit;
    struct call *call; /* while it waits */
    void (*run)(struct call *c);
    uint64_t since_ms;
    size_t bytes; /* that wait with it */
    uint8_t width;
    bool running; /* its handler is on the stack */
    bool seated;  /* holds seats */
    bool over;    /* ended while it was running */
    bool refused; /* waits for its refusal */
    bool is_list;
};

struct flow_ticket_list {
    struct flow_ticket *first, *last;
    size_t n;
};

struct flow_queue {
    struct flow_ticket_list waiting;
    uint64_t virtual_ns; /* what it has had, or would have had while it was empty */
};

struct flow_level {
    const char *name; /* malloc'd */
    char uid[40];
    bool exempt, reject, gone;
    unsigned nominal, lendable, borrow_max; /* seats */
    unsigned in_use, by_lists;              /* seats taken, and those of them that lists have */
    struct flow_queue *queues;
    unsigned n_queues, hand, queue_limit;
    VEC(unsigned) active; /* queues in which somebody waits */
    size_t waiting, waiting_bytes;
    uint64_t virtual_ns; /* of the queue served last */
    uint64_t dispatched, refused_full, refused_late;
};

enum flow_distinguisher { FLOW_ONE, FLOW_BY_USER, FLOW_BY_NAMESPACE };

struct flow_schema {
    const struct flowcontrol_v1_flow_schema *object;
    struct flow_level *level;
    enum flow_distinguisher distinguisher;
    uint64_t hash;
};

/* How much time a flow had lately. */
struct flow_credit {
    uint64_t window_ns, spent_ns;
    unsigned waiting; /* tickets in queues */
};

struct flow {
    struct api *api;
    struct arena *arena;             /* of schemas */
    VEC(struct flow_schema) schemas; /* in the order in which they are asked */
    VEC(struct flow_level *) levels;
    struct flow_credit credits[FLOW_CREDITS];
    struct flow_ticket *free_tickets;
    struct flow_ticket_list seated, refused;
    struct timer *timer;
    size_t waiting; /* in all levels */
    size_t next_level;
    bool dispatching; /* a turn is deferred */
    bool stale;       /* a reload is deferred */
};

/* classify.c: the first schema that matches; NULL when none does. */
struct flow_schema *flow_classify(struct flow *f, const struct call *c);
uint64_t flow_hash(const struct flow_schema *s, const struct call *c);
/* Deals `hand` of n cards by the hash. */
void flow_deal(uint64_t hash, unsigned n, unsigned hand, unsigned *ret);

/* config.c */
struct flow_level *flow_level_get(const struct flow *f, const char *name);

/* defaults.c */
void flow_defaults_ensure(struct flow *f, bool suggested);
void flow_statuses_write(struct flow *f);

/* dispatch.c */
void flow_dispatch_init(struct flow *f);
void flow_level_release_all(struct flow *f, struct flow_level *l); /* who waits there, runs */
