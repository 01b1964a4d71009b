#include "server/auth/audit_policy.h"

#include "base/own.h"
#include "proto/json.h"
#include "proto/yaml.h"

enum { RULES_MAX = 1000 };

struct resources {
    const char *group;
    struct str_list resources, names;
};
struct policy_rule {
    struct audit_decision decision;
    struct str_list users, groups, verbs, namespaces, paths;
    struct resources *v; /* resources */
    size_t n;
};
struct audit_policy {
    struct arena *a;
    struct policy_rule *v;
    size_t n;
};

static const char *const level_names[] = {"None", "Metadata", "Request", "RequestResponse"};
static const char *const stage_names[] = {"RequestReceived", "ResponseStarted", "ResponseComplete",
                                          "Panic"};

const char *audit_level_name(enum audit_level level) { return level_names[level]; }

/* ---- parsing ---- */

static int index_of(const char *const *names, size_t n, const char *s) {
    for (size_t i = 0; i < n; i++)
        if (str_eq(names[i], s)) return (int)i;
    return -1;
}

static const char *text_of(const json_t *o, const char *key) {
    return json_string_value(json_object_get(o, key));
}

static struct str_list texts(struct arena *a, const json_t *list) {
    struct str_list l = {0};
    const json_t *one;
    size_t i;
    json_array_foreach(list, i, one) {
        if (json_is_string(one)) *ARENA_PUSH(a, &l) = arena_str(a, json_string_value(one));
    }
    return l;
}

static int take_stages(const json_t *o, const char *where, unsigned *ret, struct err *err) {
    const json_t *one;
    size_t i;
    json_array_foreach(json_object_get(o, "omitStages"), i, one) {
        const char *name = json_string_value(one);
        int at = index_of(stage_names, ARRAY_LEN(stage_names), name);
        if (at < 0)
            return err_field(err, ERR_INVALID, where,
                             "%s.omitStages[%zu]: Unsupported value: \"%s\"", where, i,
                             str_or(name, ""));
        *ret |= 1u << at;
    }
    return 0;
}

static void take_resources(struct arena *a, const json_t *list, struct policy_rule *r) {
    const json_t *one;
    size_t i;
    r->v = ARENA_ARRAY(a, struct resources, json_array_size(list) + 1);
    json_array_foreach(list, i, one) {
        struct resources *to = &r->v[r->n++];
        to->group = arena_str(a, str_or(json_string_value(json_object_get(one, "group")), ""));
        to->resources = texts(a, json_object_get(one, "resources"));
        to->names = texts(a, json_object_get(one, "resourceNames"));
    }
}

static int take_rule(struct audit_policy *p, const json_t *o, size_t i, unsigned omit,
                     struct err *err) {
    struct policy_rule *r = &p->v[p->n++];
    char where[40];
    snprintf(where, sizeof where, "rules[%zu]", i);
    const char *level = json_string_value(json_object_get(o, "level"));
    int at = index_of(level_names, ARRAY_LEN(level_names), level);
    if (at < 0)
        return err_field(err, ERR_INVALID, where,
                         "%s.level: Unsupported value: \"%s\": supported values: \"None\", "
                         "\"Metadata\", \"Request\", \"RequestResponse\"",
                         where, str_or(level, ""));
    r->decision = (struct audit_decision){(enum audit_level)at, omit,
                                          json_is_true(json_object_get(o, "omitManagedFields"))};
    r->users = texts(p->a, json_object_get(o, "users"));
    r->groups = texts(p->a, json_object_get(o, "userGroups"));
    r->verbs = texts(p->a, json_object_get(o, "verbs"));
    r->namespaces = texts(p->a, json_object_get(o, "namespaces"));
    r->paths = texts(p->a, json_object_get(o, "nonResourceURLs"));
    take_resources(p->a, json_object_get(o, "resources"), r);
    if (r->paths.n && (r->n || r->namespaces.n))
        return err_field(err, ERR_INVALID, where,
                         "%s.nonResourceURLs: rules cannot apply to both regular resources and "
                         "non-resource URLs",
                         where);
    return take_stages(o, where, &r->decision.omit, err);
}

static void json_free(json_t **v) { json_decref(*v); }

