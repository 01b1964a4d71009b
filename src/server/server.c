/*
 * The api service: its life (connect to store and keys, seed, listen) and the way of a request
 * through route, authentication, authorisation to its verb.
 */
#include <malloc.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/own.h"
#include "base/unset.h"
#include "server/admission/allocator.h"
#include "server/admission/plugin.h"
#include "server/aggregation/aggregation.h"
#include "server/api.h"
#include "server/auth/aggregate.h"
#include "server/auth/audit.h"
#include "server/auth/auth.h"
#include "server/auth/authn.h"
#include "server/auth/authz.h"
#include "server/custom/definitions.h"
#include "server/flow/flow.h"
#include "server/keys_link.h"
#include "server/lifetime.h"
#include "server/media/body.h"
#include "server/metrics/meter.h"
#include "server/metrics/turns.h"
#include "server/upkeep/bootstrap.h"
#include "server/upkeep/event_expiry.h"
#include "server/upkeep/reseal.h"

enum {
    TRIM_MS = 1000,
    TRIM_BUSY_TIMES = 60, /* at the latest; else when little was asked since the last time */
    QUIET_REQUESTS = 50,
    KEEP_BYTES = 4 * 1024 * 1024
};

/* ---- a request ---- */

static const struct {
    const char *verb;
    void (*run)(struct call *);
} verb_table[] = {
    {"get", verb_get},       {"list", verb_list},
    {"watch", verb_watch},   {"create", verb_create},
    {"update", verb_update}, {"patch", verb_patch},
    {"delete", verb_delete}, {"deletecollection", verb_deletecollection},
};

static void unknown_resource(struct call *c) {
    size_t n;
    if (aggregation_handle(c)) return;
    const struct api_kind *const *kinds = api_kinds(&n);
    for (size_t i = 0; i < n; i++) {
        if (!str_eq(kinds[i]->group, c->route.group) ||
            !str_eq(kinds[i]->version, c->route.version))
            continue;
        struct err err;
        err_set(&err, ERR_NOT_FOUND, "the server could not find the requested resource");
        reply_error(c, &err);
        return;
    }
    reply_page_not_found(c);
}

static void run_verb(struct call *c) {
    bool names_one = !str_eq(c->route.verb, "create") && !str_eq(c->route.verb, "list") &&
                     !str_eq(c->route.verb, "watch") && !str_eq(c->route.verb, "deletecollection");
    bool namespaced = c->kind->flags & API_NAMESPACED;
    if (c->kind->flags & API_READ_ONLY) {
        component_status_handle(c);
        return;
    }
    if ((c->kind->flags & API_VIRTUAL && !str_eq(c->route.verb, "create")) ||
        (c->kind->flags & API_NO_COLLECTION_DELETE && str_eq(c->route.verb, "deletecollection"))) {
        reply_method_not_allowed(c);
        return;
    }
    if ((names_one && *c->route.name && namespaced && !*c->route.ns) ||
        (!namespaced && *c->route.ns && !str_eq(c->kind->plural, "namespaces"))) {
        unknown_resource(c);
        return;
    }
    bool of_one = str_eq(c->route.verb, "update") || str_eq(c->route.verb, "patch");
    if (*c->route.name ? str_eq(c->route.verb, "create") : of_one) {
        reply_method_not_allowed(c);
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(verb_table); i++) {
        if (!str_eq(verb_table[i].verb, c->route.verb)) continue;
        verb_table[i].run(c);
        return;
    }
    reply_method_not_allowed(c);
}

static void run_resource(struct call *c) {
    UNSET struct err err;
    c->kind = api_kind_by_plural(c->route.group, c->route.version, c->route.plural);
    if (!c->kind) {
        unknown_resource(c);
        return;
    }
    if (c->kind->flags & API_NAMESPACED)
        ;
    else if (str_eq(c->kind->plural, "namespaces") && !*c->kind->group)
        c->route.ns = ""; /* the object itself is not in a namespace */
    if (c->kind->custom && !custom_call_begin(c)) return;
    c->resource = cache_of_kind(&c->api->cache, c->kind);
    if (!c->resource && !(c->kind->flags & API_VIRTUAL)) {
        unknown_resource(c);
        return;
    }
    if (*c->route.subresource) {
        if (!subresource_handle(c)) unknown_resource(c);
        return;
    }
    if (reply_negotiate(c, &err) < 0) {
        reply_error(c, &err);
        return;
    }
    run_verb(c);
}

