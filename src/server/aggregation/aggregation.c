#include "server/aggregation/aggregation.h"

#include <stdlib.h>

#include "base/own.h"
#include "base/vec.h"
#include "server/metrics/metrics_api.h"

enum { TURN_MS = 1000, SOON_MS = 20, DEFAULT_PORT = 443 };

static struct {
    struct api *api;
    struct resource *apiservices, *definitions;
    const struct api_kind *kind;
    VEC(struct aggregated *) list;
    struct timer *turn, *soon;
} state;

/* What this server makes up itself, unless a Service takes its place. */
static struct aggregated own = {.name = METRICS_VERSION "." METRICS_GROUP,
                                .group = METRICS_GROUP,
                                .version = METRICS_VERSION,
                                .group_priority = 100,
                                .version_priority = 100,
                                .available = true,
                                .serve = metrics_api_serve};

struct aggregated *const *aggregation_list(size_t *ret_n) {
    *ret_n = state.list.n;
    return state.list.v;
}

struct aggregated *aggregation_find(const char *group, const char *version) {
    for (size_t i = 0; i < state.list.n; i++)
        if (str_eq(state.list.v[i]->group, group) && str_eq(state.list.v[i]->version, version))
            return state.list.v[i];
    return NULL;
}

int aggregation_target(struct api *api, struct arena *a, const struct aggregated *g,
                       const char *path, struct egress_target *ret, struct err *err) {
    int r = egress_target_service(api, a, g->service_ns, g->service_name, g->service_port, path,
                                  ret, err);
    if (r < 0) return r;
    ret->identity = EGRESS_FRONT_PROXY;
    ret->insecure = g->insecure;
    ret->ca_pem = g->ca_pem;
    return 0;
}

static void forget(const char *name) {
    for (size_t i = 0; i < state.list.n; i++) {
        struct aggregated *g = state.list.v[i];
        if (!str_eq(g->name, name) || g == &own) continue;
        egress_call_cancel(g->probe);
        aggregation_openapi_forget(g);
        free((char *)(uintptr_t)g->resources.p);
        arena_free(g->a);
        free(g);
        vec_swap_remove(&state.list, i);
        if (str_eq(name, own.name)) vec_push(&state.list, &own);
        return;
    }
}

static void leave_own(void) {
    for (size_t i = 0; i < state.list.n; i++)
        if (state.list.v[i] == &own) {
            vec_swap_remove(&state.list, i);
            return;
        }
}

static bool was_available(const struct apiregistration_v1_api_service *s) {
    for (size_t i = 0; i < s->status.conditions.n; i++)
        if (str_eq(s->status.conditions.v[i].type, "Available"))
            return str_eq(s->status.conditions.v[i].status, "True");
    return false;
}

static bool same(const struct aggregated *g, const struct apiregistration_v1_api_service *s,
                 const char *ca_pem) {
    return str_eq(g->service_ns, s->spec.service->namespace) &&
           str_eq(g->service_name, s->spec.service->name) &&
           g->service_port == (s->spec.service->port ? *s->spec.service->port : DEFAULT_PORT) &&
           g->group_priority == s->spec.group_priority_minimum &&
           g->version_priority == s->spec.version_priority && str_eq(g->ca_pem, ca_pem) &&
           g->insecure == s->spec.insecure_skip_tls_verify;
}

/* A remote APIService as it is now. */
static void take(const struct apiregistration_v1_api_service *s) {
    OWN(buf_done) struct buf pem = {0};
    if (!str_empty(s->spec.ca_bundle)) buf_unbase64(&pem, slice_of(s->spec.ca_bundle));
    const char *ca = str_or(pem.p, "");
    struct aggregated *old = aggregation_find(s->spec.group, s->spec.version);
    if (old && old != &own && same(old, s, ca)) return; /* only its status has changed */
    forget(s->metadata.name);
    if (str_eq(s->metadata.name, own.name)) leave_own();
    struct aggregated *g = calloc(1, sizeof *g);
    if (!g) abort();
    struct arena *a = arena_new();
    *g = (struct aggregated){.a = a,
                             .name = arena_str(a, s->metadata.name),
                             .group = arena_str(a, s->spec.group),
                             .version = arena_str(a, s->spec.version),
                             .group_priority = s->spec.group_priority_minimum,
                             .version_priority = s->spec.version_priority,
                             .service_ns = arena_str(a, s->spec.service->namespace),
                             .service_name = arena_str(a, s->spec.service->name),
                             .service_port =
                                 s->spec.service->port ? *s->spec.service->port : DEFAULT_PORT,
                             .ca_pem = arena_str(a, ca),
                             .insecure = s->spec.insecure_skip_tls_verify,
                             .available = was_available(s)};
    vec_push(&state.list, g);
    timer_start(state.soon, SOON_MS, 0);
}

static void changed(struct object *o) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct api_object *decoded;
    if (api_object_decode(a, state.kind, object_json(o), &decoded, NULL) < 0) return;
    const struct apiregistration_v1_api_service *s = (void *)decoded;
    if (s->spec.service)
        take(s);
    else
        forget(s->metadata.name);
}

/* Writes from here would come before the event is told to everybody: later. */
static void on_event(void *user, const struct event *e) {
    if (e->type == EVENT_DELETED)
        forget(object_name(e->now));
    else
        changed(e->now);
    timer_start(state.soon, SOON_MS, 0);
}

static void on_definition(void *user, const struct event *e) {
    timer_start(state.soon, SOON_MS, 0);
}

static void on_turn(void *user) {
    struct api *api = user;
    uint64_t now = loop_now_ms(api->loop);
    for (size_t i = 0; i < state.list.n; i++) {
        struct aggregated *g = state.list.v[i];
        if (!g->serve && !g->probe && now >= g->next_ms) aggregation_probe(api, g);
    }
    if (state.list.n > (aggregation_find(own.group, own.version) == &own))
        timer_start(state.turn, TURN_MS, 0);
    else
        timer_stop(state.turn);
}

static void on_soon(void *user) {
    aggregation_keep_local(user);
    on_turn(user);
}

void aggregation_start(struct api *api) {
    state.api = api;
    own.resources = slice_of(metrics_api_resources);
    vec_push(&state.list, &own);
    state.kind = api_kind_by_plural("apiregistration.k8s.io", "v1", "apiservices");
    state.apiservices = state.kind ? cache_of_kind(&api->cache, state.kind) : NULL;
    if (!state.apiservices) return;
    state.turn = timer_new(api->loop, on_turn, api);
    state.soon = timer_new(api->loop, on_soon, api);
    struct key_cursor at = key_index_seek(&state.apiservices->index, SLICE(""), false);
    for (struct object *o; (o = key_index_next(&state.apiservices->index, &at));) changed(o);
    resource_listen(state.apiservices, on_event, api);
    const struct api_kind *crd =
        api_kind_by_plural("apiextensions.k8s.io", "v1", "customresourcedefinitions");
    state.definitions = crd ? cache_of_kind(&api->cache, crd) : NULL;
    if (state.definitions) resource_listen(state.definitions, on_definition, api);
    timer_start(state.soon, SOON_MS, 0);
}
