/* The link to the store, with a store that says what the test wants. */
#include "server/storage/store_link.h"

#include <stdio.h>

#include "base/own.h"
#include "base/test.h"
#include "base/vec.h"
#include "proc/ipc.h"
#include "proc/unix_socket.h"

static const char value[] = "{\"metadata\":{\"resourceVersion\":\"\"},\"v\":1}";
static const char stored_6[] = "{\"metadata\":{\"resourceVersion\":\"6\"},\"v\":1}";
static const char stored_7[] = "{\"metadata\":{\"resourceVersion\":\"7\"},\"v\":1}";
enum { RV_OFFSET = 32, BEGIN = 5 };

struct fixture {
    struct loop *l;
    struct cache cache;
    struct seal seal;
    struct store_link *link;
    struct ipc_listener *listener;
    struct ipc *store; /* the store's end of the connection */
    int fd;
    char dir[64], path[96];
    VEC(uint32_t) asked; /* ids of writes, not answered yet */
    uint64_t watched_from;
    unsigned events, answers;
    struct buf seen; /* "e6 " for an event in the cache, "w6 " for an answer */
    bool synced;
};

static void u64_send(struct fixture *f, uint16_t type, uint32_t id, uint64_t a, int n) {
    OWN(buf_done) struct buf b = {0};
    for (int i = 0; i < n; i++) pack_u64(&b, i == 1 ? 1 : a);
    ipc_send(f->store, type, id, buf_view(&b), NULL, 0);
}

static void event_send(struct fixture *f, const char *key, uint64_t revision, const char *json) {
    OWN(buf_done) struct buf b = {0};
    store_event_pack(
        &b, &(struct store_event){STORE_CREATE, revision, 0, slice_of(key), slice_of(json)});
    ipc_send(f->store, STORE_EVENT, 0, buf_view(&b), NULL, 0);
}

static void store_message(struct ipc *c, struct ipc_msg *m, void *user) {
    struct fixture *f = user;
    if (m->type == STORE_WRITE) {
        vec_push(&f->asked, m->id);
        return;
    }
    struct unpack u = unpack_init(m->body);
    f->watched_from = unpack_u64(&u);
    u64_send(f, STORE_WATCH_OK, m->id, MAX_OF(f->watched_from, (uint64_t)BEGIN), 3);
}

static void store_closed(struct ipc *c, void *user) { ((struct fixture *)user)->store = NULL; }

static void accepted(struct ipc *c, void *user) {
    ((struct fixture *)user)->store = c;
    ipc_set_handler(c, &(struct ipc_handler){store_message, store_closed, user});
}

static void on_synced(void *user) { ((struct fixture *)user)->synced = true; }
static void on_lost(void *user, const struct err *err) { fail_msg("%s", err->text); }

static void on_event(void *user, const struct event *e) {
    struct fixture *f = user;
    f->events++;
    buf_printf(&f->seen, "e%llu ", (unsigned long long)e->revision);
}

static void turns(struct fixture *f, const bool *until, const unsigned *count, unsigned want) {
    for (int i = 0; i < 2000; i++) {
        if (until ? *until : *count >= want) return;
        loop_run_once(f->l, 5);
    }
    fail_msg("only saw: %s", f->seen.p ? f->seen.p : "nothing");
}

static void asked_turns(struct fixture *f, size_t want) {
    for (int i = 0; i < 2000 && f->asked.n < want; i++) loop_run_once(f->l, 5);
    assert_int_equal(f->asked.n, want);
}

