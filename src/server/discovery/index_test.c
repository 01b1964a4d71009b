#include "server/discovery/index.h"

#include "base/test.h"
#include "server/fixture.h"

TEST(the_index_is_sorted_and_has_groups_versions_and_checks) {
    struct fixture f;
    fixture_open(&f);
    assert_int_equal(ask(&f, discovery_index, &(struct asked){.path = "/"}), 200);
    const char *order[] = {"\"/.well-known/openid-configuration\"",
                           "\"/api\"",
                           "\"/api/v1\"",
                           "\"/apis\"",
                           "\"/apis/apps\"",
                           "\"/apis/apps/v1\"",
                           "\"/healthz/ping\"",
                           "\"/livez/ping\"",
                           "\"/readyz/etcd\"",
                           "\"/version\""};
    const char *at = f.answer.p;
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        const char *found = strstr(f.answer.p, order[i]);
        if (!found || found < at) fail_msg("%s is not at its place", order[i]);
        at = found;
    }
    assert_null(strstr(f.answer.p, "/livez/etcd"));
    fixture_done(&f);
}
