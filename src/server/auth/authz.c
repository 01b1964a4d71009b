#include "server/auth/authz.h"

#include "api/values/selector.h"
#include "base/own.h"
#include "server/auth/node_authz.h"

static const char rbac_group[] = "rbac.authorization.k8s.io";

struct grant {
    const char *ns; /* "" = everywhere */
    const char *binding;
    const struct rbac_v1_role_ref *role;
    const struct rbac_v1_policy_rule_list *rules;
};
struct grants {
    struct grant *v;
    size_t n;
};

struct authz {
    struct api *api;
    struct arena *arena; /* all that is compiled */
    struct map subjects; /* "U:name", "G:group" → grants */
    struct map roles;    /* "ns/name", "/name" → rules; used while compiling */
    struct map decoded; /* "plural ns/name" → struct decoded, kept from one compiling to the next */
    uint64_t round;     /* of compiling */
    struct node_authz *node;
    const struct grant *by; /* what allowed the last question; NULL = no grant */
    const char *by_group;   /* to whom it was granted; NULL: to the user himself */
    bool fresh;
};

/* An object and what it says, as long as it does not change. */
struct decoded {
    struct arena *arena; /* this lies in it, too */
    uint64_t revision, round;
    struct api_object *object; /* NULL: not readable */
};

static void on_change(void *user, const struct event *e) { ((struct authz *)user)->fresh = false; }

static const struct api_kind *rbac_kind(const char *plural) {
    return api_kind_by_plural(rbac_group, "v1", plural);
}

struct authz *authz_new(struct api *api) {
    static const char *const plurals[] = {"roles", "clusterroles", "rolebindings",
                                          "clusterrolebindings"};
    struct authz *z = calloc(1, sizeof *z);
    if (!z) abort();
    z->api = api;
    z->arena = arena_new();
    z->node = node_authz_new(api);
    for (size_t i = 0; i < ARRAY_LEN(plurals); i++)
        resource_listen(cache_of_kind(&api->cache, rbac_kind(plurals[i])), on_change, z);
    return z;
}

void authz_free(struct authz *z) {
    if (!z) return;
    map_done(&z->subjects);
    map_done(&z->roles);
    struct map_entry *e;
    for (size_t i = 0; (e = map_next(&z->decoded, &i));)
        arena_free(((struct decoded *)e->value)->arena);
    map_done(&z->decoded);
    node_authz_free(z->node);
    arena_free(z->arena);
    free(z);
}

/* ---- compiling ---- */

static const char *subject_key(struct arena *a, const struct rbac_v1_subject *s, const char *ns) {
    if (str_eq(s->kind, "User")) return arena_printf(a, "U:%s", s->name);
    if (str_eq(s->kind, "Group")) return arena_printf(a, "G:%s", s->name);
    return arena_printf(a, "U:system:serviceaccount:%s:%s", str_or(s->namespace, ns), s->name);
}

static void add_grants(struct authz *z, const char *ns, const char *binding,
                       const struct rbac_v1_role_ref *ref,
                       const struct rbac_v1_subject_list *subjects) {
    bool local = str_eq(ref->kind, "Role");
    const char *key = arena_printf(z->arena, "%s/%s", local ? ns : "", str_or(ref->name, ""));
    const struct rbac_v1_policy_rule_list *rules = map_gets(&z->roles, key);
    if (!rules) return;
    for (size_t i = 0; i < subjects->n; i++) {
        const char *who = subject_key(z->arena, &subjects->v[i], ns);
        struct grants *g = map_gets(&z->subjects, who);
        if (!g) {
            g = ARENA_NEW(z->arena, struct grants);
            map_put(&z->subjects, slice_of(who), g);
        }
        *ARENA_PUSH(z->arena, g) = (struct grant){ns, binding, ref, rules};
    }
}

/* Role and ClusterRole begin alike up to their rules, as do the two bindings: the schema has
 * apiVersion, kind, metadata, rules and apiVersion, kind, metadata, subjects, roleRef. */
