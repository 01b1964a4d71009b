/*
 * WATCH. A watcher pulls: it remembers the revision it has sent up to and takes what follows from
 * the resource's history whenever its connection has room. So a slow reader costs no memory of its
 * own; when the history no longer reaches back to it, it is cut off and never skipped over.
 */
#include "base/clock.h"
#include "base/own.h"
#include "server/custom/conversion_watch.h"
#include "server/media/convert.h"
#include "server/media/protobuf.h"
#include "server/verbs/continue.h"
#include "server/verbs/watch_impl.h"

enum {
    ROOM_BYTES = 512 * 1024, /* queued past this: wait for the connection to drain */
    CLOCK_EVERY = 16,        /* objects */
    SHARE_BYTES = 16 * 1024, /* objects from this size on are sent from where they lie */
    BOOKMARK_MS = 60 * 1000,
    TIMEOUT_MIN_S = 1800, /* upstream: between one and two times this when the client names none */
};

static void pump(struct watch *w);

static bool dirty_deferred; /* pump_dirty */

static void watch_free(struct watch *w) {
    conversion_watch_free(w->conversion);
    struct api *api = w->c->api;
    for (size_t i = 0; w->dirty && i < api->dirty_watches.n; i++)
        if (api->dirty_watches.v[i] == w) api->dirty_watches.v[i] = NULL;
    api->watchers--;
    watch_shared_forget();
    if (w->prev)
        w->prev->next = w->next;
    else
        api->first_watch = w->next;
    if (w->next) w->next->prev = w->prev;
    resource_unlisten(w->c->resource, w);
    key_snapshot_done(&w->initial);
    timer_free(w->timer);
    arena_free(w->scratch);
    free(w);
}

/* The change as this watcher sees it; false: not at all. An object that leaves the selection is
 * gone for it, one that enters is new. */
static bool visible(struct watch *w, const struct event *e, enum event_type *ret) {
    const struct selection *s = &w->select;
    if (*s->ns && !slice_is(object_ns(e->now), s->ns)) return false;
    if (*s->name && !str_eq(object_name(e->now), s->name)) return false;
    *ret = e->type;
    if (!s->narrow) return true;
    arena_reset(w->scratch);
    bool was = e->old && selection_matches(s, w->scratch, e->old);
    if (e->type == EVENT_DELETED) return was;
    bool is = selection_matches(s, w->scratch, e->now);
    *ret = !is ? EVENT_DELETED : was ? EVENT_MODIFIED : EVENT_ADDED;
    return is || was;
}

static void finish(struct watch *w) {
    struct request *r = w->c->r;
    watch_free(w);
    request_stream_end(r);
}

/* ERROR event, then the end. */
static void finish_failed(struct watch *w, enum err_reason reason, const char *message) {
    OWN(buf_done) struct buf status = {0}, b = {0};
    failure_encode(&status, reason, &(struct failure){.message = message});
    status.n--; /* its newline */
    if (w->c->media == MEDIA_PROTOBUF)
        protobuf_watch_frame(&b, w->scratch, "ERROR", &meta_v1_status_type, "v1", "Status",
                             buf_view(&status));
    else
        buf_printf(&b, "{\"type\":\"ERROR\",\"object\":%.*s}\n", (int)status.n, status.p);
    request_stream_write(w->c->r, buf_view(&b));
    finish(w);
}

static void finish_expired(struct watch *w, uint64_t have) {
    finish_failed(w, ERR_EXPIRED,
                  arena_printf(w->c->a, "too old resource version: %llu (%llu)",
                               (unsigned long long)w->sent_revision, (unsigned long long)have));
}

static bool is_shared(const struct watch *w, const struct object *o) {
    return o->json->n >= SHARE_BYTES && w->c->form == ANSWER_OBJECT && w->c->media == MEDIA_JSON &&
           convert_is_stored(w->c->kind, object_json(o));
}

/* What is to be written next: small frames together in a buffer, or one large object alone. */
struct next_frames {
    struct buf *b;
    struct watch_frames *shared; /* b is theirs; or NULL */
    struct object *large;        /* a reference */
    enum event_type type;        /* of the large one */
    bool wait;                   /* what follows has to be converted first */
    uint64_t until_ns;           /* then others get the loop */
    bool later;                  /* there is more to look at, in another turn */
};

