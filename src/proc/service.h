/*
 * A service: one row of the authority table, re-executed by init as its own process. Life: handover
 * (settings and descriptors) → prepare (may still open files) → sandbox → start → loop until
 * SIGTERM → stop.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"
#include "proc/loop.h"

/* Who else may prove who somebody is, what is written down, which admission plugins run; "" = not
 * given. Files are paths. */
struct settings_auth {
    const char *oidc_issuer_url, *oidc_client_id, *oidc_ca_file, *oidc_username_claim,
        *oidc_username_prefix, *oidc_groups_claim, *oidc_groups_prefix, *oidc_required_claim,
        *oidc_signing_algs;
    const char *token_webhook_file;
    const char *audit_policy_file;
    const char *enable_admission_plugins, *disable_admission_plugins; /* A,B,… */
};

/* What `atoll up` was told; the same for every service; borrowed strings live as long as the
 * process. */
struct settings {
    const char *root; /* absolute, real path given by --root, without a final slash; "" for "/" */
    const char
        *instance; /* 8 hex digits, from the root path: suffix of bridge, nft table, cgroup names */
    const char *listen; /* ADDR:PORT of the TLS API */
    const char *node_name;
    const char *pod_cidr;       /* default 10.244.0.0/24 */
    const char *service_cidr;   /* default 10.96.0.0/16 */
    const char *gateway_ip;     /* first address of pod_cidr: the bridge */
    const char *dns_ip;         /* 10th address of service_cidr: cluster DNS */
    const char *api_ip;         /* 1st address of service_cidr: Service default/kubernetes */
    const char *cluster_domain; /* cluster.local */
    unsigned api_port;
    const char *sp_config; /* of sp run alone: directory of its Topologies; NULL or "" */
    struct settings_auth auth;
};

struct service_ctx {
    const struct service *service;
    const struct settings *settings;
    struct loop *loop;
};

struct service {
    const char *name; /* row of the authority table */
    /* Before the sandbox: open files, bind, dlopen. May be NULL. */
    int (*prepare)(struct service_ctx *ctx, struct err *err);
    /* Inside the sandbox: set up handlers on ctx->loop. Call service_ready() when requests can be
     * served. */
    int (*start)(struct service_ctx *ctx, struct err *err);
    /* SIGTERM came: finish quickly; the loop stops when this returns, unless it returns true ("I
     * call loop_stop myself"). May be NULL. */
    bool (*stop)(struct service_ctx *ctx);
};

/* Registers `const struct service NAME_service` in the executable. One per service folder. */
#define SERVICE(sym)                                                                               \
    __attribute__((                                                                                \
        used, retain,                                                                              \
        section("atoll_services"))) static const struct service *const service_p_##sym = &sym

/* A descriptor that init handed over by name ("listen", "api_tcp", …, see the authority table), or
 * -1. Owned by the caller. */
int service_fd(const struct service_ctx *ctx, const char *name);
/* Path below the root: "/var/lib/atoll/store" → ROOT/var/lib/atoll/store; static buffer per call
 * site is not used: result is malloc'd. */
char *service_path(const struct service_ctx *ctx, const char *below_root);
/* Tells init that this service serves requests (a newline on the readiness descriptor). Once. */
void service_ready(struct service_ctx *ctx);
/* The uid a service runs as; used to check peers. */
uid_t service_uid(const char *name);
/* The service's name for a uid, or NULL. */
const char *service_name_of_uid(uid_t uid);
/* The uids that the authority table lets connect to this service's socket (root may always), for
 * ipc_listen. Returns how many; at most 12. */
size_t service_peers(const struct service_ctx *ctx, uid_t ret[12]);

/* ---- for main.c and init ---- */

/* `atoll service NAME`: the whole life of a service process. Returns the exit status. */
int service_main(int argc, char **argv);
/* A service without init, in this process and its sandbox, with its log on standard error, until
 * SIGTERM or SIGINT: of settings, root (and sp_config) must be there. `ready` (may be NULL) is
 * called when it serves. Returns the exit status, 0 after an ordered stop. */
int service_alone(const char *name, const struct settings *s, void (*ready)(void *user),
                  void *user);
/* The service of that name linked into this executable, or NULL. */
const struct service *service_find(const char *name);
