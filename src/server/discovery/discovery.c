/*
 * /api, /apis and below them: which groups, versions, kinds and subresources there are, in the
 * plain form and in the aggregated one (apidiscovery.k8s.io v2, v2beta1). All of it is written from
 * the kind tables.
 */
#include "base/own.h"
#include "server/aggregation/aggregation.h"
#include "server/api.h"
#include "server/discovery/groups.h"
#include "server/discovery/index.h"
#include "server/discovery/tagged.h"

/* ---- what a kind offers ---- */

struct offer {
    const char *sub; /* "" = the resource itself */
    const char *group, *version, *kind;
    const char *verbs; /* a JSON array */
};

enum { OFFERS_MAX = 32 }; /* more than any kind has; custom ones have three at most */
#define VERBS_ONE_BY_ONE "[\"create\",\"delete\",\"get\",\"list\",\"patch\",\"update\",\"watch\"]"
#define ALL_VERBS                                                                                  \
    "[\"create\",\"delete\",\"deletecollection\",\"get\",\"list\",\"patch\",\"update\",\"watch\"]"

static const struct offer special[] = {
    {"log", "", "v1", "Pod", "[\"get\"]"},
    {"exec", "", "v1", "PodExecOptions", "[\"create\",\"get\"]"},
    {"attach", "", "v1", "PodAttachOptions", "[\"create\",\"get\"]"},
    {"portforward", "", "v1", "PodPortForwardOptions", "[\"create\",\"get\"]"},
    {"proxy", "", "v1", NULL, "[\"create\",\"delete\",\"get\",\"patch\",\"update\"]"},
    {"binding", "", "v1", "Binding", "[\"create\"]"},
    {"eviction", "policy", "v1", "Eviction", "[\"create\"]"},
    {"token", "authentication.k8s.io", "v1", "TokenRequest", "[\"create\"]"},
    {"finalize", "", "v1", "Namespace", "[\"update\"]"},
    {"ephemeralcontainers", "", "v1", "Pod", "[\"get\",\"patch\",\"update\"]"},
    {"resize", "", "v1", "Pod", "[\"get\",\"patch\",\"update\"]"},
    {"approval", "certificates.k8s.io", "v1", "CertificateSigningRequest",
     "[\"get\",\"patch\",\"update\"]"},
    {"scale", "autoscaling", "v1", "Scale", "[\"get\",\"patch\",\"update\"]"},
};

static const char *proxy_options(const struct api_kind *k) {
    if (str_eq(k->kind, "Pod")) return "PodProxyOptions";
    return str_eq(k->kind, "Node") ? "NodeProxyOptions" : "ServiceProxyOptions";
}

static size_t offers(const struct api_kind *k, struct offer *ret, size_t max) {
    size_t n = 0;
    bool virtual = k->flags & API_VIRTUAL;
    const char *verbs = k->flags & API_READ_ONLY              ? "[\"get\",\"list\"]"
                        : virtual                             ? "[\"create\"]"
                        : k->flags & API_NO_COLLECTION_DELETE ? VERBS_ONE_BY_ONE
                                                              : ALL_VERBS;
    ret[n++] = (struct offer){"", k->group, k->version, k->kind, verbs};
    if (k->flags & API_HAS_STATUS)
        ret[n++] = (struct offer){"status", k->group, k->version, k->kind,
                                  "[\"get\",\"patch\",\"update\"]"};
    if (k->flags & API_HAS_SCALE) ret[n++] = special[ARRAY_LEN(special) - 1];
    for (const char *const *s = k->subresources; s && *s && n < max; s++)
        for (size_t i = 0; i + 1 < ARRAY_LEN(special) && n < max; i++)
            if (str_eq(special[i].sub, *s)) {
                ret[n] = special[i];
                if (!ret[n].kind) ret[n].kind = proxy_options(k);
                n++;
            }
    return n;
}

static void put_strings(struct buf *b, const char *key, const char *const *v) {
    if (!v || !*v) return;
    buf_printf(b, ",\"%s\":[", key);
    for (size_t i = 0; v[i]; i++) {
        if (i) buf_char(b, ',');
        buf_json_str(b, slice_of(v[i]));
    }
    buf_char(b, ']');
}

/* ---- plain ---- */

