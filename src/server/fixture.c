#include "server/fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/own.h"
#include "base/test.h"
#include "proc/ipc.h"
#include "proc/unix_socket.h"
#include "server/commit.h"
#include "server/media/body.h"
#include "server/transport/request_impl.h"

enum { BEGIN = 5, TURNS_MAX = 4000, TURN_MS = 5 };

/* ---- the store ---- */

static void u64_send(struct fixture *f, uint16_t type, uint32_t id, uint64_t value, int n) {
    OWN(buf_done) struct buf b = {0};
    for (int i = 0; i < n; i++) pack_u64(&b, i == 1 ? 1 : value);
    ipc_send(f->store, type, id, buf_view(&b), NULL, 0);
}

static void keep(struct fixture *f, int op, struct slice key) {
    f->revision++;
    if (op == STORE_DELETE)
        map_del(&f->revisions, key);
    else
        map_put(&f->revisions, key, (void *)(uintptr_t)f->revision);
}

static enum err_reason verdict(const struct fixture *f, const struct store_write *w) {
    uint64_t now = (uintptr_t)map_get(&f->revisions, w->key);
    if (w->op == STORE_CREATE) return now ? ERR_ALREADY_EXISTS : ERR_NONE;
    if (!now) return ERR_NOT_FOUND;
    return now == w->expected_revision ? ERR_NONE : ERR_CONFLICT;
}

static void on_write(struct fixture *f, struct ipc_msg *m) {
    struct store_write w;
    struct err err;
    void (*meanwhile)(struct fixture *) = f->meanwhile;
    f->meanwhile = NULL;
    if (meanwhile) meanwhile(f);
    assert_int_equal(store_write_unpack(m->body, &w), 0);
    enum err_reason reason = verdict(f, &w);
    if (reason != ERR_NONE) {
        f->refused++;
        err_set(&err, reason, "the store says no");
        ipc_send_error(f->store, m->id, &err);
        return;
    }
    f->writes++;
    keep(f, w.op, w.key);
    u64_send(f, STORE_WRITE_OK, m->id, f->revision, 1);
}

static void store_message(struct ipc *c, struct ipc_msg *m, void *user) {
    struct fixture *f = user;
    if (m->type == STORE_WRITE)
        on_write(f, m);
    else
        u64_send(f, STORE_WATCH_OK, m->id, f->revision, 3);
}

static void store_closed(struct ipc *c, void *user) { ((struct fixture *)user)->store = NULL; }

static void accepted(struct ipc *c, void *user) {
    ((struct fixture *)user)->store = c;
    ipc_set_handler(c, &(struct ipc_handler){store_message, store_closed, user});
}

static void on_synced(void *user) { ((struct fixture *)user)->synced = true; }
static void on_lost(void *user, const struct err *err) { fail_msg("%s", err->text); }

/* ---- its objects ---- */

static const struct api_kind *kind_of(struct fixture *f, const char *resource) {
    const char *dot = strchr(resource, '.');
    const char *plural =
        dot ? arena_strn(f->arena, slice_from(resource, (size_t)(dot - resource))) : resource;
    const struct api_kind *k = api_kind_by_plural(dot ? dot + 1 : "", "v1", plural);
    if (!k) fail_msg("no kind is called %s", resource);
    return k;
}

void fixture_change(struct fixture *f, const char *resource, const char *json) {
    const struct api_kind *k = kind_of(f, resource);
    struct api_object *o;
    struct err err;
    if (api_object_decode(f->arena, k, slice_of(json), &o, &err) < 0) fail_msg("%s", err.text);
    struct meta_v1_object_meta *m = &o->metadata;
    if (str_empty(m->uid)) m->uid = "11111111-2222-4333-8444-555555555555";
    struct slice key = slice_of(
        arena_printf(f->arena, "%s%s/%s", k->store_prefix, str_or(m->namespace, ""), m->name));
    bool there = map_get(&f->revisions, key);
    OWN(buf_done) struct buf value = {0}, b = {0};
    keep(f, STORE_UPDATE, key);
    object_encode_at(&value, k, o, f->revision);
    store_event_pack(&b, &(struct store_event){there ? STORE_UPDATE : STORE_CREATE, f->revision, 0,
                                               key, buf_view(&value)});
    ipc_send(f->store, STORE_EVENT, 0, buf_view(&b), NULL, 0);
}

void fixture_put(struct fixture *f, const char *resource, const char *json) {
    fixture_change(f, resource, json);
    for (int i = 0; i < TURNS_MAX && f->api.cache.revision < f->revision; i++)
        loop_run_once(f->loop, TURN_MS);
    assert_int_equal(f->api.cache.revision, f->revision);
}

const void *fixture_get(struct fixture *f, const char *resource, const char *ns, const char *name) {
    const struct api_kind *k = kind_of(f, resource);
    struct object *o = resource_get(cache_of_kind(&f->api.cache, k), ns, name);
    struct api_object *decoded;
    if (!o) return NULL;
    assert_int_equal(api_object_decode(f->arena, k, object_json(o), &decoded, NULL), 0);
    return decoded;
}

