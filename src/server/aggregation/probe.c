/* Whether the server of an aggregated API answers: its discovery document is asked for. */
#include <stdlib.h>

#include "base/own.h"
#include "base/times.h"
#include "server/aggregation/aggregation.h"
#include "server/commit.h"
#include "server/egress/call.h"

enum { PROBE_TIMEOUT_MS = 5000, AVAILABLE_MS = 30 * 1000, UNAVAILABLE_MS = 2000 };

static const struct api_kind *kind(void) {
    return api_kind_by_plural("apiregistration.k8s.io", "v1", "apiservices");
}

/* ---- the condition ---- */

/* A conflict or an APIService that is gone is seen at the next look. */
static void on_written(void *user, struct slice json, const struct err *err) { arena_free(user); }

static struct apiregistration_v1_api_service_condition *
condition_of(struct arena *a, struct apiregistration_v1_api_service *s) {
    for (size_t i = 0; i < s->status.conditions.n; i++)
        if (str_eq(s->status.conditions.v[i].type, "Available")) return &s->status.conditions.v[i];
    struct apiregistration_v1_api_service_condition *c = ARENA_PUSH(a, &s->status.conditions);
    c->type = "Available";
    return c;
}

void aggregation_condition(struct api *api, const char *name, bool available, const char *reason,
                           const char *message) {
    struct object *o = resource_get(cache_of_kind(&api->cache, kind()), "", name);
    OWN(arena_free_p) struct arena *a = arena_new();
    struct api_object *decoded;
    if (!o || api_object_decode(a, kind(), object_json(o), &decoded, NULL) < 0) return;
    struct apiregistration_v1_api_service_condition *c = condition_of(a, (void *)decoded);
    const char *status = available ? "True" : "False";
    if (str_eq(c->status, status) && str_eq(c->reason, reason) && str_eq(c->message, message))
        return;
    if (!str_eq(c->status, status)) {
        char now[TIME_TEXT_MAX];
        time_format(now, loop_wall_ns(api->loop));
        c->last_transition_time = arena_str(a, now);
    }
    c->status = status;
    c->reason = arena_str(a, reason);
    c->message = arena_str(a, message);
    struct commit w = {STORE_UPDATE, kind(), decoded, o->revision};
    commit_submit(api, &w, on_written, TAKE(a));
}

/* ---- the look ---- */

static void settle(struct api *api, struct aggregated *g, bool available, const char *reason,
                   const char *message) {
    g->available = available;
    g->next_ms = loop_now_ms(api->loop) + (available ? AVAILABLE_MS : UNAVAILABLE_MS);
    aggregation_condition(api, g->name, available, reason, message);
}

static void on_answer(void *user, const struct egress_result *r) {
    struct aggregated *g = user;
    struct api *api = g->probe_api;
    OWN(arena_free_p) struct arena *a = arena_new();
    g->probe = NULL;
    if (r->err.reason != ERR_NONE) {
        settle(
            api, g, false, "FailedDiscoveryCheck",
            arena_printf(a, "failing or missing response from %s: %s", g->probe_url, r->err.text));
    } else if (r->status < 200 || r->status > 299) {
        settle(api, g, false, "FailedDiscoveryCheck",
               arena_printf(a, "failing or missing response from %s: bad status from %s: %d",
                            g->probe_url, g->probe_url, r->status));
    } else {
        struct buf copy = {0};
        buf_slice(&copy, r->body);
        free((char *)(uintptr_t)g->resources.p);
        g->resources.n = copy.n;
        g->resources.p = buf_steal(&copy);
        settle(api, g, true, "Passed", "all checks passed");
        aggregation_openapi_ask(api, g);
    }
}

/* What keeps the Service from being asked at all. */
static void unreachable(struct api *api, struct aggregated *g, const struct err *why) {
    OWN(arena_free_p) struct arena *a = arena_new();
    const char *title = arena_printf(a, "service/%s in \"%s\"", g->service_name, g->service_ns);
    if (why->reason == ERR_NOT_FOUND)
        settle(api, g, false, "ServiceNotFound", arena_printf(a, "%s is not present", title));
    else if (str_starts(why->text, "no service port"))
        settle(api, g, false, "ServicePortError",
               arena_printf(a, "%s is not listening on port %d", title, g->service_port));
    else
        settle(api, g, false, "MissingEndpoints",
               arena_printf(a, "endpoints for %s have no addresses", title));
}

void aggregation_probe(struct api *api, struct aggregated *g) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct egress_target t;
    struct err err = {0};
    const char *path = arena_printf(a, "/apis/%s/%s", g->group, g->version);
    if (aggregation_target(api, a, g, path, &t, &err) < 0) {
        unreachable(api, g, &err);
        return;
    }
    struct http_header v[] = {{"accept", "application/json"},
                              {"x-remote-user", "system:kube-aggregator"},
                              {"x-remote-group", "system:masters"}};
    snprintf(g->probe_url, sizeof g->probe_url, "https://%s:%u%s", t.host, (unsigned)t.port, path);
    g->probe_api = api;
    g->probe = egress_call(api,
                           &(struct egress_request){.target = &t,
                                                    .method = "GET",
                                                    .headers = &(struct http_headers){v, 3},
                                                    .timeout_ms = PROBE_TIMEOUT_MS},
                           on_answer, g);
}