static void put_resource(struct buf *b, const struct api_kind *k, const struct offer *o) {
    bool own = !*o->sub;
    buf_printf(b, "{\"name\":\"%s%s%s\",\"singularName\":\"%s\",\"namespaced\":%s", k->plural,
               own ? "" : "/", o->sub, own ? k->singular : "",
               k->flags & API_NAMESPACED ? "true" : "false");
    if (!str_eq(o->group, k->group) || !str_eq(o->version, k->version))
        buf_printf(b, ",\"group\":\"%s\",\"version\":\"%s\"", o->group, o->version);
    buf_printf(b, ",\"kind\":\"%s\",\"verbs\":%s", o->kind, o->verbs);
    if (own) put_strings(b, "shortNames", k->short_names);
    if (own) put_strings(b, "categories", k->categories);
    buf_char(b, '}');
}

static bool resource_list(struct call *c, const char *group, const char *version) {
    size_t n;
    bool found = false;
    const struct api_kind *const *kinds = api_kinds(&n);
    OWN(buf_done) struct buf b = {0};
    buf_printf(&b,
               "{\"kind\":\"APIResourceList\",\"apiVersion\":\"v1\",\"groupVersion\":\"%s\","
               "\"resources\":[",
               discovery_group_version(c->a, group, version));
    for (size_t i = 0; i < n; i++) {
        if (!str_eq(kinds[i]->group, group) || !str_eq(kinds[i]->version, version)) continue;
        struct offer list[OFFERS_MAX];
        size_t n_offers = offers(kinds[i], list, ARRAY_LEN(list));
        for (size_t j = 0; j < n_offers; j++) {
            if (found) buf_char(&b, ',');
            found = true;
            put_resource(&b, kinds[i], &list[j]);
        }
    }
    buf_str(&b, "]}\n");
    if (found) reply_json(c, 200, buf_view(&b));
    return found;
}

static void put_group(struct buf *b, struct arena *a, const char *group) {
    struct str_list v = discovery_versions(a, group);
    buf_printf(b, "\"name\":\"%s\",\"versions\":[", group);
    for (size_t i = 0; i < v.n; i++)
        buf_printf(b, "%s{\"groupVersion\":\"%s\",\"version\":\"%s\"}", i ? "," : "",
                   discovery_group_version(a, group, v.v[i]), v.v[i]);
    buf_printf(b, "],\"preferredVersion\":{\"groupVersion\":\"%s\",\"version\":\"%s\"}",
               discovery_group_version(a, group, v.v[0]), v.v[0]);
}

static void group_list(struct call *c) {
    struct str_list g = discovery_groups(c->a);
    OWN(buf_done) struct buf b = {0};
    buf_str(&b, "{\"kind\":\"APIGroupList\",\"apiVersion\":\"v1\",\"groups\":[");
    for (size_t i = 0; i < g.n; i++) {
        buf_str(&b, i ? ",{" : "{");
        put_group(&b, c->a, g.v[i]);
        buf_char(&b, '}');
    }
    buf_str(&b, "]}\n");
    reply_json(c, 200, buf_view(&b));
}

static bool one_group(struct call *c, const char *group) {
    if (!*group || !discovery_knows(group)) return false;
    OWN(buf_done) struct buf b = {0};
    buf_str(&b, "{\"kind\":\"APIGroup\",\"apiVersion\":\"v1\",");
    put_group(&b, c->a, group);
    buf_str(&b, "}\n");
    reply_json(c, 200, buf_view(&b));
    return true;
}

static void core_versions(struct call *c) {
    OWN(buf_done) struct buf b = {0};
    buf_str(&b, "{\"kind\":\"APIVersions\",\"versions\":[\"v1\"],"
                "\"serverAddressByClientCIDRs\":[{\"clientCIDR\":\"0.0.0.0/0\",\"serverAddress\":");
    buf_json_str(&b, slice_of(str_or(c->api->settings->listen, "")));
    buf_str(&b, "}]}\n");
    reply_json(c, 200, buf_view(&b));
}

/* ---- aggregated ---- */

static void put_subresource(struct buf *b, const struct offer *o) {
    buf_printf(b,
               "{\"subresource\":\"%s\",\"responseKind\":{\"group\":\"%s\",\"version\":\"%s\","
               "\"kind\":\"%s\"},\"verbs\":%s}",
               o->sub, o->group, o->version, o->kind, o->verbs);
}

static void put_aggregated_kind(struct buf *b, const struct api_kind *k) {
    struct offer list[OFFERS_MAX];
    size_t n = offers(k, list, ARRAY_LEN(list));
    buf_printf(b,
               "{\"resource\":\"%s\",\"responseKind\":{\"group\":\"%s\",\"version\":\"%s\","
               "\"kind\":\"%s\"},\"scope\":\"%s\",\"singularResource\":\"%s\",\"verbs\":%s",
               k->plural, k->group, k->version, k->kind,
               k->flags & API_NAMESPACED ? "Namespaced" : "Cluster", k->singular, list[0].verbs);
    put_strings(b, "shortNames", k->short_names);
    put_strings(b, "categories", k->categories);
    for (size_t i = 1; i < n; i++) {
        buf_str(b, i > 1 ? "," : ",\"subresources\":[");
        put_subresource(b, &list[i]);
    }
    buf_str(b, n > 1 ? "]}" : "}");
}

