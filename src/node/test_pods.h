/* Pods for the unit tests: decoded from JSON, as the API would give them. */
#pragma once

#include "base/test.h"
#include "node/pods/pod.h"

static inline const struct core_v1_pod *test_object(struct arena *a, const char *spec_and_status) {
    const char *json = arena_printf(
        a,
        "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"web\",\"namespace\":"
        "\"shop\",\"uid\":\"u-1\",\"labels\":{\"app\":\"web\",\"tier\":\"a\\\"b\"}},%s}",
        spec_and_status);
    void *obj = NULL;
    struct err err = {0};
    int rc = api_decode(a, &core_v1_pod_type, slice_of(json), NULL, &obj, &err);
    if (rc < 0) print_error("%s\n", err.text);
    assert_int_equal(rc, 0);
    return obj;
}

static inline struct pod *test_pod(const char *spec_and_status) {
    struct arena *a = arena_new();
    struct pod *p = pod_model_new(test_object(a, spec_and_status));
    arena_free(a);
    return p;
}