/* False: it is large and something stands before it, or has to be converted first. */
static bool put_next(struct watch *w, struct next_frames *n, enum event_type type,
                     struct object *o) {
    o = conversion_watch_form(w->conversion, w->c->kind, o);
    if (!o) n->wait = true;
    if (!o) return false;
    if (!is_shared(w, o)) {
        watch_put_frame(w, n->b, type, object_json(o));
        return true;
    }
    if (n->b->n) return false;
    n->large = object_ref(o);
    n->type = type;
    return true;
}

/* After some more of what may take long. */
static bool is_late(struct next_frames *n, size_t done) {
    n->later = done % CLOCK_EVERY == 0 && clock_span_ns() >= n->until_ns;
    return n->later;
}

static bool put_initial(struct watch *w, struct next_frames *n) {
    for (size_t done = 1; n->b->n < WATCH_PIECE_BYTES && !n->large; done++) {
        struct object *o = w->held ? w->held : key_snapshot_next(&w->initial);
        if (!o) break;
        w->held = o;
        arena_reset(w->scratch);
        if (selection_covers(&w->select, w->scratch, o) && !put_next(w, n, EVENT_ADDED, o))
            return false;
        w->held = NULL;
        if (is_late(n, done)) return false;
    }
    if (w->initial.left || n->large) return false;
    key_snapshot_done(&w->initial);
    if (w->end_of_initial) watch_put_bookmark(w, n->b, true);
    w->end_of_initial = false;
    return true;
}

static void put_events(struct watch *w, struct next_frames *n) {
    struct resource *res = w->c->resource;
    for (size_t i = resource_event_after(res, w->sent_revision);
         i < res->n && n->b->n < WATCH_PIECE_BYTES && !n->large; i++) {
        const struct event *e = resource_event(res, i);
        enum event_type type;
        if (visible(w, e, &type)) {
            OWN(object_unref_p) struct object *o = event_object(e, type);
            if (!put_next(w, n, type, o)) return;
        }
        w->sent_revision = e->revision;
        if (n->shared && !n->large) watch_shared_add(n->shared, e->revision);
        if (is_late(n, i)) return;
    }
}

/* A frame whose object all its watchers share. */
static size_t write_large(struct watch *w, enum event_type type, struct object *o) {
    struct request *r = w->c->r;
    const char *head =
        arena_printf(w->scratch, "{\"type\":\"%s\",\"object\":", watch_type_names[type]);
    request_stream_write(r, slice_of(head));
    request_stream_write_bytes(r, o->json);
    object_unref(o);
    return request_stream_write(r, SLICE("}\n"));
}

/* ---- versions that a webhook converts ---- */

static void on_converted(void *user, const struct err *err) {
    struct watch *w = user;
    if (err) {
        finish_failed(w, err->reason, err->text);
        return;
    }
    w->blocked = false;
    pump(w);
}

/* The objects that come next, as far as they need it. */
static void convert_next(struct watch *w) {
    struct resource *res = w->c->resource;
    conversion_watch_free(w->conversion);
    struct watch_conversion *v = w->conversion = conversion_watch_new();
    struct object *o = w->held;
    for (size_t i = 0; !conversion_watch_is_full(v); i++) {
        if (o && selection_covers(&w->select, w->scratch, o)) conversion_watch_add(v, o);
        if (!(o = key_snapshot_peek(&w->initial, i))) break;
    }
    enum event_type type;
    for (size_t at = resource_event_after(res, w->sent_revision);
         at < res->n && !conversion_watch_is_full(v); at++)
        if (visible(w, resource_event(res, at), &type)) {
            OWN(object_unref_p) struct object *seen = event_object(resource_event(res, at), type);
            conversion_watch_add(v, seen);
        }
    w->blocked = true;
    conversion_watch_run(v, w->c->api, w->c->kind, on_converted, w);
}

/* Everything that one read from the store brought goes out in one piece per watcher; what takes
 * longer than a slice goes on in the next turn of the loop. */