static void put_aggregated_group(struct buf *b, struct arena *a, const char *group) {
    struct str_list v = discovery_versions(a, group);
    size_t n;
    const struct api_kind *const *kinds = api_kinds(&n);
    buf_str(b, "{\"metadata\":{");
    if (*group) buf_printf(b, "\"name\":\"%s\",", group);
    buf_str(b, "\"creationTimestamp\":null},\"versions\":[");
    for (size_t i = 0; i < v.n; i++) {
        const struct aggregated *remote = aggregation_find(group, v.v[i]);
        if (remote) {
            buf_str(b, i ? "," : "");
            aggregation_put_version(b, remote);
            continue;
        }
        buf_printf(b, "%s{\"version\":\"%s\",\"resources\":[", i ? "," : "", v.v[i]);
        bool first = true;
        for (size_t j = 0; j < n; j++) {
            if (!str_eq(kinds[j]->group, group) || !str_eq(kinds[j]->version, v.v[i])) continue;
            if (!first) buf_char(b, ',');
            first = false;
            put_aggregated_kind(b, kinds[j]);
        }
        buf_str(b, "],\"freshness\":\"Current\"}");
    }
    buf_str(b, "]}");
}

/* The version of the aggregated form that Accept prefers; NULL: the plain form. */
static const char *aggregated_version(const struct call *c) {
    struct slice left = slice_of(http_header(&c->r->headers, "accept")), one;
    while (slice_cut(&left, ',', &one)) {
        char text[256] = "";
        memcpy(text, one.p, MIN_OF(one.n, sizeof text - 1));
        if (!strstr(text, "as=APIGroupDiscoveryList")) {
            if (strstr(text, "application/json") || strstr(text, "*/*")) return NULL;
            continue;
        }
        if (strstr(text, "v=v2beta1")) return "v2beta1";
        if (strstr(text, "v=v2")) return "v2";
    }
    return NULL;
}

static void aggregated(struct call *c, const char *version, bool core) {
    struct str_list g = {0};
    if (core)
        *ARENA_PUSH(c->a, &g) = "";
    else
        g = discovery_groups(c->a);
    OWN(buf_done) struct buf b = {0};
    buf_printf(&b,
               "{\"kind\":\"APIGroupDiscoveryList\",\"apiVersion\":\"apidiscovery.k8s.io/%s\","
               "\"metadata\":{},\"items\":[",
               version);
    for (size_t i = 0; i < g.n; i++) {
        if (i) buf_char(&b, ',');
        put_aggregated_group(&b, c->a, g.v[i]);
    }
    buf_str(&b, "]}\n");
    const char *type = arena_printf(
        c->a, "application/json;g=apidiscovery.k8s.io;v=%s;as=APIGroupDiscoveryList", version);
    reply_tagged(c, type, buf_view(&b));
}

static bool below(struct call *c, const char *path, bool core) {
    struct slice left = slice_of(path), group = SLICE(""), version = SLICE(""), extra;
    if (!core) slice_cut(&left, '/', &group);
    if (left.p) slice_cut(&left, '/', &version);
    if (left.p && slice_cut(&left, '/', &extra) && extra.n) return false;
    const char *g = arena_strn(c->a, group), *v = arena_strn(c->a, version);
    if (!core && !*v) return one_group(c, g);
    return resource_list(c, g, v);
}

bool discovery_handle(struct call *c) {
    const char *path = c->r->path;
    if (!str_eq(c->route.verb, "get") && !str_eq(c->route.verb, "head")) return false;
    bool core = str_eq(path, "/api") || str_eq(path, "/api/");
    bool named = str_eq(path, "/apis") || str_eq(path, "/apis/");
    if (core || named) {
        const char *version = aggregated_version(c);
        if (version)
            aggregated(c, version, core);
        else if (core)
            core_versions(c);
        else
            group_list(c);
        return true;
    }
    if (str_eq(path, "/") || str_eq(path, "/index.html")) {
        discovery_index(c);
        return true;
    }
    if (str_starts(path, "/apis/")) return below(c, path + 6, false);
    if (str_starts(path, "/api/")) return below(c, path + 5, true);
    return openapi_handle(c) || issuer_handle(c);
}
