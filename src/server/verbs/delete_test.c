#include "base/own.h"
#include "base/test.h"
#include "server/fixture.h"

static int del(struct fixture *f, const char *query, const char *body) {
    return ask(f, verb_deletecollection,
               &(struct asked){.verb = "deletecollection",
                               .plural = "configmaps",
                               .ns = "a",
                               .query = query,
                               .body = body});
}

static void put(struct fixture *f, const char *name) {
    OWN(buf_done) struct buf b = {0};
    buf_printf(&b, "{\"metadata\":{\"namespace\":\"a\",\"name\":\"%s\",\"labels\":{\"l\":\"v\"}}}",
               name);
    fixture_put(f, "configmaps", b.p);
}

static void others_change(struct fixture *f) {
    fixture_change(f, "configmaps",
                   "{\"metadata\":{\"namespace\":\"a\",\"name\":\"x\"},\"data\":{\"k\":\"v\"}}");
}

TEST(a_deleted_collection_is_answered_as_a_list) {
    struct fixture f;
    fixture_open(&f);
    put(&f, "x");
    put(&f, "y");
    assert_int_equal(del(&f, "dryRun=All", NULL), 200);
    assert_int_equal(f.writes, 0);
    assert_int_equal(del(&f, NULL, NULL), 200);
    assert_answer(&f, "\"kind\":\"ConfigMapList\"");
    assert_answer(&f, "\"name\":\"y\"");
    assert_null(fixture_get(&f, "configmaps", "a", "x"));
    assert_null(fixture_get(&f, "configmaps", "a", "y"));
    assert_int_equal(del(&f, NULL, NULL), 200);
    assert_answer(&f, "\"items\":[]");
    fixture_done(&f);
}

TEST(a_limit_holds_for_deletions_too) {
    struct fixture f;
    fixture_open(&f);
    put(&f, "x");
    put(&f, "y");
    assert_int_equal(del(&f, "limit=1&labelSelector=l%3Dv", NULL), 200);
    assert_answer(&f, "\"continue\":\"");
    assert_null(fixture_get(&f, "configmaps", "a", "x"));
    assert_non_null(fixture_get(&f, "configmaps", "a", "y"));
    fixture_done(&f);
}

TEST(a_collection_whose_object_others_write_meanwhile_goes_all_the_same) {
    struct fixture f;
    fixture_open(&f);
    put(&f, "x");
    f.meanwhile = others_change;
    assert_int_equal(del(&f, NULL, NULL), 200);
    assert_null(fixture_get(&f, "configmaps", "a", "x"));
    fixture_done(&f);
}

TEST(a_precondition_of_a_collection_names_the_object_that_does_not_meet_it) {
    struct fixture f;
    fixture_open(&f);
    put(&f, "x");
    assert_int_equal(del(&f, NULL, "{\"preconditions\":{\"uid\":\"another\"}}"), 409);
    assert_answer(&f, "configmaps \\\"x\\\": Precondition failed: UID in precondition: another");
    assert_non_null(fixture_get(&f, "configmaps", "a", "x"));
    fixture_done(&f);
}
