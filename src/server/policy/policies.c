/* The policies and bindings of the cache. */
#include "base/own.h"
#include "server/policy/policy.h"

#define GROUP "admissionregistration.k8s.io"

static struct policies *current;

typedef struct admissionregistration_v1_match_resources match_resources;

static struct selector *selector_of(struct arena *a, const struct meta_v1_label_selector *ls) {
    static const struct meta_v1_label_selector all;
    struct selector *s = NULL;
    if (selector_from_labels(a, ls ? ls : &all, &s, NULL) < 0)
        selector_from_labels(a, &all, &s, NULL);
    return s;
}

static struct match_rule *
rules_of(struct arena *a,
         const struct admissionregistration_v1_named_rule_with_operations_list *list) {
    struct match_rule *rules = ARENA_ARRAY(a, struct match_rule, list->n);
    for (size_t i = 0; i < list->n; i++)
        rules[i] = (struct match_rule){.operations = list->v[i].operations,
                                       .groups = list->v[i].api_groups,
                                       .versions = list->v[i].api_versions,
                                       .resources = list->v[i].resources,
                                       .names = list->v[i].resource_names,
                                       .scope = list->v[i].scope};
    return rules;
}

static struct policy_match match_of(struct arena *a, const match_resources *m) {
    return (struct policy_match){.equivalent = !str_eq(m->match_policy, "Exact"),
                                 .rules = rules_of(a, &m->resource_rules),
                                 .n_rules = m->resource_rules.n,
                                 .excluded = rules_of(a, &m->exclude_resource_rules),
                                 .n_excluded = m->exclude_resource_rules.n,
                                 .namespaces = selector_of(a, m->namespace_selector),
                                 .objects = selector_of(a, m->object_selector)};
}

const struct api_kind *policy_matches(const struct policy_match *m, struct admission *ad) {
    if (!match_namespace(ad, m->namespaces) || !match_object(ad, m->objects)) return NULL;
    if (match_rules(m->excluded, m->n_excluded, ad, m->equivalent)) return NULL;
    if (!m->n_rules) return ad->c->kind ? ad->c->kind : ad->kind; /* a binding that adds none */
    return match_rules(m->rules, m->n_rules, ad, m->equivalent);
}

/* A policy that was stored compiles, unless another version of this program stored it. */
static void on_problem(void *user, const char *path, const char *expression, const char *problem) {
    struct policy *p = user;
    if (!p->broken) p->broken = problem;
}

static struct policy *policy_of(struct arena *a, const struct api_object *o) {
    const struct admissionregistration_v1_validating_admission_policy *from = (const void *)o;
    const policy_spec *spec = &from->spec;
    struct policy *p = ARENA_NEW(a, struct policy);
    p->name = from->metadata.name;
    p->fail_open = str_eq(spec->failure_policy, "Ignore");
    if (spec->match_constraints) p->match = match_of(a, spec->match_constraints);
    if (spec->param_kind) {
        p->param_api_version = str_or(spec->param_kind->api_version, "");
        p->param_kind = str_or(spec->param_kind->kind, "");
    }
    policy_compile(a, spec, cel_type(CEL_DYN), spec->param_kind ? cel_type(CEL_DYN) : NULL, p,
                   on_problem, p);
    return p;
}

static void add_binding(struct policies *all, const struct api_object *o, const struct map *named) {
    const struct admissionregistration_v1_validating_admission_policy_binding *from =
        (const void *)o;
    struct policy_binding *b = ARENA_PUSH(all->a, &all->bindings);
    b->name = from->metadata.name;
    b->policy = map_gets(named, str_or(from->spec.policy_name, ""));
    for (size_t i = 0; i < from->spec.validation_actions.n; i++) {
        const char *action = from->spec.validation_actions.v[i];
        b->deny |= str_eq(action, "Deny");
        b->warn |= str_eq(action, "Warn");
        b->audit |= str_eq(action, "Audit");
    }
    if (from->spec.match_resources) {
        struct policy_match *m = ARENA_NEW(all->a, struct policy_match);
        *m = match_of(all->a, from->spec.match_resources);
        b->match = m;
    }
    b->params = from->spec.param_ref;
    if (b->params && b->params->selector)
        b->param_selector = selector_of(all->a, b->params->selector);
}

static struct resource *resource_of(struct api *api, const char *plural,
                                    const struct api_kind **ret) {
    if (!*ret) *ret = api_kind_by_plural(GROUP, "v1", plural);
    return *ret ? cache_of_kind(&api->cache, *ret) : NULL;
}

static struct policies *build(const struct resource *from, const struct api_kind *policy_kind,
                              const struct resource *bindings,
                              const struct api_kind *binding_kind) {
    struct policies *all = calloc(1, sizeof *all);
    struct map named = {0};
    struct api_object *decoded;
    struct object *o;
    if (!all) abort();
    *all = (struct policies){.refs = 1,
                             .a = arena_new(),
                             .policies_changed = from->changed,
                             .bindings_changed = bindings->changed};
    struct key_cursor at = key_index_seek(&from->index, SLICE(""), false);
    while ((o = key_index_next(&from->index, &at)))
        if (api_object_decode(all->a, policy_kind, object_json(o), &decoded, NULL) == 0)
            map_put(&named, slice_of(decoded->metadata.name), policy_of(all->a, decoded));
    at = key_index_seek(&bindings->index, SLICE(""), false);
    while ((o = key_index_next(&bindings->index, &at)))
        if (api_object_decode(all->a, binding_kind, object_json(o), &decoded, NULL) == 0)
            add_binding(all, decoded, &named);
    map_done(&named);
    return all;
}

void policies_unref(struct policies *p) {
    if (!p || --p->refs) return;
    arena_free(p->a);
    free(p);
}

struct policies *policies_get(struct api *api) {
    static const struct api_kind *policy_kind, *binding_kind; /* every write asks for them */
    struct resource *from = resource_of(api, "validatingadmissionpolicies", &policy_kind);
    struct resource *bindings =
        resource_of(api, "validatingadmissionpolicybindings", &binding_kind);
    if (!from || !bindings || !from->index.n || !bindings->index.n) return NULL;
    if (current && (current->policies_changed != from->changed ||
                    current->bindings_changed != bindings->changed)) {
        policies_unref(current);
        current = NULL;
    }
    if (!current) current = build(from, policy_kind, bindings, binding_kind);
    current->refs++;
    return current;
}
