#include "server/lifetime.h"

#include "base/limits.h"
#include "base/own.h"
#include "base/test.h"

static struct call call(struct request *r, const char *verb, const char *timeout) {
    static struct str_kv kv;
    kv = (struct str_kv){"timeout", timeout};
    *r = (struct request){.received_ms = 1000, .query = {&kv, timeout ? 1 : 0}};
    return (struct call){.r = r, .route = {.is_resource = true, .verb = verb, .subresource = ""}};
}

TEST(requests_end_when_they_ask_to_and_within_the_limit) {
    static const struct {
        const char *timeout;
        uint64_t ms;
    } cases[] = {
        {NULL, LIMIT_HTTP_REQUEST_MS},
        {"", LIMIT_HTTP_REQUEST_MS},
        {"0s", LIMIT_HTTP_REQUEST_MS},
        {"2s", 2000},
        {"1m30ms", LIMIT_HTTP_REQUEST_MS < 60030 ? LIMIT_HTTP_REQUEST_MS : 60030},
        {"9h", LIMIT_HTTP_REQUEST_MS},
    };
    struct request r;
    struct err err;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct call c = call(&r, "get", cases[i].timeout);
        assert_int_equal(request_set_deadline(&c, &err), 0);
        assert_int_equal(r.deadline_ms, 1000 + cases[i].ms);
    }
}

TEST(a_timeout_that_is_no_duration_is_refused) {
    static const char *const bad[] = {"soon", "-1s", "5"};
    struct request r;
    struct err err;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct call c = call(&r, "get", bad[i]);
        assert_true(request_set_deadline(&c, &err) < 0);
        assert_int_equal(err.reason, ERR_BAD_REQUEST);
        assert_int_equal(r.deadline_ms, 0);
    }
}

TEST(nobody_waits_for_watches_and_streams_to_end) {
    struct request r;
    struct err err;
    struct call watch = call(&r, "watch", "soon");
    assert_int_equal(request_set_deadline(&watch, &err), 0);
    assert_int_equal(r.deadline_ms, 0);
    assert_true(request_is_long_running(
        &(struct route){.is_resource = true, .verb = "create", .subresource = "exec"}));
    assert_true(request_is_long_running(
        &(struct route){.is_resource = true, .verb = "get", .subresource = "log"}));
    assert_false(request_is_long_running(
        &(struct route){.is_resource = true, .verb = "get", .subresource = "status"}));
    assert_false(request_is_long_running(&(struct route){.verb = "get", .subresource = "exec"}));
}
