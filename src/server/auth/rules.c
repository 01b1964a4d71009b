#include "server/auth/rules.h"

#include <string.h>

#include "base/limits.h"
#include "base/map.h"
#include "base/own.h"

typedef struct rbac_v1_policy_rule rule;
typedef struct rbac_v1_policy_rule_list rules;

/* ---- what one rule allows ---- */

static bool has(const struct str_list *l, const char *s) {
    for (size_t i = 0; i < l->n; i++)
        if (str_eq(l->v[i], s) || str_eq(l->v[i], "*")) return true;
    return false;
}

static bool resource_in(const struct str_list *l, const char *resource, const char *sub) {
    size_t n = strlen(resource);
    for (size_t i = 0; i < l->n; i++) {
        const char *r = str_or(l->v[i], "");
        if (str_eq(r, "*")) return true;
        if (!*sub) {
            if (str_eq(r, resource)) return true;
            continue;
        }
        bool any = str_starts(r, "*/");
        if (!any && (strncmp(r, resource, n) != 0 || r[n] != '/')) continue;
        if (str_eq(r + (any ? 2 : n + 1), sub)) return true;
    }
    return false;
}

static bool path_in(const struct str_list *l, const char *path) {
    for (size_t i = 0; i < l->n; i++) {
        const char *p = str_or(l->v[i], "");
        size_t n = strlen(p);
        if (n && p[n - 1] == '*' ? strncmp(p, path, n - 1) == 0 : str_eq(p, path)) return true;
    }
    return false;
}

bool rule_allows(const rule *r, const struct attributes *at) {
    if (!has(&r->verbs, at->verb)) return false;
    if (at->path) return path_in(&r->non_resource_urls, at->path);
    if (!has(&r->api_groups, at->group)) return false;
    if (!resource_in(&r->resources, at->resource, at->subresource)) return false;
    if (!r->resource_names.n) return true;
    for (size_t i = 0; i < r->resource_names.n; i++)
        if (str_eq(r->resource_names.v[i], at->name)) return true;
    return false;
}

/* ---- covering ---- */

static bool has_all(const struct str_list *owned, const struct str_list *wanted) {
    for (size_t i = 0; i < wanted->n; i++)
        if (!has(owned, wanted->v[i])) return false;
    return true;
}

static bool resources_cover(const struct str_list *owned, const struct str_list *wanted) {
    for (size_t i = 0; i < wanted->n; i++) {
        if (has(owned, wanted->v[i])) continue;
        const char *slash = strchr(str_or(wanted->v[i], ""), '/');
        bool found = false;
        for (size_t j = 0; slash && j < owned->n && !found; j++)
            found = str_starts(owned->v[j], "*/") && str_eq(owned->v[j] + 1, slash);
        if (!found) return false;
    }
    return true;
}

static bool names_cover(const struct str_list *owned, const struct str_list *wanted) {
    if (!owned->n) return true;
    if (!wanted->n) return false;
    for (size_t i = 0; i < wanted->n; i++) {
        bool found = false;
        for (size_t j = 0; j < owned->n && !found; j++) found = str_eq(owned->v[j], wanted->v[i]);
        if (!found) return false;
    }
    return true;
}

static bool paths_cover(const struct str_list *owned, const struct str_list *wanted) {
    for (size_t i = 0; i < wanted->n; i++)
        if (!path_in(owned, str_or(wanted->v[i], ""))) return false;
    return true;
}

static bool rule_covers(const rule *owned, const rule *wanted) {
    return has_all(&owned->verbs, &wanted->verbs) &&
           has_all(&owned->api_groups, &wanted->api_groups) &&
           resources_cover(&owned->resources, &wanted->resources) &&
           paths_cover(&owned->non_resource_urls, &wanted->non_resource_urls) &&
           names_cover(&owned->resource_names, &wanted->resource_names);
}

struct covering {
    struct arena *a;
    const rules *owned;
    rules *missing;
    struct map by_key; /* group, resource, name → index + 1 in missing */
    size_t work, compared;
};

static bool is_affordable(const struct covering *k) {
    return k->work <= LIMIT_RULE_ACTIONS && k->compared <= LIMIT_RULE_COMPARISONS;
}

/* The length of the longest product of two lists that are compared, each element with each. */
static size_t comparisons_of(const rule *owned, const rule *wanted) {
    const size_t products[] = {owned->verbs.n * wanted->verbs.n,
                               owned->api_groups.n * wanted->api_groups.n,
                               owned->resources.n * wanted->resources.n,
                               owned->non_resource_urls.n * wanted->non_resource_urls.n,
                               owned->resource_names.n * wanted->resource_names.n};
    size_t most = 1;
    for (size_t i = 0; i < ARRAY_LEN(products); i++) most = MAX_OF(most, products[i]);
    return most;
}

