#include "api/patch/patch.h"

#include <string.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/own.h"
#include "base/test.h"

static json_t *parse(const char *text) {
    json_t *v = json_loads(text, JSON_DECODE_ANY, NULL);
    assert_non_null(v);
    return v;
}

static void expect(const json_t *got, const char *want, const char *what) {
    OWN(json_decref_p) json_t *v = parse(want);
    if (json_equal(got, v)) return;
    fail_msg("%s: got %s", what, json_dumps(got, JSON_ENCODE_ANY | JSON_COMPACT));
}

TEST(json_patch_follows_rfc_6902) {
    static const struct {
        const char *doc, *patch, *want; /* want NULL: 422 */
    } cases[] = {
        {"{\"a\":1}", "[{\"op\":\"add\",\"path\":\"/b\",\"value\":[1]}]", "{\"a\":1,\"b\":[1]}"},
        {"{\"a\":[1,3]}", "[{\"op\":\"add\",\"path\":\"/a/1\",\"value\":2}]", "{\"a\":[1,2,3]}"},
        {"{\"a\":[1]}", "[{\"op\":\"add\",\"path\":\"/a/-\",\"value\":2}]", "{\"a\":[1,2]}"},
        {"{\"a\":[1]}", "[{\"op\":\"add\",\"path\":\"/a/2\",\"value\":2}]", NULL},
        {"{\"a\":[1]}", "[{\"op\":\"add\",\"path\":\"/a/01\",\"value\":2}]", NULL},
        {"{\"a\":1}", "[{\"op\":\"remove\",\"path\":\"/a\"}]", "{}"},
        {"{\"a\":1}", "[{\"op\":\"remove\",\"path\":\"/b\"}]", NULL},
        {"{\"a\":1}", "[{\"op\":\"replace\",\"path\":\"/a\",\"value\":null}]", "{\"a\":null}"},
        {"{\"a\":1}", "[{\"op\":\"replace\",\"path\":\"/b\",\"value\":2}]", NULL},
        {"{\"a\":{\"b\":1}}", "[{\"op\":\"move\",\"from\":\"/a/b\",\"path\":\"/c\"}]",
         "{\"a\":{},\"c\":1}"},
        {"{\"a\":{}}", "[{\"op\":\"move\",\"from\":\"/a\",\"path\":\"/a/b\"}]", NULL},
        {"{\"a\":1}", "[{\"op\":\"move\",\"from\":\"/a\",\"path\":\"/a\"}]", "{\"a\":1}"},
        {"{\"a\":1}", "[{\"op\":\"copy\",\"from\":\"/a\",\"path\":\"/b\"}]", "{\"a\":1,\"b\":1}"},
        {"{\"a\":1}", "[{\"op\":\"test\",\"path\":\"/a\",\"value\":1}]", "{\"a\":1}"},
        {"{\"a\":1}", "[{\"op\":\"test\",\"path\":\"/a\",\"value\":1.0}]", "{\"a\":1}"},
        {"{\"a\":1}", "[{\"op\":\"test\",\"path\":\"/a\",\"value\":2}]", NULL},
        {"{\"a/b\":{\"c~d\":1}}", "[{\"op\":\"remove\",\"path\":\"/a~1b/c~0d\"}]", "{\"a/b\":{}}"},
        {"{\"\":1}", "[{\"op\":\"replace\",\"path\":\"/\",\"value\":2}]", "{\"\":2}"},
        {"{\"a\":1}", "[{\"op\":\"replace\",\"path\":\"\",\"value\":{\"b\":2}}]", "{\"b\":2}"},
        {"{\"a\":1}", "[{\"op\":\"add\",\"path\":\"a\",\"value\":2}]", NULL},
        {"{\"a\":1}", "[{\"op\":\"add\",\"path\":\"/a/b\",\"value\":2}]", NULL},
        {"{\"a\":1}", "[{\"op\":\"add\",\"path\":\"/b~2\",\"value\":2}]", NULL},
        {"{\"a\":1}", "[{\"op\":\"add\",\"path\":\"/b\"}]", NULL},
        {"{\"a\":1}", "[{\"op\":\"frob\",\"path\":\"/b\"}]", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        OWN(json_decref_p) json_t *doc = parse(cases[i].doc);
        OWN(json_decref_p) json_t *got = NULL;
        struct err err = {0};
        int r = patch_json(doc, slice_of(cases[i].patch), &got, &err);
        expect(doc, cases[i].doc, "the document itself");
        if (cases[i].want) {
            if (r < 0) fail_msg("%s: %s", cases[i].patch, err.text);
            expect(got, cases[i].want, cases[i].patch);
        } else {
            assert_true(r < 0);
            assert_int_equal(err_http(err.reason), 422);
            assert_true(str_starts(err.text, "the server rejected our request due to an error in "
                                             "our request"));
        }
    }
}

TEST(json_patch_refuses_what_is_malformed) {
    static const char *const bad[] = {"", "{}", "[1]", "[", "[{\"op\":1,\"op\":2}]", "nul"};
    OWN(json_decref_p) json_t *doc = json_object();
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        json_t *got = NULL;
        struct err err = {0};
        assert_true(patch_json(doc, slice_of(bad[i]), &got, &err) < 0);
        assert_int_equal(err_http(err.reason), 400);
        assert_null(got);
    }
}