static void take_role(struct authz *z, const struct object *o, struct api_object *decoded,
                      bool local) {
    const struct rbac_v1_policy_rule_list *rules =
        local ? &((struct rbac_v1_role *)(void *)decoded)->rules
              : &((struct rbac_v1_cluster_role *)(void *)decoded)->rules;
    map_put(&z->roles, slice_from(o->key, o->key_n), (void *)(uintptr_t)(const void *)rules);
}

static void take_binding(struct authz *z, const struct object *o, struct api_object *decoded,
                         bool local) {
    if (local) {
        const struct rbac_v1_role_binding *b = (void *)decoded;
        add_grants(z, arena_strn(z->arena, object_ns(o)), b->metadata.name, &b->role_ref,
                   &b->subjects);
    } else {
        const struct rbac_v1_cluster_role_binding *b = (void *)decoded;
        add_grants(z, "", b->metadata.name, &b->role_ref, &b->subjects);
    }
}

static struct decoded *decode(struct authz *z, const struct api_kind *k, const struct object *o) {
    OWN(buf_done) struct buf key = {0};
    buf_printf(&key, "%s %s", k->plural, o->key);
    struct decoded *d = map_get(&z->decoded, buf_view(&key));
    if (d && d->revision == o->revision) return d;
    struct arena *a = arena_new_sized(2 * o->json->n + 512);
    struct decoded *fresh = ARENA_NEW(a, struct decoded);
    fresh->arena = a;
    fresh->revision = o->revision;
    if (api_object_decode(a, k, object_json(o), &fresh->object, NULL) < 0) fresh->object = NULL;
    map_put(&z->decoded, buf_view(&key), fresh);
    if (d) arena_free(d->arena);
    return fresh;
}

static void walk(struct authz *z, const char *plural, bool local,
                 void (*take)(struct authz *, const struct object *, struct api_object *, bool)) {
    const struct api_kind *k = rbac_kind(plural);
    const struct resource *res = cache_of_kind(&z->api->cache, k);
    struct key_cursor at = key_index_seek(&res->index, SLICE(""), false);
    for (struct object *o; (o = key_index_next(&res->index, &at));) {
        struct decoded *d = decode(z, k, o);
        d->round = z->round;
        if (d->object) take(z, o, d->object, local);
    }
}

/* What is not there any more. */
static void forget_gone(struct authz *z) {
    struct str_list gone = {0};
    struct map_entry *e;
    for (size_t i = 0; (e = map_next(&z->decoded, &i));)
        if (((struct decoded *)e->value)->round != z->round)
            *ARENA_PUSH(z->arena, &gone) = arena_str(z->arena, e->key);
    for (size_t i = 0; i < gone.n; i++) {
        struct decoded *d = map_del(&z->decoded, slice_of(gone.v[i]));
        arena_free(d->arena);
    }
}

static void compile(struct authz *z) {
    map_done(&z->subjects);
    map_done(&z->roles);
    arena_reset(z->arena);
    z->by = NULL;
    z->round++;
    walk(z, "roles", true, take_role);
    walk(z, "clusterroles", false, take_role);
    walk(z, "rolebindings", true, take_binding);
    walk(z, "clusterrolebindings", false, take_binding);
    forget_gone(z);
    map_done(&z->roles);
    z->fresh = true;
}

/* ---- deciding ---- */

static const struct grants *grants_of(struct authz *z, char prefix, const char *name) {
    char key[512];
    int n = snprintf(key, sizeof key, "%c:%s", prefix, name);
    if (n < 0 || (size_t)n >= sizeof key) return NULL;
    return map_get(&z->subjects, slice_from(key, (size_t)n));
}

/* Walks the grants of the user and all groups; stops when fn says true. */
static bool each_grant(struct authz *z, const struct user *u, const char *ns,
                       bool (*fn)(const struct grant *, void *), void *arg) {
    if (!z->fresh) compile(z);
    for (size_t i = 0; i <= u->groups.n; i++) {
        const struct grants *g =
            i ? grants_of(z, 'G', u->groups.v[i - 1]) : grants_of(z, 'U', u->name);
        for (size_t j = 0; g && j < g->n; j++) {
            if (*g->v[j].ns && !str_eq(g->v[j].ns, ns)) continue;
            if (!fn(&g->v[j], arg)) continue;
            z->by = &g->v[j];
            z->by_group = i ? u->groups.v[i - 1] : NULL;
            return true;
        }
    }
    return false;
}

