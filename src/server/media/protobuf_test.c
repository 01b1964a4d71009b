#include "server/media/protobuf.h"

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

/* A field of bytes. */
static void put(struct buf *b, unsigned number, struct slice bytes) {
    for (unsigned tag = number << 3 | 2;; tag >>= 7) {
        buf_char(b, (char)(tag >= 0x80 ? (tag & 0x7f) | 0x80 : tag));
        if (tag < 0x80) break;
    }
    for (size_t n = bytes.n;; n >>= 7) {
        buf_char(b, (char)(n >= 0x80 ? (n & 0x7f) | 0x80 : n));
        if (n < 0x80) break;
    }
    buf_slice(b, bytes);
}

static void wrap(struct buf *b, unsigned number) {
    struct buf outer = {0};
    put(&outer, number, buf_view(b));
    buf_done(b);
    *b = outer;
}

TEST(schemas_in_protobuf_are_one_thing_or_another) {
    OWN(buf_done) struct buf list = {0}, entry = {0}, root = {0}, version = {0}, body = {0};
    OWN(buf_done) struct buf type = {0}, json = {0};
    struct err err = {0};
    put(&list, 5, SLICE("string"));
    wrap(&list, 1); /* JSONSchemaPropsOrArray.schema */
    wrap(&list, 24);
    put(&list, 5, SLICE("array"));
    put(&entry, 1, SLICE("a"));
    put(&entry, 2, buf_view(&list));
    put(&root, 5, SLICE("object"));
    put(&root, 29, buf_view(&entry));
    put(&root, 30, SLICE("\x08\x01")); /* JSONSchemaPropsOrBool.allows */
    wrap(&root, 1);
    put(&version, 1, SLICE("v1"));
    put(&version, 4, buf_view(&root));
    put(&version, 5, SLICE("\x0a\x00")); /* CustomResourceSubresources.status */
    wrap(&version, 7);
    wrap(&version, 2);
    put(&type, 1, SLICE("apiextensions.k8s.io/v1"));
    put(&type, 2, SLICE("CustomResourceDefinition"));
    buf_append(&body, "k8s\0", 4);
    put(&body, 1, buf_view(&type));
    put(&body, 2, buf_view(&version));
    assert_int_equal(protobuf_to_json(buf_view(&body), &json, &err), 0);
    assert_non_null(strstr(json.p, "\"status\":{}"));
    assert_non_null(strstr(json.p, "\"properties\":{\"a\":{\"type\":\"array\",\"items\":{\"type\":"
                                   "\"string\"}}},\"additionalProperties\":true"));
}
