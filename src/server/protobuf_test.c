#include "server/protobuf.h"

#include "base/own.h"
#include "base/test.h"

#define BODY(lit) ((struct slice){(lit), sizeof(lit) - 1})
/* k8s\0, TypeMeta v1 ConfigMap, raw { metadata { name "a" }, data { "k": "v" } } */
#define CONFIG_MAP                                                                                 \
    "k8s\0\x0a\x0f\x0a\x02v1\x12\x09"                                                              \
    "ConfigMap"                                                                                    \
    "\x12\x0f\x0a\x03\x0a\x01"                                                                     \
    "a"                                                                                            \
    "\x12\x08\x0a\x01k\x12\x03val"

TEST(a_config_map_in_protobuf) {
    OWN(buf_done) struct buf b = {0};
    struct err err = {0};
    assert_int_equal(protobuf_to_json(BODY(CONFIG_MAP), &b, &err), 0);
    assert_string_equal(b.p, "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":"
                             "\"a\"},\"data\":{\"k\":\"val\"}}");
}

TEST(cut_off_and_foreign_messages_are_refused) {
    struct slice whole = BODY(CONFIG_MAP);
    for (size_t n = 0; n < whole.n; n++) {
        OWN(buf_done) struct buf b = {0};
        char *copy = malloc(n ? n : 1);
        memcpy(copy, whole.p, n);
        struct err err = {0};
        int rc = protobuf_to_json(slice_from(copy, n), &b, &err);
        assert_true(rc < 0 || b.n > 0); /* a cut between two fields is a message too */
        free(copy);
    }
    OWN(buf_done) struct buf b = {0};
    struct err err;
    assert_true(protobuf_to_json(SLICE("{}"), &b, &err) < 0);
    assert_int_equal(err.reason, ERR_BAD_REQUEST);
}
