/*
 * Nobody gives what they do not have: who writes a role must hold every permission in it or have
 * the verb "escalate" on it; who writes a binding must hold what the role grants or have the verb
 * "bind" on the role. Members of system:masters may do everything.
 */
#include "base/own.h"
#include "server/admission/plugin.h"
#include "server/auth/authz.h"

#define GROUP "rbac.authorization.k8s.io"
enum { MISSING_LINES_MAX = 200 };

static int answer_forbidden(struct admission *ad, const char *why) {
    const char *title = resource_title(ad->a, GROUP, ad->kind->plural);
    reply_failure(ad->c, ERR_FORBIDDEN,
                  &(struct failure){.message = arena_printf(ad->a, "%s \"%s\" is forbidden: %s",
                                                            title, ad->name, why),
                                    .name = ad->name,
                                    .group = GROUP,
                                    .kind = ad->kind->plural});
    return ADMISSION_ANSWERED;
}

struct collecting {
    struct arena *a;
    struct rbac_v1_policy_rule_list list;
};

static void collect(void *user, const struct rbac_v1_policy_rule *r) {
    struct collecting *k = user;
    *ARENA_PUSH(k->a, &k->list) = *r;
}

static int by_text(const void *x, const void *y) {
    return strcmp(*(const char *const *)x, *(const char *const *)y);
}

/* user "jane" (groups=["a" "b"]) is attempting to grant … */
static const char *grant_sentence(struct admission *ad,
                                  const struct rbac_v1_policy_rule_list *missing) {
    const struct user *u = &ad->c->user;
    OWN(buf_done) struct buf b = {0};
    buf_str(&b, "user ");
    buf_json_str(&b, slice_of(u->name));
    buf_str(&b, " (groups=[");
    for (size_t i = 0; i < u->groups.n; i++) {
        if (i) buf_char(&b, ' ');
        buf_json_str(&b, slice_of(u->groups.v[i]));
    }
    buf_str(&b, "]) is attempting to grant RBAC permissions not currently held:");
    size_t n = MIN_OF(missing->n, (size_t)MISSING_LINES_MAX);
    const char **lines = ARENA_ARRAY(ad->a, const char *, n);
    for (size_t i = 0; i < n; i++) lines[i] = rule_text(ad->a, &missing->v[i]);
    qsort(lines, n, sizeof *lines, by_text);
    for (size_t i = 0; i < n; i++) buf_printf(&b, "\n%s", lines[i]);
    if (missing->n > n) buf_printf(&b, "\n… and %zu more", missing->n - n);
    return arena_strn(ad->a, buf_view(&b));
}

static enum rules_covered held(struct admission *ad, const struct rbac_v1_policy_rule_list *wanted,
                               struct rbac_v1_policy_rule_list *ret_missing) {
    struct collecting k = {.a = ad->a};
    authz_rules(ad->api->authz, &ad->c->user, ad->ns, collect, &k);
    return rules_cover(ad->a, &k.list, wanted, ret_missing);
}

static int confirm(struct admission *ad, const struct rbac_v1_policy_rule_list *wanted) {
    struct rbac_v1_policy_rule_list missing;
    switch (held(ad, wanted, &missing)) {
    case RULES_COVERED: return ADMISSION_OK;
    case RULES_MISSING: return answer_forbidden(ad, grant_sentence(ad, &missing));
    default:
        return answer_forbidden(ad, "too many permissions to compare with yours: split the role");
    }
}

static bool may(struct admission *ad, const char *verb, const char *resource, const char *name) {
    struct attributes at = {.verb = verb,
                            .group = GROUP,
                            .resource = resource,
                            .subresource = "",
                            .name = name,
                            .ns = ad->ns};
    return authz_allows(ad->api->authz, &ad->c->user, &at);
}

/* Writes of the garbage collector and of finalizers change no permission. */
static bool only_metadata(const struct admission *ad) {
    if (!ad->old) return false;
    const struct api_kind *k = ad->kind;
    struct api_object *copy = api_object_copy(ad->a, k, ad->object);
    copy->metadata.finalizers = ad->old->metadata.finalizers;
    copy->metadata.owner_references = ad->old->metadata.owner_references;
    copy->metadata.resource_version = ad->old->metadata.resource_version;
    copy->metadata.managed_fields = ad->old->metadata.managed_fields;
    return api_equal(k->type, copy, ad->old);
}

