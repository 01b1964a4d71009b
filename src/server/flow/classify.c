/* Which schema a request belongs to, and which flow of it. On the way of every request. */
#include "server/flow/flow_impl.h"

static bool any_of(const struct str_list *l, const char *s) {
    for (size_t i = 0; i < l->n; i++)
        if (str_eq(l->v[i], "*") || str_eq(l->v[i], s)) return true;
    return false;
}

static bool in_group(const struct user *u, const char *group) {
    if (str_eq(group, "*")) return true;
    for (size_t i = 0; i < u->groups.n; i++)
        if (str_eq(u->groups.v[i], group)) return true;
    return false;
}

static bool is_account(const char *user, const char *ns, const char *name) {
    static const char prefix[] = "system:serviceaccount:";
    size_t n = strlen(str_or(ns, ""));
    if (!str_starts(user, prefix)) return false;
    user += sizeof prefix - 1;
    return strncmp(user, str_or(ns, ""), n) == 0 && user[n] == ':' &&
           (str_eq(name, "*") || str_eq(user + n + 1, name));
}

static bool subject_matches(const struct flowcontrol_v1_subject *s, const struct user *u) {
    switch (*str_or(s->kind, "-")) {
    case 'U': return s->user && (str_eq(s->user->name, "*") || str_eq(s->user->name, u->name));
    case 'G': return s->group && in_group(u, s->group->name);
    case 'S':
        return s->service_account &&
               is_account(u->name, s->service_account->namespace, s->service_account->name);
    default: return false;
    }
}

static bool resource_is(const struct str_list *l, const struct route *r) {
    if (!*r->subresource) return any_of(l, r->plural);
    size_t n = strlen(r->plural);
    for (size_t i = 0; i < l->n; i++) {
        const char *s = l->v[i];
        if (str_eq(s, "*")) return true;
        if (strncmp(s, r->plural, n) == 0 && s[n] == '/' && str_eq(s + n + 1, r->subresource))
            return true;
    }
    return false;
}

static bool resource_matches(const struct flowcontrol_v1_resource_policy_rule *rule,
                             const struct route *r) {
    bool scope = *r->ns ? any_of(&rule->namespaces, r->ns) : rule->cluster_scope;
    return scope && any_of(&rule->verbs, r->verb) && any_of(&rule->api_groups, r->group) &&
           resource_is(&rule->resources, r);
}

static bool path_is(const struct str_list *l, const char *path) {
    for (size_t i = 0; i < l->n; i++) {
        const char *s = l->v[i];
        size_t n = strlen(s);
        if (str_eq(s, "*") || str_eq(s, path)) return true;
        if (n && s[n - 1] == '*' && strncmp(s, path, n - 1) == 0) return true;
    }
    return false;
}

static bool rule_matches(const struct flowcontrol_v1_policy_rules_with_subjects *rule,
                         const struct call *c) {
    bool found = false;
    for (size_t i = 0; i < rule->subjects.n && !found; i++)
        found = subject_matches(&rule->subjects.v[i], &c->user);
    if (!found) return false;
    if (c->route.is_resource) {
        for (size_t i = 0; i < rule->resource_rules.n; i++)
            if (resource_matches(&rule->resource_rules.v[i], &c->route)) return true;
        return false;
    }
    for (size_t i = 0; i < rule->non_resource_rules.n; i++) {
        const struct flowcontrol_v1_non_resource_policy_rule *n = &rule->non_resource_rules.v[i];
        if (any_of(&n->verbs, c->route.verb) && path_is(&n->non_resource_urls, c->r->path))
            return true;
    }
    return false;
}

struct flow_schema *flow_classify(struct flow *f, const struct call *c) {
    for (size_t i = 0; i < f->schemas.n; i++) {
        const struct flowcontrol_v1_flow_schema *o = f->schemas.v[i].object;
        for (size_t j = 0; j < o->spec.rules.n; j++)
            if (rule_matches(&o->spec.rules.v[j], c)) return &f->schemas.v[i];
    }
    return NULL;
}

/* FNV-1a; who would choose names for their hash only meets himself in the queues. */
static uint64_t hash_more(uint64_t h, const char *s) {
    for (; s && *s; s++) h = (h ^ (unsigned char)*s) * 0x100000001b3;
    return (h ^ h >> 29) * 0x9e3779b97f4a7c15;
}

uint64_t flow_hash(const struct flow_schema *s, const struct call *c) {
    if (s->distinguisher == FLOW_BY_USER) return hash_more(s->hash, c->user.name);
    if (s->distinguisher == FLOW_BY_NAMESPACE) return hash_more(s->hash, c->route.ns);
    return s->hash;
}

void flow_deal(uint64_t hash, unsigned n, unsigned hand, unsigned *ret) {
    for (unsigned i = 0; i < hand && i < n; i++) {
        unsigned card = (unsigned)(hash % (n - i)), j;
        hash /= n - i;
        /* The card-th of those that are left: ret is kept sorted for that. */
        for (j = 0; j < i && ret[j] <= card; j++) card++;
        memmove(ret + j + 1, ret + j, (i - j) * sizeof *ret);
        ret[j] = card;
    }
}
