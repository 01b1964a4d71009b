#include "client/engine.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/own.h"
#include "base/test.h"
#include "client/fake_api.h"

/* A controller that wants as many Secrets as a ConfigMap's data.n says. */
static struct {
    unsigned runs, stale;
    uint64_t requeue_ms;
    bool fail;
    char last_failure[64]; /* the newest that a plan told of */
    unsigned told;
} probe;

static int reconcile(const struct world *w, const char *key, struct plan *p, struct err *err) {
    const char *ns, *name;
    probe.runs++;
    if (plan_last_failure(p)) {
        probe.told++;
        snprintf(probe.last_failure, sizeof probe.last_failure, "%s", plan_last_failure(p));
    }
    key_split(plan_arena(p), key, &ns, &name);
    if (probe.fail) return err_set(err, ERR_INTERNAL, "told to fail");
    const struct core_v1_config_map *m =
        (const struct core_v1_config_map *)world_get(w, "ConfigMap", ns, name);
    if (!m) return 0;
    uint64_t want = 0, have = 0;
    slice_u64(slice_of(str_or(str_map_get(&m->data, "n"), "0")), &want);
    const struct api_object *o, *last = NULL;
    for (size_t at = 0; (o = world_owned(w, m->metadata.uid, "Secret", &at)); last = o) have++;
    if (have > 5) probe.stale++; /* nobody ever asks for more */
    for (; have < want; have++) {
        struct api_object *s = api_object_new(plan_arena(p), world_kind(w, "Secret"));
        s->metadata.namespace = ns;
        s->metadata.generate_name = "s-";
        *ARENA_PUSH(plan_arena(p), &s->metadata.owner_references) =
            (struct meta_v1_owner_reference){.api_version = "v1",
                                             .kind = "ConfigMap",
                                             .name = m->metadata.name,
                                             .uid = m->metadata.uid,
                                             .controller =
                                                 arena_alloc(plan_arena(p), sizeof(bool))};
        *s->metadata.owner_references.v[0].controller = true;
        plan_create(p, s);
        plan_report(p, (const struct api_object *)m, "SuccessfulCreate", "FailedCreate");
    }
    if (have > want) plan_delete(p, last, NULL);
    if (str_map_get(&m->data, "evicts")) {
        struct api_object *pod = api_object_new(plan_arena(p), api_kind_by_name("", "v1", "Pod"));
        pod->metadata.namespace = ns;
        pod->metadata.name = str_map_get(&m->data, "evicts");
        pod->metadata.uid = "u-pod";
        plan_evict(p, pod);
    }
    if (probe.requeue_ms) plan_requeue(p, probe.requeue_ms);
    return 0;
}

static const char *const watches[] = {"ConfigMap", "Secret", NULL};
static const struct reconciler test_reconciler = {
    .name = "test", .kind = "ConfigMap", .watches = watches, .reconcile = reconcile};
RECONCILER(test_reconciler);

struct fixture {
    struct loop *l;
    struct fake_api *api;
    struct api_client *c;
    struct engine *e;
};

static void want(struct fixture *f, const char *name, int n) {
    char json[300];
    snprintf(json, sizeof json,
             "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"%s\","
             "\"namespace\":\"default\",\"uid\":\"u-%s\"},\"data\":{\"n\":\"%d\"}}",
             name, name, n);
    world_add_json(fake_api_world(f->api), json);
}

static void fixture_open_with(struct fixture *f, const struct reconciler *const *list, size_t n) {
    memset(&probe, 0, sizeof probe);
    *f = (struct fixture){.l = loop_new(NULL)};
    f->api = fake_api_new(f->l);
    f->c = api_client_new(f->l, fake_api_socket(f->api));
    f->e = engine_new(f->l, f->c, list, n, "test");
}

static void fixture_open(struct fixture *f) {
    static const struct reconciler *const list[] = {&test_reconciler};
    fixture_open_with(f, list, ARRAY_LEN(list));
}

static void fixture_done(struct fixture *f) {
    engine_free(f->e);
    for (int i = 0; i < 5; i++) loop_run_once(f->l, 1);
    api_client_free(f->c);
    fake_api_free(f->api);
    loop_run_once(f->l, 0);
    loop_free(f->l);
}

static void until_secrets(struct fixture *f, size_t n) {
    for (int i = 0; i < 1000 && world_count(fake_api_world(f->api), "Secret") != n; i++)
        loop_run_once(f->l, 5);
    assert_int_equal(world_count(fake_api_world(f->api), "Secret"), n);
}

