#include "base/own.h"
#include "base/test.h"
#include "server/fixture.h"

#define MAP(metadata, data)                                                                        \
    "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"namespace\":\"a\",\"name\":"    \
    "\"x\"" metadata "},\"data\":{" data "}}"

static int put(struct fixture *f, const char *body) {
    return ask(f, verb_update,
               &(struct asked){
                   .verb = "update", .plural = "configmaps", .ns = "a", .name = "x", .body = body});
}

static int patch(struct fixture *f, const char *body) {
    return ask(f, verb_patch,
               &(struct asked){.verb = "patch",
                               .plural = "configmaps",
                               .ns = "a",
                               .name = "x",
                               .body = body,
                               .content_type = "application/merge-patch+json"});
}

static const struct core_v1_config_map *map_x(struct fixture *f) {
    return fixture_get(f, "configmaps", "a", "x");
}

TEST(an_update_is_stored_and_one_without_a_change_is_not) {
    struct fixture f;
    fixture_open(&f);
    fixture_put(&f, "configmaps", MAP("", "\"k\":\"old\""));
    assert_int_equal(put(&f, MAP("", "\"k\":\"new\"")), 200);
    assert_string_equal(str_map_get(&map_x(&f)->data, "k"), "new");
    assert_int_equal(f.writes, 1);
    const char *version = map_x(&f)->metadata.resource_version;
    assert_int_equal(put(&f, MAP("", "\"k\":\"new\"")), 200);
    assert_int_equal(f.writes, 1);
    assert_string_equal(map_x(&f)->metadata.resource_version, version);
    fixture_done(&f);
}

TEST(an_update_of_another_object_is_refused) {
    struct fixture f;
    static const struct {
        const char *body, *message;
        int status;
    } cases[] = {
        {"{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"y\"}}",
         "the name of the object (y) does not match the name on the URL (x)", 400},
        {"{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"x\","
         "\"namespace\":\"b\"}}",
         "the namespace of the object (b) does not match the namespace on the request (a)", 400},
        {MAP(",\"uid\":\"another\"", ""), "UID in precondition: another", 409},
        {MAP(",\"resourceVersion\":\"1\"", ""), "the object has been modified", 409},
        {MAP(",\"resourceVersion\":\"one\"", ""), "metadata.resourceVersion: Invalid value", 400},
    };
    fixture_open(&f);
    fixture_put(&f, "configmaps", MAP("", "\"k\":\"old\""));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(put(&f, cases[i].body), cases[i].status);
        assert_answer(&f, cases[i].message);
    }
    assert_int_equal(f.writes, 0);
    fixture_done(&f);
}

/* Codes and words as kube-apiserver's. */
TEST(a_patch_whose_result_is_no_such_object_is_refused) {
    struct fixture f;
    static const struct {
        const char *body, *message;
        int status;
    } cases[] = {
        {"{\"metadata\":null}",
         "the name of the object (x based on URL) was undeterminable: name must be provided", 400},
        {"{\"metadata\":{\"name\":null}}", "name must be provided", 400},
        {"{\"metadata\":{\"name\":\"y\"}}", "does not match the name on the URL (x)", 400},
        {"{\"data\":7}", "\\\"\\\" is invalid: patch: Invalid value: ", 422},
        {"{\"kind\":\"Pod\"}", "unknown conversion", 422},
    };
    fixture_open(&f);
    fixture_put(&f, "configmaps", MAP(",\"labels\":{\"a\":\"b\"}", "\"k\":\"old\""));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(patch(&f, cases[i].body), cases[i].status);
        assert_answer(&f, cases[i].message);
    }
    assert_string_equal(str_map_get(&map_x(&f)->metadata.labels, "a"), "b");
    assert_int_equal(f.writes, 0);
    fixture_done(&f);
}

static void others_add(struct fixture *f) {
    fixture_change(f, "configmaps", MAP("", "\"k\":\"old\",\"theirs\":\"1\""));
}

TEST(a_patch_is_made_again_upon_what_others_wrote) {
    struct fixture f;
    fixture_open(&f);
    fixture_put(&f, "configmaps", MAP("", "\"k\":\"old\""));
    f.meanwhile = others_add;
    assert_int_equal(patch(&f, "{\"data\":{\"k\":\"new\"}}"), 200);
    assert_string_equal(str_map_get(&map_x(&f)->data, "k"), "new");
    assert_string_equal(str_map_get(&map_x(&f)->data, "theirs"), "1");
    fixture_done(&f);
}

TEST(an_update_of_a_version_that_is_gone_is_not_made_again) {
    struct fixture f;
    fixture_open(&f);
    fixture_put(&f, "configmaps", MAP("", "\"k\":\"old\""));
    const char *body = arena_printf(f.arena, MAP(",\"resourceVersion\":\"%s\"", "\"k\":\"new\""),
                                    map_x(&f)->metadata.resource_version);
    f.meanwhile = others_add;
    assert_int_equal(put(&f, body), 409);
    assert_string_equal(str_map_get(&map_x(&f)->data, "theirs"), "1");
    assert_int_equal(f.writes, 0);
    fixture_done(&f);
}

TEST(the_last_finalizer_taken_from_what_is_deleted_ends_it) {
    struct fixture f;
    fixture_open(&f);
    fixture_put(
        &f, "configmaps",
        MAP(",\"deletionTimestamp\":\"2026-01-01T00:00:00Z\",\"deletionGracePeriodSeconds\":"
            "0,\"finalizers\":[\"e.x/one\"]",
            ""));
    assert_int_equal(patch(&f, "{\"metadata\":{\"finalizers\":null}}"), 200);
    assert_null(map_x(&f));
    fixture_done(&f);
}

