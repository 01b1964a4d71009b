#include "base/own.h"
#include "base/test.h"
#include "server/fixture.h"

static void handle(struct call *c) {
    if (!health_handle(c)) reply_page_not_found(c);
}

static int get(struct fixture *f, const char *path, const char *query) {
    return ask(f, handle, &(struct asked){.path = path, .query = query});
}

/* The link to keys and the first objects are not the fixture's. */
static void make_ready(struct fixture *f) {
    f->api.bootstrapped = true;
    f->api.keys_ipc = f->store;
}

TEST(a_server_is_ready_when_every_check_passes) {
    struct fixture f;
    fixture_open(&f);
    assert_int_equal(get(&f, "/livez", NULL), 200);
    assert_string_equal(f.answer.p, "ok");
    assert_int_equal(get(&f, "/readyz", NULL), 500);
    assert_answer(&f, "[-]poststarthook/rbac/bootstrap-roles failed: reason withheld");
    assert_answer(&f, "[+]etcd ok");
    assert_answer(&f, "readyz check failed");
    make_ready(&f);
    assert_int_equal(get(&f, "/readyz", NULL), 200);
    assert_string_equal(f.answer.p, "ok");
    f.api.stopping = true;
    assert_int_equal(get(&f, "/readyz", NULL), 500);
    assert_int_equal(get(&f, "/livez", NULL), 200);
    fixture_done(&f);
}

TEST(checks_are_asked_for_one_by_one_left_out_and_told) {
    struct fixture f;
    fixture_open(&f);
    make_ready(&f);
    f.api.bootstrapped = false;
    assert_int_equal(get(&f, "/readyz/etcd", NULL), 200);
    assert_int_equal(get(&f, "/readyz/poststarthook/rbac/bootstrap-roles", NULL), 500);
    assert_int_equal(get(&f, "/readyz/nonsense", NULL), 404);
    assert_int_equal(get(&f, "/readyzz", NULL), 404);
    assert_int_equal(get(&f, "/readyz", "exclude=poststarthook/rbac/bootstrap-roles"), 200);
    assert_int_equal(get(&f, "/healthz", "verbose&exclude=poststarthook/rbac/bootstrap-roles"),
                     200);
    assert_answer(&f, "[+]keys ok");
    assert_answer(&f, "healthz check passed");
    fixture_done(&f);
}

TEST(a_lost_store_is_not_ready) {
    struct fixture f;
    fixture_open(&f);
    make_ready(&f);
    ipc_close(f.store);
    f.store = NULL;
    for (int i = 0; i < 1000 && store_link_connected(f.api.store); i++) loop_run_once(f.loop, 1);
    assert_int_equal(get(&f, "/readyz/etcd", NULL), 500);
    assert_int_equal(get(&f, "/livez", NULL), 200);
    fixture_done(&f);
}