static void pump_dirty(void *user) {
    struct api *api = user;
    uint64_t until = loop_slice_end(api->loop, CLOCK_SLICE_NS);
    size_t n = api->dirty_watches.n, i = 0;
    for (; i < n && (i == 0 || clock_span_ns() < until); i++) {
        struct watch *w = api->dirty_watches.v[i];
        if (!w) continue;
        w->dirty = false;
        if (!w->blocked) pump(w);
    }
    __auto_type dirty = &api->dirty_watches;
    memmove(dirty->v, dirty->v + i, (dirty->n - i) * sizeof *dirty->v);
    dirty->n -= i;
    dirty_deferred = dirty->n > 0;
    if (dirty_deferred)
        loop_defer(api->loop, pump_dirty, api);
    else
        vec_done(dirty);
}

static void pump_later(struct watch *w) {
    struct api *api = w->c->api;
    if (w->dirty) return;
    w->dirty = true;
    vec_push(&api->dirty_watches, w);
    if (!dirty_deferred) loop_defer(api->loop, pump_dirty, api);
    dirty_deferred = true;
}

/* What follows where w stands, out of the frames that all share who see the same. */
static struct slice put_shared(struct watch *w, struct next_frames *n) {
    for (;;) {
        struct watch_frames *f = watch_shared_at(w);
        uint64_t stood = w->sent_revision;
        n->shared = f;
        n->b = &f->bytes;
        w->sent_revision = f->upto;
        put_events(w, n);
        bool more = resource_event_after(w->c->resource, f->upto) < w->c->resource->n;
        f->full = more && f->bytes.n && !n->later;
        w->sent_revision = MAX_OF(w->sent_revision, stood);
        struct slice frames = watch_shared_after(f, stood);
        if (frames.n || !f->full) return frames;
    }
}

static struct slice put_frames(struct watch *w, struct next_frames *n) {
    if (watch_shares(w)) return put_shared(w, n);
    buf_clear(n->b);
    if (put_initial(w, n)) put_events(w, n);
    return buf_view(n->b);
}

static void pump(struct watch *w) {
    uint64_t until = loop_slice_end(w->c->api->loop, CLOCK_SLICE_NS);
    bool later = false;
    struct resource *res = w->c->resource;
    struct buf *b = &w->c->api->piece;
    w->pumping = true;
    for (;;) {
        if (w->sent_revision < res->floor && !w->initial.left && !w->held) {
            finish_expired(w, res->floor);
            return;
        }
        struct next_frames n = {.b = b, .until_ns = until};
        struct slice frames = put_frames(w, &n);
        if (!frames.n && !n.large && n.wait) convert_next(w);
        later = n.later;
        if (!frames.n && !n.large) break;
        size_t queued =
            n.large ? write_large(w, n.type, n.large) : request_stream_write(w->c->r, frames);
        if (queued > (request_memory_is_short() ? 0 : ROOM_BYTES)) {
            w->blocked = true;
            break;
        }
        if ((later = later || clock_span_ns() >= until)) break;
    }
    w->pumping = false;
    if (later && !w->blocked)
        pump_later(w);
    else if (w->over && !w->blocked)
        finish(w);
}

static void on_event(void *user, const struct event *e) {
    struct watch *w = user;
    if (!w->blocked && !w->pumping) pump_later(w);
}

static void on_end(void *user) {
    struct watch *w = user;
    w->over = true;
    on_event(w, NULL);
}

static void on_drain(struct request *r) {
    struct watch *w = r->handler_data;
    if (!w->blocked || conversion_watch_is_running(w->conversion)) return;
    w->blocked = false;
    if (!w->pumping) pump_later(w);
}

static void on_close(struct request *r) { watch_free(r->handler_data); }

static void arm(struct watch *w, uint64_t now) {
    uint64_t next = w->end_at_ms;
    if (w->bookmarks && w->bookmark_at_ms < next) next = w->bookmark_at_ms;
    timer_start(w->timer, next > now ? next - now : 1, 0);
}

static void on_timer(void *user) {
    struct watch *w = user;
    struct api *api = w->c->api;
    uint64_t now = loop_now_ms(api->loop);
    bool over = now >= w->end_at_ms, due = over || now >= w->bookmark_at_ms;
    if (w->bookmarks && due && !w->blocked && !w->initial.left && !w->held) {
        /* All events up to the cache's revision have been looked at, but for those that wait. */
        if (!w->dirty) w->sent_revision = MAX_OF(w->sent_revision, api->cache.revision);
        OWN(buf_done) struct buf b = {0};
        watch_put_bookmark(w, &b, false);
        request_stream_write(w->c->r, buf_view(&b));
    }
    if (due) w->bookmark_at_ms = now + BOOKMARK_MS; /* a slow reader gets the next one */
    if (over)
        finish(w);
    else
        arm(w, now);
}

