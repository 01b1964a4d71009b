#include "server/storage/raw.h"

#include <stdlib.h>

#include "base/test.h"

static const struct slice doc = {
    "{\"a\":{\"b\":{\"c\":\"x\"}},\"l\":[1,\"]\",{\"k\":2}],\"n\":null,\"s\":\"q\\\"\\u00e9\\ud83d"
    "\\ude00\\n\"}",
    sizeof("{\"a\":{\"b\":{\"c\":\"x\"}},\"l\":[1,\"]\",{\"k\":2}],\"n\":null,\"s\":\"q\\\"\\u00e9"
           "\\ud83d\\ude00\\n\"}") -
        1};

TEST(paths_lead_to_values) {
    struct arena *a = arena_new();
    assert_string_equal(raw_path_string(a, doc, "a.b.c"), "x");
    assert_null(raw_path_string(a, doc, "a.b.d"));
    assert_null(raw_path_string(a, doc, "a.b"));
    struct slice v;
    assert_false(raw_get(doc, "n", &v));
    assert_true(raw_get(doc, "l", &v));
    assert_true(slice_is(v, "[1,\"]\",{\"k\":2}]"));
    arena_free(a);
}

TEST(strings_are_unescaped) {
    struct arena *a = arena_new();
    assert_string_equal(raw_path_string(a, doc, "s"), "q\"\xc3\xa9\xf0\x9f\x98\x80\n");
    arena_free(a);
}

TEST(elements_come_in_order) {
    struct slice list, v;
    assert_true(raw_get(doc, "l", &list));
    struct raw_iter s = raw_array(list);
    assert_true(raw_element(&s, &v) && slice_is(v, "1"));
    assert_true(raw_element(&s, &v) && slice_is(v, "\"]\""));
    assert_true(raw_element(&s, &v) && slice_is(v, "{\"k\":2}"));
    assert_false(raw_element(&s, &v));
}

TEST(cut_off_documents_are_never_read_past_their_end) {
    struct arena *a = arena_new();
    for (size_t n = 0; n <= doc.n; n++) {
        char *copy = malloc(n ? n : 1); /* exact size: the sanitizer sees one byte too many */
        memcpy(copy, doc.p, n);
        struct slice part = {copy, n}, v;
        raw_path_string(a, part, "s");
        raw_path_string(a, part, "a.b.c");
        raw_path(part, "zz", &v);
        free(copy);
    }
    arena_free(a);
}
