#include "api/openapi/part.h"

#include <jansson.h>

#include "api/openapi/openapi.h"
#include "base/own.h"
#include "base/test.h"

static void decref_p(json_t **v) { json_decref(*v); }

/* JSON with ' for ". */
static void quoted(struct buf *b, const char *text) {
    for (; *text; text++) buf_char(b, *text == '\'' ? '"' : *text);
}

#define KIND(g, v, k)                                                                              \
    "'x-kubernetes-group-version-kind':[{'group':'" g "','version':'" v "','kind':'" k "'}]"
#define TOYS                                                                                       \
    "{'swagger':'2.0','info':{'title':'toys'},'paths':{'/version/':{'get':{}},"                    \
    "'/apis/toys.io/v1/toys':{'get':{'responses':{'200':{'schema':{'$ref':"                        \
    "'#/definitions/io.toys.ToyList'}}}}},'/apis/toys.io/v10/toys':{'get':{}},"                    \
    "'/api/v1/pods':{'get':{}}},'definitions':{"                                                   \
    "'io.toys.Toy':{'type':'object','description':'A toy.',"                                       \
    "'properties':{'spec':{'$ref':'#/definitions/io.toys.ToySpec'}}," KIND(                        \
        "toys.io", "v1",                                                                           \
        "Toy") "},'io.toys.ToySpec':{'properties':{'next':{'$ref':'#/definitions/"                 \
               "io.toys.ToySpec'}}},"                                                              \
               "'io.toys.ToyList':{'properties':{'items':{'type':'array','items':{'$ref':"         \
               "'#/definitions/io.toys.Toy'}},'metadata':{'$ref':"                                 \
               "'#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta'}}},"                 \
               "'io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta':{'description':'evil'},"           \
               "'io.toys.Other':{" KIND("toys.io", "v2", "Toy") "},'io.k8s.api.core.v1.Pod':{}}}"

struct texts {
    struct buf paths, definitions;
};
static void texts_done(struct texts *t) {
    buf_done(&t->paths);
    buf_done(&t->definitions);
}

static int read_part(const char *text, struct texts *ret, struct err *err) {
    OWN(buf_done) struct buf b = {0};
    quoted(&b, text);
    *ret = (struct texts){0};
    return openapi_part_read(buf_view(&b), "toys.io", "v1", &ret->paths, &ret->definitions, err);
}

TEST(openapi_part_has_the_group_version_and_what_it_refers_to) {
    OWN(texts_done) struct texts t;
    struct err err;
    assert_int_equal(read_part(TOYS, &t, &err), 0);
    assert_true(str_starts(t.paths.p, ",\"/apis/toys.io/v1/toys\":{"));
    assert_null(strstr(t.paths.p, "v10"));
    assert_null(strstr(t.paths.p, "/version"));
    OWN(decref_p) json_t *d = json_loads(t.definitions.p, 0, NULL);
    assert_int_equal(json_object_size(d), 4);
    assert_non_null(json_object_get(d, "io.toys.ToySpec"));
    assert_null(json_object_get(d, "io.toys.Other"));
    assert_null(json_object_get(d, "io.k8s.api.core.v1.Pod"));
}

TEST(openapi_part_that_is_broken_is_refused) {
    static const char *const bad[] = {
        "",
        "[]",
        "{'swagger':'3.0'}",
        "{'swagger':'2.0',",
        "{'swagger':'2.0','paths':{'/apis/toys.io/v1':{'$ref':'#/definitions/none'}}}",
        "{'swagger':'2.0','paths':{'/apis/toys.io/v1':{'$ref':'http://elsewhere/'}},"
        "'definitions':{}}",
        "{'swagger':'2.0','definitions':{'a':{" KIND("toys.io", "v1",
                                                     "A") ",'items':[{'$ref':"
                                                          "'#/definitions/b'}]},'b':7}}"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        OWN(texts_done) struct texts t;
        struct err err;
        if (read_part(bad[i], &t, &err) == 0) fail_msg("%s", bad[i]);
    }
}

TEST(openapi_v2_takes_parts_and_keeps_its_own_definitions) {
    OWN(texts_done) struct texts t;
    OWN(buf_done) struct buf b = {0}, pb = {0}, alone = {0};
    struct err err;
    json_error_t why;
    assert_int_equal(read_part(TOYS, &t, &err), 0);
    const struct openapi_part part = {buf_view(&t.paths), buf_view(&t.definitions)};
    const struct openapi_part parts[] = {part, part}; /* of two with the same names the first */
    openapi_v2_document(parts, 2, &b);
    OWN(decref_p) json_t *doc = json_loadb(b.p, b.n, 0, &why);
    if (!doc) fail_msg("%s", why.text);
    const json_t *all = json_object_get(doc, "definitions");
    const json_t *toy = json_object_get(all, "io.toys.Toy");
    assert_string_equal(json_string_value(json_object_get(toy, "description")), "A toy.");
    assert_null(strstr(b.p, "evil"));
    assert_non_null(json_object_get(json_object_get(doc, "paths"), "/apis/toys.io/v1/toys"));
    assert_non_null(json_object_get(json_object_get(doc, "paths"), "/api/v1/pods"));
    const char *once = strstr(b.p, "\"io.toys.Toy\":{");
    assert_non_null(once);
    assert_null(strstr(once + 1, "\"io.toys.Toy\":{"));
    openapi_v2_protobuf(parts, 2, &pb);
    openapi_v2_protobuf(NULL, 0, &alone);
    assert_true(pb.n > alone.n);
    assert_non_null(memmem(pb.p, pb.n, "io.toys.ToySpec", 15));
}
