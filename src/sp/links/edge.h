/*
 * A declared connection: listens, or dials and dials again (back-off from 100 ms to 30 s with
 * jitter), and owns what `status` says of it. Several peers may be connected to one that listens.
 */
#pragma once

#include "proc/loop.h"
#include "sp/links/link.h"
#include "sp/meter.h"

enum sp_edge_state {
    SP_EDGE_IDLE,
    SP_EDGE_LISTENING,
    SP_EDGE_CONNECTING,
    SP_EDGE_CONNECTED,
    SP_EDGE_REFUSED
};

struct sp_edge {
    struct sp_topology *topology;
    const struct sp_edge_config *config; /* borrowed from the topology's config */
    const struct sp_transport *transport;
    enum sp_edge_state state;
    int fd; /* listening */
    struct fd_watch *watch;
    struct timer *retry;
    struct resolve *resolving;
    struct sp_link *dialling; /* the one of an edge that dials */
    unsigned attempts;        /* failed in a row */
    uint32_t peers, subscriptions;
    struct sp_counters gone; /* of links that are closed */
    struct sp_meter meter;   /* both ways */
    uint64_t handshakes_failed;
    int64_t rate_messages, rate_bytes; /* tokens, a thousand for each one; bytes may be owed */
    uint64_t rate_at_ms;
    struct timer *rate_timer; /* somebody waits for tokens */
    bool ending;
    char last_error[256], last_peer[160];
};

struct sp_edge *sp_edge_new(struct sp_topology *t, const struct sp_edge_config *config);
void sp_edge_free(struct sp_edge *e); /* closes its links first */
const char *sp_edge_state_name(enum sp_edge_state s);
/* Counters of its links, living and gone. */
void sp_edge_sum(const struct sp_edge *e, struct sp_counters *ret, uint64_t *ret_queued,
                 uint64_t *ret_queued_bytes);

/* ---- for link.c ---- */
void sp_edge_link_opened(struct sp_edge *e, struct sp_link *l);
void sp_edge_link_closed(struct sp_edge *e, struct sp_link *l, const char *why);
/* Is there a token of its rate? If not and somebody waits for it, his pipe goes on when there is
 * (sp_pipe_rested). */
bool sp_edge_admits(struct sp_edge *e, bool waits);
void sp_edge_passed(struct sp_edge *e, size_t bytes); /* takes the tokens of one message */
