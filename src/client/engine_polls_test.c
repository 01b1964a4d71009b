/* Answers to API paths as facts of the world. */
#include <stdlib.h>

#include "base/own.h"
#include "base/test.h"
#include "client/engine.h"
#include "client/fake_api.h"

static struct {
    const char *path; /* what every Service wants; NULL: nothing */
    unsigned runs, answers, failures;
    bool noted, has_fact;
} seen;

static void *read_kind(struct arena *a, struct slice body) {
    return memmem(body.p, body.n, "SecretList", 10) ? arena_str(a, "list") : NULL;
}

static int reconcile(const struct world *w, const char *key, struct plan *p, struct err *err) {
    const char *ns, *name;
    key_split(plan_arena(p), key, &ns, &name);
    seen.runs++;
    if (!world_get(w, "Service", ns, name)) return 0;
    const struct fact *f = seen.path ? world_fact(w, seen.path) : NULL;
    seen.has_fact = world_fact(w, "/api/v1/secrets") != NULL;
    seen.noted = world_fact(w, "note of mine") != NULL;
    if (f && f->error) {
        seen.failures++;
        assert_int_equal(f->reason, ERR_NOT_FOUND);
        assert_null(fact_read(f, read_kind));
    } else if (f) {
        seen.answers++;
        assert_string_equal(fact_read(f, read_kind), "list");
        assert_ptr_equal(fact_read(f, read_kind), fact_read(f, read_kind));
    }
    if (seen.path) plan_want(p, seen.path, 10);
    if (f && !seen.noted) plan_note(p, "note of mine", SLICE("x"));
    return 0;
}

static const char *const watches[] = {"Service", NULL};
static const struct reconciler wanting = {
    .name = "wanting", .kind = "Service", .watches = watches, .reconcile = reconcile};

struct fixture {
    struct loop *l;
    struct fake_api *api;
    struct api_client *c;
    struct engine *e;
};

static void open_with(struct fixture *f, const char *path) {
    memset(&seen, 0, sizeof seen);
    seen.path = path;
    *f = (struct fixture){.l = loop_new(NULL)};
    f->api = fake_api_new(f->l);
    f->c = api_client_new(f->l, fake_api_socket(f->api));
    static const struct reconciler *const list[] = {&wanting};
    f->e = engine_new(f->l, f->c, list, 1, "test");
    world_add_json(fake_api_world(f->api),
                   "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"s\","
                   "\"namespace\":\"default\"}}");
}

static void end(struct fixture *f) {
    engine_free(f->e);
    for (int i = 0; i < 5; i++) loop_run_once(f->l, 1);
    api_client_free(f->c);
    fake_api_free(f->api);
    loop_run_once(f->l, 0);
    loop_free(f->l);
}

TEST(a_wanted_path_is_asked_again_and_wakes_the_key) {
    struct fixture f;
    open_with(&f, "/api/v1/secrets");
    for (int i = 0; i < 1000 && seen.answers < 4; i++) loop_run_once(f.l, 5);
    assert_true(seen.answers >= 4);
    assert_true(seen.noted); /* written down by a plan */
    seen.path = NULL;        /* nobody wants it any more: the next run says so */
    for (int i = 0; i < 30; i++) loop_run_once(f.l, 5);
    unsigned lists = fake_api_counts(f.api).lists, runs = seen.runs;
    for (int i = 0; i < 30; i++) loop_run_once(f.l, 5);
    assert_int_equal(fake_api_counts(f.api).lists, lists);
    assert_int_equal(seen.runs, runs);
    world_add_json(fake_api_world(f.api),
                   "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"t\","
                   "\"namespace\":\"default\"}}");
    for (int i = 0; i < 200 && seen.runs == runs; i++) loop_run_once(f.l, 5);
    assert_false(seen.has_fact); /* and forgotten */
    end(&f);
}

TEST(a_path_that_fails_is_told_and_asked_less_often) {
    struct fixture f;
    open_with(&f, "/apis/none.example.com/v1/things");
    for (int i = 0; i < 100 && seen.failures < 3; i++) loop_run_once(f.l, 10);
    assert_true(seen.failures >= 3);
    uint64_t until = loop_now_ms(f.l) + 400;
    unsigned before = seen.failures;
    while (loop_now_ms(f.l) < until) loop_run_once(f.l, 10);
    assert_in_range(seen.failures - before, 0, 6); /* without backing off: 40 */
    end(&f);
}
