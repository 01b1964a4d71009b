#include <stdio.h>
#include <stdlib.h>

#include "base/own.h"
#include "base/test.h"
#include "client/client.h"
#include "client/fake_api.h"

struct fixture {
    struct loop *l;
    struct fake_api *api;
    struct api_client *c;
    struct informer *i;
    struct buf seen; /* "+name ~name -name S" */
};

static void on_event(void *user, enum informer_event e, const struct api_object *now,
                     const struct api_object *old) {
    struct fixture *f = user;
    static const char marks[] = {'+', '~', '-', 'S'};
    buf_printf(&f->seen, "%c%s ", marks[e], now ? now->metadata.name : "");
    assert_true((e == INFORMER_ADDED || e == INFORMER_SYNCED) == !old);
}

static void add(struct fixture *f, const char *name, const char *value) {
    char json[300];
    snprintf(json, sizeof json,
             "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"%s\","
             "\"namespace\":\"default\",\"uid\":\"u-%s\"},\"data\":{\"k\":\"%s\"}}",
             name, name, value);
    world_add_json(fake_api_world(f->api), json);
}

static void drop(struct fixture *f, const char *name) {
    struct world *w = fake_api_world(f->api);
    world_remove(w, world_kind(w, "ConfigMap"), "default", name);
}

static void fixture_open(struct fixture *f) {
    *f = (struct fixture){.l = loop_new(NULL)};
    f->api = fake_api_new(f->l);
    f->c = api_client_new(f->l, fake_api_socket(f->api));
}

static void informer_start(struct fixture *f) {
    f->i = informer_new(f->c, api_kind_by_api_version("v1", "ConfigMap"), NULL, NULL, on_event, f);
}

static void fixture_done(struct fixture *f) {
    informer_free(f->i);
    api_client_free(f->c);
    fake_api_free(f->api);
    loop_run_once(f->l, 0);
    loop_free(f->l);
    buf_done(&f->seen);
}

static void expect(struct fixture *f, const char *want) {
    for (int i = 0; i < 1000 && (!f->seen.p || strlen(f->seen.p) < strlen(want)); i++)
        loop_run_once(f->l, 5);
    assert_string_equal(f->seen.p ? f->seen.p : "", want);
    buf_clear(&f->seen);
}

static void watch_count(struct fixture *f, unsigned n) {
    for (int i = 0; i < 1000 && fake_api_counts(f->api).watches < n; i++) loop_run_once(f->l, 5);
    assert_int_equal(fake_api_counts(f->api).watches, n);
}

TEST(an_informer_lists_then_watches) {
    struct fixture f;
    fixture_open(&f);
    add(&f, "a", "1");
    add(&f, "b", "1");
    informer_start(&f);
    expect(&f, "+a +b S ");
    watch_count(&f, 1);
    add(&f, "c", "1");
    add(&f, "a", "2");
    drop(&f, "b");
    expect(&f, "+c ~a -b ");
    assert_true(informer_synced(f.i));
    assert_int_equal(informer_count(f.i), 2);
    const struct core_v1_config_map *m =
        (const struct core_v1_config_map *)informer_get(f.i, "default", "a");
    assert_string_equal(m->data.v[0].value, "2");
    assert_string_equal(m->kind, "ConfigMap");
    assert_int_equal(fake_api_counts(f.api).connections, 1);
    fixture_done(&f);
}

TEST(a_lost_watch_goes_on_where_it_was) {
    struct fixture f;
    fixture_open(&f);
    add(&f, "a", "1");
    informer_start(&f);
    expect(&f, "+a S ");
    watch_count(&f, 1);
    fake_api_cut(f.api, true);
    add(&f, "b", "1"); /* while nobody watches */
    drop(&f, "a");
    for (int i = 0; i < 30; i++) loop_run_once(f.l, 5);
    fake_api_cut(f.api, false);
    expect(&f, "+b -a ");
    assert_int_equal(fake_api_counts(f.api).lists, 1);
    fixture_done(&f);
}

TEST(an_expired_watch_lists_again_and_tells_the_difference) {
    struct fixture f;
    fixture_open(&f);
    add(&f, "a", "1");
    add(&f, "b", "1");
    add(&f, "c", "1");
    informer_start(&f);
    expect(&f, "+a +b +c S ");
    watch_count(&f, 1);
    fake_api_cut(f.api, true);
    drop(&f, "a");
    add(&f, "b", "2");
    add(&f, "d", "1");
    fake_api_compact(f.api);
    fake_api_cut(f.api, false);
    expect(&f, "~b +d -a ");
    assert_int_equal(fake_api_counts(f.api).lists, 2);
    watch_count(&f, 3);
    add(&f, "e", "1");
    expect(&f, "+e ");
    fixture_done(&f);
}

TEST(bookmarks_move_the_revision) {
    struct fixture f;
    fixture_open(&f);
    informer_start(&f);
    expect(&f, "S ");
    watch_count(&f, 1);
    uint64_t revision = fake_api_bookmark(f.api);
    for (int i = 0; i < 1000 && informer_revision(f.i) != revision; i++) loop_run_once(f.l, 5);
    assert_int_equal(informer_revision(f.i), revision);
    fake_api_cut(f.api, false);
    watch_count(&f, 2);
    char want[64];
    snprintf(want, sizeof want, "resourceVersion=%llu", (unsigned long long)revision);
    assert_non_null(strstr(fake_api_last_watch(f.api), want));
    assert_non_null(strstr(fake_api_last_watch(f.api), "allowWatchBookmarks=true"));
    fixture_done(&f);
}

