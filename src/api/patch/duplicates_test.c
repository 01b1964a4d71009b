#include "api/patch/duplicates.h"

#include "api/patch/patch.h"
#include "base/own.h"
#include "base/test.h"

TEST(keys_that_are_there_twice_are_told_by_path_and_the_last_one_counts) {
    OWN(arena_free_p) struct arena *a = arena_new();
    OWN(json_decref_p) json_t *v = NULL;
    struct str_list findings = {0};
    assert_int_equal(json_parse_lenient(a,
                                        SLICE("{\"a\":1,\"l\":[0,{\"x\":{},\"x\":{\"y\":1}}],"
                                              "\"a\":2,\"a\":3}"),
                                        &v, &findings, NULL),
                     0);
    assert_int_equal(findings.n, 2);
    assert_string_equal(findings.v[0], "duplicate field \"l[1].x\"");
    assert_string_equal(findings.v[1], "duplicate field \"a\"");
    assert_int_equal(json_integer_value(json_object_get(v, "a")), 3);
}

TEST(what_is_no_json_is_refused_with_the_place) {
    OWN(arena_free_p) struct arena *a = arena_new();
    json_t *v = NULL;
    struct str_list findings = {0};
    struct err err;
    assert_true(json_parse_lenient(a, SLICE("{\"a\":1,}"), &v, &findings, &err) < 0);
    assert_int_equal(err.reason, ERR_BAD_REQUEST);
    assert_non_null(strstr(err.text, "invalid JSON at byte 7"));
}
