#include "proto/json_indent.h"

#include "base/own.h"
#include "base/test.h"

static const char compact[] =
    "{\"a\":[],\"b\":{},\"c\":[1,-2.5,true,null,{\"d\":\"x, {\\\"[:\\\\\"},[[]]],"
    "\"e\":{\"f\":{\"g\":\"\"}}}\n";
static const char indented[] = "{\n"
                               "  \"a\": [],\n"
                               "  \"b\": {},\n"
                               "  \"c\": [\n"
                               "    1,\n"
                               "    -2.5,\n"
                               "    true,\n"
                               "    null,\n"
                               "    {\n"
                               "      \"d\": \"x, {\\\"[:\\\\\"\n"
                               "    },\n"
                               "    [\n"
                               "      []\n"
                               "    ]\n"
                               "  ],\n"
                               "  \"e\": {\n"
                               "    \"f\": {\n"
                               "      \"g\": \"\"\n"
                               "    }\n"
                               "  }\n"
                               "}";

TEST(json_is_indented_wherever_it_is_cut) {
    struct slice whole = slice_of(compact);
    for (size_t step = 1; step <= whole.n; step++) {
        OWN(buf_done) struct buf out = {0};
        struct json_indent j = {0};
        for (size_t at = 0; at < whole.n; at += step)
            json_indent(&j, &out, slice_from(whole.p + at, MIN_OF(step, whole.n - at)));
        assert_string_equal(out.p, indented);
        assert_int_equal(j.depth, 0);
    }
}

TEST(what_is_indented_already_stays_as_it_is) {
    OWN(buf_done) struct buf out = {0};
    struct json_indent j = {0};
    json_indent(&j, &out, slice_of(indented));
    assert_string_equal(out.p, indented);
}
