#include <string.h>

#include "base/own.h"
#include "base/test.h"
#include "proto/json.h"

static void decref_p(json_t **v) { json_decref(*v); }

static void same_again(const char *text, const char *want) {
    struct err err = {0};
    OWN(buf_done) struct buf b = {0};
    OWN(decref_p) json_t *v = NULL;
    assert_int_equal(json_parse(slice_of(text), &v, &err), 0);
    json_write(&b, v);
    assert_string_equal(b.p, want ? want : text);
}

TEST(json_tree_writes_what_it_has_read) {
    same_again("{\"b\":[1,-2,9223372036854775807,-9223372036854775808],\"a\":{},\"c\":[]}", NULL);
    same_again("[true,false,null,\"\",0.5]", NULL);
    same_again(" { \"a\" : \"\\u00e4\\n\\ud83d\\ude00\\\"\" } ",
               "{\"a\":\"\xc3\xa4\\n\xf0\x9f\x98\x80\\\"\"}");
    same_again("7", NULL);
    same_again("[0.1,-0.25,1.7976931348623157e+308,2.5e-300,0.3]", NULL);
    same_again("1.0", NULL);
    same_again("1E2", "100.0");
}

static void refused(const char *text, const char *why) {
    struct err err = {0};
    json_t *v = NULL;
    assert_true(json_parse(slice_of(text), &v, &err) < 0);
    assert_int_equal(err.reason, ERR_BAD_REQUEST);
    assert_non_null(strstr(err.text, why));
}

TEST(json_tree_refuses_with_the_place) {
    refused("{\"a\":1,\"a\":2}", "duplicate object key");
    refused("{\"a\":[1,{\"b\":1,\"b\":2}]}", "duplicate object key");
    refused("92233720368547758080", "too big an integer");
    refused("1e999", "too big a number");
    refused("{\"a\":\"\\u0000\"}", "NUL");
    refused("[1,2", "byte 4: unexpected end");
    refused("{} x", "text after the value");
    refused("", "unexpected end");
    char deep[400];
    memset(deep, '[', sizeof deep - 1);
    deep[sizeof deep - 1] = 0;
    refused(deep, "nested too deeply");
}

TEST(json_tree_can_keep_the_last_of_equal_keys) {
    struct err err = {0};
    OWN(buf_done) struct buf b = {0};
    OWN(decref_p) json_t *v = NULL;
    assert_int_equal(json_parse_last(SLICE("{\"a\":1,\"b\":2,\"a\":3}"), &v, &err), 0);
    json_write(&b, v);
    assert_string_equal(b.p, "{\"a\":3,\"b\":2}");
}