TEST(an_object_made_anew_is_a_deletion_and_an_addition) {
    struct fixture f;
    fixture_open(&f);
    add(&f, "a", "1");
    informer_start(&f);
    expect(&f, "+a S ");
    watch_count(&f, 1);
    fake_api_cut(f.api, true);
    struct world *w = fake_api_world(f.api);
    drop(&f, "a");
    world_add_json(w, "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"a\","
                      "\"namespace\":\"default\",\"uid\":\"another\"}}");
    fake_api_compact(f.api);
    fake_api_cut(f.api, false);
    expect(&f, "-a +a ");
    fixture_done(&f);
}

struct reply {
    unsigned n;
    struct err err;
    char name[64], revision[24];
};

static void on_reply(void *user, const struct api_object *obj, struct slice body,
                     const struct err *err) {
    struct reply *r = user;
    r->n++;
    r->err = err ? *err : (struct err){0};
    if (obj) snprintf(r->name, sizeof r->name, "%s", obj->metadata.name);
    if (obj) snprintf(r->revision, sizeof r->revision, "%s", obj->metadata.resource_version);
}

static void reply_wait(struct fixture *f, struct reply *r, unsigned n) {
    for (int i = 0; i < 1000 && r->n < n; i++) loop_run_once(f->l, 5);
    assert_int_equal(r->n, n);
}

TEST(requests_answer_with_objects_and_reasons) {
    struct fixture f;
    fixture_open(&f);
    OWN(arena_free_p) struct arena *a = arena_new();
    const struct api_kind *k = api_kind_by_api_version("v1", "ConfigMap");
    struct api_object *o = api_object_new(a, k);
    struct reply r = {0};
    o->metadata.namespace = "default";
    o->metadata.name = "a";
    api_create(f.c, k, o, on_reply, &r);
    assert_int_equal(r.n, 0); /* never from inside the call */
    reply_wait(&f, &r, 1);
    assert_int_equal(r.err.reason, ERR_NONE);
    assert_string_equal(r.name, "a");
    api_create(f.c, k, o, on_reply, &r);
    reply_wait(&f, &r, 2);
    assert_int_equal(r.err.reason, ERR_ALREADY_EXISTS);
    api_delete(f.c, k, "default", "nothing", NULL, on_reply, &r);
    reply_wait(&f, &r, 3);
    assert_int_equal(r.err.reason, ERR_NOT_FOUND);
    for (int i = 0; i < 20; i++) api_delete(f.c, k, "default", "nothing", NULL, on_reply, &r);
    reply_wait(&f, &r, 23);
    assert_true(fake_api_counts(f.api).connections <= 4);
    fake_api_cut(f.api, true);
    api_delete(f.c, k, "default", "a", NULL, on_reply, &r);
    reply_wait(&f, &r, 24);
    assert_int_equal(r.err.reason, ERR_UNAVAILABLE);
    fake_api_cut(f.api, false);
    api_delete(f.c, k, "default", "a", NULL, on_reply, &r);
    reply_wait(&f, &r, 25);
    assert_int_equal(r.err.reason, ERR_NONE);
    fixture_done(&f);
}

static const struct core_v1_event *combined_event(struct world *w) {
    const struct api_object *o;
    for (size_t at = 0; (o = world_next(w, "Event", "default", &at));) {
        const struct core_v1_event *e = (const struct core_v1_event *)o;
        if (str_starts(e->message, "(combined")) return e;
    }
    return NULL;
}

TEST(the_same_event_is_counted_and_floods_are_cut) {
    struct fixture f;
    fixture_open(&f);
    struct event_recorder *rec = event_recorder_new(f.c, "test", "node1");
    add(&f, "a", "1");
    const struct api_object *a = world_get(fake_api_world(f.api), "ConfigMap", "default", "a");
    for (int i = 0; i < 100; i++) event_record(rec, a, "Warning", "Failed", "attempt %d failed", i);
    const struct core_v1_event *last = NULL;
    for (int i = 0; i < 200 && (!last || last->count < 16); i++) {
        loop_run_once(f.l, 5);
        last = combined_event(fake_api_world(f.api));
    }
    assert_int_equal(world_count(fake_api_world(f.api), "Event"), 10);
    assert_string_equal(last->message, "(combined from similar events): attempt 24 failed");
    size_t at = 0;
    const struct core_v1_event *e =
        (const struct core_v1_event *)world_next(fake_api_world(f.api), "Event", "default", &at);
    assert_string_equal(e->involved_object.name, "a");
    assert_string_equal(e->involved_object.kind, "ConfigMap");
    assert_string_equal(e->source.host, "node1");
    assert_string_equal(e->reason, "Failed");
    assert_int_equal(e->count, 1);
    for (int i = 0; i < 20; i++) loop_run_once(f.l, 2);
    event_recorder_free(rec);
    fixture_done(&f);
}
