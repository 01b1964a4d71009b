/* Who gets which name: first come, first served, within a group. */
#include "api/custom/definition.h"
#include "api/table.h"
#include "base/own.h"
#include "server/custom/definitions.h"

typedef struct apiextensions_v1_custom_resource_definition definition;
typedef struct apiextensions_v1_custom_resource_definition_names definition_names;
typedef struct apiextensions_v1_custom_resource_definition_condition condition;

void definition_set_condition(struct arena *a, definition *d, const char *type, const char *status,
                              const char *reason, const char *message, const char *now) {
    condition *c = NULL;
    for (size_t i = 0; i < d->status.conditions.n; i++)
        if (str_eq(d->status.conditions.v[i].type, type)) c = &d->status.conditions.v[i];
    if (!c) c = ARENA_PUSH(a, &d->status.conditions);
    if (!str_eq(c->status, status)) c->last_transition_time = now;
    c->type = type;
    c->status = status;
    c->reason = reason;
    c->message = message;
}

struct others {
    const definition_names *const *v;
    size_t n;
};

static bool resource_taken(const struct others *o, const char *name) {
    for (size_t i = 0; i < o->n; i++) {
        const definition_names *n = o->v[i];
        if (str_eq(n->plural, name) || str_eq(n->singular, name) ||
            str_list_has(&n->short_names, name))
            return true;
    }
    return false;
}

static bool kind_taken(const struct others *o, const char *name) {
    for (size_t i = 0; i < o->n; i++) {
        const definition_names *n = o->v[i];
        if (str_eq(n->kind, name) || str_eq(n->list_kind, name)) return true;
    }
    return false;
}

struct verdict {
    struct arena *a;
    const struct others *others;
    const char *reason, *message;
};

/* The name that is asked for, when nobody else has it; else the one that is held already. */
static void grant(struct verdict *v, const char *wanted, const char **held, bool kind,
                  const char *reason) {
    if (str_eq(wanted, *held)) return;
    if (!str_empty(wanted) &&
        (kind ? kind_taken(v->others, wanted) : resource_taken(v->others, wanted))) {
        v->reason = reason;
        v->message = arena_printf(v->a, "\"%s\" is already in use", wanted);
        return;
    }
    *held = wanted;
}

static void grant_short(struct verdict *v, const struct str_list *wanted, struct str_list *held) {
    for (size_t i = 0; i < wanted->n; i++) {
        if (str_list_has(held, wanted->v[i]) || !resource_taken(v->others, wanted->v[i])) continue;
        v->reason = "ShortNamesConflict";
        v->message = arena_printf(v->a, "\"%s\" is already in use", wanted->v[i]);
        return;
    }
    *held = *wanted;
}

static bool is_table_kind(const definition *d) {
    size_t n;
    const struct api_kind *const *kinds = api_kinds(&n);
    for (size_t i = 0; i < n; i++)
        if (!kinds[i]->custom && str_eq(kinds[i]->group, d->spec.group) &&
            str_eq(kinds[i]->plural, d->spec.names.plural))
            return true;
    return false;
}

static void approval(struct arena *a, definition *d, const char *now) {
    const char *value = str_map_get(&d->metadata.annotations, "api-approved.kubernetes.io");
    bool ours = str_ends(d->spec.group, ".k8s.io") || str_ends(d->spec.group, ".kubernetes.io");
    if (!ours || !value) return;
    bool approved = str_starts(value, "http");
    definition_set_condition(
        a, d, "KubernetesAPIApprovalPolicyConformant", approved ? "True" : "False",
        approved ? "ApprovedAnnotation" : "UnapprovedAnnotation",
        arena_printf(a, approved ? "approved in %s" : "not approved: \"%s\"", value), now);
}

bool definition_grant(struct arena *a, definition *d, const definition_names *const *others,
                      size_t n_others, const char *now) {
    struct others o = {others, n_others};
    struct verdict v = {.a = a, .others = &o};
    const struct api_type *type = &apiextensions_v1_custom_resource_definition_status_type;
    struct apiextensions_v1_custom_resource_definition_status before = d->status;
    before.conditions.v = arena_copy(a, d->status.conditions.v,
                                     d->status.conditions.n * sizeof *d->status.conditions.v);
    definition_names *held = &d->status.accepted_names;
    const definition_names *wanted = &d->spec.names;
    if (is_table_kind(d)) {
        v.reason = "PluralConflict";
        v.message = arena_printf(a, "\"%s\" is already in use", wanted->plural);
    } else {
        grant(&v, wanted->plural, &held->plural, false, "PluralConflict");
        grant(&v, wanted->singular, &held->singular, false, "SingularConflict");
        grant_short(&v, &wanted->short_names, &held->short_names);
        grant(&v, wanted->kind, &held->kind, true, "KindConflict");
        grant(&v, wanted->list_kind, &held->list_kind, true, "ListKindConflict");
        held->categories = wanted->categories;
    }
    definition_set_condition(a, d, "NamesAccepted", v.reason ? "False" : "True",
                             str_or(v.reason, "NoConflicts"),
                             str_or(v.message, "no conflicts found"), now);
    if (!v.reason)
        definition_set_condition(a, d, "Established", "True", "InitialNamesAccepted",
                                 "the initial names have been accepted", now);
    else if (!definition_is(d, "Established"))
        definition_set_condition(a, d, "Established", "False", "NotAccepted",
                                 "not all names are accepted", now);
    approval(a, d, now);
    return !api_equal(type, &before, &d->status);
}
