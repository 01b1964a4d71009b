#include "server/admission/match.h"

#include "base/test.h"

#include "base/own.h"

#define LIST(...)                                                                                  \
    (struct str_list) {                                                                            \
        (const char *[]){__VA_ARGS__}, sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)      \
    }

struct world {
    struct call call;
    struct admission ad;
};

static void begin(struct world *w, const char *group, const char *version, const char *plural,
                  const char *subresource) {
    *w = (struct world){0};
    w->call.kind = api_kind_by_plural(group, version, plural);
    assert_non_null(w->call.kind);
    w->ad = (struct admission){.c = &w->call,
                               .operation = ADMIT_CREATE,
                               .kind = w->call.kind,
                               .subresource = subresource,
                               .ns = "",
                               .name = "x"};
}

/* Created core/v1 objects; the test says which resources. */
static struct match_rule rule(void) {
    static const char *create[] = {"CREATE"}, *core[] = {""}, *v1[] = {"v1"};
    return (struct match_rule){.operations = {create, 1}, .groups = {core, 1}, .versions = {v1, 1}};
}

TEST(rules_name_resources_and_subresources) {
    static const struct {
        const char *pattern, *subresource;
        bool fits;
    } rows[] = {
        {"pods", "", true},
        {"pods", "status", false},
        {"pods/status", "status", true},
        {"pods/status", "", false},
        {"pods/*", "", true},
        {"pods/*", "exec", true},
        {"*", "", true},
        {"*", "status", false},
        {"*/status", "status", true},
        {"*/*", "status", true},
        {"*/scale", "status", false},
        {"services", "", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct world w;
        begin(&w, "", "v1", "pods", rows[i].subresource);
        const char *pattern[] = {rows[i].pattern};
        struct match_rule r = rule();
        r.resources = (struct str_list){pattern, 1};
        if (match_rule(&r, &w.ad, w.call.kind) != rows[i].fits)
            fail_msg("%s %s", rows[i].pattern, rows[i].subresource);
    }
}

TEST(rules_are_bound_to_operation_group_version_scope_and_name) {
    struct world w;
    begin(&w, "", "v1", "pods", "");
    struct match_rule good = rule(), bad;
    good.resources = LIST("pods");
    assert_true(match_rule(&good, &w.ad, w.call.kind));
    bad = good, bad.operations = LIST("UPDATE", "DELETE");
    assert_false(match_rule(&bad, &w.ad, w.call.kind));
    bad = good, bad.groups = LIST("apps");
    assert_false(match_rule(&bad, &w.ad, w.call.kind));
    bad = good, bad.versions = LIST("v2");
    assert_false(match_rule(&bad, &w.ad, w.call.kind));
    bad = good, bad.scope = "Cluster";
    assert_false(match_rule(&bad, &w.ad, w.call.kind));
    bad = good, bad.names = LIST("y");
    assert_false(match_rule(&bad, &w.ad, w.call.kind));
    bad = good, bad.names = LIST("y", "x");
    assert_true(match_rule(&bad, &w.ad, w.call.kind));
}

TEST(equivalent_forms_of_a_resource_match_when_wanted) {
    struct world w;
    begin(&w, "events.k8s.io", "v1", "events", "");
    struct match_rule r = rule();
    r.resources = LIST("events");
    assert_null(match_rules(&r, 1, &w.ad, false));
    const struct api_kind *k = match_rules(&r, 1, &w.ad, true);
    assert_non_null(k);
    assert_string_equal(k->group, "");
}
