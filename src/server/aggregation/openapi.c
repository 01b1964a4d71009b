/*
 * What aggregated APIs add to /openapi/v2: each server's document is asked for after a look that
 * found it available, at most once a minute, and read only when it has changed. That of a server
 * which cannot be asked, or says what makes no sense, stays as it was.
 */
#include <stdlib.h>

#include "api/openapi/openapi.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/map.h"
#include "base/own.h"
#include "server/aggregation/aggregation.h"
#include "server/metrics/metrics_api.h"

enum { ASK_EVERY_MS = 60 * 1000, ASK_TIMEOUT_MS = 10 * 1000 };

struct aggregated_openapi {
    struct aggregated *g;
    struct api *api;
    struct egress_call *call; /* NULL: none is under way */
    uint64_t next_ms;
    uint64_t hash; /* of the document as it came; 0: none was read */
    struct buf paths, definitions;
};

static size_t kept_bytes(const struct aggregated *but) {
    size_t n, sum = 0;
    struct aggregated *const *all = aggregation_list(&n);
    for (size_t i = 0; i < n; i++)
        if (all[i] != but && all[i]->openapi)
            sum += all[i]->openapi->paths.n + all[i]->openapi->definitions.n;
    return sum;
}

static void read_document(struct aggregated_openapi *o, struct slice document) {
    uint64_t hash = map_hash(document) | 1;
    OWN(buf_done) struct buf paths = {0}, definitions = {0};
    struct err err;
    if (hash == o->hash) return;
    o->hash = hash;
    int rc = openapi_part_read(document, o->g->group, o->g->version, &paths, &definitions, &err);
    if (rc == 0 && kept_bytes(o->g) + paths.n + definitions.n > LIMIT_AGGREGATED_OPENAPI_BYTES)
        rc = err_set(&err, ERR_FORBIDDEN, "the documents of all aggregated APIs are too large");
    if (rc < 0) {
        log_warn("aggregated_openapi_refused", "apiservice=%s reason=\"%s\"", o->g->name, err.text);
        return;
    }
    buf_done(&o->paths);
    buf_done(&o->definitions);
    o->paths = paths;
    o->definitions = definitions;
    paths = definitions = (struct buf){0};
}

static void on_document(void *user, const struct egress_result *r) {
    struct aggregated_openapi *o = user;
    o->call = NULL;
    o->next_ms = loop_now_ms(o->api->loop) + ASK_EVERY_MS;
    if (r->err.reason == ERR_NONE && r->status == 200) read_document(o, r->body);
}

void aggregation_openapi_ask(struct api *api, struct aggregated *g) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct egress_target t;
    struct err err = {0};
    if (!g->openapi) g->openapi = calloc(1, sizeof *g->openapi);
    struct aggregated_openapi *o = g->openapi;
    if (!o) abort();
    if (o->call || loop_now_ms(api->loop) < o->next_ms ||
        aggregation_target(api, a, g, "/openapi/v2", &t, &err) < 0)
        return;
    struct http_header v[] = {{"accept", "application/json"},
                              {"x-remote-user", "system:aggregator"},
                              {"x-remote-group", "system:masters"}};
    o->g = g;
    o->api = api;
    o->call = egress_call(api,
                          &(struct egress_request){.target = &t,
                                                   .method = "GET",
                                                   .headers = &(struct http_headers){v, 3},
                                                   .timeout_ms = ASK_TIMEOUT_MS,
                                                   .max_body_bytes = LIMIT_OPENAPI_BYTES},
                          on_document, o);
}

void aggregation_openapi_forget(struct aggregated *g) {
    struct aggregated_openapi *o = g->openapi;
    if (!o) return;
    egress_call_cancel(o->call);
    buf_done(&o->paths);
    buf_done(&o->definitions);
    free(o);
    g->openapi = NULL;
}

size_t aggregation_openapi_parts(struct arena *a, struct openapi_part **ret) {
    size_t n, kept = 0;
    struct aggregated *const *all = aggregation_list(&n);
    *ret = ARENA_ARRAY(a, struct openapi_part, n + 1);
    for (size_t i = 0; i < n; i++) {
        const struct aggregated *g = all[i];
        struct openapi_part part = {0};
        if (g->serve)
            part = metrics_api_openapi_v2();
        else if (g->available && g->openapi)
            part = (struct openapi_part){buf_view(&g->openapi->paths),
                                         buf_view(&g->openapi->definitions)};
        if (part.definitions.n) (*ret)[kept++] = part;
    }
    return kept;
}