static void collect_initial(struct watch *w) {
    struct slice prefix = {0};
    if (*w->select.ns) prefix = slice_of(arena_printf(w->c->a, "%s/", w->select.ns));
    w->initial = key_index_snapshot(&w->c->resource->index, SLICE(""), false, prefix);
    w->sent_revision = w->c->api->cache.revision;
}

struct watch_options {
    uint64_t revision, timeout_s;
    bool from_state, end_bookmark, bookmarks;
};

static int refuse(struct call *c, enum err_reason reason, const char *message) {
    reply_failure(c, reason, &(struct failure){.message = message});
    return -1;
}

static int parse_options(struct call *c, struct watch_options *o) {
    const struct http_query *q = &c->r->query;
    const char *version = http_query_get(q, "resourceVersion");
    const char *match = http_query_get(q, "resourceVersionMatch");
    const char *timeout = http_query_get(q, "timeoutSeconds");
    bool has_initial = http_query_get(q, "sendInitialEvents");
    bool initial = route_flag(c->r, "sendInitialEvents");
    *o = (struct watch_options){.bookmarks = route_flag(c->r, "allowWatchBookmarks")};
    if (!str_empty(version) && slice_u64(slice_of(version), &o->revision) < 0)
        return refuse(
            c, ERR_BAD_REQUEST,
            arena_printf(c->a, "Invalid value: \"%s\": invalid resource version", version));
    if (has_initial && !str_eq(match, "NotOlderThan"))
        return refuse(c, ERR_INVALID,
                      "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: "
                      "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
    if (!has_initial && !str_empty(match))
        return refuse(c, ERR_INVALID,
                      "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: "
                      "resourceVersionMatch is forbidden for watch unless sendInitialEvents is "
                      "provided");
    if (initial && o->revision > c->api->cache.revision) {
        revision_refuse(c, version, o->revision);
        return -1;
    }
    o->from_state = has_initial ? initial : o->revision == 0;
    o->end_bookmark = initial && o->bookmarks;
    o->timeout_s = TIMEOUT_MIN_S + loop_random(c->api->loop) % TIMEOUT_MIN_S;
    if (!str_empty(timeout)) {
        uint64_t asked;
        if (slice_u64(slice_of(timeout), &asked) < 0)
            return refuse(c, ERR_BAD_REQUEST, "timeoutSeconds: not a number ≥ 0");
        if (asked) o->timeout_s = MIN_OF(asked, (uint64_t)24 * 3600);
    }
    return 0;
}

void verb_watch(struct call *c) {
    struct watch_options o;
    struct err err;
    struct selection select;
    if (parse_options(c, &o) < 0) return;
    if (selection_init(c, &select, &err) < 0) {
        reply_error(c, &err);
        return;
    }
    struct watch *w = calloc(1, sizeof *w);
    if (!w) abort();
    uint64_t now = loop_now_ms(c->api->loop);
    w->c = c;
    w->select = select;
    w->scratch = arena_new();
    w->bookmarks = o.bookmarks;
    w->end_of_initial = o.end_bookmark;
    w->sent_revision = o.revision ? o.revision : c->api->cache.revision;
    w->timer = timer_new(c->api->loop, on_timer, w);
    w->bookmark_at_ms = now + BOOKMARK_MS;
    w->end_at_ms = now + o.timeout_s * 1000;
    if (o.from_state) collect_initial(w);
    w->next = c->api->first_watch;
    if (w->next) w->next->prev = w;
    c->api->first_watch = w;
    c->api->watchers++;
    c->api->watches++;
    c->r->handler_data = w;
    c->r->on_drain = on_drain;
    c->r->on_close = on_close;
    request_stream_begin(c->r, 200,
                         c->media == MEDIA_PROTOBUF
                             ? "application/vnd.kubernetes.protobuf;stream=watch"
                             : content_type(c),
                         NULL);
    resource_listen(c->resource, on_event, w);
    resource_on_end(c->resource, on_end, w);
    arm(w, now);
    if (w->initial.left)
        pump_later(w);
    else
        pump(w);
}

void watches_end(struct api *api) {
    struct watch *next;
    for (struct watch *w = api->first_watch; w; w = next) {
        next = w->next;
        finish(w);
    }
}
