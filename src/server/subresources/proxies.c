#include "server/subresources/proxies.h"

#include "base/own.h"
#include "server/egress/target.h"
#include "server/subresources/connect.h"

enum { DIAL_MS = 30 * 1000, NODE_PORT = 10250 };

/* ---- names and paths ---- */

static bool is_scheme(const char *s) { return !*s || str_eq(s, "http") || str_eq(s, "https"); }

bool proxied_name_parse(struct arena *a, const char *text, struct proxied_name *ret) {
    struct slice left = slice_of(text), part;
    const char *v[3] = {"", "", ""};
    size_t n = 0;
    while (n < 3 && slice_cut(&left, ':', &part)) v[n++] = arena_strn(a, part);
    if (left.p) return false;
    *ret = (struct proxied_name){"", v[0], v[1]};
    if (n == 3) *ret = (struct proxied_name){v[0], v[1], v[2]};
    return *ret->name && is_scheme(ret->scheme);
}

const char *proxied_rest(const char *target, size_t skip) {
    const char *p = target;
    for (size_t i = 0; i < skip; i++) {
        while (*p == '/') p++;
        while (*p && *p != '/' && *p != '?') p++;
    }
    return p;
}

/* ---- on the way out ---- */

struct proxying {
    struct egress_target target;
    const char *prefix; /* of links; NULL for nodes */
};

static void bad(struct call *c, const char *message) {
    reply_failure(c, ERR_BAD_REQUEST, &(struct failure){.message = message});
}

/* Links in pages are relative to the path: it needs its final slash. */
static bool redirected(struct call *c, const char *rest) {
    bool reads = str_eq(c->r->method, "GET") || str_eq(c->r->method, "HEAD");
    if (*rest == '/' || !reads) return false;
    size_t n = strcspn(c->r->target, "?");
    struct http_header v[] = {
        {"location", arena_printf(c->a, "%.*s/%s", (int)n, c->r->target, c->r->target + n)}};
    request_respond(c->r, 301, "text/plain", SLICE(""), &(struct http_headers){v, 1});
    return true;
}

static struct http_headers forwarded_headers(struct call *c, const char *prefix) {
    const char *before = http_header(&c->r->headers, "x-forwarded-for");
    const char *from = c->r->peer->kind == PEER_TLS ? c->r->peer->address : "127.0.0.1";
    struct http_header *v = ARENA_ARRAY(c->a, struct http_header, 4);
    size_t n = 0;
    v[n++] = (struct http_header){"x-forwarded-for",
                                  before ? arena_printf(c->a, "%s, %s", before, from) : from};
    v[n++] =
        (struct http_header){"x-forwarded-uri", arena_printf(c->a, "%s%s", prefix, c->route.rest)};
    v[n++] =
        (struct http_header){"x-forwarded-host", str_or(http_header(&c->r->headers, "host"), "")};
    v[n++] = (struct http_header){"x-forwarded-proto", "https"};
    return (struct http_headers){v, n};
}

static void go_out(struct call *c, void *user) {
    struct proxying *p = user;
    const char *rest = proxied_rest(c->r->target, 7);
    if (redirected(c, rest)) return;
    OWN(buf_done) struct buf prelude = {0};
    struct egress_prelude pre = egress_target_prelude(&p->target, DIAL_MS);
    egress_prelude_pack(&prelude, &pre);
    const char *host = arena_printf(c->a, strchr(p->target.host, ':') ? "[%s]:%u" : "%s:%u",
                                    p->target.host, (unsigned)p->target.port);
    struct http_headers extra = forwarded_headers(c, p->prefix);
    request_proxy_to(
        c->r, &(struct proxy_plan){.socket_path = "egress.sock",
                                   .target = *rest == '/' ? rest : arena_printf(c->a, "/%s", rest),
                                   .extra = &extra,
                                   .prelude = buf_view(&prelude),
                                   .host = host,
                                   .trouble = "error trying to reach service: ",
                                   .prefix = p->prefix});
}

/* "/api/v1/namespaces/NS/pods/NAME/proxy", as sent. */
static const char *prefix_of(struct call *c) {
    const char *end = proxied_rest(c->r->target, 7);
    return arena_strn(c->a, slice_from(c->r->target, (size_t)(end - c->r->target)));
}