/* False also when it has cost too much to know. */
static bool owned_somewhere(struct covering *k, const rule *one) {
    for (size_t i = 0; i < k->owned->n && is_affordable(k); i++) {
        k->work++;
        k->compared += comparisons_of(&k->owned->v[i], one);
        if (is_affordable(k) && rule_covers(&k->owned->v[i], one)) return true;
    }
    return false;
}

static struct str_list one_of(struct arena *a, const char *s) {
    struct str_list l = {0};
    *ARENA_PUSH(a, &l) = s;
    return l;
}

static void miss(struct covering *k, const char *verb, const char *group, const char *resource,
                 const char *name, const char *path) {
    OWN(buf_done) struct buf key = {0};
    const char *const parts[] = {group, resource, name, path};
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        buf_char(&key, parts[i] ? '+' : '-');
        buf_append(&key, str_or(parts[i], ""), strlen(str_or(parts[i], "")) + 1);
    }
    uintptr_t at = (uintptr_t)map_get(&k->by_key, buf_view(&key));
    if (at) {
        *ARENA_PUSH(k->a, &k->missing->v[at - 1].verbs) = verb;
        return;
    }
    rule *r = ARENA_PUSH(k->a, k->missing);
    r->verbs = one_of(k->a, verb);
    if (path) {
        r->non_resource_urls = one_of(k->a, path);
        return; /* paths stand alone, a verb each */
    }
    r->api_groups = one_of(k->a, group);
    r->resources = one_of(k->a, resource);
    if (name) r->resource_names = one_of(k->a, name);
    map_put(&k->by_key, buf_view(&key), (void *)k->missing->n);
}

static struct str_list view(const char **s) { return (struct str_list){s, 1}; }

static bool check_one(struct covering *k, const char *verb, const char *group, const char *resource,
                      const char *name, const char *path) {
    rule one = {.verbs = view(&verb)};
    if (path) one.non_resource_urls = view(&path);
    if (group) one.api_groups = view(&group);
    if (resource) one.resources = view(&resource);
    if (name) one.resource_names = view(&name);
    if (!owned_somewhere(k, &one)) miss(k, verb, group, resource, name, path);
    return is_affordable(k);
}

static bool check_resources(struct covering *k, const rule *w) {
    size_t names = w->resource_names.n ? w->resource_names.n : 1;
    for (size_t g = 0; g < w->api_groups.n; g++)
        for (size_t r = 0; r < w->resources.n; r++)
            for (size_t v = 0; v < w->verbs.n; v++)
                for (size_t i = 0; i < names; i++) {
                    k->work++;
                    const char *name =
                        w->resource_names.n ? str_or(w->resource_names.v[i], "") : NULL;
                    if (!check_one(k, str_or(w->verbs.v[v], ""), str_or(w->api_groups.v[g], ""),
                                   str_or(w->resources.v[r], ""), name, NULL))
                        return false;
                }
    return true;
}

static bool check_paths(struct covering *k, const rule *w) {
    for (size_t p = 0; p < w->non_resource_urls.n; p++)
        for (size_t v = 0; v < w->verbs.n; v++) {
            k->work++;
            if (!check_one(k, str_or(w->verbs.v[v], ""), NULL, NULL, NULL,
                           str_or(w->non_resource_urls.v[p], "")))
                return false;
        }
    return true;
}

enum rules_covered rules_cover(struct arena *a, const rules *owned, const rules *wanted,
                               rules *ret_missing) {
    rules missing = {0};
    struct covering k = {.a = a, .owned = owned, .missing = &missing};
    bool whole = true;
    for (size_t i = 0; i < wanted->n && whole; i++) {
        const rule *w = &wanted->v[i];
        if (owned_somewhere(&k, w)) continue; /* mostly one rule is enough for all of it */
        whole = is_affordable(&k) && check_resources(&k, w) && check_paths(&k, w);
    }
    map_done(&k.by_key);
    if (!whole) return RULES_TOO_MANY;
    *ret_missing = missing;
    return missing.n ? RULES_MISSING : RULES_COVERED;
}

/* ---- as text ---- */

static void put_list(struct buf *b, const char *name, const struct str_list *l) {
    if (!l->n) return;
    buf_printf(b, "%s%s:[", b->n > 1 ? ", " : "", name);
    for (size_t i = 0; i < l->n; i++) {
        if (i) buf_char(b, ' ');
        buf_json_str(b, slice_of(str_or(l->v[i], "")));
    }
    buf_char(b, ']');
}

const char *rule_text(struct arena *a, const rule *r) {
    OWN(buf_done) struct buf b = {0};
    buf_char(&b, '{');
    put_list(&b, "APIGroups", &r->api_groups);
    put_list(&b, "Resources", &r->resources);
    put_list(&b, "NonResourceURLs", &r->non_resource_urls);
    put_list(&b, "ResourceNames", &r->resource_names);
    put_list(&b, "Verbs", &r->verbs);
    buf_char(&b, '}');
    return arena_strn(a, buf_view(&b));
}
