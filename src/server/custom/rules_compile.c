/* Schema → CEL types; rules → programs. */
#include "api/values/names.h"
#include "base/limits.h"
#include "base/own.h"
#include "server/custom/rules.h"
#include "server/custom/rules_cost.h"

struct compiler {
    struct arena *a;
    struct value_path path;
    struct api_causes *causes; /* NULL: nothing is told */
    const char *uncorrelated;  /* path of the list whose elements have no old values; or NULL */
    double places; /* where this part of the schema applies in one object; 0: any number */
    double cost;   /* of all rules */
    size_t rules;  /* that were looked at */
};

/* ---- types ---- */

static const struct cel_type *type_of(struct arena *a, const struct schema *s, bool resource);

static const struct cel_type *metadata_field(struct arena *a, const struct cel_type *t,
                                             struct slice name) {
    (void)a;
    (void)t;
    bool known = slice_is(name, "name") || slice_is(name, "generateName");
    return known ? cel_type(CEL_STRING) : NULL;
}

static const struct cel_type *object_field(struct arena *a, const struct cel_type *t,
                                           struct slice name) {
    const struct schema *s = t->source, *p = schema_property(s, name);
    return p ? type_of(a, p, false) : NULL;
}

static const struct cel_type *resource_field(struct arena *a, const struct cel_type *t,
                                             struct slice name) {
    if (slice_is(name, "apiVersion") || slice_is(name, "kind")) return cel_type(CEL_STRING);
    if (slice_is(name, "metadata")) return cel_object_type(a, "ObjectMeta", metadata_field, NULL);
    return object_field(a, t, name);
}

static const struct cel_type *text_type(struct arena *a, const struct schema *s) {
    const char *format = s->limits ? s->limits->format : NULL;
    if (str_eq(format, "date-time") || str_eq(format, "date")) return cel_type(CEL_TIMESTAMP);
    if (str_eq(format, "duration")) return cel_type(CEL_DURATION);
    struct cel_type *t = ARENA_NEW(a, struct cel_type);
    t->kind = str_eq(format, "byte") ? CEL_BYTES : CEL_STRING;
    t->size_max = rules_size_max(s);
    return t;
}

static const struct cel_type *list_type(struct arena *a, const struct schema *s) {
    struct cel_type *t =
        cel_list_type(a, s->items ? type_of(a, s->items, false) : cel_type(CEL_DYN));
    t->list_type = s->flags & SCHEMA_SET        ? CEL_LIST_SET
                   : s->flags & SCHEMA_LIST_MAP ? CEL_LIST_MAP
                                                : CEL_LIST_ATOMIC;
    t->list_keys = s->sorted_keys;
    t->size_max = rules_size_max(s);
    return t;
}

static const struct cel_type *type_of(struct arena *a, const struct schema *s, bool resource) {
    if (s->flags & SCHEMA_INT_OR_STRING) return cel_type(CEL_DYN);
    resource = resource || s->flags & SCHEMA_EMBEDDED;
    switch (s->type) {
    case SCHEMA_ANY: return cel_type(CEL_DYN);
    case SCHEMA_STRING: return text_type(a, s);
    case SCHEMA_INTEGER: return cel_type(CEL_INT);
    case SCHEMA_NUMBER: return cel_type(CEL_DOUBLE);
    case SCHEMA_BOOLEAN: return cel_type(CEL_BOOL);
    case SCHEMA_ARRAY: return list_type(a, s);
    case SCHEMA_OBJECT: break;
    }
    if (s->additional) {
        struct cel_type *t =
            cel_map_type(a, cel_type(CEL_STRING), type_of(a, s->additional, false));
        t->size_max = rules_size_max(s);
        return t;
    }
    if (!resource && !s->properties.n && s->flags & (SCHEMA_PRESERVE | SCHEMA_ADDITIONAL_ANY))
        return cel_type(CEL_DYN);
    return cel_object_type(a, "object", resource ? resource_field : object_field, s);
}

static const struct cel_type *whole_field(struct arena *a, const struct cel_type *t,
                                          struct slice name) {
    if (slice_is(name, "metadata")) return cel_api_type(a, &meta_v1_object_meta_type);
    return resource_field(a, t, name);
}

