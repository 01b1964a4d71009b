#include "base/own.h"
#include "base/test.h"
#include "server/fixture.h"

#define POD                                                                                        \
    "{\"metadata\":{\"namespace\":\"a\",\"name\":\"x\",\"uid\":\"one\"},\"spec\":{"                \
    "\"terminationGracePeriodSeconds\":30,\"nodeName\":\"n\",\"containers\":[{\"name\":\"c\","     \
    "\"image\":\"i\"}]},\"status\":{\"phase\":\"Running\"}}"

static int del(struct fixture *f, const char *plural, const char *query, const char *body) {
    return ask(f, verb_delete,
               &(struct asked){.verb = "delete",
                               .plural = plural,
                               .ns = "a",
                               .name = "x",
                               .query = query,
                               .body = body});
}

static const struct meta_v1_object_meta *pod(struct fixture *f) {
    const struct core_v1_pod *p = fixture_get(f, "pods", "a", "x");
    return p ? &p->metadata : NULL;
}

TEST(a_pod_gets_the_grace_period_that_is_asked_for_or_its_own) {
    static const struct {
        const char *query, *body;
        int64_t grace_s;
    } cases[] = {
        {NULL, NULL, 30},
        {NULL, "{\"gracePeriodSeconds\":7}", 7},
        {NULL, "{\"gracePeriodSeconds\":-5}", 1}, /* as upstream takes what is below nothing */
        {"gracePeriodSeconds=9", NULL, 9},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct fixture f;
        fixture_open(&f);
        fixture_put(&f, "pods", POD);
        assert_int_equal(del(&f, "pods", cases[i].query, cases[i].body), 200);
        assert_non_null(pod(&f)->deletion_timestamp);
        assert_int_equal(*pod(&f)->deletion_grace_period_seconds, cases[i].grace_s);
        fixture_done(&f);
    }
}

TEST(a_pod_without_grace_is_gone_at_once) {
    struct fixture f;
    fixture_open(&f);
    fixture_put(&f, "pods", POD);
    assert_int_equal(del(&f, "pods", NULL, "{\"gracePeriodSeconds\":0}"), 200);
    assert_null(pod(&f));
    assert_int_equal(del(&f, "pods", NULL, NULL), 404);
    fixture_done(&f);
}

TEST(a_deletion_of_another_pod_or_by_nonsense_is_refused) {
    static const struct {
        const char *query, *body, *message;
        int status;
    } cases[] = {
        {NULL, "{\"preconditions\":{\"uid\":\"two\"}}", "UID in precondition: two", 409},
        {NULL, "{\"preconditions\":{\"resourceVersion\":\"1\"}}", "ResourceVersion in", 409},
        {"gracePeriodSeconds=soon", NULL, "gracePeriodSeconds", 400},
        {NULL, "{\"dryRun\":[\"Foo\"]}", "dryRun: Unsupported value: \\\"Foo\\\"", 422},
        {NULL, "{\"kind\":\"Pod\",\"apiVersion\":\"v1\"}",
         "Pod in version \\\"v1\\\" cannot be handled as a DeleteOptions", 400},
        {"propagationPolicy=Sideways", NULL, "Unsupported value: \\\"Sideways\\\"", 422},
    };
    struct fixture f;
    fixture_open(&f);
    fixture_put(&f, "pods", POD);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(del(&f, "pods", cases[i].query, cases[i].body), cases[i].status);
        assert_answer(&f, cases[i].message);
    }
    assert_int_equal(del(&f, "pods", "dryRun=All", NULL), 200);
    assert_int_equal(f.writes, 0);
    assert_null(pod(&f)->deletion_timestamp);
    fixture_done(&f);
}

TEST(finalizers_keep_what_is_deleted) {
    struct fixture f;
    fixture_open(&f);
    fixture_put(&f, "configmaps",
                "{\"metadata\":{\"namespace\":\"a\",\"name\":\"x\",\"finalizers\":[\"e.x/one\"]}}");
    assert_int_equal(del(&f, "configmaps", "propagationPolicy=Foreground", NULL), 200);
    const struct core_v1_config_map *m = fixture_get(&f, "configmaps", "a", "x");
    assert_non_null(m->metadata.deletion_timestamp);
    assert_int_equal(m->metadata.finalizers.n, 2);
    assert_string_equal(m->metadata.finalizers.v[1], "foregroundDeletion");
    fixture_done(&f);
}

static void others_finalize(struct fixture *f) {
    fixture_change(
        f, "configmaps",
        "{\"metadata\":{\"namespace\":\"a\",\"name\":\"x\",\"finalizers\":[\"e.x/one\"]}}");
}

TEST(a_deletion_heeds_what_was_written_meanwhile) {
    struct fixture f;
    fixture_open(&f);
    fixture_put(&f, "configmaps", "{\"metadata\":{\"namespace\":\"a\",\"name\":\"x\"}}");
    f.meanwhile = others_finalize;
    assert_int_equal(del(&f, "configmaps", NULL, NULL), 200);
    const struct core_v1_config_map *m = fixture_get(&f, "configmaps", "a", "x");
    assert_non_null(m);
    assert_non_null(m->metadata.deletion_timestamp);
    fixture_done(&f);
}
