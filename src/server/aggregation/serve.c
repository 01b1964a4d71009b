/* Requests for aggregated APIs on their way to the servers, and what discovery says of these. */
#include "api/patch/patch.h"
#include "base/map.h"
#include "base/own.h"
#include "proto/json.h"
#include "server/aggregation/aggregation.h"

enum { DIAL_MS = 30 * 1000 };

/* ---- who asks ---- */

/* A key of extra in a header name: what HTTP does not allow there is percent-encoded. */
static const char *extra_name(struct arena *a, const char *key) {
    static const char fine[] = "!#$&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz";
    OWN(buf_done) struct buf b = {0};
    buf_str(&b, "x-remote-extra-");
    for (; *key; key++) {
        char c = *key >= 'A' && *key <= 'Z' ? (char)(*key | 32) : *key;
        if (strchr(fine, c))
            buf_char(&b, c);
        else
            buf_printf(&b, "%%%02x", (unsigned char)c);
    }
    return arena_strn(a, buf_view(&b));
}

static struct http_headers identity(struct call *c) {
    size_t max = 4 + c->user.groups.n, n = 0;
    for (size_t i = 0; i < c->user.extra.n; i++) max += c->user.extra.v[i].value.n;
    struct http_header *v = ARENA_ARRAY(c->a, struct http_header, max);
    v[n++] = (struct http_header){"x-remote-user", c->user.name};
    if (!str_empty(c->user.uid)) v[n++] = (struct http_header){"x-remote-uid", c->user.uid};
    for (size_t i = 0; i < c->user.groups.n; i++)
        v[n++] = (struct http_header){"x-remote-group", c->user.groups.v[i]};
    for (size_t i = 0; i < c->user.extra.n; i++) {
        const char *name = extra_name(c->a, c->user.extra.v[i].key);
        for (size_t j = 0; j < c->user.extra.v[i].value.n; j++)
            v[n++] = (struct http_header){name, c->user.extra.v[i].value.v[j]};
    }
    const char *from = c->r->peer->kind == PEER_TLS ? c->r->peer->address : "127.0.0.1";
    v[n++] = (struct http_header){"x-forwarded-for", from};
    return (struct http_headers){v, n};
}

/* ---- the hand-over ---- */

/* /apis/GROUP/VERSION… and /openapi/v3/apis/GROUP/VERSION. */
static struct aggregated *wanted(const struct call *c) {
    size_t n;
    aggregation_list(&n);
    if (!n) return NULL;
    if (c->route.is_resource) return aggregation_find(c->route.group, c->route.version);
    const char *path = c->r->path;
    if (str_starts(path, "/openapi/v3/apis/"))
        path += strlen("/openapi/v3/apis/");
    else if (str_starts(path, "/apis/"))
        path += strlen("/apis/");
    else
        return NULL;
    struct slice left = slice_of(path), group = SLICE(""), version = SLICE("");
    slice_cut(&left, '/', &group);
    if (left.p) slice_cut(&left, '/', &version);
    return aggregation_find(arena_strn(c->a, group), arena_strn(c->a, version));
}

static void unavailable(struct call *c) {
    struct failure f = {.message = "service unavailable"};
    reply_failure(c, ERR_UNAVAILABLE, &f);
}

bool aggregation_handle(struct call *c) {
    struct aggregated *g = wanted(c);
    struct egress_target t;
    struct err err = {0};
    if (!g) return false;
    if (g->serve) {
        g->serve(c);
        return true;
    }
    if (!g->available || aggregation_target(c->api, c->a, g, "/", &t, &err) < 0) {
        unavailable(c);
        return true;
    }
    OWN(buf_done) struct buf prelude = {0};
    struct egress_prelude p = egress_target_prelude(&t, DIAL_MS);
    egress_prelude_pack(&prelude, &p);
    struct http_headers extra = identity(c);
    request_proxy_to(c->r, &(struct proxy_plan){.socket_path = "egress.sock",
                                                .target = c->r->target,
                                                .extra = &extra,
                                                .prelude = buf_view(&prelude),
                                                .host = t.authority,
                                                .trouble = "error trying to reach service: "});
    return true;
}