static void patch_many(const char *op, size_t count, int http) {
    OWN(buf_done) struct buf b = {0};
    OWN(json_decref_p) json_t *doc = parse("{\"a\":{\"k\":\"0123456789\"},\"l\":[]}");
    for (int i = 0; i < 10000; i++) json_array_append_new(json_object_get(doc, "l"), json_true());
    json_t *got = NULL;
    struct err err = {0};
    for (size_t i = 0; i < count; i++) buf_printf(&b, "%c%s", i ? ',' : '[', op);
    buf_char(&b, ']');
    assert_true(patch_json(doc, buf_view(&b), &got, &err) < 0);
    assert_int_equal(err_http(err.reason), http);
}

TEST(json_patch_is_bounded) {
    patch_many("{\"op\":\"test\",\"path\":\"/a/k\",\"value\":\"0123456789\"}",
               LIMIT_JSON_PATCH_OPS + 1, 413);
    patch_many("{\"op\":\"copy\",\"from\":\"/a\",\"path\":\"/a/x\"}", 100, 422); /* depth */
    patch_many("{\"op\":\"copy\",\"from\":\"/a\",\"path\":\"/b\"},"
               "{\"op\":\"copy\",\"from\":\"/b\",\"path\":\"/a/x\"},"
               "{\"op\":\"copy\",\"from\":\"/b\",\"path\":\"/a/y\"}",
               40, 422); /* doubling */
    patch_many("{\"op\":\"add\",\"path\":\"/l/0\",\"value\":1}", LIMIT_JSON_PATCH_OPS, 422);
    patch_many("{\"op\":\"move\",\"from\":\"/l/1\",\"path\":\"/l/0\"}", LIMIT_JSON_PATCH_OPS, 422);
}

TEST(merge_patch_follows_rfc_7386) {
    static const struct {
        const char *doc, *patch, *want;
    } cases[] = {
        {"{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"a\":null}", "{}"},
        {"{\"a\":\"b\"}", "{\"b\":{\"c\":null,\"d\":1}}", "{\"a\":\"b\",\"b\":{\"d\":1}}"},
        {"{\"a\":[1,2]}", "{\"a\":[3]}", "{\"a\":[3]}"},
        {"{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}"},
        {"{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}"},
        {"{\"e\":null}", "{\"a\":1}", "{\"e\":null,\"a\":1}"},
        {"{\"a\":\"foo\"}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        OWN(json_decref_p) json_t *doc = parse(cases[i].doc);
        OWN(json_decref_p) json_t *got = NULL;
        assert_int_equal(patch_merge(doc, slice_of(cases[i].patch), &got, NULL), 0);
        expect(got, cases[i].want, cases[i].patch);
        expect(doc, cases[i].doc, "the document itself");
    }
    OWN(json_decref_p) json_t *doc = json_object();
    json_t *got;
    struct err err = {0};
    assert_true(patch_merge(doc, SLICE("[1]"), &got, &err) < 0);
    assert_int_equal(err_http(err.reason), 400);
}
