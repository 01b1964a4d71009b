#include "server/subresources/finalize.h"

#include "base/test.h"
#include "server/fixture.h"

#define NAMESPACE(finalizers)                                                                      \
    "{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"a\","                  \
    "\"deletionTimestamp\":\"2026-01-01T00:00:00Z\"},\"spec\":{\"finalizers\":[" finalizers "]}}"

static struct asked finalize_of_a(const char *query) {
    return (struct asked){.verb = "update",
                          .plural = "namespaces",
                          .name = "a",
                          .subresource = "finalize",
                          .query = query,
                          .body = NAMESPACE("")};
}

static void open_with_namespace(struct fixture *f) {
    fixture_open(f);
    fixture_put(f, "namespaces", NAMESPACE("\"kubernetes\""));
    fixture_put(f, "configmaps", "{\"metadata\":{\"namespace\":\"a0\",\"name\":\"x\"}}");
    fixture_put(f, "configmaps", "{\"metadata\":{\"namespace\":\"b\",\"name\":\"a\"}}");
}

TEST(a_namespace_that_holds_something_is_not_finalized_when_that_is_asked) {
    struct fixture f;
    open_with_namespace(&f);
    fixture_put(&f, "serviceaccounts", "{\"metadata\":{\"namespace\":\"a\",\"name\":\"default\"}}");
    struct asked q = finalize_of_a("whenEmpty=true");
    assert_int_equal(ask(&f, finalize_subresource, &q), 409);
    assert_answer(&f, "the namespace still holds /serviceaccounts.");
    assert_answer(&f, "/a/default");
    assert_non_null(fixture_get(&f, "namespaces", "", "a"));
    assert_int_equal(f.writes, 0);
    q = finalize_of_a("");
    assert_int_equal(ask(&f, finalize_subresource, &q), 200);
    assert_null(fixture_get(&f, "namespaces", "", "a"));
    fixture_done(&f);
}

TEST(an_empty_namespace_is_finalized_and_ends) {
    struct fixture f;
    open_with_namespace(&f);
    struct asked q = finalize_of_a("whenEmpty=true");
    assert_int_equal(ask(&f, finalize_subresource, &q), 200);
    assert_null(fixture_get(&f, "namespaces", "", "a"));
    fixture_done(&f);
}

TEST(what_is_being_created_counts_as_there) {
    struct fixture f;
    int created, finalized;
    open_with_namespace(&f);
    ask_begin(&f, verb_create,
              &(struct asked){.verb = "create",
                              .plural = "configmaps",
                              .ns = "a",
                              .body = "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\","
                                      "\"metadata\":{\"name\":\"late\"}}"},
              &created);
    struct asked q = finalize_of_a("whenEmpty=true");
    ask_begin(&f, finalize_subresource, &q, &finalized);
    ask_wait(&f, &finalized);
    assert_int_equal(finalized, 409);
    assert_answer(&f, "an object that is being created");
    ask_wait(&f, &created);
    assert_int_equal(created, 201);
    fixture_done(&f);
}

TEST(a_namespace_is_finalized_by_put_alone) {
    struct fixture f;
    open_with_namespace(&f);
    struct asked q = finalize_of_a("");
    q.verb = "patch";
    assert_int_equal(ask(&f, finalize_subresource, &q), 405);
    fixture_done(&f);
}
