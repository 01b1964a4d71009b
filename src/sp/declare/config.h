/*
 * A declared topology in the service's own words: what source_*.c makes of a Topology object,
 * checked and with its defaults. Everything lies in one arena. Nothing here knows of the API.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"
#include "proto/sp/address.h"
#include "proto/sp/wire.h"

enum sp_policy { SP_DROP_OLDEST, SP_DROP_NEWEST, SP_CONFLATE, SP_DISCONNECT, SP_BLOCK };

struct sp_queue_limits {
    uint32_t messages;
    uint64_t bytes;
    enum sp_policy policy;
    uint32_t block_timeout_ms; /* SP_BLOCK: who blocks for so long is disconnected; 0 = never */
};

struct sp_rate {
    uint64_t messages_per_second, bytes_per_second; /* 0 = no limit */
};

/* Owner, group and mode of the files of one role, and who else is asked in code. */
struct sp_role_config {
    uid_t owner;
    gid_t group;
    mode_t mode;
    bool restricted; /* only those in users or groups (and root) may connect */
    const uid_t *users;
    size_t n_users;
    const gid_t *groups;
    size_t n_groups;
    bool pods; /* some pods are granted it: it has files in .pods, too (endpoint_pods.c) */
};

struct sp_filter_config {
    const char *name; /* the file is sub@NAME; already percent-encoded */
    struct slice prefix;
};

/* How the peer of an edge proves who it is; NULL or empty members are not asked for. */
struct sp_peer_config {
    const char *identity, *key_pin; /* key_pin: "sha256:<64 hex>" */
    struct slice ca_pem;
};

/* The certificate that edges show; empty: that of this system. */
struct sp_identity_config {
    struct slice certificate_pem, key_pem, ca_pem;
};

enum sp_edge_kind { SP_EDGE, SP_EXPORT, SP_IMPORT };

struct sp_edge_config {
    const char *name;
    enum sp_edge_kind kind;
    enum sp_role role; /* which side the service plays on it; the peer plays the other */
    bool listen;       /* else dial */
    struct sp_address address;
    const char *address_text;
    unsigned priority; /* 1 = first … 16; local clients are 0 */
    struct sp_peer_config peer;
    const struct slice *filters; /* pubsub: only what starts with one of them passes; 0 = all */
    size_t n_filters;
    struct sp_rate rate; /* of what passes in either direction */
    bool forwarding;     /* the peer is an Atoll: subscriptions travel (forward.c) */
    uint32_t subscriptions_max;
    struct sp_queue_limits queue; /* the topology's, with the edge's own policy */
    const char *organisation;     /* partner; "" inside the own */
    const char *topology;         /* what the peer calls it; "": anything */
};

struct sp_config {
    struct arena *arena;    /* holds everything, the struct too */
    const char *name;       /* the directory below run/atoll/sp */
    int64_t generation;     /* of the object; 0 from a file */
    struct slice canonical; /* equal bytes mean nothing has changed */
    const char *organisation;
    enum sp_pattern pattern;
    struct sp_role_config roles[SP_ROLE_COUNT]; /* only those of the pattern count */
    const struct sp_filter_config *filters;
    size_t n_filters;
    const struct sp_edge_config *edges; /* exports and imports too */
    size_t n_edges;
    struct sp_identity_config identity;
    struct sp_queue_limits queue;
    uint32_t retain, linger_ms, message_max_bytes, ttl;
    uint32_t request_resend_ms, request_timeout_ms /* 0 = never */, survey_deadline_ms;
};

/* Only pattern and defaults; for tests and as the start of what a source fills in. */
struct sp_config *sp_config_new(const char *name, enum sp_pattern pattern);
void sp_config_free(struct sp_config *c); /* NULL is allowed */
const char *sp_policy_name(enum sp_policy policy);
int sp_policy_of_name(const char *name, enum sp_policy *ret); /* -EINVAL */
