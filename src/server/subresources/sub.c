/* Subresources: which exist, and those that need no file of their own. */
#include "base/own.h"
#include "server/admission/plugin.h"
#include "server/media/body.h"
#include "server/subresources/connect.h"
#include "server/subresources/finalize.h"
#include "server/subresources/proxies.h"
#include "server/verbs/remove.h"
#include "server/verbs/write.h"

static void by_verb(struct call *c) {
    if (str_eq(c->route.verb, "get"))
        verb_get(c);
    else if (str_eq(c->route.verb, "update"))
        verb_update(c);
    else if (str_eq(c->route.verb, "patch"))
        verb_patch(c);
    else
        reply_method_not_allowed(c);
}

/* ---- streams: forwarded to the node ---- */

static int bad(struct call *c, const char *message) {
    reply_failure(c, ERR_BAD_REQUEST, &(struct failure){.message = message});
    return -1;
}

/* The container a stream is for: the one asked for, the annotated default, the only one. */
static int pick_container(struct call *c, const struct core_v1_pod *pod, bool any_first,
                          const char **ret) {
    const char *asked = http_query_get(&c->r->query, "container");
    const struct core_v1_pod_spec *s = &pod->spec;
    if (str_empty(asked) && s->containers.n != 1) {
        asked = str_map_get(&pod->metadata.annotations, "kubectl.kubernetes.io/default-container");
        if (str_empty(asked) && any_first && s->containers.n) asked = s->containers.v[0].name;
        if (str_empty(asked)) {
            OWN(buf_done) struct buf names = {0};
            for (size_t i = 0; i < s->containers.n; i++)
                buf_printf(&names, "%s%s", i ? " " : "", s->containers.v[i].name);
            return bad(c, arena_printf(c->a,
                                       "a container name must be specified for pod %s, choose one "
                                       "of: [%s]",
                                       c->route.name, str_or(names.p, "")));
        }
    }
    if (str_empty(asked)) asked = s->containers.v[0].name;
    *ret = asked;
    for (size_t i = 0; i < s->containers.n; i++)
        if (str_eq(asked, s->containers.v[i].name)) return 0;
    for (size_t i = 0; i < s->init_containers.n; i++)
        if (str_eq(asked, s->init_containers.v[i].name)) return 0;
    for (size_t i = 0; i < s->ephemeral_containers.n; i++)
        if (str_eq(asked, s->ephemeral_containers.v[i].name)) return 0;
    return bad(c, arena_printf(c->a, "container %s is not valid for pod %s", asked, c->route.name));
}

struct streaming {
    const char *target; /* at node */
    bool placed;
};

static void go_stream(struct call *c, void *user) {
    const struct streaming *s = user;
    if (s->placed)
        request_proxy(c->r, "node.sock", s->target, NULL);
    else
        bad(c, arena_printf(c->a, "pod %s does not have a host assigned", c->route.name));
}

/* The paths of the kubelet's server: PREFIX/NAMESPACE/POD[/CONTAINER]?query as the client sent it.
 */
static void stream(struct call *c, const char *prefix, bool with_container, bool any_first) {
    struct object *o = named_object(c);
    struct api_object *decoded;
    struct err err;
    if (!o) return;
    if (api_object_decode(c->a, c->kind, object_json(o), &decoded, &err) < 0) {
        reply_error(c, &err);
        return;
    }
    const struct core_v1_pod *pod = (void *)decoded;
    const char *container = NULL;
    if (with_container && pick_container(c, pod, any_first, &container) < 0) return;
    const char *query = strchr(c->r->target, '?');
    struct streaming *s = ARENA_NEW(c->a, struct streaming);
    s->target = arena_printf(c->a, "%s/%s/%s%s%s%s", prefix, c->route.ns, c->route.name,
                             container ? "/" : "", container ? container : "", query ? query : "");
    s->placed = !str_empty(pod->spec.node_name);
    if (str_eq(c->route.subresource, "log"))
        go_stream(c, s);
    else
        connect_admit(c, c->route.ns, c->route.name, go_stream, s);
}

static void log_stream(struct call *c) {
    if (str_eq(c->route.verb, "get"))
        stream(c, "/containerLogs", true, false);
    else
        reply_method_not_allowed(c);
}

static bool may_stream(struct call *c) {
    if (str_eq(c->route.verb, "get") || str_eq(c->route.verb, "create")) return true;
    reply_method_not_allowed(c);
    return false;
}

static void exec_stream(struct call *c) {
    if (may_stream(c)) stream(c, "/exec", true, true);
}
static void attach_stream(struct call *c) {
    if (may_stream(c)) stream(c, "/attach", true, true);
}
static void portforward_stream(struct call *c) {
    if (may_stream(c)) stream(c, "/portForward", false, false);
}

/* ---- the table ---- */

static const struct {
    const char *group, *plural; /* NULL = any kind that lists the subresource */
    const char *name;
    void (*run)(struct call *);
} subresources[] = {
    {NULL, NULL, "status", by_verb},
    {NULL, NULL, "scale", scale_handle},
    {"", "namespaces", "finalize", finalize_subresource},
    {"", "pods", "log", log_stream},
    {"", "pods", "exec", exec_stream},
    {"", "pods", "attach", attach_stream},
    {"", "pods", "portforward", portforward_stream},
    {"", "pods", "proxy", proxy_subresource},
    {"", "services", "proxy", proxy_subresource},
    {"", "nodes", "proxy", proxy_subresource},
    {"", "pods", "binding", binding_subresource},
    {"", "pods", "ephemeralcontainers", by_verb},
    {"", "pods", "resize", by_verb},
    {"", "pods", "eviction", eviction_create},
    {"", "serviceaccounts", "token", token_create},
    {"certificates.k8s.io", "certificatesigningrequests", "approval", by_verb},
};

static bool offers(const struct api_kind *k, const char *name) {
    if (str_eq(name, "status") && k->flags & API_HAS_STATUS) return true;
    if (str_eq(name, "scale") && k->flags & API_HAS_SCALE) return true;
    for (const char *const *s = k->subresources; s && *s; s++)
        if (str_eq(*s, name)) return true;
    return false;
}

bool subresource_handle(struct call *c) {
    struct err err;
    if (!c->resource || !offers(c->kind, c->route.subresource)) return false;
    for (size_t i = 0; i < ARRAY_LEN(subresources); i++) {
        if (!str_eq(subresources[i].name, c->route.subresource)) continue;
        if (subresources[i].plural && (!str_eq(subresources[i].plural, c->kind->plural) ||
                                       !str_eq(subresources[i].group, c->kind->group)))
            continue;
        if (subresources[i].run == by_verb && reply_negotiate(c, &err) < 0)
            reply_error(c, &err);
        else
            subresources[i].run(c);
        return true;
    }
    return false;
}