static void start(struct call *c, const struct egress_target *t, const struct proxied_name *n,
                  const char *ns) {
    struct proxying *p = ARENA_NEW(c->a, struct proxying);
    p->target = *t;
    p->target.tls = str_eq(n->scheme, "https");
    p->target.insecure = true; /* nobody knows whom its certificate should name; as upstream */
    p->prefix = prefix_of(c);
    connect_admit(c, ns, n->name, go_out, p);
}

/* ---- what is named ---- */

static void proxy_service(struct call *c, const struct proxied_name *n) {
    struct egress_target t;
    struct err err = {0};
    if (egress_target_endpoint(c->api, c->a, c->route.ns, n->name, n->port, &t, &err) == 0)
        start(c, &t, n, c->route.ns);
    else if (err.reason == ERR_NOT_FOUND)
        reply_not_found(c, n->name);
    else
        reply_failure(c, err.reason, &(struct failure){.message = err.text});
}

/* A number, or the name of a container's port; "" = the first of the first container that has one.
 * 0: no such port. */
static uint16_t pod_port(const struct core_v1_pod *pod, const char *port) {
    uint64_t number;
    if (*port && slice_u64(slice_of(port), &number) == 0)
        return number > 0 && number <= 65535 ? (uint16_t)number : 0;
    for (size_t i = 0; i < pod->spec.containers.n; i++) {
        const struct core_v1_container *ct = &pod->spec.containers.v[i];
        for (size_t j = 0; j < ct->ports.n; j++)
            if (!*port || str_eq(ct->ports.v[j].name, port))
                return (uint16_t)ct->ports.v[j].container_port;
    }
    return *port ? 0 : 80;
}

static void proxy_pod(struct call *c, const struct proxied_name *n) {
    struct object *o = resource_get(c->resource, c->route.ns, n->name);
    struct api_object *decoded;
    struct err err;
    if (!o) {
        reply_not_found(c, n->name);
        return;
    }
    if (api_object_decode(c->a, c->kind, object_json(o), &decoded, &err) < 0) {
        reply_error(c, &err);
        return;
    }
    const struct core_v1_pod *pod = (void *)decoded;
    struct egress_target t = {.policy = EGRESS_BY_TENANT,
                              .identity = EGRESS_ANONYMOUS,
                              .server_name = "",
                              .ca_pem = "",
                              .host = pod->status.pod_ip,
                              .port = pod_port(pod, n->port)};
    if (str_empty(t.host))
        bad(c, "address not allowed");
    else if (!t.port)
        bad(c, arena_printf(c->a, "no port named \"%s\" in pod \"%s\"", n->port, n->name));
    else
        start(c, &t, n, c->route.ns);
}

/* ---- nodes: the node's own server, whatever port is asked for ---- */

static void go_node(struct call *c, void *user) {
    const char *rest = proxied_rest(c->r->target, 5);
    request_proxy_to(
        c->r, &(struct proxy_plan){.socket_path = "node.sock",
                                   .target = *rest == '/' ? rest : arena_printf(c->a, "/%s", rest),
                                   .trouble = "error trying to reach service: "});
}

static void proxy_node(struct call *c, const struct proxied_name *n) {
    uint64_t port = NODE_PORT;
    if (!resource_get(c->resource, "", n->name)) {
        reply_not_found(c, n->name);
        return;
    }
    if (*n->port && (slice_u64(slice_of(n->port), &port) < 0 || port != NODE_PORT)) {
        bad(c, arena_printf(c->a, "node %s serves port %d only", n->name, NODE_PORT));
        return;
    }
    if (!str_eq(n->name, c->api->settings->node_name)) {
        struct failure f = {.message = arena_printf(c->a, "node %s is not reachable", n->name)};
        reply_failure(c, ERR_UNAVAILABLE, &f);
        return;
    }
    connect_admit(c, "", n->name, go_node, NULL);
}

void proxy_subresource(struct call *c) {
    struct proxied_name n;
    if (!proxied_name_parse(c->a, c->route.name, &n)) {
        bad(c, arena_printf(c->a, "invalid %s request \"%s\"", c->kind->singular, c->route.name));
        return;
    }
    if (str_eq(c->kind->plural, "services"))
        proxy_service(c, &n);
    else if (str_eq(c->kind->plural, "pods"))
        proxy_pod(c, &n);
    else
        proxy_node(c, &n);
}
