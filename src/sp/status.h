/*
 * The readable files of a topology: status, stats, peers, graph. Regular files, replaced by rename
 * when something has changed, once a second at most. And the same figures as numbers, for whoever
 * writes a Topology's status.
 */
#pragma once

#include "sp/declare/topology.h"

struct sp_role_figures {
    uint64_t clients, messages, bytes, dropped, queued;
};
struct sp_figures {
    uint64_t clients, links, wanted_links, connected_edges;
    uint64_t messages_in, bytes_in, messages_out, dropped, gaps;
    struct sp_role_figures roles[SP_ROLE_COUNT];
};
void sp_figures_take(const struct sp_topology *t, struct sp_figures *ret);

void sp_status_text(const struct sp_topology *t, struct buf *out); /* one "key value" a line */
void sp_stats_text(const struct sp_topology *t, struct buf *out);
void sp_peers_text(const struct sp_topology *t, struct buf *out);
void sp_graph_text(const struct sp_topology *t, struct buf *out);
/* Looks at all counters: once a second. */
void sp_meters_look(struct sp_topology *t);
/* Writes what is out of date. Failures (a full disk) are counted and logged, nothing else. */
void sp_status_write(struct sp_topology *t);