/* ---- roles ---- */

static const struct rbac_v1_aggregation_rule *aggregation_of(const struct api_object *o) {
    const struct rbac_v1_cluster_role *r = (const void *)o;
    const struct rbac_v1_aggregation_rule *g = o ? r->aggregation_rule : NULL;
    return g && g->cluster_role_selectors.n ? g : NULL;
}

static int aggregation_validate(struct admission *ad) {
    if (!aggregation_of(ad->object) && !aggregation_of(ad->old)) return ADMISSION_OK;
    const char *star = "*";
    struct str_list any = {&star, 1};
    struct rbac_v1_policy_rule all[] = {
        {.verbs = any, .api_groups = any, .resources = any},
        {.verbs = any, .non_resource_urls = any},
    };
    struct rbac_v1_policy_rule_list missing;
    if (held(ad, &(struct rbac_v1_policy_rule_list){all, ARRAY_LEN(all)}, &missing) ==
        RULES_COVERED)
        return ADMISSION_OK;
    return answer_forbidden(ad, "must have cluster-admin privileges to use the aggregationRule");
}

static int role_validate(struct admission *ad) {
    bool local = str_eq(ad->kind->kind, "Role");
    if (authz_is_master(&ad->c->user) || may(ad, "escalate", ad->kind->plural, ad->name) ||
        only_metadata(ad))
        return ADMISSION_OK;
    const struct rbac_v1_policy_rule_list *rules =
        local ? &((const struct rbac_v1_role *)(const void *)ad->object)->rules
              : &((const struct rbac_v1_cluster_role *)(const void *)ad->object)->rules;
    int answer = confirm(ad, rules);
    return answer != ADMISSION_OK || local ? answer : aggregation_validate(ad);
}

/* ---- bindings ---- */

static int role_missing(struct admission *ad, const char *plural, const char *name) {
    reply_failure(ad->c, ERR_NOT_FOUND,
                  &(struct failure){
                      .message = arena_printf(ad->a, "%s.%s \"%s\" not found", plural, GROUP, name),
                      .name = name,
                      .group = GROUP,
                      .kind = plural});
    return ADMISSION_ANSWERED;
}

static int binding_validate(struct admission *ad) {
    const struct rbac_v1_role_ref *ref =
        str_eq(ad->kind->kind, "RoleBinding")
            ? &((const struct rbac_v1_role_binding *)(const void *)ad->object)->role_ref
            : &((const struct rbac_v1_cluster_role_binding *)(const void *)ad->object)->role_ref;
    bool local = str_eq(ref->kind, "Role");
    const char *plural = local ? "roles" : "clusterroles", *name = str_or(ref->name, "");
    if (authz_is_master(&ad->c->user) || only_metadata(ad) || may(ad, "bind", plural, name))
        return ADMISSION_OK;
    struct object *o = admission_find(ad, GROUP, plural, local ? ad->ns : "", name);
    if (!o) return role_missing(ad, plural, name);
    struct api_object *role;
    int rc = api_object_decode(ad->a, api_kind_by_plural(GROUP, "v1", plural), object_json(o),
                               &role, &ad->err);
    if (rc < 0) return rc;
    return confirm(ad, local ? &((struct rbac_v1_role *)(void *)role)->rules
                             : &((struct rbac_v1_cluster_role *)(void *)role)->rules);
}

#define PLUGIN(sym, kind_plural, fn)                                                               \
    static const struct admission_plugin sym = {.name = "RBACEscalation",                          \
                                                .order = ORDER_ESCALATION,                         \
                                                .operations = ADMIT_CREATE | ADMIT_UPDATE,         \
                                                .group = GROUP,                                    \
                                                .plural = kind_plural,                             \
                                                .validate = fn};                                   \
    ADMISSION_PLUGIN(sym)

PLUGIN(escalation_roles, "roles", role_validate);
PLUGIN(escalation_cluster_roles, "clusterroles", role_validate);
PLUGIN(escalation_bindings, "rolebindings", binding_validate);
PLUGIN(escalation_cluster_bindings, "clusterrolebindings", binding_validate);