static bool grant_allows(const struct grant *g, void *arg) {
    for (size_t i = 0; i < g->rules->n; i++)
        if (rule_allows(&g->rules->v[i], arg)) return true;
    return false;
}

bool authz_is_master(const struct user *u) {
    for (size_t i = 0; i < u->groups.n; i++)
        if (str_eq(u->groups.v[i], "system:masters")) return true;
    return false;
}

bool authz_allows(struct authz *z, const struct user *u, const struct attributes *at) {
    z->by = NULL;
    if (authz_is_master(u) || node_authz_allows(z->node, u, at)) return true;
    return each_grant(z, u, at->path ? "" : at->ns, grant_allows,
                      (void *)(uintptr_t)(const void *)at);
}

const char *authz_reason(struct authz *z, struct arena *a, const struct user *u) {
    if (!z->by) return "";
    bool local = *z->by->ns;
    return arena_printf(a, "RBAC: allowed by %s \"%s%s%s\" of %s \"%s\" to %s \"%s\"",
                        local ? "RoleBinding" : "ClusterRoleBinding", z->by->binding,
                        local ? "/" : "", z->by->ns, str_or(z->by->role->kind, ""),
                        str_or(z->by->role->name, ""), z->by_group ? "Group" : "User",
                        str_or(z->by_group, str_or(u->name, "")));
}

struct visit {
    authz_rule_fn *fn;
    void *user;
    bool master; /* who may do everything has been told so */
};

static bool is_any(const struct str_list *l) { return l->n == 1 && str_eq(l->v[0], "*"); }

static bool allows_all(const struct rbac_v1_policy_rule *r) {
    return is_any(&r->verbs) &&
           (is_any(&r->non_resource_urls) || (is_any(&r->api_groups) && is_any(&r->resources)));
}

static bool grant_visit(const struct grant *g, void *arg) {
    struct visit *v = arg;
    for (size_t i = 0; i < g->rules->n; i++)
        if (!v->master || !allows_all(&g->rules->v[i])) v->fn(v->user, &g->rules->v[i]);
    return false;
}

void authz_rules(struct authz *z, const struct user *u, const char *ns, authz_rule_fn *fn,
                 void *user) {
    if (authz_is_master(u)) {
        static const char *all = "*";
        const struct str_list any = {&all, 1};
        fn(user, &(struct rbac_v1_policy_rule){.verbs = any, .api_groups = any, .resources = any});
        fn(user, &(struct rbac_v1_policy_rule){.verbs = any, .non_resource_urls = any});
    }
    struct visit v = {fn, user, authz_is_master(u)};
    each_grant(z, u, ns, grant_visit, &v);
}

const char *authz_selected_name(struct arena *a, const char *selector) {
    struct field_terms terms;
    if (str_empty(selector) || field_selector_parse(a, selector, &terms, NULL) < 0) return "";
    for (size_t i = 0; i < terms.n; i++)
        if (!terms.v[i].negate && str_eq(terms.v[i].path, "metadata.name")) return terms.v[i].value;
    return "";
}

const char *authz_refusal(struct arena *a, const struct user *u, const struct attributes *at) {
    if (at->path)
        return arena_printf(a, "forbidden: User \"%s\" cannot %s path \"%s\"", u->name, at->verb,
                            at->path);
    const char *title = resource_title(a, at->group, at->resource);
    if (*at->name) title = arena_printf(a, "%s \"%s\"", title, at->name);
    const char *resource = at->resource;
    if (*at->subresource) resource = arena_printf(a, "%s/%s", at->resource, at->subresource);
    const char *where =
        *at->ns ? arena_printf(a, "in the namespace \"%s\"", at->ns) : "at the cluster scope";
    return arena_printf(a,
                        "%s is forbidden: User \"%s\" cannot %s resource \"%s\" in API group "
                        "\"%s\" %s",
                        title, u->name, at->verb, resource, at->group, where);
}