/* exec, attach and port-forward run programs: they need create whatever the method. */
static const char *checked_verb(const struct route *r) {
    static const char *const streams[] = {"exec", "attach", "portforward"};
    for (size_t i = 0; i < ARRAY_LEN(streams); i++)
        if (!*r->group && str_eq(r->plural, "pods") && str_eq(r->subresource, streams[i]))
            return "create";
    return r->verb;
}

static bool authorised(struct call *c) {
    struct attributes at = {.verb = checked_verb(&c->route),
                            .group = c->route.group,
                            .resource = c->route.plural,
                            .subresource = c->route.subresource,
                            .name = c->route.name,
                            .ns = c->route.ns,
                            .field_selector = http_query_get(&c->r->query, "fieldSelector"),
                            .label_selector = http_query_get(&c->r->query, "labelSelector"),
                            .path = c->route.is_resource ? NULL : c->r->path};
    if (!*at.name && (str_eq(at.verb, "list") || str_eq(at.verb, "watch")))
        at.name = authz_selected_name(c->a, at.field_selector);
    bool allowed = authz_allows(c->api->authz, &c->user, &at);
    audit_decision(c, allowed);
    if (allowed) return true;
    const char *message = authz_refusal(c->a, &c->user, &at);
    struct failure f = {.message = message};
    if (c->route.is_resource) {
        f.name = c->route.name;
        f.group = c->route.group;
        f.kind = c->route.plural;
    }
    reply_failure(c, ERR_FORBIDDEN, &f);
    return false;
}

/* Probes of this machine need no identity. */
static bool is_health(const char *path) {
    return str_starts(path, "/livez") || str_starts(path, "/readyz") ||
           str_starts(path, "/healthz");
}

/* When its turn has come. */
static void proceed(struct call *c) {
    if (!authorised(c)) return;
    if (c->route.is_resource)
        run_resource(c);
    else if (!reseal_handle(c) && !health_handle(c) && !aggregation_handle(c) &&
             !discovery_handle(c))
        reply_page_not_found(c);
}

static void on_authenticated(struct call *c, int result, const struct err *why) {
    UNSET struct err err;
    audit_begin(c);
    if (result < 0) {
        reply_failure(c, ERR_UNAUTHORIZED, &(struct failure){.message = why->text});
        return;
    }
    request_identify(c->r, slice_of(c->user.name));
    if (authn_impersonate(c, &err) < 0) {
        audit_decision(c, false);
        reply_failure(c, err.reason, &(struct failure){.message = err.text});
        return;
    }
    if (!c->route.verb) {
        reply_method_not_allowed(c);
        return;
    }
    if (request_set_deadline(c, &err) < 0)
        reply_error(c, &err);
    else
        flow_run(c, proceed);
}

void api_handle(struct request *r, void *user) {
    struct call *c = ARENA_NEW(r->arena, struct call);
    UNSET struct err err;
    c->api = user;
    c->r = r;
    c->a = r->arena;
    c->unknown = API_UNKNOWN_WARN;
    c->api->requests++;
    route_parse(r, &c->route);
    meter_begin(c);
    if (r->peer->kind == PEER_UNIX && is_health(r->path) && health_handle(c)) return;
    int rc = authn_request(c, on_authenticated, &err);
    if (rc != AUTHN_LATER) on_authenticated(c, rc, &err);
}

/* ---- the service ---- */

static struct api the_api;
static struct service_ctx *the_ctx;
static int listen_fds[3] = {-1, -1, -1};
static bool seeded, listening;

static void listen_if_complete(void) {
    struct api *api = &the_api;
    if (!seeded || listening) return;
    listening = true;
    static const char *const names[] = {"listen", "api_tcp", "api_gateway"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        listen_fds[i] = service_fd(the_ctx, names[i]);
        if (listen_fds[i] < 0) continue;
        if (i == 0)
            server_listen_unix(api->server, listen_fds[i]);
        else
            server_listen_tls(api->server, listen_fds[i], api->tls);
    }
    api->bootstrapped = true;
    event_expiry_start(api);
    aggregation_start(api);
    reseal_if_stale(api);
    flow_start(api->flow);
    aggregate_start(api);
    auth_start(api);
    service_ready(the_ctx);
    log_info("api_ready", "revision=%llu", (unsigned long long)api->cache.revision);
}