const struct cel_type *custom_rules_whole_type(struct arena *a, const struct schema *s) {
    bool any = !s || (!s->properties.n && s->flags & SCHEMA_PRESERVE);
    return any ? cel_type(CEL_DYN) : cel_object_type(a, "object", whole_field, s);
}

/* ---- one rule ---- */

static void tell(struct compiler *c, size_t i, const char *member, const char *value,
                 const char *why) {
    if (!c->causes) return;
    cause_invalid(c->causes,
                  arena_printf(c->causes->a, "%s.x-kubernetes-validations[%zu].%s",
                               value_path_text(&c->path), i, member),
                  value, why);
}

static struct cel_program *compile(struct compiler *c, const struct cel_env *env, size_t i,
                                   const char *member, const char *source, enum cel_kind wanted) {
    struct cel_program *p;
    const char *problem = "";
    if (cel_compile(c->a, env, source, &p, &problem) < 0) {
        if (c->causes)
            tell(c, i, member, source,
                 arena_printf(c->causes->a, "compilation failed: %s", problem));
        return NULL;
    }
    enum cel_kind kind = cel_program_type(p)->kind;
    if (kind == wanted || kind == CEL_DYN) return p;
    tell(c, i, member, source,
         wanted == CEL_BOOL ? "cel expression must evaluate to a bool"
                            : "messageExpression must evaluate to a string");
    return NULL;
}

/* The schema of a fieldPath such as .spec.name or .map['key']. */
static bool path_exists(const struct schema *s, const char *path) {
    while (s && *path) {
        const char *from = path;
        if (*path == '.') {
            from = ++path;
            while (*path && *path != '.' && *path != '[') path++;
            s = schema_member(s, slice_from(from, (size_t)(path - from)));
        } else if (path[0] == '[' && path[1] == '\'') {
            const char *end = strstr(path, "']");
            if (!end) return false;
            s = schema_member(s, slice_from(path + 2, (size_t)(end - path) - 2));
            path = end + 2;
        } else {
            return false;
        }
    }
    return s != NULL;
}

static void check_words(struct compiler *c, const struct schema *s, size_t i) {
    const struct schema_rule *r = &s->rules.v[i];
    static const char *const reasons[] = {"FieldValueDuplicate", "FieldValueForbidden",
                                          "FieldValueInvalid", "FieldValueRequired"};
    bool known = !r->reason;
    if (!c->causes) return;
    for (size_t k = 0; k < ARRAY_LEN(reasons); k++) known = known || str_eq(r->reason, reasons[k]);
    if (!known)
        cause_not_supported(c->causes,
                            arena_printf(c->causes->a, "%s.x-kubernetes-validations[%zu].reason",
                                         value_path_text(&c->path), i),
                            r->reason, reasons, ARRAY_LEN(reasons));
    if (r->message && strpbrk(r->message, "\r\n"))
        tell(c, i, "message", r->message, "message must not contain line breaks");
    if (!r->message && strpbrk(r->rule, "\r\n"))
        tell(c, i, "message", "", "message must be specified if rule contains line breaks");
    if (r->field_path && !path_exists(s, r->field_path))
        tell(c, i, "fieldPath", r->field_path,
             "fieldPath must be a valid path: does not refer to a valid field");
}

/* At every place where the rule may run. */
static void check_cost(struct compiler *c, const struct schema *s, size_t i, const char *member,
                       const struct cel_program *p) {
    if (!c->causes || !p) return;
    double cost = cel_cost_estimate(p) * (c->places > 0 ? c->places : rules_places_max(s));
    c->cost += cost;
    if (cost > RULES_COST_RULE_MAX)
        cause_forbidden(c->causes,
                        arena_printf(c->causes->a, "%s.x-kubernetes-validations[%zu].%s",
                                     value_path_text(&c->path), i, member),
                        rules_cost_text(c->causes->a,
                                        arena_printf(c->causes->a, "estimated %s cost", member),
                                        cost, RULES_COST_RULE_MAX));
}

