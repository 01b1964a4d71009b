#include "base/own.h"
#include "base/test.h"
#include "server/fixture.h"

#define DEPLOYMENTS "deployments.apps"
#define DEPLOYMENT(metadata, replicas)                                                             \
    "{\"metadata\":{\"namespace\":\"a\",\"name\":\"x\",\"generation\":3" metadata "},\"spec\":{"   \
    "\"replicas\":" replicas ",\"selector\":{\"matchLabels\":{\"app\":\"w\"},"                     \
    "\"matchExpressions\":[{\"key\":\"tier\",\"operator\":\"In\",\"values\":[\"a\",\"b\"]},"       \
    "{\"key\":\"old\",\"operator\":\"DoesNotExist\"}]},\"template\":{\"metadata\":{\"labels\":{"   \
    "\"app\":\"w\",\"tier\":\"a\"}},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}" \
    "},\"status\":{\"replicas\":1}}"

static int scale(struct fixture *f, const char *verb, const char *body, const char *type) {
    return ask(f, scale_handle,
               &(struct asked){.verb = verb,
                               .group = "apps",
                               .plural = "deployments",
                               .ns = "a",
                               .name = "x",
                               .subresource = "scale",
                               .body = body,
                               .content_type = type});
}

static int put_scale(struct fixture *f, const char *metadata, int replicas) {
    return scale(f, "update",
                 arena_printf(f->arena,
                              "{\"apiVersion\":\"autoscaling/v1\",\"kind\":\"Scale\",\"metadata\":"
                              "{\"name\":\"x\",\"namespace\":\"a\"%s},\"spec\":{\"replicas\":%d}}",
                              metadata, replicas),
                 NULL);
}

static const struct apps_v1_deployment *deployment(struct fixture *f) {
    return fixture_get(f, DEPLOYMENTS, "a", "x");
}

TEST(a_scale_shows_numbers_and_the_selector_as_lists_take_it) {
    struct fixture f;
    fixture_open(&f);
    assert_int_equal(scale(&f, "get", NULL, NULL), 404);
    fixture_put(&f, DEPLOYMENTS, DEPLOYMENT("", "2"));
    assert_int_equal(scale(&f, "get", NULL, NULL), 200);
    assert_answer(&f, "\"kind\":\"Scale\"");
    assert_answer(&f, "\"spec\":{\"replicas\":2}");
    assert_answer(&f, "\"status\":{\"replicas\":1,\"selector\":\"app=w,tier in (a,b),!old\"}");
    assert_int_equal(scale(&f, "delete", NULL, NULL), 405);
    fixture_done(&f);
}

TEST(a_scale_that_is_put_changes_the_number_and_nothing_else) {
    struct fixture f;
    fixture_open(&f);
    fixture_put(&f, DEPLOYMENTS, DEPLOYMENT(",\"labels\":{\"l\":\"v\"}", "2"));
    assert_int_equal(put_scale(&f, "", 5), 200);
    assert_answer(&f, "\"spec\":{\"replicas\":5}");
    assert_int_equal(*deployment(&f)->spec.replicas, 5);
    assert_int_equal(deployment(&f)->metadata.generation, 4);
    assert_string_equal(str_map_get(&deployment(&f)->metadata.labels, "l"), "v");
    assert_int_equal(deployment(&f)->status.replicas, 1);
    assert_int_equal(put_scale(&f, "", -1), 422);
    assert_int_equal(*deployment(&f)->spec.replicas, 5);
    fixture_done(&f);
}

TEST(a_scale_by_merge_patch) {
    struct fixture f;
    fixture_open(&f);
    fixture_put(&f, DEPLOYMENTS, DEPLOYMENT("", "2"));
    assert_int_equal(
        scale(&f, "patch", "{\"spec\":{\"replicas\":0}}", "application/merge-patch+json"), 200);
    assert_int_equal(*deployment(&f)->spec.replicas, 0);
    assert_int_equal(scale(&f, "patch", "{}", "text/plain"), 415);
    fixture_done(&f);
}

static void others_label(struct fixture *f) {
    fixture_change(f, DEPLOYMENTS, DEPLOYMENT(",\"labels\":{\"l\":\"v\"}", "2"));
}

TEST(only_who_names_the_version_conflicts_with_other_writes) {
    struct fixture f;
    fixture_open(&f);
    fixture_put(&f, DEPLOYMENTS, DEPLOYMENT("", "2"));
    const char *version =
        arena_printf(f.arena, ",\"resourceVersion\":\"%llu\"", (unsigned long long)f.revision);
    f.meanwhile = others_label;
    assert_int_equal(put_scale(&f, version, 5), 409);
    assert_answer(&f, "the object has been modified");
    assert_int_equal(*deployment(&f)->spec.replicas, 2);
    f.meanwhile = others_label;
    assert_int_equal(put_scale(&f, "", 5), 200);
    assert_int_equal(*deployment(&f)->spec.replicas, 5);
    assert_string_equal(str_map_get(&deployment(&f)->metadata.labels, "l"), "v");
    fixture_done(&f);
}