int audit_policy_parse(struct slice text, struct audit_policy **ret, struct err *err) {
    OWN(buf_done) struct buf plain = {0};
    OWN(json_free) json_t *doc = NULL;
    int rc = yaml_to_json(text, &plain, err);
    if (rc == 0) rc = json_parse(buf_view(&plain), &doc, err);
    if (rc < 0) return rc;
    const json_t *rules = json_object_get(doc, "rules"), *one;
    size_t i;
    if (!str_eq(text_of(doc, "kind"), "Policy") ||
        !str_eq(text_of(doc, "apiVersion"), "audit.k8s.io/v1"))
        return err_set(err, ERR_INVALID, "no Policy of audit.k8s.io/v1");
    if (json_array_size(rules) == 0 || json_array_size(rules) > RULES_MAX)
        return err_set(err, ERR_INVALID, "a policy has 1 to %d rules", RULES_MAX);
    struct arena *a = arena_new();
    struct audit_policy *p = ARENA_NEW(a, struct audit_policy);
    p->a = a;
    p->v = ARENA_ARRAY(a, struct policy_rule, json_array_size(rules));
    unsigned omit = 0;
    rc = take_stages(doc, "policy", &omit, err);
    json_array_foreach(rules, i, one) {
        if (rc == 0) rc = take_rule(p, one, i, omit, err);
    }
    if (rc < 0)
        arena_free(a);
    else
        *ret = p;
    return rc;
}

void audit_policy_free(struct audit_policy *p) {
    if (p) arena_free(p->a);
}

/* ---- deciding ---- */

static bool shared(const struct str_list *x, const struct str_list *y) {
    for (size_t i = 0; i < x->n; i++)
        if (str_list_has(y, x->v[i])) return true;
    return false;
}

/* Patterns: pods, pods/log, pods with any subresource, one subresource of anything, a star. */
static bool resource_matches(const char *pattern, const struct attributes *at) {
    size_t n = strlen(at->resource);
    if (str_eq(pattern, "*")) return true;
    if (!*at->subresource) return str_eq(pattern, at->resource);
    if (str_starts(pattern, "*/")) return str_eq(pattern + 2, at->subresource);
    if (strncmp(pattern, at->resource, n) != 0 || pattern[n] != '/') return false;
    return str_eq(pattern + n + 1, "*") || str_eq(pattern + n + 1, at->subresource);
}

static bool resources_match(const struct policy_rule *r, const struct attributes *at) {
    for (size_t i = 0; i < r->n; i++) {
        const struct resources *x = &r->v[i];
        if (!str_eq(x->group, at->group)) continue;
        if (x->names.n && !str_list_has(&x->names, at->name)) continue;
        if (!x->resources.n) return true;
        for (size_t j = 0; j < x->resources.n; j++)
            if (resource_matches(x->resources.v[j], at)) return true;
    }
    return false;
}

static bool path_matches(const struct policy_rule *r, const char *path) {
    for (size_t i = 0; i < r->paths.n; i++) {
        size_t n = strlen(r->paths.v[i]);
        if (n && r->paths.v[i][n - 1] == '*' ? strncmp(r->paths.v[i], path, n - 1) == 0
                                             : str_eq(r->paths.v[i], path))
            return true;
    }
    return false;
}

static bool matches(const struct policy_rule *r, const struct user *u,
                    const struct attributes *at) {
    if (r->users.n && !str_list_has(&r->users, str_or(u->name, ""))) return false;
    if (r->groups.n && !shared(&u->groups, &r->groups)) return false;
    if (r->verbs.n && !str_list_has(&r->verbs, at->verb)) return false;
    if (at->path) return !r->n && !r->namespaces.n && (!r->paths.n || path_matches(r, at->path));
    if (r->paths.n) return false;
    if (r->namespaces.n && !str_list_has(&r->namespaces, at->ns)) return false;
    return !r->n || resources_match(r, at);
}

struct audit_decision audit_policy_decide(const struct audit_policy *p, const struct user *u,
                                          const struct attributes *at) {
    for (size_t i = 0; i < p->n; i++)
        if (matches(&p->v[i], u, at)) return p->v[i].decision;
    return (struct audit_decision){0};
}