static void fixture_open(struct fixture *f) {
    *f = (struct fixture){.l = loop_new(NULL)};
    cache_init(&f->cache);
    snprintf(f->dir, sizeof f->dir, "/tmp/atoll-link-test-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof f->path, "%s/s", f->dir);
    assert_int_equal(unix_listen(f->path, 0600, &f->fd, NULL), 0);
    uid_t me = geteuid();
    f->listener = ipc_listen(f->l, f->fd, &me, 1, accepted, f);
    f->link = store_link_new(f->l, f->path, &f->cache, &f->seal,
                             &(struct store_link_events){on_synced, on_lost, f});
    turns(f, &f->synced, NULL, 0);
    resource_listen(cache_resource(&f->cache, "/configmaps.core/"), on_event, f);
}

static void fixture_done(struct fixture *f) {
    store_link_free(f->link);
    ipc_close(f->store);
    ipc_listener_free(f->listener);
    loop_run_once(f->l, 0);
    loop_free(f->l);
    cache_done(&f->cache);
    vec_done(&f->asked);
    buf_done(&f->seen);
    close(f->fd);
    unlink(f->path);
    rmdir(f->dir);
}

/* Whoever is told finds it in the cache. */
static void on_written(void *user, struct slice json, const struct err *err) {
    struct fixture *f = user;
    f->answers++;
    if (err) {
        buf_printf(&f->seen, "%s ", err_reason_name(err->reason));
        return;
    }
    struct object *o = resource_get(cache_resource(&f->cache, "/configmaps.core/"), "a", "x");
    assert_non_null(o);
    assert_true(slice_eq(object_json(o), json));
    buf_printf(&f->seen, "w%llu ", (unsigned long long)o->revision);
}

static void create(struct fixture *f) {
    store_link_write(f->link,
                     &(struct store_write){STORE_CREATE, SLICE("/configmaps.core/a/x"), 0,
                                           RV_OFFSET, slice_of(value)},
                     on_written, f);
    asked_turns(f, 1);
}

TEST(the_answer_to_a_write_is_its_event) {
    struct fixture f;
    fixture_open(&f);
    create(&f);
    u64_send(&f, STORE_WRITE_OK, f.asked.v[0], 6, 1);
    turns(&f, NULL, &f.answers, 1);
    assert_string_equal(f.seen.p, "e6 w6 ");
    assert_int_equal(f.cache.revision, 6);
    struct object *o = resource_get(cache_resource(&f.cache, "/configmaps.core/"), "a", "x");
    assert_true(slice_is(object_json(o), stored_6));
    fixture_done(&f);
}

TEST(a_creation_under_way_is_known_by_its_namespace) {
    struct fixture f;
    fixture_open(&f);
    assert_false(store_link_creates_in(f.link, "a"));
    create(&f);
    assert_true(store_link_creates_in(f.link, "a"));
    assert_false(store_link_creates_in(f.link, "b"));
    assert_false(store_link_creates_in(f.link, "x"));
    u64_send(&f, STORE_WRITE_OK, f.asked.v[0], 6, 1);
    turns(&f, NULL, &f.answers, 1);
    assert_false(store_link_creates_in(f.link, "a"));
    store_link_write(f.link,
                     &(struct store_write){STORE_DELETE, SLICE("/configmaps.core/a/x"), 6,
                                           RV_OFFSET, slice_of(value)},
                     on_written, &f);
    assert_false(store_link_creates_in(f.link, "a"));
    fixture_done(&f);
}

TEST(answers_and_events_of_others_keep_the_order_of_the_log) {
    struct fixture f;
    fixture_open(&f);
    create(&f);
    event_send(&f, "/configmaps.core/a/other", 6, stored_6);
    u64_send(&f, STORE_WRITE_OK, f.asked.v[0], 7, 1);
    event_send(&f, "/configmaps.core/a/third", 8, stored_7);
    turns(&f, NULL, &f.events, 3);
    assert_string_equal(f.seen.p, "e6 e7 w7 e8 ");
    assert_int_equal(f.cache.revision, 8);
    fixture_done(&f);
}

TEST(an_answer_behind_its_event_changes_nothing_again) {
    struct fixture f;
    fixture_open(&f);
    create(&f);
    event_send(&f, "/configmaps.core/a/x", 6, stored_6);
    event_send(&f, "/configmaps.core/a/other", 7, stored_7);
    u64_send(&f, STORE_WRITE_OK, f.asked.v[0], 6, 1);
    turns(&f, NULL, &f.answers, 1);
    assert_string_equal(f.seen.p, "e6 e7 w6 ");
    assert_int_equal(f.cache.revision, 7);
    fixture_done(&f);
}

TEST(a_write_that_was_refused_is_no_event) {
    struct fixture f;
    struct err err;
    fixture_open(&f);
    create(&f);
    err_set(&err, ERR_ALREADY_EXISTS, "it exists");
    ipc_send_error(f.store, f.asked.v[0], &err);
    turns(&f, NULL, &f.answers, 1);
    assert_string_equal(f.seen.p, "AlreadyExists ");
    assert_int_equal(f.cache.revision, BEGIN);
    fixture_done(&f);
}

/* The store did it and went away before it said so: the event comes as one that was missed. */
TEST(a_write_whose_answer_was_lost_is_one_event_and_done) {
    struct fixture f;
    struct err err;
    fixture_open(&f);
    create(&f);
    f.asked.n = 0;
    f.watched_from = 0;
    ipc_close(f.store);
    f.store = NULL;
    asked_turns(&f, 1);
    assert_int_equal(f.watched_from, BEGIN);
    event_send(&f, "/configmaps.core/a/x", 6, stored_6);
    err_set(&err, ERR_ALREADY_EXISTS, "it exists");
    ipc_send_error(f.store, f.asked.v[0], &err);
    turns(&f, NULL, &f.answers, 1);
    assert_string_equal(f.seen.p, "e6 w6 ");
    fixture_done(&f);
}
