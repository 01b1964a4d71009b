/* The objects that are parameters of a policy. */
#include "api/custom/custom.h"
#include "base/own.h"
#include "server/media/convert.h"
#include "server/policy/policy.h"
#include "server/storage/raw.h"

enum { PARAMS_MAX = 1000 };

static void add(struct admission *ad, const struct api_kind *k, struct object *o,
                struct policy_params *ret) {
    struct slice json = convert_json(ad->a, k, object_json(o));
    *ARENA_PUSH(ad->a, ret) = slice_from(arena_copy(ad->a, json.p, json.n), json.n);
}

static void add_selected(struct admission *ad, const struct api_kind *k, const struct resource *res,
                         const char *ns, const struct selector *s, struct policy_params *ret) {
    const char *begin = arena_printf(ad->a, "%s/", ns);
    struct key_cursor at = key_index_seek(&res->index, slice_of(begin), false);
    for (struct object *o; ret->n < PARAMS_MAX && (o = key_index_next(&res->index, &at));) {
        struct slice labels = {0};
        if (!slice_is(object_ns(o), ns)) break;
        raw_path(object_json(o), "metadata.labels", &labels);
        struct str_map map = raw_map(ad->a, labels);
        if (selector_matches(s, &map)) add(ad, k, o, ret);
    }
}

/* The namespace that parameters are in; NULL and a problem when there is none. */
static const char *params_namespace(struct admission *ad, const struct policy_binding *b,
                                    const struct api_kind *k, const char **ret_problem) {
    const char *given = b->params->namespace;
    if (!(k->flags & API_NAMESPACED)) {
        if (str_empty(given)) return "";
        *ret_problem = "paramRef.namespace must not be provided for a cluster-scoped `paramKind`";
        return NULL;
    }
    if (!str_empty(given)) return given;
    if (!str_empty(ad->ns)) return ad->ns;
    *ret_problem = "cannot use namespaced paramRef in policy binding that matches cluster-scoped "
                   "resources";
    return NULL;
}

int policy_params(struct admission *ad, const struct policy_binding *b, struct policy_params *ret,
                  const char **ret_problem) {
    const struct policy *p = b->policy;
    *ret = (struct policy_params){.none_needed = !p->param_kind || !b->params};
    if (ret->none_needed) return 0;
    const struct api_kind *k = api_kind_by_api_version(p->param_api_version, p->param_kind);
    struct resource *res = k ? cache_of_kind(&ad->api->cache, storage_kind(k)) : NULL;
    if (!res) {
        *ret_problem =
            arena_printf(ad->a, "failed to find resource referenced by paramKind: '%s, Kind=%s'",
                         p->param_api_version, p->param_kind);
        return -1;
    }
    const char *ns = params_namespace(ad, b, k, ret_problem);
    if (!ns) return -1;
    if (b->param_selector) {
        add_selected(ad, k, res, ns, b->param_selector, ret);
    } else {
        struct object *o = resource_get(res, ns, str_or(b->params->name, ""));
        if (o) add(ad, k, o, ret);
    }
    if (ret->n || str_eq(b->params->parameter_not_found_action, "Allow")) return 0;
    *ret_problem = "no params found for policy binding with `Deny` parameterNotFoundAction";
    return -1;
}
