#include "proto/yaml_write.h"

#include "base/own.h"
#include "base/test.h"
#include "proto/yaml.h"

TEST(yaml_is_written_in_block_style) {
    OWN(buf_done) struct buf b = {0};
    yaml_from_json(&b,
                   SLICE("{\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"a\",\"labels\":{},"
                         "\"l\":[]},\"items\":[{\"a\":1,\"b\":[\"x\",[true]]},\"yes\"],"
                         "\"n\":null,\"s\":\"a: b\"}"),
                   0);
    assert_string_equal(b.p, "apiVersion: v1\nmetadata:\n  name: a\n  labels: {}\n  l: []\n"
                             "items:\n- a: 1\n  b:\n  - x\n  - - true\n- \"yes\"\n\"n\": null\n"
                             "s: \"a: b\"\n");
}

/* Whatever it says, reading it gives the same JSON. */
TEST(yaml_that_was_written_reads_as_the_same_json) {
    static const char *const texts[] = {
        "{\"a\":{\"b\":{\"c\":[[],{},[{}],[[1]]]}}}",
        "{\"a\":\"\",\"b\":\"1\",\"c\":\"true\",\"d\":\"~\",\"e\":\"0x1\",\"f\":\"1e3\"}",
        "{\"a\":\"- x\",\"b\":\"# x\",\"c\":\"x: y\",\"d\":\"&a\",\"e\":\"*a\",\"f\":\"!t\"}",
        "{\"a\":\"one\\ntwo\\n\",\"b\":\"\\ttab\",\"c\":\"\\\"q\\\"\",\"d\":\"\\\\\",\"e\":\" \"}",
        "{\"a\":\"\xc2\x85\",\"b\":\"x\xe2\x80\xa8y\xe2\x80\xa9\",\"c\":\"\xf0\x9f\x98\x80\"}",
        "{\"y\":1,\"null\":2,\"a b\":3,\"\":4,\"<<\":5,\"2026-01-01\":\"2026-01-01\"}",
        "{\"n\":[0,-1,1.5,100000000000],\"f\":false,\"z\":null}",
        "\"alone\"",
        "[]",
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        OWN(buf_done) struct buf yaml = {0}, json = {0};
        struct err err = {0};
        yaml_from_json(&yaml, slice_of(texts[i]), 0);
        if (yaml_to_json(buf_view(&yaml), &json, &err) < 0) fail_msg("%s: %s", yaml.p, err.text);
        assert_string_equal(json.p, texts[i]);
    }
}
