#include "client/fake_api.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "api/patch/patch.h"
#include "base/map.h"
#include "base/own.h"
#include "base/vec.h"
#include "client/path.h"
#include "client/plan.h"
#include "proto/http.h"

struct peer_conn {
    struct fake_api *api;
    int fd;
    struct fd_watch *watch;
    struct http1 *parser;
    char *method, *target;
    struct buf body, out;
    const struct api_kind *watched; /* NULL: no watch runs here */
    bool gone;
};

struct event_row {
    const struct api_kind *kind;
    uint64_t revision;
    char *line;
};

struct fake_api {
    struct loop *loop;
    struct world *world;
    char dir[64], path[96];
    int fd;
    struct fd_watch *watch;
    VEC(struct peer_conn *) conns;
    VEC(struct event_row) events;
    uint64_t revision, compacted;
    bool refuse, hold;
    unsigned fail_writes;
    enum err_reason fail_reason;
    struct fake_api_counts counts;
    char *last_watch;
    struct map canned; /* target → JSON, malloc'd */
};

static uint64_t revision_of(const struct api_object *o) {
    uint64_t v = 0;
    slice_u64(slice_of(str_or(o->metadata.resource_version, "0")), &v);
    return v;
}

/* ---- answers ---- */

static void conn_flush(struct peer_conn *c) {
    while (c->out.n) {
        ssize_t n = send(c->fd, c->out.p, c->out.n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n <= 0) break;
        buf_consume(&c->out, (size_t)n);
    }
    fd_watch_set(c->watch, FD_READ | (c->out.n ? FD_WRITE : 0));
}

static void respond(struct peer_conn *c, int status, struct slice body) {
    char length[24];
    snprintf(length, sizeof length, "%zu", body.n);
    struct http_header v[] = {{"content-type", "application/json"}, {"content-length", length}};
    http1_write_response(&c->out, status, &(struct http_headers){v, 2});
    buf_slice(&c->out, body);
    conn_flush(c);
}

static void status_text(struct buf *b, enum err_reason reason, const char *text) {
    buf_printf(b,
               "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\","
               "\"message\":");
    buf_json_str(b, slice_of(text));
    buf_printf(b, ",\"reason\":\"%s\",\"code\":%d}", err_reason_name(reason), err_http(reason));
}

static void respond_error(struct peer_conn *c, const struct err *err) {
    OWN(buf_done) struct buf b = {0};
    status_text(&b, err->reason, err->text);
    respond(c, err_http(err->reason), buf_view(&b));
}

static void chunk(struct peer_conn *c, const char *line) {
    http1_write_chunk(&c->out, slice_of(line));
    conn_flush(c);
}

/* ---- reading ---- */

static const char *kind_name(const struct api_kind *k, char out[128]) {
    snprintf(out, 128, "%s%s%s", k->kind, *k->group ? "." : "", k->group);
    return out;
}

static void serve_list(struct peer_conn *c, const struct api_kind *k) {
    struct fake_api *f = c->api;
    char name[128];
    OWN(buf_done) struct buf b = {0};
    f->counts.lists++;
    buf_printf(&b,
               "{\"kind\":\"%s\",\"apiVersion\":\"%s\",\"metadata\":{\"resourceVersion\":\"%llu\"},"
               "\"items\":[",
               k->list_kind, k->api_version, (unsigned long long)f->revision);
    const struct api_object *o;
    bool first = true;
    for (size_t at = 0; (o = world_next(f->world, kind_name(k, name), NULL, &at)); first = false) {
        if (!first) buf_char(&b, ',');
        api_object_encode(&b, k, o);
    }
    buf_str(&b, "]}");
    respond(c, 200, buf_view(&b));
}

