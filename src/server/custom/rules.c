#include "server/custom/rules.h"

#include "api/values/names.h"
#include "base/limits.h"
#include "base/own.h"

struct runner {
    struct arena *a;
    struct value_path path;
    struct api_causes *causes;
    struct cel_run run;
    bool stopped;
};

static struct cel_value value_of(struct runner *r, const struct cel_type *t,
                                 const struct value *v) {
    OWN(buf_done) struct buf b = {0};
    value_encode(&b, v);
    return cel_json(r->a, t, slice_from(arena_strn(r->a, buf_view(&b)), b.n));
}

/* ---- what is told ---- */

static const char *trimmed(struct arena *a, const char *text) {
    return arena_strn(a, slice_trim(slice_of(text)));
}

static const char *default_message(struct runner *r, const struct custom_rule *rule) {
    if (rule->source->message) return trimmed(r->a, rule->source->message);
    return arena_printf(r->a, "failed rule: %s", trimmed(r->a, rule->source->rule));
}

/* The result of messageExpression when it is one line of text, else the fixed message. */
static const char *message_of(struct runner *r, const struct custom_rule *rule) {
    struct cel_value v;
    const char *problem;
    if (!rule->message || cel_eval(rule->message, &r->run, &v, &problem) < 0 ||
        v.kind != CEL_STRING)
        return default_message(r, rule);
    const char *text = trimmed(r->a, arena_strn(r->a, cel_slice(v)));
    enum { LONGEST = 5 * 1024 };
    bool usable = *text && !strpbrk(text, "\r\n") && strlen(text) <= LONGEST;
    return usable ? text : default_message(r, rule);
}

static const char *type_name(const struct schema *s) {
    return s->flags & SCHEMA_INT_OR_STRING || s->type == SCHEMA_ANY ? ""
                                                                    : schema_type_names[s->type];
}

static void refuse(struct runner *r, const struct custom_rules *at, const struct custom_rule *rule,
                   const char *message) {
    const char *reason = str_or(rule->source->reason, "FieldValueInvalid"),
               *here = value_path_text(&r->path), *sub = str_or(rule->source->field_path, "");
    const char *path =
        arena_printf(r->causes->a, "%s%s", here, *here || *sub != '.' ? sub : sub + 1);
    message = arena_str(r->causes->a, message);
    if (str_eq(reason, "FieldValueForbidden"))
        cause_forbidden(r->causes, path, message);
    else if (str_eq(reason, "FieldValueRequired"))
        cause_required(r->causes, path, message);
    else if (str_eq(reason, "FieldValueDuplicate"))
        cause_duplicate(r->causes, path, type_name(at->schema));
    else
        cause_invalid(r->causes, *path ? path : "<nil>", type_name(at->schema), message);
}

/* ---- one place ---- */

static void run_rule(struct runner *r, const struct custom_rules *at,
                     const struct custom_rule *rule) {
    struct cel_value v;
    const char *problem = "the result is no bool";
    int rc = cel_eval(rule->program, &r->run, &v, &problem);
    if (rc == 0 && v.kind == CEL_BOOL) {
        if (!v.b) refuse(r, at, rule, message_of(r, rule));
        return;
    }
    if (r->run.exhausted) {
        refuse(r, at, rule,
               "validation failed due to running out of cost budget, no further validation rules "
               "will be run");
        r->stopped = true;
        return;
    }
    refuse(r, at, rule,
           arena_printf(r->a, "%s evaluating rule: %s", problem, default_message(r, rule)));
}

static void run_rules(struct runner *r, const struct custom_rules *at, const struct value *now,
                      const struct value *old) {
    bool unchanged = old && value_equal(now, old);
    struct cel_value vars[2] = {value_of(r, at->type, now), cel_null()}, content;
    if (old) content = value_of(r, at->type, old);
    for (size_t i = 0; i < at->rules.n && !r->stopped; i++) {
        const struct custom_rule *rule = &at->rules.v[i];
        bool optional = rule->source->optional_old_self;
        if (rule->transition && !old && !optional) continue;
        if (unchanged && !rule->transition) continue; /* ratcheting: not touched */
        vars[1] = optional ? cel_optional(r->a, old ? &content : NULL) : old ? content : cel_null();
        r->run.vars = vars;
        r->run.n_vars = 2;
        run_rule(r, at, rule);
    }
}