static void settle(struct fixture *f) {
    struct engine_stats st;
    for (int i = 0; i < 1000; i++) {
        loop_run_once(f->l, 5);
        engine_stats(f->e, &st);
        if (st.synced && !st.queued && !st.delayed && !st.running) break;
    }
    assert_true(st.synced);
    assert_int_equal(st.queued + st.delayed + st.running, 0);
}

TEST(the_engine_converges_and_then_rests) {
    struct fixture f;
    fixture_open(&f);
    want(&f, "a", 3);
    want(&f, "b", 2);
    until_secrets(&f, 5);
    settle(&f);
    unsigned writes = fake_api_counts(f.api).writes;
    assert_int_equal(writes, 5);
    want(&f, "a", 1);
    until_secrets(&f, 3);
    settle(&f);
    assert_int_equal(fake_api_counts(f.api).writes, 7);
    struct world *w = fake_api_world(f.api);
    size_t at = 0;
    const struct api_object *s = world_owned(w, "u-b", "Secret", &at);
    world_remove(w, world_kind(w, "Secret"), s->metadata.namespace, s->metadata.name);
    settle(&f);
    until_secrets(&f, 3); /* healed */
    settle(&f);
    fixture_done(&f);
}

TEST(a_reconciler_never_sees_a_world_older_than_its_writes) {
    struct fixture f;
    fixture_open(&f);
    settle(&f);
    want(&f, "a", 3);
    for (int i = 0; i < 400 && !fake_api_counts(f.api).writes; i++) loop_run_once(f.l, 2);
    fake_api_hold_events(f.api, true);
    until_secrets(&f, 3);
    /* The engine is woken again and again, yet must not create more from its old view. */
    for (int i = 0; i < 40; i++) loop_run_once(f.l, 2);
    assert_int_equal(fake_api_counts(f.api).writes, 3);
    fake_api_hold_events(f.api, false);
    settle(&f);
    assert_int_equal(fake_api_counts(f.api).writes, 3);
    assert_int_equal(probe.stale, 0);
    fixture_done(&f);
}

TEST(the_outcome_of_a_write_is_reported) {
    struct fixture f;
    fixture_open(&f);
    settle(&f);
    fake_api_fail_writes(f.api, 1, ERR_FORBIDDEN);
    want(&f, "a", 1);
    until_secrets(&f, 1);
    struct world *w = fake_api_world(f.api);
    for (int i = 0; i < 400 && world_count(w, "Event") < 2; i++) loop_run_once(f.l, 5);
    size_t at = 0, none = 0;
    const struct core_v1_event *e = (const struct core_v1_event *)world_next(w, "Event", NULL, &at);
    const struct core_v1_event *e2 =
        (const struct core_v1_event *)world_next(w, "Event", NULL, &at);
    if (str_eq(e->reason, "SuccessfulCreate")) {
        const struct core_v1_event *t = e;
        e = e2;
        e2 = t;
    }
    assert_string_equal(e->reason, "FailedCreate");
    assert_string_equal(e->type, "Warning");
    assert_string_equal(e->message, "Error creating: told to fail");
    char want_text[100];
    snprintf(want_text, sizeof want_text, "Created secret: %s",
             world_next(w, "Secret", NULL, &none)->metadata.name);
    assert_string_equal(e2->message, want_text);
    assert_string_equal(e2->involved_object.name, "a");
    settle(&f);
    fixture_done(&f);
}

TEST(failed_writes_are_tried_again) {
    struct fixture f;
    fixture_open(&f);
    settle(&f);
    fake_api_fail_writes(f.api, 3, ERR_CONFLICT);
    want(&f, "a", 2);
    until_secrets(&f, 2);
    settle(&f);
    struct engine_stats st;
    engine_stats(f.e, &st);
    assert_true(st.conflicts >= 1);
    fixture_done(&f);
}

TEST(an_eviction_that_a_budget_forbids_is_no_failure) {
    struct fixture f;
    struct engine_stats st;
    fixture_open(&f);
    settle(&f);
    fake_api_fail_writes(f.api, 1, ERR_TOO_MANY_REQUESTS);
    world_add_json(fake_api_world(f.api),
                   "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"e\","
                   "\"namespace\":\"default\"},\"data\":{\"evicts\":\"p\"}}");
    for (int i = 0; i < 1000 && !fake_api_counts(f.api).writes; i++) loop_run_once(f.l, 5);
    settle(&f);
    engine_stats(f.e, &st);
    assert_int_equal(fake_api_counts(f.api).writes, 1);
    assert_int_equal(st.failures + st.conflicts, 0);
    assert_int_equal(probe.runs, 1);
    fixture_done(&f);
}

