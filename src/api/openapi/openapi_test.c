#include "api/openapi/openapi.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "api/openapi/schema.h"
#include "base/own.h"
#include "base/test.h"

static void decref_p(json_t **v) { json_decref(*v); }

static json_t *document(const char *group, const char *version) {
    OWN(buf_done) struct buf b = {0};
    json_error_t why;
    assert_int_equal(openapi_v3_document(group, version, &b), 0);
    json_t *doc = json_loadb(b.p, b.n, JSON_REJECT_DUPLICATES, &why);
    if (!doc) fail_msg("%s at %d: %.60s", why.text, why.position, b.p + why.position - 30);
    return doc;
}

/* Walks by keys that contain dots and slashes. */
static json_t *at(json_t *v, const char *const *keys) {
    for (; *keys; keys++) {
        v = json_is_array(v) ? json_array_get(v, 0) : json_object_get(v, *keys);
        if (!v) fail_msg("no %s", *keys);
    }
    return v;
}
#define AT(v, ...) at(v, (const char *const[]){__VA_ARGS__, NULL})
#define TEXT(v, ...) json_string_value(AT(v, __VA_ARGS__))
#define POD "io.k8s.api.core.v1.Pod"

TEST(openapi_names_kinds_and_patch_rules) {
    OWN(decref_p) json_t *doc = document("", "v1");
    json_t *schemas = AT(doc, "components", "schemas");
    assert_string_equal(TEXT(schemas, POD, "x-kubernetes-group-version-kind", "0", "kind"), "Pod");
    json_t *containers = AT(schemas, POD "Spec", "properties", "containers");
    assert_string_equal(TEXT(containers, "x-kubernetes-patch-merge-key"), "name");
    assert_string_equal(TEXT(containers, "x-kubernetes-patch-strategy"), "merge");
    assert_string_equal(TEXT(containers, "x-kubernetes-list-map-keys", "0"), "name");
    assert_string_equal(
        TEXT(schemas, POD "Spec", "properties", "volumes", "x-kubernetes-patch-strategy"),
        "merge,retainKeys");
    assert_string_equal(TEXT(schemas, POD "List", "properties", "items", "type"), "array");
}

TEST(openapi_patch_takes_field_validation) {
    OWN(decref_p) json_t *doc = document("apps", "v1");
    json_t *patch =
        AT(doc, "paths", "/apis/apps/v1/namespaces/{namespace}/deployments/{name}", "patch");
    assert_string_equal(TEXT(patch, "x-kubernetes-group-version-kind", "kind"), "Deployment");
    bool found = false;
    size_t i;
    json_t *p;
    json_array_foreach(AT(patch, "parameters"), i, p) found =
        found || strcmp(TEXT(p, "name"), "fieldValidation") == 0;
    assert_true(found);
}

/* Every $ref of v must name a schema. */
static void check_refs(json_t *v, json_t *schemas, size_t prefix) {
    const char *key;
    size_t i;
    json_t *child;
    if (json_is_array(v)) json_array_foreach(v, i, child) check_refs(child, schemas, prefix);
    if (!json_is_object(v)) return;
    json_object_foreach(v, key, child) {
        if (strcmp(key, "$ref") == 0 && json_is_string(child)) {
            const char *name = json_string_value(child) + prefix;
            if (!json_object_get(schemas, name)) fail_msg("no schema %s", name);
        }
        check_refs(child, schemas, prefix);
    }
}

TEST(openapi_documents_hold_all_they_refer_to) {
    OWN(buf_done) struct buf b = {0}, v2 = {0};
    openapi_v3_index(&b);
    OWN(decref_p) json_t *index = json_loadb(b.p, b.n, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(index);
    const char *path;
    json_t *entry;
    size_t n = 0;
    json_object_foreach(AT(index, "paths"), path, entry) {
        char group[80] = "", version[20] = "";
        if (sscanf(path, "apis/%79[^/]/%19s", group, version) != 2)
            sscanf(path, "api/%19s", version);
        OWN(decref_p) json_t *doc = document(group, version);
        check_refs(doc, AT(doc, "components", "schemas"), strlen("#/components/schemas/"));
        assert_true(str_starts(TEXT(entry, "serverRelativeURL"), "/openapi/v3/api"));
        n++;
    }
    size_t n_kinds, groups = 0;
    const struct api_kind *const *kinds = api_kinds(&n_kinds);
    for (size_t i = 0; i < n_kinds; i++)
        groups += i == 0 || strcmp(kinds[i - 1]->api_version, kinds[i]->api_version) != 0;
    assert_int_equal(n, groups);
    openapi_v2_document(NULL, 0, &v2);
    OWN(decref_p) json_t *old = json_loadb(v2.p, v2.n, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(old);
    check_refs(old, AT(old, "definitions"), strlen("#/definitions/"));
}

/* Reads a varint of a protobuf message. */
static uint64_t varint(struct slice *s) {
    uint64_t v = 0;
    for (unsigned shift = 0;; shift += 7) {
        if (s->n == 0 || shift > 63) fail_msg("broken varint");
        unsigned char c = (unsigned char)*s->p++;
        s->n--;
        v |= (uint64_t)(c & 0x7f) << shift;
        if (!(c & 0x80)) return v;
    }
}

/* The next member of a message, which must be bytes. */
static uint64_t member(struct slice *s, struct slice *ret) {
    uint64_t key = varint(s), n = varint(s);
    assert_int_equal(key & 7, 2);
    assert_true(n <= s->n);
    *ret = slice_from(s->p, n);
    *s = slice_from(s->p + n, s->n - n);
    return key >> 3;
}

TEST(openapi_v2_protobuf_holds_the_definitions_of_the_json) {
    OWN(buf_done) struct buf json = {0}, b = {0};
    openapi_v2_document(NULL, 0, &json);
    openapi_v2_protobuf(NULL, 0, &b);
    OWN(decref_p) json_t *doc = json_loadb(json.p, json.n, 0, NULL);
    struct slice left = buf_view(&b), part, named, name;
    size_t n = 0;
    while (left.n) {
        if (member(&left, &part) != 9) continue;
        while (part.n) {
            assert_int_equal(member(&part, &named), 1);
            assert_int_equal(member(&named, &name), 1);
            char text[200];
            snprintf(text, sizeof text, "%.*s", (int)name.n, name.p);
            if (!json_object_get(AT(doc, "definitions"), text)) fail_msg("no %s", text);
            n++;
        }
    }
    assert_int_equal(n, json_object_size(AT(doc, "definitions")));
}

TEST(openapi_of_an_unknown_group_is_not_there) {
    OWN(buf_done) struct buf b = {0};
    assert_int_equal(openapi_v3_document("nothing", "v1", &b), -ENOENT);
}
