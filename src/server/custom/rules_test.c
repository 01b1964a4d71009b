#include "server/custom/rules.h"

#include "base/limits.h"
#include "base/test.h"

#include "base/own.h"

static struct api_causes checked(struct arena *a, const char *json) {
    struct api_causes causes = {.a = a};
    struct value document;
    struct schema *s = NULL;
    struct err err = {0};
    assert_int_equal(value_parse(a, slice_of(json), "", NULL, &document, &err), 0);
    assert_int_equal(schema_build(a, &document, &s, &err), 0);
    custom_rules_check(s, "schema", &causes);
    return causes;
}

#define RULE(text) "\"x-kubernetes-validations\":[{\"rule\":\"" text "\"}]"
#define SPEC(list)                                                                                 \
    "{\"type\":\"object\",\"properties\":{\"spec\":{\"type\":\"object\",\"properties\":{\"list\":" \
    "{\"type\":\"array\"," list "}}}}}"
#define PAIRS RULE("self.all(x, self.exists_one(y, x == y))")
#define TEXTS "\"items\":{\"type\":\"string\",\"maxLength\":63},"

TEST(rules_that_may_cost_too_much_are_refused) {
    OWN(arena_free_p) struct arena *a = arena_new();
    assert_int_equal(checked(a, SPEC(TEXTS "\"maxItems\":64," PAIRS)).n, 0);
    struct api_causes causes = checked(a, SPEC(TEXTS PAIRS));
    assert_int_equal(causes.n, 2);
    assert_string_equal(causes.v[0].field, "schema.properties[spec].properties[list]."
                                           "x-kubernetes-validations[0].rule");
    assert_string_equal(causes.v[0].message,
                        "Forbidden: estimated rule cost exceeds budget by factor of more than 100x "
                        "(try simplifying the rule, or adding maxItems, maxProperties, and "
                        "maxLength where arrays, maps, and strings are declared)");
    assert_string_equal(causes.v[1].field, "schema");
    assert_non_null(strstr(causes.v[1].message, "cost total for entire OpenAPIv3 schema"));
    causes = checked(a, SPEC(TEXTS "\"maxItems\":750," PAIRS));
    assert_int_equal(causes.n, 1);
    assert_non_null(strstr(causes.v[0].message, "by factor of "));
    assert_null(strstr(causes.v[0].message, "more than"));
}

TEST(very_many_rules_are_refused_before_they_are_compiled) {
    OWN(arena_free_p) struct arena *a = arena_new();
    OWN(buf_done) struct buf b = {0};
    buf_str(&b, "{\"type\":\"object\",\"x-kubernetes-validations\":[");
    for (int i = 0; i < 3 * LIMIT_CUSTOM_RULES; i++)
        buf_str(&b, i ? ",{\"rule\":\"true\"}" : "{\"rule\":\"true\"}");
    buf_str(&b, "]}");
    struct api_causes causes = checked(a, b.p);
    assert_int_equal(causes.n, 1);
    assert_string_equal(causes.v[0].message, "Too many: 15000: must have at most 5000 items");
}

/* A rule runs for each element of the lists around it. */
TEST(the_cost_of_a_rule_counts_its_places) {
    OWN(arena_free_p) struct arena *a = arena_new();
    static const char item[] = "\"items\":{\"type\":\"string\",\"maxLength\":100000,";
#define MATCH RULE("self.matches('^[a-z]+$')") "}"
    assert_int_equal(checked(a, arena_printf(a, SPEC("%s" MATCH ",\"maxItems\":10"), item)).n, 0);
    assert_int_equal(checked(a, arena_printf(a, SPEC("%s" MATCH ",\"maxItems\":500"), item)).n, 1);
    assert_true(checked(a, arena_printf(a, SPEC("%s" MATCH), item)).n >= 1);
}

/* As definitions in wide use have them: conditions without bounds, immutable objects, references.
 */