static void serve_watch(struct peer_conn *c, const struct api_kind *k) {
    struct fake_api *f = c->api;
    const char *at = strstr(c->target, "resourceVersion=");
    uint64_t from = 0;
    if (at) {
        struct slice text = slice_of(at + 16), number;
        slice_cut(&text, '&', &number);
        slice_u64(number, &from);
    }
    f->counts.watches++;
    free(f->last_watch);
    f->last_watch = strdup(c->target);
    struct http_header v[] = {{"content-type", "application/json"},
                              {"transfer-encoding", "chunked"}};
    http1_write_response(&c->out, 200, &(struct http_headers){v, 2});
    if (from < f->compacted) {
        OWN(buf_done) struct buf b = {0};
        buf_str(&b, "{\"type\":\"ERROR\",\"object\":");
        status_text(&b, ERR_EXPIRED, "too old resource version");
        buf_str(&b, "}\n");
        http1_write_chunk(&c->out, buf_view(&b));
        http1_write_last_chunk(&c->out);
        conn_flush(c);
        return;
    }
    c->watched = k;
    for (size_t i = 0; i < f->events.n && !f->hold; i++)
        if (f->events.v[i].kind == k && f->events.v[i].revision > from)
            http1_write_chunk(&c->out, slice_of(f->events.v[i].line));
    conn_flush(c);
}

/* ---- writing ---- */

static void serve_plan(struct peer_conn *c, struct plan *p, const struct api_kind *k,
                       const char *ns, const char *name) {
    struct err err;
    char kind[128];
    struct fake_api *f = c->api;
    const struct api_object *before = world_get(f->world, kind_name(k, kind), ns, name);
    uint64_t revision = f->revision;
    if (world_apply(f->world, p, &err) < 0) {
        respond_error(c, &err);
        return;
    }
    const struct api_object *o = NULL, *found;
    for (size_t at = 0; (found = world_next(f->world, kind, NULL, &at));)
        if (revision_of(found) > revision || found == before) o = found;
    OWN(buf_done) struct buf b = {0};
    if (o)
        api_object_encode(&b, k, o);
    else
        buf_str(&b, "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"status\":\"Success\"}");
    respond(c, str_eq(c->method, "POST") ? 201 : 200, buf_view(&b));
}

/* The object with the merge patch in it, in the body's place. */
static int apply_patch(struct peer_conn *c, const struct api_kind *k,
                       const struct api_object *known, struct err *err) {
    OWN(buf_done) struct buf text = {0};
    OWN(json_decref_p) json_t *doc = NULL, *merged = NULL;
    api_object_encode(&text, k, known);
    int r = patch_parse(buf_view(&text), &doc, err);
    if (r == 0) r = patch_merge(doc, buf_view(&c->body), &merged, err);
    if (r < 0) return r;
    OWN(free_p) char *json = json_dumps(merged, JSON_COMPACT);
    c->body.n = 0;
    buf_str(&c->body, json);
    return 0;
}

static void serve_write(struct peer_conn *c, const struct api_kind *k, const char *ns,
                        const char *name, const char *subresource) {
    struct fake_api *f = c->api;
    struct err err;
    char kind[128];
    bool event = str_eq(k->kind, "Event");
    f->counts.writes += !event;
    if (f->fail_writes && !event) {
        f->fail_writes--;
        err_set(&err, f->fail_reason, "told to fail");
        respond_error(c, &err);
        return;
    }
    OWN(plan_free_p) struct plan *p = plan_new();
    struct api_object *o = NULL;
    const struct api_object *known =
        name ? world_get(f->world, kind_name(k, kind), ns, name) : NULL;
    bool deletes = str_eq(c->method, "DELETE"), patches = str_eq(c->method, "PATCH");
    if ((deletes || patches) && !known) {
        err_set(&err, ERR_NOT_FOUND, "%s not found", name);
        respond_error(c, &err);
        return;
    }
    if (deletes) {
        plan_delete(p, known, NULL);
        serve_plan(c, p, k, ns, name);
        return;
    }
    if (patches && apply_patch(c, k, known, &err) < 0) {
        respond_error(c, &err);
        return;
    }
    if (api_object_decode(plan_arena(p), k, buf_view(&c->body), &o, &err) < 0) {
        respond_error(c, &err);
        return;
    }
    if (str_eq(c->method, "POST"))
        plan_create(p, o);
    else if (str_eq(subresource, "status"))
        plan_update_status(p, o);
    else
        plan_update(p, o);
    serve_plan(c, p, k, ns, name);
}