/* ---- the tree ---- */

static void walk(struct runner *r, const struct custom_rules *at, const struct value *now,
                 const struct value *old);

static const struct value *same_element(const struct schema *s, const struct value *item,
                                        const struct value *old) {
    if (!(s->flags & SCHEMA_LIST_MAP) || !value_is(old, VALUE_ARRAY)) return NULL;
    for (size_t i = 0; i < old->items.n; i++) {
        bool same = true;
        for (size_t k = 0; k < s->list_keys.n && same; k++) {
            const struct value *x = value_gets(item, s->list_keys.v[k]),
                               *y = value_gets(&old->items.v[i], s->list_keys.v[k]);
            same = x && y ? value_equal(x, y) : x == y;
        }
        if (same) return &old->items.v[i];
    }
    return NULL;
}

static void walk_member(struct runner *r, const struct custom_rules *at, struct value_member *m,
                        const struct value *old) {
    const struct custom_rules *child = NULL;
    for (size_t i = 0; i < at->properties.n && !child; i++)
        if (slice_eq(at->properties.v[i].name, m->key)) child = at->properties.v[i].rules;
    bool named = schema_property(at->schema, m->key);
    if (!named) child = at->additional;
    if (!child) return;
    size_t back = named ? value_path_field(&r->path, m->key) : value_path_key(&r->path, m->key);
    walk(r, child, &m->value, value_get(old, m->key));
    value_path_back(&r->path, back);
}

static void walk(struct runner *r, const struct custom_rules *at, const struct value *now,
                 const struct value *old) {
    if (r->stopped || now->kind == VALUE_NULL || r->causes->n >= LIMIT_CAUSES) return;
    if (old && old->kind != now->kind) old = NULL;
    if (at->rules.n) run_rules(r, at, now, old);
    for (size_t i = 0; now->kind == VALUE_OBJECT && i < now->members.n; i++)
        walk_member(r, at, &now->members.v[i], old);
    for (size_t i = 0; at->items && now->kind == VALUE_ARRAY && i < now->items.n; i++) {
        size_t back = value_path_index(&r->path, i);
        walk(r, at->items, &now->items.v[i], same_element(at->schema, &now->items.v[i], old));
        value_path_back(&r->path, back);
    }
}

/* Rules may rely on what the schema says; where that does not hold they are not asked. */
static bool blocked(const struct api_causes *causes) {
    static const char *const reasons[] = {"FieldValueRequired", "FieldValueNotSupported",
                                          "FieldValueTooLong", "FieldValueTooMany",
                                          "FieldValueTypeInvalid"};
    for (size_t i = 0; i < causes->n; i++)
        for (size_t k = 0; k < ARRAY_LEN(reasons); k++)
            if (str_eq(causes->v[i].reason, reasons[k])) return true;
    return false;
}

void custom_object_validate(const struct api_kind *k, const struct api_object *o,
                            const struct api_object *old, struct api_causes *causes) {
    struct value now, before;
    custom_validate(k, o, old, causes);
    if (!k->custom->rules) return;
    if (blocked(causes)) {
        cause_printf(causes, "FieldValueInvalid", "<nil>",
                     "Invalid value: \"null\": some validation rules were not checked because the "
                     "object was invalid; correct the existing errors to complete validation");
        return;
    }
    OWN(arena_free_p) struct arena *a = arena_new();
    bool has_old = old && custom_value(a, k, old, &before) == 0;
    if (custom_value(a, k, o, &now) < 0) return;
    struct runner r = {.a = a, .causes = causes, .run = {.a = a, .budget = CEL_COST_BUDGET}};
    walk(&r, k->custom->rules, &now, has_old ? &before : NULL);
    buf_done(&r.path.text);
}