static void compile_rule(struct compiler *c, struct custom_rules *out, size_t i) {
    const struct schema_rule *r = &out->schema->rules.v[i];
    if (++c->rules > LIMIT_CUSTOM_RULES && c->causes) return; /* refused as a whole */
    struct cel_env *env = cel_env_new(c->a);
    struct custom_rule rule = {.source = r};
    cel_declare(env, "self", out->type);
    cel_declare(env, "oldSelf",
                r->optional_old_self ? cel_optional_type(c->a, out->type) : out->type);
    check_words(c, out->schema, i);
    if (str_empty(r->rule)) {
        tell(c, i, "rule", "", "rule is not specified");
        return;
    }
    rule.program = compile(c, env, i, "rule", r->rule, CEL_BOOL);
    if (!rule.program) return;
    check_cost(c, out->schema, i, "rule", rule.program);
    rule.transition = cel_program_uses(rule.program, "oldSelf");
    if (rule.transition && c->uncorrelated && c->causes)
        tell(c, i, "rule", r->rule,
             arena_printf(c->causes->a,
                          "oldSelf cannot be used on the uncorrelatable portion of the schema "
                          "within %s",
                          c->uncorrelated));
    if (r->message_expression)
        rule.message = compile(c, env, i, "messageExpression", r->message_expression, CEL_STRING);
    check_cost(c, out->schema, i, "messageExpression", rule.message);
    *ARENA_PUSH(c->a, &out->rules) = rule;
}

/* ---- the tree ---- */

static struct custom_rules *walk(struct compiler *c, const struct schema *s, bool root);

static struct custom_rules *below(struct compiler *c, const struct schema *s, const char *member,
                                  struct slice key, bool correlated) {
    if (!s || !(s->flags & SCHEMA_HAS_RULES)) return NULL;
    const char *before = c->uncorrelated;
    if (!correlated && !before) c->uncorrelated = arena_str(c->a, value_path_text(&c->path));
    size_t back = value_path_field(&c->path, slice_of(member));
    if (key.p) value_path_key(&c->path, key);
    struct custom_rules *r = walk(c, s, false);
    value_path_back(&c->path, back);
    c->uncorrelated = before;
    return r;
}

/* Without a bound it is the request that bounds, whatever stands above. */
static double places_below(const struct compiler *c, const struct schema *s) {
    int64_t n = !s->limits ? -1 : s->items ? s->limits->max_items : s->limits->max_properties;
    if (!s->items && !s->additional) return c->places;
    return n < 0 ? 0 : c->places * (double)(n ? n : 1);
}

static struct custom_rules *walk(struct compiler *c, const struct schema *s, bool root) {
    struct custom_rules *out = ARENA_NEW(c->a, struct custom_rules);
    const struct slice none = {0};
    out->schema = s;
    out->type = type_of(c->a, s, root);
    for (size_t i = 0; i < s->rules.n; i++) compile_rule(c, out, i);
    for (size_t i = 0; i < s->properties.n; i++) {
        struct slice name = s->properties.v[i].name;
        struct custom_rules *r = below(c, s->properties.v[i].schema, "properties", name, true);
        if (r) *ARENA_PUSH(c->a, &out->properties) = (struct custom_rules_property){name, r};
    }
    double places = c->places;
    c->places = places_below(c, s);
    out->items = below(c, s->items, "items", none, s->flags & SCHEMA_LIST_MAP);
    out->additional = below(c, s->additional, "additionalProperties", none, true);
    c->places = places;
    return out;
}

void custom_rules_check(const struct schema *s, const char *path, struct api_causes *causes) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct compiler c = {.a = a, .causes = causes, .places = 1};
    buf_str(&c.path.text, path);
    walk(&c, s, true);
    if (c.rules > LIMIT_CUSTOM_RULES) cause_too_many(causes, path, c.rules, LIMIT_CUSTOM_RULES);
    if (c.cost > RULES_COST_SCHEMA_MAX)
        cause_forbidden(causes, path,
                        rules_cost_text(causes->a,
                                        "estimated rule cost total for entire OpenAPIv3 schema",
                                        c.cost, RULES_COST_SCHEMA_MAX));
    buf_done(&c.path.text);
}

void custom_rules_compile(struct custom_version *v) {
    if (!v->schema || !(v->schema->flags & SCHEMA_HAS_RULES)) return;
    struct compiler c = {.a = v->set->a};
    v->rules = walk(&c, v->schema, true);
    buf_done(&c.path.text);
}
