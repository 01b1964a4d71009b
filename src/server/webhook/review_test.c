#include "server/webhook/review.h"

#include "base/test.h"

#include "base/own.h"

static const struct webhook mutating = {.name = "m.example.com", .mutating = true, .version = "v1"};
static const struct webhook validating = {.name = "v.example.com", .version = "v1"};

static int decode(struct arena *a, const struct webhook *h, const char *response,
                  struct verdict *ret, struct err *err) {
    const char *body = arena_printf(
        a, "{\"kind\":\"AdmissionReview\",\"apiVersion\":\"admission.k8s.io/v1\",\"response\":%s}",
        response);
    return verdict_decode(a, slice_of(body), h, "U", ret, err);
}

TEST(a_webhooks_yes_is_understood) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct verdict v;
    struct err err;
    assert_int_equal(decode(a, &validating,
                            "{\"uid\":\"U\",\"allowed\":true,\"warnings\":[\"w\"],"
                            "\"auditAnnotations\":{\"k\":\"v\"}}",
                            &v, &err),
                     0);
    assert_true(v.allowed);
    assert_int_equal(v.warnings.n, 1);
    assert_string_equal(str_map_get(&v.annotations, "v.example.com/k"), "v");
}

TEST(a_webhooks_no_becomes_a_status_that_names_it) {
    OWN(arena_free_p) struct arena *a = arena_new();
    static const struct {
        const char *status, *message;
        int code;
    } rows[] = {
        {"{\"code\":403,\"message\":\"because\"}", "denied the request: because", 403},
        {"{\"reason\":\"Why\"}", "denied the request: Why", 400},
        {"null", "denied the request without explanation", 400},
        {"{\"code\":200,\"status\":\"Success\"}", "denied the request without explanation", 400},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct verdict v;
        struct err err;
        const char *r =
            arena_printf(a, "{\"uid\":\"U\",\"allowed\":false,\"status\":%s}", rows[i].status);
        assert_int_equal(decode(a, &validating, r, &v, &err), 0);
        assert_false(v.allowed);
        assert_int_equal(v.code, rows[i].code);
        assert_string_equal(
            v.message, arena_printf(a, "admission webhook \"v.example.com\" %s", rows[i].message));
        assert_non_null(strstr(v.status.p, "\"status\":\"Failure\""));
    }
}

TEST(a_webhooks_patch_needs_its_type_and_the_right_to_change) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct verdict v;
    struct err err;
    static const char good[] = "{\"uid\":\"U\",\"allowed\":true,\"patch\":\"W10=\","
                               "\"patchType\":\"JSONPatch\"}";
    assert_int_equal(decode(a, &mutating, good, &v, &err), 0);
    assert_true(slice_is(v.patch, "[]"));
    assert_true(decode(a, &validating, good, &v, &err) < 0);
    assert_true(
        decode(a, &mutating, "{\"uid\":\"U\",\"allowed\":true,\"patch\":\"W10=\"}", &v, &err) < 0);
    assert_string_equal(err.text, "webhook returned response.patch but not response.patchType");
    assert_true(decode(a, &mutating,
                       "{\"uid\":\"U\",\"allowed\":true,\"patch\":\"W10=\",\"patchType\":\"X\"}",
                       &v, &err) < 0);
}

TEST(a_webhooks_answer_to_another_question_is_refused) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct verdict v;
    struct err err;
    assert_true(decode(a, &validating, "{\"uid\":\"X\",\"allowed\":true}", &v, &err) < 0);
    assert_string_equal(err.text, "expected response.uid=\"U\", got \"X\"");
    assert_true(decode(a, &validating, "null", &v, &err) < 0);
    assert_string_equal(err.text, "webhook response was absent");
    assert_true(verdict_decode(a, SLICE("{"), &validating, "U", &v, &err) < 0);
    assert_true(verdict_decode(a,
                               SLICE("{\"kind\":\"AdmissionReview\",\"apiVersion\":\"admission.k8s."
                                     "io/v1beta1\",\"response\":{\"uid\":\"U\",\"allowed\":true}}"),
                               &validating, "U", &v, &err) < 0);
}
