#include "base/own.h"
#include "base/test.h"
#include "server/api.h"

TEST(a_failure_as_clients_read_it) {
    struct arena *a = arena_new();
    struct api_causes causes = {.a = a};
    cause_required(&causes, "spec.x", NULL);
    OWN(buf_done) struct buf b = {0};
    failure_encode(&b, ERR_INVALID,
                   &(struct failure){.message = "bad \"x\"",
                                     .name = "x",
                                     .group = "apps",
                                     .kind = "Deployment",
                                     .causes = &causes});
    assert_string_equal(
        b.p, "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\","
             "\"message\":\"bad \\\"x\\\"\",\"reason\":\"Invalid\",\"details\":{\"name\":\"x\","
             "\"group\":\"apps\",\"kind\":\"Deployment\",\"causes\":[{\"reason\":"
             "\"FieldValueRequired\",\"message\":\"Required value\",\"field\":\"spec.x\"}]},"
             "\"code\":422}\n");
    arena_free(a);
}