TEST(a_failing_reconciler_backs_off) {
    struct fixture f;
    fixture_open(&f);
    settle(&f);
    probe.fail = true;
    want(&f, "a", 1);
    uint64_t end = loop_now_ms(f.l) + 200;
    while (loop_now_ms(f.l) < end) loop_run_once(f.l, 5);
    assert_in_range(probe.runs, 3, 8); /* 5 ms, doubling */
    probe.fail = false;
    until_secrets(&f, 1);
    settle(&f);
    fixture_done(&f);
}

TEST(a_requeued_key_runs_again_without_changes) {
    struct fixture f;
    fixture_open(&f);
    probe.requeue_ms = 20;
    want(&f, "a", 0);
    for (int i = 0; i < 1000 && probe.runs < 4; i++) loop_run_once(f.l, 5);
    assert_true(probe.runs >= 4);
    probe.requeue_ms = 0;
    settle(&f);
    fixture_done(&f);
}

TEST(a_lost_server_is_survived) {
    struct fixture f;
    fixture_open(&f);
    want(&f, "a", 2);
    until_secrets(&f, 2);
    fake_api_cut(f.api, true);
    want(&f, "a", 4);
    for (int i = 0; i < 20; i++) loop_run_once(f.l, 5);
    fake_api_cut(f.api, false);
    until_secrets(&f, 4);
    settle(&f);
    assert_int_equal(fake_api_counts(f.api).lists, 2);
    fixture_done(&f);
}

/* Makes a Service beside each ConfigMap. */
static int reconcile_other(const struct world *w, const char *key, struct plan *p,
                           struct err *err) {
    const char *ns, *name;
    (void)err;
    key_split(plan_arena(p), key, &ns, &name);
    if (world_get(w, "Service", ns, name)) return 0;
    struct api_object *s = api_object_new(plan_arena(p), world_kind(w, "Service"));
    s->metadata.namespace = ns;
    s->metadata.name = name;
    plan_create(p, s);
    return 0;
}

/* A thousand requests handed out at once would be answered in their order: whoever comes after
 * them would wait for all of them. */
TEST(many_keys_are_run_some_at_a_time_and_every_reconciler_gets_its_share) {
    enum { KEYS = 300, ENOUGH = 200 };
    static const char *const watches_other[] = {"ConfigMap", "Service", NULL};
    static const struct reconciler other = {.name = "other",
                                            .kind = "ConfigMap",
                                            .watches = watches_other,
                                            .reconcile = reconcile_other};
    static const struct reconciler *const list[] = {&test_reconciler, &other};
    struct fixture f;
    struct engine_stats st;
    size_t most = 0;
    char name[16];
    fixture_open_with(&f, list, ARRAY_LEN(list));
    for (int i = 0; i < KEYS; i++) {
        snprintf(name, sizeof name, "m%d", i);
        want(&f, name, 1);
    }
    struct world *w = fake_api_world(f.api);
    while (fake_api_counts(f.api).writes < ENOUGH) {
        loop_run_once(f.l, 5);
        engine_stats(f.e, &st);
        most = MAX_OF(most, st.running);
    }
    assert_in_range(most, 2, 64);
    assert_true(world_count(w, "Secret") > ENOUGH / 4);
    assert_true(world_count(w, "Service") > ENOUGH / 4);
    until_secrets(&f, KEYS);
    settle(&f);
    assert_int_equal(world_count(w, "Service"), KEYS);
    fixture_done(&f);
}

TEST(keys_are_split) {
    OWN(arena_free_p) struct arena *a = arena_new();
    const char *ns, *name;
    key_split(a, "x/y", &ns, &name);
    assert_string_equal(ns, "x");
    assert_string_equal(name, "y");
    key_split(a, "node:1", &ns, &name);
    assert_string_equal(ns, "");
    assert_string_equal(name, "node:1");
}

TEST(reconcilers_register_themselves) {
    size_t n;
    const struct reconciler **list = reconcilers(&n);
    assert_int_equal(n, 1);
    assert_string_equal(list[0]->name, "test");
    free(list);
}

TEST(a_plan_knows_what_failed_before_it_until_a_run_succeeds) {
    struct fixture f;
    fixture_open(&f);
    settle(&f);
    probe.told = 0;
    fake_api_fail_writes(f.api, 2, ERR_FORBIDDEN);
    want(&f, "a", 1);
    until_secrets(&f, 1);
    settle(&f);
    assert_int_equal(probe.told, 2);
    assert_string_equal(probe.last_failure, "told to fail");
    want(&f, "a", 2);
    until_secrets(&f, 2);
    settle(&f);
    assert_int_equal(probe.told, 2);
    fixture_done(&f);
}
