/* Topology: what edges, exports and imports must be. */
#include <string.h>

#include "api/kinds/topology.h"
#include "base/buf.h"
#include "proto/sp/address.h"

struct edge_rules { /* what the three lists differ in */
    const char *field;
    const char *role; /* the only one possible; NULL: any of the pattern */
    bool foreign;     /* between organisations */
};

struct edges_check {
    const struct sp_v1_topology_spec *spec;
    const struct topology_pattern *pattern;
    struct map names, addresses;
    struct api_causes *causes;
};

static void peer_validate(const struct sp_v1_topology_peer *peer, const char *path,
                          struct api_causes *causes) {
    OWN(buf_done) struct buf pem = {0};
    static const char begin[] = "-----BEGIN CERTIFICATE-----";
    topology_file_validate(peer->ca_file, path_of(causes, "%s.caFile", path), causes);
    if (str_empty(peer->ca_bundle)) return;
    if (buf_unbase64(&pem, slice_of(peer->ca_bundle)) < 0 || !pem.n ||
        !memmem(pem.p, pem.n, begin, sizeof begin - 1))
        cause_invalid(causes, path_of(causes, "%s.caBundle", path), "<bytes>",
                      "must hold PEM certificates");
}

/* Who is on the other side must be known beyond doubt when that is somebody else. */
static void security_check(struct edges_check *k, const struct sp_v1_topology_edge *e,
                           const struct sp_address *address, const struct edge_rules *rules,
                           const char *path) {
    const struct sp_v1_topology_peer *peer = e->peer;
    const char *at = path_of(k->causes, "%s.peer", path);
    bool tls = sp_scheme_is_tls(address->scheme);
    if (rules->foreign && !tls)
        cause_invalid(k->causes,
                      path_of(k->causes, "%s.%s", path, str_empty(e->listen) ? "dial" : "listen"),
                      str_or(e->listen, e->dial), "must be tls+tcp or wss between organisations");
    if (peer && !tls)
        cause_forbidden(k->causes, at, "only peers of tls+tcp and wss show who they are");
    if (peer) peer_validate(peer, at, k->causes);
    if (rules->foreign && (!peer || (str_empty(peer->key_pin) && str_empty(peer->ca_bundle) &&
                                     str_empty(peer->ca_file))))
        cause_required(k->causes, at, "names keyPin, caBundle or caFile of the partner");
}

/* The same address may be listened on once, and dialled once for each topology of the peer. */
static void address_check(struct edges_check *k, const struct sp_v1_topology_edge *e,
                          const struct edge_rules *rules, const char *path) {
    bool listen = !str_empty(e->listen);
    const char *text = listen ? e->listen : e->dial;
    const char *at = path_of(k->causes, "%s.%s", path, listen ? "listen" : "dial");
    struct sp_address address;
    struct err err = {0};
    char canonical[640];
    if (listen && !str_empty(e->dial)) {
        cause_forbidden(k->causes, path_of(k->causes, "%s.dial", path),
                        "may not be given together with listen");
        return;
    }
    if (str_empty(text)) {
        cause_required(k->causes, path, "one of listen and dial");
        return;
    }
    if (sp_address_parse(text, listen, &address, &err) < 0) {
        cause_invalid(k->causes, at, text, err.text);
        return;
    }
    sp_address_text(&address, canonical, sizeof canonical);
    const char *key =
        path_of(k->causes, "%s %d %s", canonical, listen, listen ? "" : str_or(e->topology, ""));
    if (map_put(&k->addresses, slice_of(key), k)) cause_duplicate(k->causes, at, text);
    security_check(k, e, &address, rules, path);
}

static void role_check(struct edges_check *k, const struct sp_v1_topology_edge *e,
                       const struct edge_rules *rules, const char *path) {
    const char *at = path_of(k->causes, "%s.role", path);
    if (str_empty(e->role))
        cause_required(k->causes, at, NULL);
    else if (rules->role && !str_eq(e->role, rules->role))
        cause_not_supported(k->causes, at, e->role, &rules->role, 1);
    else if (!topology_has_role(k->pattern, e->role))
        cause_not_supported(k->causes, at, e->role, k->pattern->roles, k->pattern->n_roles);
}

