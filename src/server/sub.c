/* Subresources: which exist, and those that need no file of their own. */
#include "base/own.h"
#include "server/admission/plugin.h"
#include "server/body.h"
#include "server/connect.h"
#include "server/egress/proxies.h"
#include "server/raw.h"
#include "server/remove.h"
#include "server/write.h"

static void method_not_allowed(struct call *c) {
    struct err err;
    err_set(&err, ERR_METHOD_NOT_ALLOWED,
            "the server does not allow this method on the requested resource");
    reply_error(c, &err);
}

static void by_verb(struct call *c) {
    if (str_eq(c->route.verb, "get"))
        verb_get(c);
    else if (str_eq(c->route.verb, "update"))
        verb_update(c);
    else if (str_eq(c->route.verb, "patch"))
        verb_patch(c);
    else
        method_not_allowed(c);
}

static void finalize(struct call *c) {
    if (str_eq(c->route.verb, "update"))
        verb_update(c);
    else
        method_not_allowed(c);
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

static void go_stream(struct call *c, void *user) { request_proxy(c->r, "node.sock", user, NULL); }

/* The paths of the kubelet's server: PREFIX/NAMESPACE/POD[/CONTAINER]?query as the client sent it.
 */
static void stream(struct call *c, const char *prefix, bool with_container, bool any_first) {
    struct object *o = resource_get(c->resource, c->route.ns, c->route.name);
    struct api_object *decoded;
    struct err err;
    if (!o) {
        reply_not_found(c, c->route.name);
        return;
    }
    if (api_object_decode(c->a, c->kind, object_json(o), &decoded, &err) < 0) {
        reply_error(c, &err);
        return;
    }
    const struct core_v1_pod *pod = (void *)decoded;
    const char *container = NULL;
    if (with_container && pick_container(c, pod, any_first, &container) < 0) return;
    if (str_empty(pod->spec.node_name)) {
        bad(c, arena_printf(c->a, "pod %s does not have a host assigned", c->route.name));
        return;
    }
    const char *query = strchr(c->r->target, '?');
    char *target =
        arena_printf(c->a, "%s/%s/%s%s%s%s", prefix, c->route.ns, c->route.name,
                     container ? "/" : "", container ? container : "", query ? query : "");
    if (str_eq(c->route.subresource, "log"))
        request_proxy(c->r, "node.sock", target, NULL);
    else
        connect_admit(c, c->route.ns, c->route.name, go_stream, target);
}

static void log_stream(struct call *c) {
    if (str_eq(c->route.verb, "get"))
        stream(c, "/containerLogs", true, false);
    else
        method_not_allowed(c);
}

static bool may_stream(struct call *c) {
    if (str_eq(c->route.verb, "get") || str_eq(c->route.verb, "create")) return true;
    method_not_allowed(c);
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

/* ---- eviction (policy/v1): a deletion that budgets will be asked about ---- */

/* Its request outlives the client: there is no on_close. */
static void evicted(void *user, struct slice json, bool gone, const struct err *err) {
    struct admission *ad = user;
    struct call *c = ad->c;
    admission_over(ad, !err);
    if (err && err->reason == ERR_NOT_FOUND)
        reply_not_found(c, c->route.name);
    else if (err && err->reason == ERR_CONFLICT)
        reply_conflict(c, c->route.name, err->text);
    else if (err)
        reply_error(c, err);
    else
        reply_success(c, 201, NULL, NULL);
}

static void eviction_admitted(struct admission *ad, int answer) {
    struct call *c = ad->c;
    const struct policy_v1_eviction *e = (const void *)ad->object;
    const struct meta_v1_delete_options *asked = e->delete_options;
    struct remove_options o = {.grace_s = -1, .dry_run = c->dry_run};
    if (answer != ADMISSION_OK) {
        admission_refused(ad, answer);
        return;
    }
    if (asked && asked->grace_period_seconds && *asked->grace_period_seconds >= 0)
        o.grace_s = MIN_OF(*asked->grace_period_seconds, INT32_MAX);
    if (asked && asked->preconditions) {
        o.uid = asked->preconditions->uid;
        o.resource_version = asked->preconditions->resource_version;
    }
    for (size_t i = 0; asked && i < asked->dry_run.n; i++)
        if (str_eq(asked->dry_run.v[i], "All")) o.dry_run = true;
    remove_object(c->api, c->kind, c->route.ns, c->route.name, &o, evicted, ad);
}

static void evict(struct call *c) {
    struct err err;
    struct slice json;
    struct api_object *eviction, *pod;
    static const struct api_kind kind = {.group = "policy",
                                         .version = "v1",
                                         .kind = "Eviction",
                                         .plural = "evictions",
                                         .type = &policy_v1_eviction_type,
                                         .api_version = "policy/v1"};
    if (!str_eq(c->route.verb, "create")) {
        method_not_allowed(c);
        return;
    }
    struct object *o = resource_get(c->resource, c->route.ns, c->route.name);
    if (!o) {
        reply_not_found(c, c->route.name);
        return;
    }
    if (body_options(c, &err) < 0 || body_json(c, &json, &err) < 0 ||
        api_object_decode(c->a, &kind, json, &eviction, &err) < 0 ||
        api_object_decode(c->a, c->kind, object_json(o), &pod, &err) < 0) {
        reply_error(c, &err);
        return;
    }
    struct admission *ad = admission_new(c, ADMIT_CREATE, o, pod);
    ad->object = eviction;
    ad->object_kind = &kind;
    admission_ask(ad, eviction_admitted);
}

/* ---- the table ---- */

static const struct {
    const char *group, *plural; /* NULL = any kind that lists the subresource */
    const char *name;
    void (*run)(struct call *);
} subresources[] = {
    {NULL, NULL, "status", by_verb},
    {NULL, NULL, "scale", scale_handle},
    {"", "namespaces", "finalize", finalize},
    {"", "pods", "log", log_stream},
    {"", "pods", "exec", exec_stream},
    {"", "pods", "attach", attach_stream},
    {"", "pods", "portforward", portforward_stream},
    {"", "pods", "proxy", proxy_subresource},
    {"", "services", "proxy", proxy_subresource},
    {"", "nodes", "proxy", proxy_subresource},
    {"", "pods", "binding", binding_subresource},
    {"", "pods", "eviction", evict},
    {"", "serviceaccounts", "token", token_create},
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
