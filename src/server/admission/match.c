#include "server/admission/match.h"

#include "server/media/convert.h"
#include "server/storage/raw.h"

const char *match_operation_name(enum admission_operation operation) {
    switch (operation) {
    case ADMIT_CREATE: return "CREATE";
    case ADMIT_UPDATE: return "UPDATE";
    case ADMIT_DELETE: return "DELETE";
    case ADMIT_CONNECT: return "CONNECT";
    }
    return "";
}

static bool has(const struct str_list *list, const char *what) {
    for (size_t i = 0; i < list->n; i++)
        if (str_eq(list->v[i], "*") || str_eq(list->v[i], what)) return true;
    return false;
}

/* pods, pods/exec, pods/…, …/exec against resource and subresource. */
static bool resource_fits(const char *pattern, const char *resource, const char *subresource) {
    const char *slash = strchr(pattern, '/');
    size_t n = slash ? (size_t)(slash - pattern) : strlen(pattern);
    const char *sub = slash ? slash + 1 : "";
    bool any = n == 1 && *pattern == '*';
    if (!any && !slice_is(slice_from(pattern, n), resource)) return false;
    return str_eq(sub, subresource) || (slash && str_eq(sub, "*"));
}

static bool scope_fits(const char *scope, const struct admission *ad) {
    if (str_empty(scope) || str_eq(scope, "*")) return true;
    /* As upstream: a Namespace itself counts as cluster-scoped. */
    bool namespaced = ad->kind->flags & API_NAMESPACED;
    return str_eq(scope, namespaced ? "Namespaced" : "Cluster");
}

bool match_rule(const struct match_rule *rule, const struct admission *ad,
                const struct api_kind *k) {
    if (!scope_fits(rule->scope, ad) ||
        !has(&rule->operations, match_operation_name(ad->operation)) ||
        !has(&rule->groups, k->group) || !has(&rule->versions, k->version))
        return false;
    bool fits = false;
    for (size_t i = 0; i < rule->resources.n; i++)
        fits |= resource_fits(rule->resources.v[i], k->plural, ad->subresource);
    if (!fits || !rule->names.n) return fits;
    for (size_t i = 0; i < rule->names.n; i++)
        if (str_eq(rule->names.v[i], ad->name)) return true;
    return false;
}

static bool any_rule(const struct match_rule *rules, size_t n, const struct admission *ad,
                     const struct api_kind *k) {
    for (size_t i = 0; i < n; i++)
        if (match_rule(&rules[i], ad, k)) return true;
    return false;
}

const struct api_kind *match_rules(const struct match_rule *rules, size_t n,
                                   const struct admission *ad, bool equivalent) {
    const struct api_kind *asked = ad->c->kind ? ad->c->kind : ad->kind;
    if (any_rule(rules, n, ad, asked)) return asked;
    if (!equivalent) return NULL;
    size_t n_kinds;
    const struct api_kind *const *kinds = api_kinds(&n_kinds);
    for (size_t i = 0; i < n_kinds; i++)
        if (kinds[i] != asked && !(kinds[i]->flags & API_VIRTUAL) && kinds[i]->store_prefix &&
            str_eq(kinds[i]->store_prefix, asked->store_prefix) && any_rule(rules, n, ad, kinds[i]))
            return kinds[i];
    return NULL;
}

bool match_namespace(struct admission *ad, const struct selector *s) {
    if (selector_empty(s)) return true;
    bool is_namespace = !*ad->kind->group && str_eq(ad->kind->plural, "namespaces");
    if (!is_namespace && !(ad->kind->flags & API_NAMESPACED)) return true;
    if (is_namespace && ad->object) return selector_matches(s, &ad->object->metadata.labels);
    struct slice labels = {0};
    struct object *o = admission_find(ad, "", "namespaces", "", is_namespace ? ad->name : ad->ns);
    if (o) raw_path(object_json(o), "metadata.labels", &labels);
    struct str_map map = raw_map(ad->a, labels);
    return selector_matches(s, &map);
}

const struct api_object *match_old(const struct admission *ad) {
    return ad->operation == ADMIT_CREATE && ad->object_kind ? NULL : ad->old;
}

bool match_object(const struct admission *ad, const struct selector *s) {
    if (selector_empty(s)) return true;
    if (ad->operation == ADMIT_CONNECT) return false; /* options have no labels */
    if (ad->object && selector_matches(s, &ad->object->metadata.labels)) return true;
    return match_old(ad) && selector_matches(s, &ad->old->metadata.labels);
}

bool match_exempt(const struct admission *ad) {
    return str_eq(ad->kind->group, "admissionregistration.k8s.io");
}
