#include "api/values/selector.h"

#include "api/values/names.h"
#include "base/limits.h"
#include "base/own.h"
#include "base/test.h"

static struct str_pair pairs[] = {{"app", "web"}, {"n", "5"}, {"tier", "front"}};
static const struct str_map labels = {pairs, 3};

TEST(label_selector_matches) {
    static const struct {
        const char *text;
        bool match;
    } cases[] = {
        {"", true},
        {"app=web", true},
        {"app==web", true},
        {"app = web , tier=front", true},
        {"app=db", false},
        {"app!=db", true},
        {"other!=db", true},
        {"app in (db, web)", true},
        {"app in (db)", false},
        {"app notin (db)", true},
        {"other notin (db)", true},
        {"app", true},
        {"!app", false},
        {"!other", true},
        {"! other,app", true},
        {"n>4", true},
        {"n<4", false},
        {"other>1", false},
        {"app=", false},
        {"app in (,web)", true},
        {"in in (in)", false},
        {"example.com/x!=y", true},
    };
    OWN(arena_free_p) struct arena *a = arena_new();
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct selector *s = NULL;
        struct err err = {0};
        if (selector_parse(a, cases[i].text, &s, &err) < 0)
            fail_msg("%s: %s", cases[i].text, err.text);
        if (selector_matches(s, &labels) != cases[i].match) fail_msg("%s", cases[i].text);
    }
}

TEST(label_selector_errors_are_worded_as_upstream) {
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"a=b,", "found '', expected: identifier after ','"},
        {"=a", "found '=', expected: !, identifier, or 'end of string'"},
        {"a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"},
        {"a=b c", "found 'c', expected: ',' or 'end of string'"},
        {"a in b", "unable to parse requirement: found 'b', expected: '('"},
        {"a in (b", "unable to parse requirement: found '', expected: ',' or ')'"},
        {"a in ()", "unable to parse requirement: values: Invalid value: []: for 'in', 'notin' "
                    "operators, values set can't be empty"},
        {"a>x", "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' "
                "operators, the value must be an integer"},
        {"!", "unable to parse requirement: found '', expected: identifier"},
    };
    OWN(arena_free_p) struct arena *a = arena_new();
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct selector *s = NULL;
        struct err err = {0};
        assert_true(selector_parse(a, cases[i].text, &s, &err) < 0);
        assert_string_equal(err.text, cases[i].message);
        assert_int_equal(err.reason, ERR_BAD_REQUEST);
        assert_null(s);
    }
}

TEST(label_selector_terms_are_limited) {
    OWN(arena_free_p) struct arena *a = arena_new();
    OWN(buf_done) struct buf b = {0};
    for (int i = 0; i <= LIMIT_SELECTOR_TERMS; i++) buf_printf(&b, "%sk%d", i ? "," : "", i);
    struct selector *s;
    assert_true(selector_parse(a, b.p, &s, NULL) < 0);
}

TEST(label_selector_from_schema) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct selector *s;
    struct err err = {0};
    assert_int_equal(selector_from_labels(a, NULL, &s, &err), 0);
    assert_false(selector_matches(s, &labels));
    assert_false(selector_empty(s));
    struct meta_v1_label_selector ls = {0};
    assert_int_equal(selector_from_labels(a, &ls, &s, &err), 0);
    assert_true(selector_empty(s));
    ls.match_labels = (struct str_map){pairs, 1};
    struct meta_v1_label_selector_requirement exists = {.key = "tier", .operator= "DoesNotExist" };
    ls.match_expressions.v = &exists;
    ls.match_expressions.n = 1;
    assert_int_equal(selector_from_labels(a, &ls, &s, &err), 0);
    assert_false(selector_matches(s, &labels));
    exists.operator= "Exists";
    assert_int_equal(selector_from_labels(a, &ls, &s, &err), 0);
    assert_true(selector_matches(s, &labels));
    exists.operator= "Maybe";
    assert_true(selector_from_labels(a, &ls, &s, &err) < 0);
    assert_string_equal(err.text, "\"Maybe\" is not a valid label selector operator");
}

TEST(field_selector_terms) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct field_terms t;
    struct err err = {0};
    const char *text = "metadata.name=x,status.phase!=Running,spec.nodeName==n\\,1,";
    assert_int_equal(field_selector_parse(a, text, &t, &err), 0);
    assert_int_equal(t.n, 3);
    assert_string_equal(t.v[0].path, "metadata.name");
    assert_string_equal(t.v[0].value, "x");
    assert_true(t.v[1].negate);
    assert_string_equal(t.v[1].path, "status.phase");
    assert_string_equal(t.v[1].value, "Running");
    assert_string_equal(t.v[2].value, "n,1");
    assert_true(field_selector_parse(a, "a=b,c", &t, &err) < 0);
    assert_string_equal(err.text, "invalid selector: 'a=b,c'; can't understand 'c'");
    assert_true(field_selector_parse(a, "a=\\x", &t, &err) < 0);
}

TEST(names_follow_their_rules) {
    static const struct {
        enum name_rule rule;
        const char *name;
        size_t problems;
    } cases[] = {
        {NAME_DNS_LABEL, "a", 0},
        {NAME_DNS_LABEL, "", 1},
        {NAME_DNS_LABEL, "a.b", 1},
        {NAME_DNS_LABEL, "-a", 1},
        {NAME_DNS_SUBDOMAIN, "a.b-c", 0},
        {NAME_DNS_SUBDOMAIN, "a..b", 1},
        {NAME_DNS_SUBDOMAIN, "a.", 1},
        {NAME_DNS_SUBDOMAIN, "A", 1},
        {NAME_DNS_1035_LABEL, "1a", 1},
        {NAME_DNS_1035_LABEL, "a1", 0},
        {NAME_QUALIFIED, "a/b/c", 1},
        {NAME_QUALIFIED, "/b", 1},
        {NAME_QUALIFIED, "x.io/", 2},
        {NAME_QUALIFIED, "x.io/My_Name.1", 0},
        {NAME_LABEL_VALUE, "", 0},
        {NAME_LABEL_VALUE, "a b", 1},
        {NAME_PATH_SEGMENT, "a:b", 0},
        {NAME_PATH_SEGMENT, "a/b", 1},
        {NAME_CONFIG_KEY, "..a", 1},
        {NAME_CONFIG_KEY, "a b", 1},
        {NAME_CONFIG_KEY, "page.html", 0},
        {NAME_ENV, "A=B", 1},
        {NAME_ENV, "my.var", 0},
        {NAME_PORT, "http", 0},
        {NAME_PORT, "80", 1},
        {NAME_PORT, "a--b", 1},
        {NAME_PORT, "way-too-long-port", 1},
        {NAME_HTTP_HEADER, "X-A", 0},
        {NAME_WILDCARD_SUBDOMAIN, "*.a.b", 0},
        {NAME_WILDCARD_SUBDOMAIN, "a.b", 1},
    };
    OWN(arena_free_p) struct arena *a = arena_new();
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *messages[NAME_MESSAGES_MAX];
        if (name_messages(a, cases[i].rule, cases[i].name, messages) != cases[i].problems)
            fail_msg("%s", cases[i].name);
    }
}