/* ---- life ---- */

void fixture_open(struct fixture *f) {
    *f = (struct fixture){.loop = loop_new(NULL), .revision = BEGIN, .arena = arena_new()};
    cache_init(&f->api.cache);
    f->api.loop = f->loop;
    snprintf(f->dir, sizeof f->dir, "/tmp/atoll-server-test-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof f->path, "%s/s", f->dir);
    assert_int_equal(unix_listen(f->path, 0600, &f->fd, NULL), 0);
    uid_t me = geteuid();
    f->listener = ipc_listen(f->loop, f->fd, &me, 1, accepted, f);
    f->api.store = store_link_new(f->loop, f->path, &f->api.cache, &f->api.seal,
                                  &(struct store_link_events){on_synced, on_lost, f});
    for (int i = 0; i < TURNS_MAX && !f->synced; i++) loop_run_once(f->loop, TURN_MS);
    assert_true(f->synced);
}

void fixture_done(struct fixture *f) {
    store_link_free(f->api.store);
    if (f->store) ipc_close(f->store);
    ipc_listener_free(f->listener);
    loop_run_once(f->loop, 0);
    loop_free(f->loop);
    cache_done(&f->api.cache);
    map_done(&f->revisions);
    buf_done(&f->answer);
    buf_done(&f->api.piece);
    arena_free(f->arena);
    close(f->fd);
    unlink(f->path);
    rmdir(f->dir);
}

/* ---- requests ---- */

struct flight {
    struct request r;
    struct request_impl impl;
    struct call c;
    struct fixture *f;
    int *status;
    int begun; /* of a streamed answer */
};

static void take(struct flight *t, struct slice body) { buf_slice(&t->f->answer, body); }

static void respond(struct request *r, int status, const char *content_type, struct slice body,
                    struct bytes *shared, const struct http_headers *extra) {
    struct flight *t = r->impl->owner;
    if (*t->status) fail_msg("answered twice, with %d and %d", *t->status, status);
    buf_clear(&t->f->answer);
    take(t, body);
    *t->status = status;
}

static void begin(struct request *r, int status, const char *content_type,
                  const struct http_headers *extra) {
    struct flight *t = r->impl->owner;
    buf_clear(&t->f->answer);
    t->begun = status;
}

static size_t write_some(struct request *r, struct slice data, struct bytes *shared) {
    take(r->impl->owner, data);
    return 0;
}

static void end(struct request *r) {
    struct flight *t = r->impl->owner;
    *t->status = t->begun;
}

static const struct request_ops ops = {respond, begin, write_some, end, end};

void ask_begin(struct fixture *f, handler_fn *fn, const struct asked *q, int *ret_status) {
    struct arena *a = f->arena;
    struct flight *t = ARENA_NEW(a, struct flight);
    const char *group = str_or(q->group, ""), *plural = str_or(q->plural, "");
    struct err err;
    *ret_status = 0;
    *t = (struct flight){.f = f, .status = ret_status};
    t->impl = (struct request_impl){.ops = &ops, .loop = f->loop, .owner = t};
    t->r = (struct request){.arena = a, .method = "GET", .impl = &t->impl};
    t->r.body = slice_of(q->body);
    t->r.target = arena_printf(a, "%s?%s", str_or(q->path, "/"), str_or(q->query, ""));
    assert_int_equal(http_split_target(a, t->r.target, &t->r.path, &t->r.query, &err), 0);
    if (q->content_type)
        *ARENA_PUSH(a, &t->r.headers) = (struct http_header){"content-type", q->content_type};
    t->c = (struct call){.api = &f->api, .r = &t->r, .a = a, .user = {.name = "tester"}};
    t->c.kind = *plural ? api_kind_by_plural(group, "v1", plural) : NULL;
    t->c.resource = t->c.kind ? cache_of_kind(&f->api.cache, t->c.kind) : NULL;
    t->c.route = (struct route){.is_resource = *plural,
                                .group = group,
                                .version = "v1",
                                .plural = plural,
                                .ns = str_or(q->ns, ""),
                                .name = str_or(q->name, ""),
                                .subresource = str_or(q->subresource, ""),
                                .rest = "",
                                .verb = str_or(q->verb, "get")};
    assert_int_equal(reply_negotiate(&t->c, &err), 0);
    fn(&t->c);
}

void ask_wait(struct fixture *f, const int *status) {
    for (int i = 0; i < TURNS_MAX && !*status; i++) loop_run_once(f->loop, TURN_MS);
    if (!*status) fail_msg("there is no answer");
}

int ask(struct fixture *f, handler_fn *fn, const struct asked *q) {
    int status;
    ask_begin(f, fn, q, &status);
    ask_wait(f, &status);
    return status;
}

void assert_answer(const struct fixture *f, const char *text) {
    if (!f->answer.p || !strstr(f->answer.p, text))
        fail_msg("%s is not in %s", text, f->answer.p ? f->answer.p : "(nothing)");
}