TEST(rules_of_usual_definitions_pass) {
    OWN(arena_free_p) struct arena *a = arena_new();
    static const char *const rules[] = {
        "self == oldSelf",
        "self.all(l1, self.exists_one(l2, l1.name == l2.name))",
        "self.all(l, l.protocol in ['HTTP', 'TCP', 'UDP'] ? !has(l.port) || l.port > 0 : true)",
        ("self.all(p1, self.exists_one(p2, p1.name == p2.name && ((!has(p1.port) && !has(p2.port)) "
         "|| (has(p1.port) && has(p2.port) && p1.port == p2.port))))"),
    };
    for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
        const char *schema = arena_printf(
            a,
            SPEC("\"maxItems\":64,\"items\":{\"type\":\"object\",\"required\":[\"name\"],"
                 "\"properties\":{\"name\":{\"type\":\"string\",\"maxLength\":253},\"port\":{"
                 "\"type\":\"integer\"},\"protocol\":{\"type\":\"string\",\"maxLength\":63}}},"
                 "\"x-kubernetes-validations\":[{\"rule\":\"%s\"}]"),
            rules[i]);
        struct api_causes causes = checked(a, schema);
        if (causes.n) fail_msg("%s: %s", rules[i], causes.v[0].message);
    }
}

/* Paths in matches in rules of routes: 16 · 64 places. */
TEST(rules_of_paths_of_routes_pass) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct api_causes causes = checked(
        a, SPEC("\"maxItems\":16,\"items\":{\"type\":\"array\",\"maxItems\":64,\"items\":{"
                "\"type\":\"object\",\"properties\":{\"type\":{\"type\":\"string\",\"enum\":["
                "\"Exact\",\"PathPrefix\"]},\"value\":{\"type\":\"string\",\"maxLength\":1024}},"
                "\"x-kubernetes-validations\":["
                "{\"rule\":\"self.type in ['Exact','PathPrefix'] ? self.value.startsWith('/') : "
                "true\"},"
                "{\"rule\":\"self.type in ['Exact','PathPrefix'] ? !self.value.contains('//') : "
                "true\"},"
                "{\"rule\":\"self.type in ['Exact','PathPrefix'] ? "
                "self.value.matches('^(?:[-A-Za-z0-9/._~!$&()*+,;=:@]|[%][0-9a-fA-F]{2})+$') : "
                "true\"}]}}"));
    if (causes.n) fail_msg("%s: %s", causes.v[0].field, causes.v[0].message);
}

TEST(policies_know_the_types_of_custom_objects) {
    OWN(arena_free_p) struct arena *a = arena_new();
    static const struct {
        const char *expression;
        bool fits;
    } rows[] = {{"object.spec.size > 1", true},
                {"object.spec.size == 'x'", false},
                {"object.spec.siez > 1", false},
                {"'a' in object.metadata.labels", true},
                {"object.metadata.lables.size() > 0", false},
                {"object.kind == 'Widget' && object.apiVersion != ''", true}};
    struct value document;
    struct schema *s = NULL;
    struct err err = {0};
    static const char json[] = "{\"type\":\"object\",\"properties\":{\"spec\":{\"type\":\"object\","
                               "\"properties\":{\"size\":{\"type\":\"integer\"}}}}}";
    assert_int_equal(value_parse(a, SLICE(json), "", NULL, &document, &err), 0);
    assert_int_equal(schema_build(a, &document, &s, &err), 0);
    struct cel_env *env = cel_env_new(a);
    cel_declare(env, "object", custom_rules_whole_type(a, s));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cel_program *p;
        const char *problem = "";
        int r = cel_compile(a, env, rows[i].expression, &p, &problem);
        if ((r == 0) != rows[i].fits) fail_msg("%s: %s", rows[i].expression, problem);
    }
    assert_int_equal(custom_rules_whole_type(a, NULL)->kind, CEL_DYN);
}
