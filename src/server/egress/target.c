#include "server/egress/target.h"

#include <errno.h>

#include "base/limits.h"
#include "base/own.h"
#include "server/storage/raw.h"

enum { CANDIDATES_MAX = 1024, SLICES_SCANNED_MAX = 10000 };

/* ---- URLs ---- */

static int bad_url(struct err *err, const char *url, const char *why) {
    return err_set(err, ERR_INVALID, "parse \"%s\": %s", url, why);
}

static bool is_clean(const char *s) {
    for (; *s; s++)
        if ((unsigned char)*s <= ' ' || *s == 0x7f || *s == '\\') return false;
    return true;
}

/* host, host:port, [v6], [v6]:port; cuts *authority there. */
static bool split_authority(struct arena *a, struct slice authority, const char **ret_host,
                            uint64_t *ret_port) {
    struct slice host = authority, port = {0};
    if (memchr(authority.p, '@', authority.n)) return false;
    if (slice_starts(authority, "[")) {
        const char *end = memchr(authority.p, ']', authority.n);
        if (!end) return false;
        host = slice_from(authority.p + 1, (size_t)(end - authority.p) - 1);
        port = slice_from(end + 1, authority.n - host.n - 2);
        if (port.n && *port.p != ':') return false;
        if (port.n) port = slice_from(port.p + 1, port.n - 1);
    } else {
        port = authority;
        slice_cut(&port, ':', &host);
        if (!port.p) port = SLICE("");
    }
    if (port.n && (slice_u64(port, ret_port) < 0 || !*ret_port || *ret_port > 65535)) return false;
    *ret_host = arena_strn(a, host);
    return host.n > 0 && host.n <= LIMIT_NAME_BYTES;
}

int egress_target_url(struct arena *a, const char *url, bool plain, struct egress_target *ret,
                      struct err *err) {
    bool tls = str_starts(url, "https://");
    if (!is_clean(url)) return bad_url(err, url, "net/url: invalid control character in URL");
    if (!tls && !(plain && str_starts(url, "http://")))
        return bad_url(err, url, "unsupported protocol scheme");
    const char *rest = url + (tls ? 8 : 7);
    size_t n = strcspn(rest, "/?#");
    uint64_t port = tls ? 443 : 80;
    const char *host;
    if (!split_authority(a, slice_from(rest, n), &host, &port))
        return bad_url(err, url, "invalid host or port");
    const char *path = arena_strn(a, slice_from(rest + n, strcspn(rest + n, "#")));
    *ret = (struct egress_target){.policy = EGRESS_BY_ADMINISTRATOR,
                                  .identity = EGRESS_ANONYMOUS,
                                  .tls = tls,
                                  .port = (uint16_t)port,
                                  .host = host,
                                  .server_name = "",
                                  .ca_pem = "",
                                  .authority = arena_strn(a, slice_from(rest, n)),
                                  .path = *path == '/' ? path : arena_printf(a, "/%s", path)};
    return 0;
}

/* ---- Services ---- */

static struct object *find(struct api *api, const char *group, const char *plural, const char *ns,
                           const char *name) {
    struct resource *res = cache_of_kind(&api->cache, api_kind_by_plural(group, "v1", plural));
    return res ? resource_get(res, ns, name) : NULL;
}

static void *decode(struct arena *a, const char *group, const char *plural, struct object *o) {
    struct api_object *decoded;
    const struct api_kind *k = api_kind_by_plural(group, "v1", plural);
    return o && api_object_decode(a, k, object_json(o), &decoded, NULL) == 0 ? decoded : NULL;
}

struct candidates {
    struct {
        const char *ip;
        int32_t port;
    } v[CANDIDATES_MAX];
    size_t n;
};

static void add(struct candidates *c, const char *ip, int32_t port) {
    if (c->n == CANDIDATES_MAX || port <= 0) return;
    c->v[c->n].ip = ip;
    c->v[c->n++].port = port;
}

static void from_endpoints(struct candidates *c, const struct core_v1_endpoints *e,
                           const char *port_name) {
    for (size_t i = 0; e && i < e->subsets.n; i++) {
        const struct core_v1_endpoint_subset *s = &e->subsets.v[i];
        for (size_t p = 0; p < s->ports.n; p++) {
            if (!str_eq(s->ports.v[p].name, port_name)) continue;
            for (size_t j = 0; j < s->addresses.n; j++)
                add(c, s->addresses.v[j].ip, s->ports.v[p].port);
        }
    }
}

static void from_slice(struct candidates *c, const struct discovery_v1_endpoint_slice *s,
                       const char *port_name) {
    for (size_t p = 0; p < s->ports.n; p++) {
        if (!str_eq(s->ports.v[p].name, port_name) || !s->ports.v[p].port) continue;
        for (size_t i = 0; i < s->endpoints.n; i++) {
            const struct discovery_v1_endpoint *e = &s->endpoints.v[i];
            if (e->addresses.n && (!e->conditions.ready || *e->conditions.ready))
                add(c, e->addresses.v[0], *s->ports.v[p].port);
        }
    }
}

