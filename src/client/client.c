#include "client/client.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/own.h"
#include "base/vec.h"
#include "client/client_private.h"
#include "client/connection.h"
#include "client/path.h"
#include "client/skim.h"
#include "client/status.h"

enum { CONNECTIONS = 4, CONNECTIONS_MAX = 64 };

struct call {
    struct call *next;
    char *method, *target, *content_type; /* content_type NULL: no body */
    struct buf body;
    const struct api_kind *kind; /* of the answer's object; NULL: not decoded */
    api_reply_fn *fn;
    void *user;
    bool retried;
};

/* One place of the pool. */
struct slot {
    struct api_client *client;
    struct connection *connection; /* NULL: not connected */
    struct call *call;             /* NULL: idle */
    bool used;                     /* has carried an answer: may be half closed */
    int status;
    struct buf answer;
    struct timer *timeout;
};

struct api_client {
    struct loop *loop;
    char *socket_path;
    struct slot slots[CONNECTIONS_MAX];
    size_t connections;         /* of the slots, those that are used */
    struct call *first, **last; /* waiting */
    struct timer *dispatch;     /* callbacks never run inside api_create and the like */
    unsigned refs;
    bool freed;
};

struct loop *api_client_loop(const struct api_client *c) {
    return c->loop;
}
const char *api_client_socket(const struct api_client *c) { return c->socket_path; }

static void call_free(struct call *k) {
    if (!k) return;
    free(k->method);
    free(k->target);
    free(k->content_type);
    buf_done(&k->body);
    free(k);
}

static void client_unref(struct api_client *c) {
    if (--c->refs) return;
    free(c->socket_path);
    free(c);
}

static void answer(struct api_client *c, struct call *k, const struct api_object *o,
                   struct slice body, const struct err *err) {
    c->refs++;
    if (k->fn) k->fn(k->user, o, body, err);
    call_free(k);
    client_unref(c);
}

/* ---- answers ---- */

static void slot_disconnect(struct slot *s) {
    connection_close(s->connection);
    s->connection = NULL;
    s->used = false;
    timer_stop(s->timeout);
    buf_done(&s->answer);
}

static void call_fail(struct api_client *c, struct call *k, const struct err *err) {
    answer(c, k, NULL, (struct slice){0}, err);
}

/* A success: the object when it is one of the expected kind (a delete may answer with a Status). */
static void call_succeed(struct api_client *c, struct call *k, struct slice body) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct api_object *o = NULL;
    struct err err;
    if (k->kind && body.n && slice_is(skim_string(skim_get(body, "kind")), k->kind->kind) &&
        api_object_decode(a, k->kind, body, &o, &err) < 0) {
        err_wrap(&err, "answer of %s %s", k->method, k->target);
        call_fail(c, k, &err);
        return;
    }
    answer(c, k, o, body, NULL);
}

static void on_head(void *user, int status) { ((struct slot *)user)->status = status; }

static void slot_lost(struct slot *s, const struct err *err);

static void on_body(void *user, struct slice data) {
    struct slot *s = user;
    if (s->answer.n + data.n > 2u * LIMIT_BODY_BYTES + LIMIT_IPC_BYTES) {
        struct err err;
        err_set(&err, ERR_TOO_LARGE, "the API server's answer is too large");
        slot_lost(s, &err);
        return;
    }
    buf_slice(&s->answer, data);
}

static void on_end(void *user, bool reusable) {
    struct slot *s = user;
    struct api_client *c = s->client;
    struct call *k = TAKE(s->call);
    struct buf body = s->answer;
    s->answer = (struct buf){0};
    timer_stop(s->timeout);
    s->used = true;
    if (!reusable) slot_disconnect(s);
    timer_start(c->dispatch, 0, 0);
    if (k) {
        struct err err;
        if (s->status >= 200 && s->status < 300) {
            call_succeed(c, k, buf_view(&body));
        } else {
            api_status_err(s->status, buf_view(&body), &err);
            answer(c, k, NULL, buf_view(&body), &err);
        }
    }
    buf_done(&body);
}

static void call_queue(struct api_client *c, struct call *k) {
    *c->last = k;
    c->last = &k->next;
    timer_start(c->dispatch, 0, 0);
}

/* A connection that had been idle may have been closed just when it was used: that request has not
 * been seen by the server's handler and goes out once more. Others may have been done. */
static void slot_lost(struct slot *s, const struct err *err) {
    struct api_client *c = s->client;
    struct call *k = TAKE(s->call);
    bool unseen = s->used && !connection_answered(s->connection);
    slot_disconnect(s);
    if (!k) return;
    if (unseen && !k->retried && str_eq(k->method, "GET")) {
        k->retried = true;
        call_queue(c, k);
        return;
    }
    timer_start(c->dispatch, 0, 0);
    call_fail(c, k, err);
}

static void on_lost(void *user, const struct err *err) { slot_lost(user, err); }

static const struct connection_events events = {on_head, on_body, on_end, on_lost};

static void on_timeout(void *user) {
    struct err err;
    err_set(&err, ERR_TIMEOUT, "the API server has not answered in time");
    slot_lost(user, &err);
}

/* ---- requests ---- */

static struct slot *slot_free(struct api_client *c) {
    struct slot *fresh = NULL;
    for (size_t i = 0; i < c->connections; i++) {
        if (c->slots[i].call) continue;
        if (c->slots[i].connection) return &c->slots[i];
        if (!fresh) fresh = &c->slots[i];
    }
    return fresh;
}