TEST(status_and_spec_are_written_apart) {
    struct fixture f;
    struct asked q = {.verb = "update",
                      .group = "apps",
                      .plural = "deployments",
                      .ns = "a",
                      .name = "x",
                      .subresource = "status"};
#define DEPLOYMENT(replicas, status)                                                               \
    "{\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\",\"metadata\":{\"namespace\":\"a\","       \
    "\"name\":\"x\"},\"spec\":{\"replicas\":" replicas ",\"selector\":{\"matchLabels\":{\"app\":"  \
    "\"w\"}},\"template\":{\"metadata\":{\"labels\":{\"app\":\"w\"}},\"spec\":{\"containers\":["   \
    "{\"name\":\"c\",\"image\":\"i\"}]}}},\"status\":{\"replicas\":" status "}}"
    fixture_open(&f);
    fixture_put(&f, "deployments.apps", DEPLOYMENT("2", "1"));
    q.body = DEPLOYMENT("9", "2");
    assert_int_equal(ask(&f, verb_update, &q), 200);
    const struct apps_v1_deployment *d = fixture_get(&f, "deployments.apps", "a", "x");
    assert_int_equal(*d->spec.replicas, 2);
    assert_int_equal(d->status.replicas, 2);
    int64_t generation = d->metadata.generation;
    q.subresource = NULL;
    q.body = DEPLOYMENT("4", "7");
    assert_int_equal(ask(&f, verb_update, &q), 200);
    d = fixture_get(&f, "deployments.apps", "a", "x");
    assert_int_equal(*d->spec.replicas, 4);
    assert_int_equal(d->status.replicas, 2);
    assert_int_equal(d->metadata.generation, generation + 1);
    fixture_done(&f);
}

/* An object of which writes take several turns of the loop. */
static struct buf large(void) {
    struct buf b = {0};
    buf_str(&b,
            "{\"metadata\":{\"namespace\":\"a\",\"name\":\"x\"},\"data\":{\"k\":\"old\",\"l\":\"");
    for (int i = 0; i < 7000; i++) buf_str(&b, "0123456789");
    buf_str(&b, "\"}}");
    return b;
}

static void put_large(struct fixture *f) {
    OWN(buf_done) struct buf b = large();
    fixture_put(f, "configmaps", b.p);
}

TEST(of_two_that_make_the_same_large_object_one_does) {
    struct fixture f;
    fixture_open(&f);
    OWN(buf_done) struct buf b = large();
    int status[2];
    for (int i = 0; i < 2; i++)
        ask_begin(&f, verb_create,
                  &(struct asked){.verb = "create", .plural = "configmaps", .ns = "a", .body = b.p},
                  &status[i]);
    for (int i = 0; i < 2; i++) ask_wait(&f, &status[i]);
    assert_int_equal(status[0], 201);
    assert_int_equal(status[1], 409);
    assert_int_equal(strlen(str_map_get(&map_x(&f)->data, "l")), 70000);
    fixture_done(&f);
}

TEST(a_patch_of_a_large_object_is_made_again_upon_what_others_wrote) {
    struct fixture f;
    fixture_open(&f);
    put_large(&f);
    f.meanwhile = others_add;
    assert_int_equal(patch(&f, "{\"data\":{\"k\":\"new\"}}"), 200);
    assert_string_equal(str_map_get(&map_x(&f)->data, "k"), "new");
    assert_string_equal(str_map_get(&map_x(&f)->data, "theirs"), "1");
    fixture_done(&f);
}

static void check_five_patches(struct fixture *f) {
    enum { MANY = 5 };
    static const char *const bodies[MANY] = {
        "{\"data\":{\"a\":\"1\"}}",
        "{\"data\":{\"k\":\"old\"}}", /* changes nothing: whoever is next need not wait for it */
        "{\"data\":{\"b\":1}}",       /* invalid */
        "{\"data\":{\"c\":\"1\"}}",
        "{\"data\":{\"d\":\"1\"}}",
    };
    int status[MANY];
    for (int i = 0; i < MANY; i++)
        ask_begin(f, verb_patch,
                  &(struct asked){.verb = "patch",
                                  .plural = "configmaps",
                                  .ns = "a",
                                  .name = "x",
                                  .body = bodies[i],
                                  .content_type = "application/merge-patch+json"},
                  &status[i]);
    for (int i = 0; i < MANY; i++) ask_wait(f, &status[i]);
    for (int i = 0; i < MANY; i++) assert_int_equal(status[i], i == 2 ? 422 : 200);
    assert_int_equal(f->writes, 3);
    assert_int_equal(f->refused, 0); /* nobody started from a version that was gone */
    assert_string_equal(str_map_get(&map_x(f)->data, "a"), "1");
    assert_string_equal(str_map_get(&map_x(f)->data, "c"), "1");
    assert_string_equal(str_map_get(&map_x(f)->data, "d"), "1");
}

TEST(patches_of_one_object_come_one_after_the_other) {
    struct fixture f;
    fixture_open(&f);
    fixture_put(&f, "configmaps", MAP("", "\"k\":\"old\""));
    check_five_patches(&f);
    put_large(&f);
    f.writes = 0;
    check_five_patches(&f);
    assert_int_equal(strlen(str_map_get(&map_x(&f)->data, "l")), 70000);
    fixture_done(&f);
}