/* Services whose slices somebody keeps by hand have no Endpoints. */
static void from_slices(struct api *api, struct arena *a, struct candidates *c, const char *ns,
                        const char *service, const char *port_name) {
    const struct api_kind *k = api_kind_by_plural("discovery.k8s.io", "v1", "endpointslices");
    struct resource *res = k ? cache_of_kind(&api->cache, k) : NULL;
    if (!res) return;
    const char *prefix = arena_printf(a, "%s/", ns);
    struct key_cursor at = key_index_seek(&res->index, slice_of(prefix), false);
    struct object *o;
    for (int i = 0; i < SLICES_SCANNED_MAX && (o = key_index_next(&res->index, &at)); i++) {
        struct slice labels, value;
        struct api_object *decoded;
        if (!str_starts(o->key, prefix)) break;
        if (!raw_path(object_json(o), "metadata.labels", &labels) ||
            !raw_get(labels, "kubernetes.io/service-name", &value) ||
            !str_eq(raw_string(a, value), service))
            continue;
        if (api_object_decode(a, k, object_json(o), &decoded, NULL) == 0)
            from_slice(c, (void *)decoded, port_name);
    }
}

/* One of the ready endpoints of a Service's port, in turn. */
static int pick(struct api *api, struct arena *a, const char *ns, const char *name,
                const char *port_name, struct egress_target *ret, struct err *err) {
    static unsigned turn;
    struct candidates *c = ARENA_NEW(a, struct candidates);
    from_endpoints(c, decode(a, "", "endpoints", find(api, "", "endpoints", ns, name)), port_name);
    if (!c->n) from_slices(api, a, c, ns, name, port_name);
    if (!c->n)
        return err_set(err, ERR_UNAVAILABLE, "no endpoints available for service \"%s\"", name);
    size_t i = turn++ % c->n;
    ret->host = c->v[i].ip;
    ret->port = (uint16_t)c->v[i].port;
    return 0;
}

static const struct core_v1_service *service_of(struct api *api, struct arena *a, const char *ns,
                                                const char *name, struct err *err) {
    const struct core_v1_service *s =
        decode(a, "", "services", find(api, "", "services", ns, name));
    if (!s) err_set(err, ERR_NOT_FOUND, "services \"%s\" not found", name);
    return s;
}

int egress_target_service(struct api *api, struct arena *a, const char *ns, const char *name,
                          int32_t port, const char *path, struct egress_target *ret,
                          struct err *err) {
    const struct core_v1_service *s = service_of(api, a, ns, name, err);
    if (!s) return -ENOENT;
    struct egress_target t = {.policy = EGRESS_BY_TENANT,
                              .identity = EGRESS_ANONYMOUS,
                              .tls = true,
                              .server_name = arena_printf(a, "%s.%s.svc", name, ns),
                              .ca_pem = "",
                              .path = *str_or(path, "/") == '/' ? str_or(path, "/")
                                                                : arena_printf(a, "/%s", path)};
    t.authority = arena_printf(a, "%s:%d", t.server_name, port);
    if (str_eq(s->spec.type, "ExternalName")) {
        t.host = s->spec.external_name;
        t.port = (uint16_t)port;
        *ret = t;
        return 0;
    }
    const struct core_v1_service_port *p = NULL;
    for (size_t i = 0; i < s->spec.ports.n; i++)
        if (s->spec.ports.v[i].port == port && !str_eq(s->spec.ports.v[i].protocol, "UDP"))
            p = &s->spec.ports.v[i];
    if (!p)
        return err_set(err, ERR_UNAVAILABLE, "no service port %d found for service \"%s\"", port,
                       name);
    int r = pick(api, a, ns, name, p->name, &t, err);
    if (r == 0) *ret = t;
    return r;
}

/* Port by name, by number, or the only one. */
static const struct core_v1_service_port *port_of(const struct core_v1_service *s,
                                                  const char *port) {
    uint64_t number = 0;
    bool is_number = slice_u64(slice_of(port), &number) == 0;
    if (!*port) return s->spec.ports.n == 1 ? &s->spec.ports.v[0] : NULL;
    for (size_t i = 0; i < s->spec.ports.n; i++) {
        const struct core_v1_service_port *p = &s->spec.ports.v[i];
        if (str_eq(p->name, port) || (is_number && (uint64_t)p->port == number)) return p;
    }
    return NULL;
}

int egress_target_endpoint(struct api *api, struct arena *a, const char *ns, const char *name,
                           const char *port, struct egress_target *ret, struct err *err) {
    const struct core_v1_service *s = service_of(api, a, ns, name, err);
    if (!s) return -ENOENT;
    const struct core_v1_service_port *p = port_of(s, port);
    if (!p) return err_set(err, ERR_UNAVAILABLE, "no endpoints available for service \"%s\"", name);
    struct egress_target t = {.policy = EGRESS_BY_TENANT,
                              .identity = EGRESS_ANONYMOUS,
                              .server_name = "",
                              .ca_pem = "",
                              .authority = "",
                              .path = "/"};
    if (str_eq(s->spec.type, "ExternalName")) {
        t.host = s->spec.external_name;
        t.port = (uint16_t)p->port;
        *ret = t;
        return 0;
    }
    int r = pick(api, a, ns, name, p->name, &t, err);
    if (r == 0) *ret = t;
    return r;
}

struct egress_prelude egress_target_prelude(const struct egress_target *t, uint32_t timeout_ms) {
    return (struct egress_prelude){.policy = (uint8_t)t->policy,
                                   .identity = (uint8_t)t->identity,
                                   .tls = t->tls,
                                   .insecure = t->insecure,
                                   .port = t->port,
                                   .timeout_ms = MIN_OF(timeout_ms, EGRESS_TIMEOUT_MAX_MS),
                                   .host = t->host,
                                   .server_name = t->server_name,
                                   .ca_pem = t->ca_pem};
}

const char *egress_target_text(struct arena *a, const struct egress_target *t) {
    return arena_printf(a, "%s://%s%s", t->tls ? "https" : "http", t->authority, t->path);
}