static void on_dispatch(void *user) {
    struct api_client *c = user;
    struct slot *s;
    c->refs++;
    while (!c->freed && c->first && (s = slot_free(c))) {
        struct call *k = c->first;
        struct err err;
        c->first = k->next;
        if (!c->first) c->last = &c->first;
        k->next = NULL;
        if (!s->connection &&
            connection_open(c->loop, c->socket_path, &events, s, &s->connection, &err) < 0) {
            s->connection = NULL;
            call_fail(c, k, &err);
            continue;
        }
        s->call = k;
        timer_start(s->timeout, LIMIT_HTTP_REQUEST_MS, 0);
        connection_send(s->connection, k->method, k->target, k->content_type, buf_view(&k->body));
    }
    client_unref(c);
}

struct api_client *api_client_new(struct loop *l, const char *socket_path) {
    struct api_client *c = calloc(1, sizeof *c);
    if (!c || !(c->socket_path = strdup(socket_path))) abort();
    c->loop = l;
    c->connections = CONNECTIONS;
    c->refs = 1;
    c->last = &c->first;
    c->dispatch = timer_new(l, on_dispatch, c);
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        c->slots[i].client = c;
        c->slots[i].timeout = timer_new(l, on_timeout, &c->slots[i]);
    }
    return c;
}

void api_client_widen(struct api_client *c, size_t connections) {
    c->connections = MIN_OF(MAX_OF(connections, 1), CONNECTIONS_MAX);
}

void api_client_free(struct api_client *c) {
    if (!c || c->freed) return;
    c->freed = true;
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        slot_disconnect(&c->slots[i]);
        call_free(c->slots[i].call);
        timer_free(c->slots[i].timeout);
        c->slots[i].call = NULL;
        c->slots[i].timeout = NULL;
    }
    while (c->first) {
        struct call *k = c->first;
        c->first = k->next;
        call_free(k);
    }
    timer_free(c->dispatch);
    client_unref(c);
}

static char *copy_str(const char *s) {
    char *p = strdup(s);
    if (!p) abort();
    return p;
}

static struct call *call_new(const char *method, struct buf *target, const char *content_type,
                             const struct api_kind *kind, api_reply_fn *fn, void *user) {
    struct call *k = calloc(1, sizeof *k);
    if (!k) abort();
    k->method = copy_str(method);
    k->target = buf_steal(target);
    k->content_type = content_type ? copy_str(content_type) : NULL;
    k->kind = kind;
    k->fn = fn;
    k->user = user;
    return k;
}

void api_create(struct api_client *c, const struct api_kind *k, const struct api_object *o,
                api_reply_fn *fn, void *user) {
    struct buf target = {0};
    api_path(&target, k, o->metadata.namespace, NULL, NULL);
    struct call *call = call_new("POST", &target, "application/json", k, fn, user);
    api_object_encode(&call->body, k, o);
    call_queue(c, call);
}

void api_get(struct api_client *c, const struct api_kind *k, const char *ns, const char *name,
             api_reply_fn *fn, void *user) {
    struct buf target = {0};
    api_path(&target, k, ns, name, NULL);
    call_queue(c, call_new("GET", &target, NULL, k, fn, user));
}

void api_update(struct api_client *c, const struct api_kind *k, const char *subresource,
                const struct api_object *o, api_reply_fn *fn, void *user) {
    struct buf target = {0};
    api_path(&target, k, o->metadata.namespace, o->metadata.name, subresource);
    struct call *call = call_new("PUT", &target, "application/json", k, fn, user);
    api_object_encode(&call->body, k, o);
    call_queue(c, call);
}

void api_patch(struct api_client *c, const struct api_kind *k, const char *ns, const char *name,
               const char *subresource, const char *content, struct slice patch, api_reply_fn *fn,
               void *user) {
    struct buf target = {0};
    api_path(&target, k, ns, name, subresource);
    struct call *call = call_new("PATCH", &target, content, k, fn, user);
    buf_slice(&call->body, patch);
    call_queue(c, call);
}

static void delete_options(struct buf *b, const struct api_delete_opts *o) {
    buf_str(b, "{\"apiVersion\":\"v1\",\"kind\":\"DeleteOptions\"");
    if (o->grace_period_s >= 0)
        buf_printf(b, ",\"gracePeriodSeconds\":%lld", (long long)o->grace_period_s);
    if (o->propagation) {
        buf_str(b, ",\"propagationPolicy\":");
        buf_json_str(b, slice_of(o->propagation));
    }
    if (o->uid || o->resource_version) {
        buf_str(b, ",\"preconditions\":{");
        if (o->uid) {
            buf_str(b, "\"uid\":");
            buf_json_str(b, slice_of(o->uid));
        }
        if (o->resource_version) {
            buf_str(b, o->uid ? ",\"resourceVersion\":" : "\"resourceVersion\":");
            buf_json_str(b, slice_of(o->resource_version));
        }
        buf_char(b, '}');
    }
    buf_char(b, '}');
}

void api_delete(struct api_client *c, const struct api_kind *k, const char *ns, const char *name,
                const struct api_delete_opts *opts, api_reply_fn *fn, void *user) {
    static const struct api_delete_opts none = {.grace_period_s = -1};
    struct buf target = {0};
    api_path(&target, k, ns, name, NULL);
    struct call *call = call_new("DELETE", &target, "application/json", k, fn, user);
    delete_options(&call->body, opts ? opts : &none);
    call_queue(c, call);
}

void api_request(struct api_client *c, const char *method, const char *path,
                 const char *content_type, struct slice body, api_reply_fn *fn, void *user) {
    struct buf target = {0};
    buf_str(&target, path);
    struct call *call = call_new(
        method, &target, body.p ? str_or(content_type, "application/json") : NULL, NULL, fn, user);
    if (body.p) buf_slice(&call->body, body);
    call_queue(c, call);
}
