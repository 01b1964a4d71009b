/* The status of a Topology, from the figures of the service. */
#include <stdio.h>

#include "base/own.h"
#include "sp/declare/source_api.h"
#include "sp/links/edge.h"
#include "sp/status.h"

static int64_t whole(uint64_t n) { return n > INT64_MAX ? INT64_MAX : (int64_t)n; }

static void condition(struct arena *a, struct sp_v1_topology_status *s, const char *type, bool is,
                      const char *since, const char *reason, const char *message) {
    *ARENA_PUSH(a, &s->conditions) = (struct meta_v1_condition){
        .type = type,
        .status = is ? "True" : "False",
        .observed_generation = s->observed_generation,
        .last_transition_time = since,
        .reason = reason,
        .message = message,
    };
}

static void since(bool *was, char at[40], bool is, const char *now) {
    if (*was == is && at[0]) return;
    *was = is;
    snprintf(at, 40, "%s", now);
}

static void conditions(struct arena *a, struct sp_v1_topology_status *s,
                       const struct sp_topology *t, const struct sp_figures *f, const char *now,
                       struct source_api_memory *m) {
    bool ready = t && !m->error, connected = t && f->connected_edges == f->wanted_links;
    since(&m->ready, m->ready_since, ready, now);
    since(&m->connected, m->connected_since, connected, now);
    condition(a, s, "Ready", ready, m->ready_since, ready ? "Serving" : "Refused",
              ready ? "every role has its socket file" : str_or(m->error, ""));
    condition(a, s, "Connected", connected, m->connected_since,
              connected ? "AllEdges" : "EdgesWithoutPeer",
              arena_printf(a, "%llu of %llu edges listen or have their peer",
                           (unsigned long long)f->connected_edges,
                           (unsigned long long)f->wanted_links));
}

static void endpoints(struct arena *a, struct sp_v1_topology_status *s, const struct sp_topology *t,
                      const struct sp_figures *f, const char *node_name) {
    for (unsigned r = 0; r < SP_ROLE_COUNT; r++) {
        if (!sp_role_in((enum sp_role)r, t->config->pattern)) continue;
        *ARENA_PUSH(a, &s->endpoints) = (struct sp_v1_topology_endpoint){
            .role = sp_protocol_of_role((enum sp_role)r)->name,
            .node_name = node_name,
            .clients = whole(f->roles[r].clients),
            .messages = whole(f->roles[r].messages),
            .messages_per_second = whole(t->meters[r].messages_per_second),
            .bytes_per_second = whole(t->meters[r].bytes_per_second),
            .dropped = whole(f->roles[r].dropped),
            .queued = whole(f->roles[r].queued),
        };
    }
}

static void links(struct arena *a, struct sp_v1_topology_status *s, const struct sp_topology *t,
                  const char *node_name) {
    for (size_t i = 0; i < t->edges.n; i++) {
        const struct sp_edge *e = t->edges.v[i];
        struct sp_counters sum = {0};
        uint64_t queued, queued_bytes;
        sp_edge_sum(e, &sum, &queued, &queued_bytes);
        *ARENA_PUSH(a, &s->links) = (struct sp_v1_topology_link){
            .name = e->config->name,
            .node_name = node_name,
            .state = sp_edge_state_name(e->state),
            .peers = e->peers,
            .peer = e->last_peer,
            .messages_per_second = whole(e->meter.messages_per_second),
            .bytes_per_second = whole(e->meter.bytes_per_second),
            .messages_in = whole(sum.messages_in),
            .messages_out = whole(sum.messages_out),
            .dropped = whole(sum.dropped),
            .gaps = whole(sum.gaps),
            .lag_messages = whole(queued),
            .lag_bytes = whole(queued_bytes),
            .subscriptions = e->subscriptions,
            .last_error = e->last_error,
        };
    }
}

struct sp_v1_topology_status *source_api_status(struct arena *a, const struct sp_topology *t,
                                                const char *node_name, const char *now,
                                                struct source_api_memory *m) {
    struct sp_v1_topology_status *s = ARENA_NEW(a, struct sp_v1_topology_status);
    struct sp_figures f = {0};
    s->observed_generation = m->generation;
    if (t) {
        sp_figures_take(t, &f);
        endpoints(a, s, t, &f, node_name);
        links(a, s, t, node_name);
        s->totals = (struct sp_v1_topology_totals){
            .clients = whole(f.clients),
            .links = whole(f.links),
            .wanted_links = whole(f.wanted_links),
            .messages_per_second = whole(t->meter.messages_per_second),
            .dropped = whole(f.dropped),
        };
    }
    conditions(a, s, t, &f, now, m);
    return s;
}
