/* Which kinds are told as found and lost when discovery says what it says. */
#include "client/dynamic.h"

#include "base/own.h"
#include "base/test.h"
#include "client/fake_api.h"

enum { TURNS_MAX = 1000, TURN_MS = 5 };

struct fixture {
    struct loop *l;
    struct fake_api *api;
    struct api_client *c;
    struct dynamic_kinds *d;
    struct buf seen; /* "+Kind -Kind ." */
    unsigned rounds;
};

static void on_found(void *user, const struct api_kind *k) {
    struct fixture *f = user;
    assert_ptr_equal(api_kind_by_name(k->group, k->version, k->kind), k);
    buf_printf(&f->seen, "+%s/%s ", k->version, k->kind);
}

static void on_lost(void *user, const struct api_kind *k) {
    struct fixture *f = user;
    assert_null(api_kind_by_name(k->group, k->version, k->kind));
    buf_printf(&f->seen, "-%s/%s ", k->version, k->kind);
}

static void on_complete(void *user) {
    struct fixture *f = user;
    f->rounds++;
    buf_char(&f->seen, '.');
}

#define GROUP(versions) "{\"kind\":\"APIGroupList\",\"groups\":[{\"versions\":[" versions "]}]}"
#define VERSION(v) "{\"groupVersion\":\"stable.example.com/" v "\"}"
#define RESOURCES(list) "{\"kind\":\"APIResourceList\",\"resources\":[" list "]}"
#define WATCHED "[\"delete\",\"get\",\"list\",\"watch\"]"
#define RESOURCE(plural, kind, verbs)                                                              \
    "{\"name\":\"" plural "\",\"kind\":\"" kind "\",\"namespaced\":true,\"verbs\":" verbs "}"

static void fixture_open(struct fixture *f) {
    *f = (struct fixture){.l = loop_new(NULL)};
    f->api = fake_api_new(f->l);
    f->c = api_client_new(f->l, fake_api_socket(f->api));
    fake_api_answer(f->api, "/apis", GROUP(VERSION("v1")));
    fake_api_answer(f->api, "/apis/stable.example.com/v1",
                    RESOURCES(RESOURCE("crontabs", "CronTab", WATCHED)));
}

static void begin(struct fixture *f) {
    f->d = dynamic_kinds_new(f->c, &(struct dynamic_events){on_found, on_lost, on_complete, f});
}

static void fixture_done(struct fixture *f) {
    dynamic_kinds_free(f->d);
    api_client_free(f->c);
    fake_api_free(f->api);
    loop_run_once(f->l, 0);
    loop_free(f->l);
    buf_done(&f->seen);
}

static void rounds(struct fixture *f, unsigned n) {
    for (int i = 0; i < TURNS_MAX && f->rounds < n; i++) loop_run_once(f->l, TURN_MS);
    assert_int_equal(f->rounds, n);
}

static void again(struct fixture *f) {
    buf_clear(&f->seen);
    dynamic_kinds_refresh(f->d);
    rounds(f, f->rounds + 1);
}

TEST(a_kind_is_found_once_and_lost_when_it_goes) {
    struct fixture f;
    fixture_open(&f);
    begin(&f);
    rounds(&f, 1);
    assert_string_equal(f.seen.p, "+v1/CronTab .");
    const struct api_kind *k = api_kind_by_plural("stable.example.com", "v1", "crontabs");
    assert_non_null(k);
    assert_int_equal(k->flags, API_NAMESPACED);
    assert_string_equal(k->api_version, "stable.example.com/v1");
    again(&f);
    assert_string_equal(f.seen.p, ".");
    fake_api_answer(f.api, "/apis/stable.example.com/v1", NULL); /* 404 is an answer, too */
    again(&f);
    assert_string_equal(f.seen.p, "-v1/CronTab .");
    fake_api_answer(f.api, "/apis/stable.example.com/v1",
                    RESOURCES(RESOURCE("crontabs", "CronTab", WATCHED)));
    again(&f);
    assert_string_equal(f.seen.p, "+v1/CronTab .");
    assert_ptr_equal(api_kind_by_plural("stable.example.com", "v1", "crontabs"), k);
    fixture_done(&f);
    assert_null(api_kind_by_plural("stable.example.com", "v1", "crontabs"));
}

TEST(what_cannot_be_followed_is_not_found) {
    struct fixture f;
    fixture_open(&f);
    fake_api_answer(f.api, "/apis",
                    "{\"groups\":[{\"versions\":[{\"groupVersion\":\"apps/v1\"},"
                    "{\"groupVersion\":\"stable.example.com/v1\"}]}]}");
    fake_api_answer(f.api, "/apis/apps/v1",
                    RESOURCES(RESOURCE("deployments", "Deployment", WATCHED)));
    fake_api_answer(f.api, "/apis/stable.example.com/v1",
                    RESOURCES(RESOURCE("crontabs/status", "CronTab", WATCHED) "," RESOURCE(
                        "reviews", "Review", "[\"create\"]") "," RESOURCE("figures", "Figure",
                                                                          "[\"list\",\"watch\"]")));
    begin(&f);
    rounds(&f, 1);
    assert_string_equal(f.seen.p, ".");
    fixture_done(&f);
}

TEST(of_several_versions_one_is_followed_and_all_are_known) {
    struct fixture f;
    fixture_open(&f);
    fake_api_answer(f.api, "/apis", GROUP(VERSION("v1") "," VERSION("v2")));
    fake_api_answer(f.api, "/apis/stable.example.com/v2",
                    RESOURCES(RESOURCE("crontabs", "CronTab", WATCHED)));
    begin(&f);
    rounds(&f, 1);
    assert_string_equal(f.seen.p, "+v1/CronTab .");
    assert_non_null(api_kind_by_name("stable.example.com", "v2", "CronTab"));
    fake_api_answer(f.api, "/apis", GROUP(VERSION("v2")));
    again(&f);
    assert_string_equal(f.seen.p, "-v1/CronTab +v2/CronTab .");
    fixture_done(&f);
}

TEST(a_server_that_does_not_answer_loses_nothing) {
    struct fixture f;
    fixture_open(&f);
    begin(&f);
    rounds(&f, 1);
    buf_clear(&f.seen);
    fake_api_cut(f.api, true);
    dynamic_kinds_refresh(f.d);
    for (int i = 0; i < 20; i++) loop_run_once(f.l, TURN_MS);
    assert_int_equal(f.seen.n, 0);
    fake_api_cut(f.api, false);
    rounds(&f, 2); /* by itself */
    assert_string_equal(f.seen.p, ".");
    fixture_done(&f);
}

TEST(it_may_end_while_a_request_is_under_way) {
    struct fixture f;
    fixture_open(&f);
    begin(&f);
    loop_run_once(f.l, TURN_MS);
    dynamic_kinds_free(f.d);
    f.d = NULL;
    for (int i = 0; i < 20; i++) loop_run_once(f.l, TURN_MS);
    assert_int_equal(f.seen.n, 0);
    fixture_done(&f);
}
