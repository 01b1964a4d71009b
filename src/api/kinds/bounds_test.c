/* What a hostile document of bounded size may take of memory: about as much as it is long. */
#include <string.h>

#include "api/codec/codec.h"
#include "api/kinds/kinds.h"
#include "api/kinds/kinds_test.h"
#include "base/limits.h"

enum { TIMES = 20000 };

/* head, TIMES elements with commas between them (%d, if there is one, is the number), tail */
struct repeated {
    const char *api_version, *kind, *head, *element, *tail;
};

static const char *document(struct arena *a, const struct repeated *r) {
    OWN(buf_done) struct buf b = {0};
    buf_str(&b, r->head);
    for (int i = 0; i < TIMES; i++) {
        if (i && *r->element != '/') buf_char(&b, ',');
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        buf_str(&b, arena_printf(a, r->element, i));
#pragma GCC diagnostic pop
    }
    buf_str(&b, r->tail);
    return arena_strn(a, buf_view(&b));
}

#define POD "{'metadata':{'name':'p','namespace':'n'},'spec':{'containers':[{'name':'c','image':'i'"
#define META "{'metadata':{'name':'x.example.com','namespace':'n'},"
#define HOOK                                                                                       \
    META "'webhooks':[{'name':'a.b.c','sideEffects':'None','clientConfig':{'url':'https://x/'},"

TEST(memory_is_linear_in_the_document) {
    static const struct repeated cases[] = {
        {"v1", "Pod", POD "}],'securityContext':{'sysctls':[", "{'name':'a','value':''}", "]}}}"},
        {"v1", "Pod", POD "}],'topologySpreadConstraints':[",
         "{'maxSkew':1,'topologyKey':'a','whenUnsatisfiable':'DoNotSchedule'}", "]}}"},
        {"v1", "Pod", POD ",'resources':{'limits':{", "'a/b%05d':'1'", "}}}]}}"},
        {"v1", "Pod", POD ",'volumeMounts':[{'name':'v','mountPath':'/v','subPath':'..", "/..",
         "'}]}]}}"},
        {"v1", "Secret", META "'stringData':{", "'a%05d':'1'", "}}"},
        {"v1", "LimitRange", META "'spec':{'limits':[{'type':'Container','max':{", "'a/b%05d':'1'",
         "}}]}}"},
        {"v1", "LimitRange", META "'spec':{'limits':[", "{'type':'Pod'}", "]}}"},
        {"storage.k8s.io/v1", "StorageClass",
         "{'metadata':{'name':'x'},'provisioner':'p','allowedTopologies':[",
         "{'matchLabelExpressions':[{'key':'a','values':['a']}]}", "]}"},
        {"storage.k8s.io/v1", "StorageClass",
         "{'metadata':{'name':'x'},'provisioner':'p','allowedTopologies':[{"
         "'matchLabelExpressions':[{'key':'a','values':[",
         "'a'", "]}]}]}"},
        {"admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration",
         HOOK "'admissionReviewVersions':[", "'v1'", "]}]}"},
        {"certificates.k8s.io/v1", "CertificateSigningRequest",
         "{'metadata':{'name':'x'},'spec':{'signerName':'e.com/x','request':'','usages':[",
         "'client auth'", "]}}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        OWN(arena_free_p) struct arena *a = arena_new();
        OWN(arena_free_p) struct arena *text = arena_new();
        const char *json = document(text, &cases[i]);
        struct api_object *o = test_load(a, cases[i].api_version, cases[i].kind, json);
        test_causes(a, cases[i].api_version, cases[i].kind, o, NULL);
        if (arena_used(a) > 32 * strlen(json) + (4 << 20))
            fail_msg("%s %s: %zu bytes of memory for %zu", cases[i].kind, cases[i].element,
                     arena_used(a), strlen(json));
    }
}

/* One long key, and many fields below it: each path holds the key. */
TEST(long_paths_are_not_written_for_every_field) {
    OWN(arena_free_p) struct arena *a = arena_new();
    enum { KEY_BYTES = 200 * 1000 };
    char *key = arena_text(a, KEY_BYTES);
    memset(key, 'k', KEY_BYTES);
    struct api_causes causes = {.a = a};
    for (int i = 0; i < TIMES; i++)
        cause_required(&causes, path_of(&causes, "spec[%s].field%d", key, i), NULL);
    assert_true(arena_used(a) < 3 * LIMIT_PATHS_BYTES);
    assert_true(causes.n < 10);
    assert_true(causes.bytes < LIMIT_CAUSES_BYTES + 2 * KEY_BYTES);
}

TEST(a_validation_that_writes_too_many_paths_fails_and_says_where) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct api_causes causes = {.a = a};
    size_t n = 0;
    while (*path_of(&causes, "spec.list[%zu]", n)) n++;
    assert_int_equal(causes.n, 1);
    assert_string_equal(causes.v[0].reason, "FieldValueTooMany");
    assert_true(str_starts(causes.v[0].field, "spec.list["));
    assert_true(n > LIMIT_PATHS_BYTES / 32 && n < LIMIT_PATHS_BYTES / 8);
}

TEST(lists_of_amounts_are_bounded) {
    OWN(arena_free_p) struct arena *a = arena_new();
    const struct repeated r = {"v1", "ResourceQuota", META "'spec':{'hard':{", "'a/b%05d':'1'",
                               "}}}"};
    struct api_object *o = test_load(a, r.api_version, r.kind, document(a, &r));
    const char *causes = test_causes(a, r.api_version, r.kind, o, NULL);
    assert_string_equal(causes, "spec.hard: Too many: 20000: must have at most 1000 items");
}

TEST(merged_maps_stay_in_order_and_share_nothing) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct str_pair x[] = {{"a", "1"}, {"c", "1"}}, y[] = {{"b", "2"}, {"c", "2"}, {"d", "2"}};
    struct str_map to = {x, 2}, from = {y, 3}, lacking = {x, 2};
    str_map_merge(a, &to, &from);
    assert_int_equal(to.n, 4);
    for (size_t i = 0; i < to.n; i++) assert_int_equal(to.v[i].key[0], 'a' + (int)i);
    assert_string_equal(str_map_get(&to, "c"), "2");
    str_map_fill(a, &lacking, &from);
    assert_string_equal(str_map_get(&lacking, "c"), "1");
    assert_string_equal(str_map_get(&lacking, "d"), "2");
    str_map_set(a, &to, "b", "3");
    assert_string_equal(y[0].value, "2");
}