/* ---- routing ---- */

/* /api/v1/namespaces/NS/PLURAL/NAME/SUB → the kind and the parts in the arena. */
static const struct api_kind *route(struct arena *a, const char *target, const char **ns,
                                    const char **name, const char **subresource) {
    struct slice path = slice_of(target), left, part;
    const char *parts[10] = {0};
    size_t n = 0;
    slice_cut(&path, '?', &left);
    while (n < ARRAY_LEN(parts) - 1 && slice_cut(&left, '/', &part))
        if (part.n) parts[n++] = arena_strn(a, part);
    bool core = str_eq(parts[0], "api");
    const char *group = core ? "" : str_or(parts[1], ""), *version = parts[core ? 1 : 2];
    size_t i = core ? 2 : 3;
    *ns = *name = *subresource = "";
    if (str_eq(parts[i], "namespaces") && parts[i + 2]) {
        *ns = parts[i + 1];
        i += 2;
    }
    *name = str_or(parts[i + 1], "");
    *subresource = **name ? str_or(parts[i + 2], "") : "";
    return api_kind_by_plural(group, str_or(version, ""), str_or(parts[i], ""));
}

static int on_end(void *user) {
    struct peer_conn *c = user;
    OWN(arena_free_p) struct arena *a = arena_new();
    const char *ns, *name, *subresource;
    const struct api_kind *k = route(a, c->target, &ns, &name, &subresource);
    struct err err;
    err_set(&err, ERR_NOT_FOUND, "no such resource");
    const char *canned = map_gets(&c->api->canned, c->target);
    if (canned)
        respond(c, 200, slice_of(canned));
    else if (!k)
        respond_error(c, &err);
    else if (!str_eq(c->method, "GET"))
        serve_write(c, k, ns, name, subresource);
    else if (strstr(c->target, "watch=true"))
        serve_watch(c, k);
    else if (!*name)
        serve_list(c, k);
    else
        respond_error(c, &err);
    buf_done(&c->body);
    return 0;
}

static int on_head(void *user, const struct http1_head *h) {
    struct peer_conn *c = user;
    free(c->method);
    free(c->target);
    c->method = strdup(h->method);
    c->target = strdup(h->target);
    return 0;
}

static int on_body(void *user, struct slice data) {
    buf_slice(&((struct peer_conn *)user)->body, data);
    return 0;
}

static void conn_free(struct peer_conn *c) {
    fd_watch_free(c->watch);
    close(c->fd);
    http1_free(c->parser);
    free(c->method);
    free(c->target);
    buf_done(&c->body);
    buf_done(&c->out);
    free(c);
}

static void conn_drop(struct peer_conn *c) {
    struct fake_api *f = c->api;
    for (size_t i = 0; i < f->conns.n; i++)
        if (f->conns.v[i] == c) {
            vec_remove(&f->conns, i);
            break;
        }
    conn_free(c);
}