static void policy_check(struct edges_check *k, const struct sp_v1_topology_edge *e,
                         const struct edge_rules *rules, const char *path) {
    const char *at = path_of(k->causes, "%s.policy", path);
    const char *policy = str_or(e->policy, str_or(k->spec->queue.policy, k->pattern->policy));
    if (rules->foreign && str_eq(policy, "block"))
        cause_forbidden(k->causes, at,
                        str_empty(e->policy)
                            ? "queue.policy is block, by which one organisation could hold up "
                              "another: give a policy of its own here"
                            : "block may not cross organisations: one could hold up another");
    if (str_eq(e->policy, "conflate") && !k->pattern->conflates)
        cause_invalid(k->causes, at, "conflate",
                      path_of(k->causes, "each message of %s counts", k->pattern->name));
}

static void edge_filters_check(struct edges_check *k, const struct sp_v1_topology_edge *e,
                               const char *path) {
    bool pubsub = str_eq(k->pattern->name, "pubsub");
    const char *at = path_of(k->causes, "%s.filters", path);
    if (e->filters.n && !pubsub) cause_forbidden(k->causes, at, "only pubsub has subscriptions");
    if (e->forwarding && !pubsub)
        cause_forbidden(k->causes, path_of(k->causes, "%s.forwarding", path),
                        "only pubsub has subscriptions");
    topology_too_many(at, e->filters.n, FILTERS_MAX, k->causes);
    for (size_t i = 0; i < MIN_OF(e->filters.n, (size_t)FILTERS_MAX); i++)
        topology_prefix_validate(e->filters.v[i], path_of(k->causes, "%s[%zu]", at, i), k->causes);
}

static void organisation_check(struct edges_check *k, const struct sp_v1_topology_edge *e,
                               const struct edge_rules *rules, const char *path) {
    const char *at = path_of(k->causes, "%s.organisation", path);
    if (rules->foreign && str_empty(e->organisation))
        cause_required(k->causes, at, "the partner");
    else if (!rules->foreign && !str_empty(e->organisation))
        cause_forbidden(k->causes, at, "partners stand in exports and imports");
    else if (rules->foreign && str_eq(e->organisation, str_or(k->spec->organisation, "local")))
        cause_invalid(k->causes, at, e->organisation, "must not be this one's own");
}

static void edge_check(struct edges_check *k, const struct sp_v1_topology_edge *e,
                       const struct edge_rules *rules, const char *path) {
    if (!str_empty(e->name) && map_put(&k->names, slice_of(e->name), k))
        cause_duplicate(k->causes, path_of(k->causes, "%s.name", path), e->name);
    role_check(k, e, rules, path);
    address_check(k, e, rules, path);
    policy_check(k, e, rules, path);
    edge_filters_check(k, e, path);
    organisation_check(k, e, rules, path);
    if (e->rate && !e->rate->messages_per_second && !e->rate->bytes_per_second)
        cause_required(k->causes, path_of(k->causes, "%s.rate", path),
                       "messagesPerSecond or bytesPerSecond");
}

static void edge_list_check(struct edges_check *k, const struct sp_v1_topology_edge_list *l,
                            const struct edge_rules *rules) {
    topology_too_many(rules->field, l->n, EDGES_MAX, k->causes);
    for (size_t i = 0; i < MIN_OF(l->n, (size_t)EDGES_MAX); i++)
        edge_check(k, &l->v[i], rules, path_of(k->causes, "%s[%zu]", rules->field, i));
}

void topology_edges_validate(const struct sp_v1_topology_spec *s, const struct topology_pattern *p,
                             struct api_causes *causes) {
    struct edges_check k = {.spec = s, .pattern = p, .causes = causes};
    edge_list_check(&k, &s->edges, &(struct edge_rules){"spec.edges", NULL, false});
    edge_list_check(&k, &s->exports, &(struct edge_rules){"spec.exports", p->exports, true});
    edge_list_check(&k, &s->imports,
                    &(struct edge_rules){"spec.imports", topology_import_role(p), true});
    if (str_eq(p->name, "pair") && s->edges.n + s->exports.n + s->imports.n > 1)
        cause_forbidden(causes, "spec.edges", "a pair has one peer");
    map_done(&k.names);
    map_done(&k.addresses);
}