static struct timer *cool;

/* A page of the history at a time; requests come between. */
static void on_cool(void *user) {
    struct api *api = user;
    if (history_cool(&api->cache)) {
        timer_start(cool, 1, 0);
        return;
    }
    objects_trim();
    malloc_trim(0);
}

/* Memory that a burst left behind goes back to the machine. */
static void on_trim(void *user) {
    static uint64_t seen, trimmed;
    static unsigned times;
    struct api *api = user;
    uint64_t work = api->requests + api->cache.revision; /* one request may delete thousands */
    bool quiet = work - seen < QUIET_REQUESTS;
    seen = work;
    if (!quiet) timer_stop(cool);
    if (++times < TRIM_BUSY_TIMES && (!quiet || seen - trimmed < QUIET_REQUESTS)) return;
    times = 0;
    trimmed = seen;
    cache_trim(&api->cache, loop_now_ms(api->loop));
    buf_done(&api->piece);
    buf_trim();
    malloc_trim(0);
    if (quiet) timer_start(cool, 0, 0);
}

static void on_seeded(void *user, const struct err *err) {
    if (err) {
        log_error("api_seed_failed", "why=%s", err->text);
        exit(1);
    }
    seeded = true;
    listen_if_complete();
}

static void on_synced(void *user) {
    struct api *api = user;
    allocator_fill(api);
    admission_start(api);
    definitions_start(api);
    bootstrap(api, on_seeded, api);
}

static void on_store_lost(void *user, const struct err *err) {
    /* A cache that cannot continue is worth nothing: init starts this service anew. */
    log_error("store_lost", "why=%s", err->text);
    exit(1);
}

static void on_keys(void *user) {
    struct api *api = user;
    struct err err;
    api->token_key = authn_public_key(api->keys.token_public_pem);
    if (!api->token_key) {
        log_error("token_key_unusable", "why=the public key from keys is no PEM key");
        exit(1);
    }
    if (server_tls_new(api->keys.serving_chain_pem, api->keys.ca_pem, keys_link_sign, api,
                       &api->tls, &err) < 0) {
        log_error("tls_unusable", "why=%s", err.text);
        exit(1);
    }
    /* Secrets can be read from now on, and the first objects need the cluster's CA. */
    struct store_link_events ev = {on_synced, on_store_lost, api};
    api->store = store_link_new(api->loop, "store.sock", &api->cache, &api->seal, &ev);
}

static int api_prepare(struct service_ctx *ctx, struct err *err) {
    meter_prepare();
    return auth_prepare(ctx->settings, err);
}

static int api_start(struct service_ctx *ctx, struct err *err) {
    struct api *api = &the_api;
    the_ctx = ctx;
    api->loop = ctx->loop;
    api->settings = ctx->settings;
    api->keys_fd = -1;
    api->arena = arena_new();
    api->started_ns = loop_wall_ns(ctx->loop);
    mallopt(M_MMAP_THRESHOLD, KEEP_BYTES); /* page faults cost more than the memory; see on_trim */
    mallopt(M_TRIM_THRESHOLD, 2 * KEEP_BYTES);
    mallopt(M_TOP_PAD, KEEP_BYTES / 4);
    turns_measure(ctx->loop);
    loop_look(ctx->loop, LOOP_LOOK_NS);
    cache_init(&api->cache);
    api->authz = authz_new(api);
    api->flow = flow_new(api);
    int rc = allocator_start(api, err);
    if (rc < 0) return rc;
    api->server = server_new(ctx->loop, flow_take, api);
    keys_link_start(api, "keys.sock", on_keys);
    cool = timer_new(ctx->loop, on_cool, api);
    timer_start(timer_new(ctx->loop, on_trim, api), TRIM_MS, TRIM_MS);
    return 0;
}

static bool api_stop(struct service_ctx *ctx) {
    api_finish(&the_api);
    return true; /* it stops the loop */
}

static const struct service api_service = {
    .name = "api", .prepare = api_prepare, .start = api_start, .stop = api_stop};
SERVICE(api_service);