/* ---- discovery ---- */

static const char *text_of(const json_t *o, const char *key) {
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

static void put_raw(struct buf *b, const char *key, const json_t *v) {
    char *text = v ? json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    if (text) buf_printf(b, ",\"%s\":%s", key, text);
    free(text);
}

static void put_kind(struct buf *b, const struct aggregated *g, const json_t *r) {
    const char *group = text_of(r, "group"), *version = text_of(r, "version");
    buf_str(b, ",\"responseKind\":{\"group\":");
    buf_json_str(b, slice_of(*version ? group : g->group));
    buf_str(b, ",\"version\":");
    buf_json_str(b, slice_of(*version ? version : g->version));
    buf_str(b, ",\"kind\":");
    buf_json_str(b, slice_of(text_of(r, "kind")));
    buf_char(b, '}');
}

/* The subresources of `name` among all resources: "name/…". */
static void put_subresources(struct buf *b, const struct aggregated *g, const json_t *all,
                             const char *name) {
    size_t i, n = strlen(name);
    const json_t *r;
    bool first = true;
    json_array_foreach(all, i, r) {
        const char *full = text_of(r, "name");
        if (strncmp(full, name, n) != 0 || full[n] != '/') continue;
        buf_str(b, first ? ",\"subresources\":[{\"subresource\":" : ",{\"subresource\":");
        buf_json_str(b, slice_of(full + n + 1));
        put_kind(b, g, r);
        put_raw(b, "verbs", json_object_get(r, "verbs"));
        buf_char(b, '}');
        first = false;
    }
    if (!first) buf_char(b, ']');
}

static void put_resource(struct buf *b, const struct aggregated *g, const json_t *all,
                         const json_t *r) {
    buf_str(b, "{\"resource\":");
    buf_json_str(b, slice_of(text_of(r, "name")));
    put_kind(b, g, r);
    buf_printf(b, ",\"scope\":\"%s\",\"singularResource\":",
               json_is_true(json_object_get(r, "namespaced")) ? "Namespaced" : "Cluster");
    buf_json_str(b, slice_of(text_of(r, "singularName")));
    put_raw(b, "verbs", json_object_get(r, "verbs"));
    put_raw(b, "shortNames", json_object_get(r, "shortNames"));
    put_raw(b, "categories", json_object_get(r, "categories"));
    put_subresources(b, g, all, text_of(r, "name"));
    buf_char(b, '}');
}

void aggregation_put_version(struct buf *b, const struct aggregated *g) {
    OWN(json_decref_p) json_t *root = NULL;
    bool first = true;
    buf_str(b, "{\"version\":");
    buf_json_str(b, slice_of(g->version));
    buf_str(b, ",\"resources\":[");
    if (g->resources.n && json_parse(g->resources, &root, NULL) == 0) {
        const json_t *all = json_object_get(root, "resources"), *r;
        size_t i;
        json_array_foreach(all, i, r) {
            if (!*text_of(r, "name") || strchr(text_of(r, "name"), '/')) continue;
            if (!first) buf_char(b, ',');
            first = false;
            put_resource(b, g, all, r);
        }
    }
    buf_printf(b, "],\"freshness\":\"%s\"}", g->available ? "Current" : "Stale");
}

/* What a server says of itself may change without a change of what it serves, and nobody tells: its
 * list of resources stands for the document. */
void aggregation_put_openapi_paths(struct buf *b) {
    size_t n;
    struct aggregated *const *all = aggregation_list(&n);
    for (size_t i = 0; i < n; i++) {
        const struct aggregated *g = all[i];
        if (!g->available) continue;
        buf_printf(b,
                   ",\"apis/%s/%s\":{\"serverRelativeURL\":\"/openapi/v3/apis/%s/%s?hash="
                   "%016llX\"}",
                   g->group, g->version, g->group, g->version,
                   (unsigned long long)map_hash(g->resources));
    }
}