static void on_ready(void *user, unsigned events) {
    struct peer_conn *c = user;
    char bytes[65536];
    if (events & FD_WRITE) conn_flush(c);
    if (!(events & FD_READ)) return;
    ssize_t n = recv(c->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    size_t used;
    if (n == 0 || (n > 0 && http1_feed(c->parser, slice_from(bytes, (size_t)n), &used, NULL) < 0))
        conn_drop(c);
}

static void on_connection(void *user, unsigned events) {
    struct fake_api *f = user;
    static const struct http1_events parser_events = {on_head, on_body, on_end};
    int fd = accept4(f->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) return;
    f->counts.connections++;
    if (f->refuse) {
        close(fd);
        return;
    }
    struct peer_conn *c = calloc(1, sizeof *c);
    if (!c) abort();
    c->api = f;
    c->fd = fd;
    c->parser = http1_new(HTTP1_REQUESTS, &parser_events, c);
    c->watch = fd_watch_new(f->loop, fd, FD_READ, on_ready, c);
    vec_push(&f->conns, c);
}

/* ---- the world's changes ---- */

static void on_change(void *user, const struct api_kind *k, const struct api_object *now,
                      const struct api_object *old) {
    struct fake_api *f = user;
    struct buf b = {0};
    OWN(arena_free_p) struct arena *a = arena_new();
    struct api_object *last = NULL;
    if (now) f->revision = MAX_OF(f->revision, revision_of(now));
    if (!now) { /* the deletion has a revision of its own */
        last = api_object_copy(a, k, old);
        last->metadata.resource_version =
            arena_printf(a, "%llu", (unsigned long long)++f->revision);
    }
    buf_printf(&b, "{\"type\":\"%s\",\"object\":", !now ? "DELETED" : old ? "MODIFIED" : "ADDED");
    api_object_encode(&b, k, now ? now : last);
    buf_str(&b, "}\n");
    struct event_row row = {k, f->revision, buf_steal(&b)};
    vec_push(&f->events, row);
    for (size_t i = 0; i < f->conns.n && !f->hold; i++)
        if (f->conns.v[i]->watched == k) chunk(f->conns.v[i], row.line);
}

void fake_api_hold_events(struct fake_api *f, bool hold) {
    f->hold = hold;
    if (!hold) fake_api_cut(f, false); /* watches come again and read the log */
}

uint64_t fake_api_bookmark(struct fake_api *f) {
    OWN(buf_done) struct buf b = {0};
    buf_printf(&b,
               "{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"%llu\"}}}\n",
               (unsigned long long)++f->revision);
    for (size_t i = 0; i < f->conns.n; i++)
        if (f->conns.v[i]->watched) chunk(f->conns.v[i], b.p);
    return f->revision;
}

void fake_api_compact(struct fake_api *f) {
    f->compacted = f->revision;
    for (size_t i = 0; i < f->events.n; i++) free(f->events.v[i].line);
    vec_done(&f->events);
}

void fake_api_answer(struct fake_api *f, const char *target, const char *json) {
    if (json)
        free(map_put(&f->canned, slice_of(target), strdup(json)));
    else
        free(map_del(&f->canned, slice_of(target)));
}

void fake_api_cut(struct fake_api *f, bool refuse) {
    f->refuse = refuse;
    while (f->conns.n) conn_drop(f->conns.v[0]);
}

void fake_api_fail_writes(struct fake_api *f, unsigned n, enum err_reason reason) {
    f->fail_writes = n;
    f->fail_reason = reason;
}

struct fake_api_counts fake_api_counts(const struct fake_api *f) {
    return f->counts;
}
const char *fake_api_last_watch(const struct fake_api *f) { return str_or(f->last_watch, ""); }
const char *fake_api_socket(const struct fake_api *f) { return f->path; }
struct world *fake_api_world(struct fake_api *f) {
    return f->world;
}

struct fake_api *fake_api_new(struct loop *l) {
    struct fake_api *f = calloc(1, sizeof *f);
    if (!f) abort();
    f->loop = l;
    f->world = world_test_new();
    f->revision = 1;
    world_on_change(f->world, on_change, f);
    snprintf(f->dir, sizeof f->dir, "/tmp/atoll-client-test-XXXXXX");
    if (!mkdtemp(f->dir)) abort();
    snprintf(f->path, sizeof f->path, "%s/api", f->dir);
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    snprintf(sun.sun_path, sizeof sun.sun_path, "%s", f->path);
    f->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (bind(f->fd, (struct sockaddr *)&sun, sizeof sun) < 0 || listen(f->fd, 64) < 0) abort();
    f->watch = fd_watch_new(l, f->fd, FD_READ, on_connection, f);
    return f;
}

void fake_api_free(struct fake_api *f) {
    fake_api_cut(f, true);
    fake_api_compact(f);
    vec_done(&f->conns);
    fd_watch_free(f->watch);
    close(f->fd);
    unlink(f->path);
    rmdir(f->dir);
    world_free(f->world);
    free(f->last_watch);
    struct map_entry *e;
    for (size_t i = 0; (e = map_next(&f->canned, &i));) free(e->value);
    map_done(&f->canned);
    free(f);
}
