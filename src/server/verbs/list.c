/*
 * GET and LIST. A list holds references to the versions it saw, so that it is consistent however
 * slowly it is read; bytes are copied into the connection piece by piece. Lists at an older
 * revision come from the cache while the resource has not changed since, else from the store's log.
 */
#include "base/clock.h"
#include "base/own.h"
#include "proto/yaml_write.h"
#include "server/custom/conversion.h"
#include "server/media/convert.h"
#include "server/media/protobuf.h"
#include "server/verbs/continue.h"
#include "server/verbs/list_impl.h"

enum {
    PIECE_BYTES = 120 * 1024, /* with an object more about what one flush of TLS seals */
    MEASURE_BYTES = 64 * 1024,
    SHORT_BYTES = 16 * 1024,
    SHARED_BYTES =
        48 * 1024, /* what is copied while another client waits for the end of the turn */
    SHARE_BYTES = 16 * 1024,
    FREE_TOGETHER = 1000,
    CLOCK_EVERY = 8, /* items */
};

void verb_get(struct call *c) {
    struct object *o = resource_get(c->resource, c->route.ns, c->route.name);
    if (!o) {
        reply_not_found(c, c->route.name);
        return;
    }
    uint64_t rv = 0;
    const char *text = http_query_get(&c->r->query, "resourceVersion");
    if (!str_empty(text) && (slice_u64(slice_of(text), &rv) < 0 || rv > c->api->cache.revision)) {
        revision_refuse(c, text, rv);
        return;
    }
    if (c->form == ANSWER_OBJECT && c->media == MEDIA_JSON && !c->pretty &&
        convert_is_stored(c->kind, object_json(o)))
        request_respond_bytes(c->r, 200, "application/json", o->json, NULL);
    else
        conversion_reply(c, 200, object_json(o));
}

/* Lets go of some items; true when nothing is left of it. */
static bool free_some(struct list *l) {
    size_t n = MIN_OF(l->items.n - l->sent, (size_t)FREE_TOGETHER);
    for (; n; n--) object_unref(l->items.v[l->sent++]);
    if (l->sent < l->items.n) return false;
    key_snapshot_done(&l->from);
    vec_done(&l->items);
    vec_done(&l->sizes);
    arena_free(l->scratch);
    buf_done(&l->after);
    free(l);
    return true;
}

void list_free(struct list *l) {
    l->c = NULL; /* its request may be over before */
    if (!free_some(l)) list_wait(l);
}

/* ---- protobuf: the sum of all items stands in front of the first ---- */

static const struct api_type *item_type(const struct list *l) {
    return l->c->form == ANSWER_PARTIAL ? &protobuf_partial_type : l->c->kind->type;
}

static void put_protobuf_message(struct list *l, struct buf *b, const struct object *o) {
    arena_reset(l->scratch);
    struct slice json = convert_json(l->scratch, l->c->kind, object_json(o));
    protobuf_message(b, l->scratch, item_type(l), json);
}

/* Whether objects remember their size in the form that this list asks for. */
static bool sizes_are_kept(const struct list *l) {
    return l->c->form == ANSWER_OBJECT && storage_kind(l->c->kind) == l->c->kind;
}

static void put_protobuf_item(struct list *l, struct buf *b, const struct object *o) {
    protobuf_item_head(b, sizes_are_kept(l) ? o->protobuf_n : l->sizes.v[l->sent]);
    put_protobuf_message(l, b, o);
}

/* Measures some items; true when all are. */
static bool measure_some(struct list *l) {
    struct buf *b = &l->c->api->piece;
    size_t done = 0;
    bool kept = sizes_are_kept(l);
    for (; l->measured < l->items.n && done < MEASURE_BYTES; l->measured++) {
        struct object *o = l->items.v[l->measured];
        size_t n = kept ? o->protobuf_n : 0;
        done += 64; /* also what is known already takes its time */
        if (!n) {
            buf_clear(b);
            put_protobuf_message(l, b, o);
            n = b->n;
            done += o->json->n;
        }
        if (kept)
            o->protobuf_n = (uint32_t)n;
        else
            vec_push(&l->sizes, (uint32_t)n);
        l->item_bytes += protobuf_item_bytes(n);
    }
    return l->measured == l->items.n;
}

static void put_protobuf_head(struct list *l, struct buf *b) {
    const struct api_kind *k = l->c->kind;
    OWN(buf_done) struct buf json = {0}, meta = {0};
    bool partial = l->c->form == ANSWER_PARTIAL;
    list_meta_encode(&json, &l->meta);
    protobuf_message(&meta, l->c->a, &meta_v1_list_meta_type, buf_view(&json));
    const char *version =
        partial ? arena_printf(l->c->a, "meta.k8s.io/%s", str_or(l->c->form_version, "v1"))
                : api_kind_api_version(k);
    protobuf_list_head(b, version, partial ? "PartialObjectMetadataList" : k->list_kind,
                       buf_view(&meta), l->item_bytes);
}

/* ---- pieces ---- */

static void put_yaml_head(struct list *l, struct buf *b) {
    OWN(buf_done) struct buf meta = {0};
    list_meta_encode(&meta, &l->meta);
    buf_printf(b, "apiVersion: %s\nkind: %s\nmetadata:\n  ", api_kind_api_version(l->c->kind),
               l->c->kind->list_kind);
    yaml_from_json(b, buf_view(&meta), 2);
    buf_str(b, l->items.n ? "items:\n" : "items: []\n");
}

static void put_head(struct list *l, struct buf *b) {
    const struct api_kind *k = l->c->kind;
    if (l->c->media == MEDIA_PROTOBUF) {
        put_protobuf_head(l, b);
        return;
    }
    if (l->c->media == MEDIA_YAML) {
        put_yaml_head(l, b);
        return;
    }
    if (l->c->form == ANSWER_TABLE) {
        table_head(b, l->c, &l->meta, true);
        return;
    }
    if (l->c->form == ANSWER_PARTIAL)
        buf_printf(b, "{\"kind\":\"PartialObjectMetadataList\",\"apiVersion\":\"meta.k8s.io/%s\"",
                   str_or(l->c->form_version, "v1"));
    else
        buf_printf(b, "{\"kind\":\"%s\",\"apiVersion\":\"%s\"", k->list_kind,
                   api_kind_api_version(k));
    buf_str(b, ",\"metadata\":");
    list_meta_encode(b, &l->meta);
    buf_str(b, ",\"items\":[");
}

static void put_item(struct list *l, struct buf *b, const struct object *o) {
    if (l->c->media == MEDIA_PROTOBUF) {
        put_protobuf_item(l, b, o);
        return;
    }
    arena_reset(l->scratch);
    struct slice json = convert_json(l->scratch, l->c->kind, object_json(o));
    if (l->c->media == MEDIA_YAML) {
        buf_str(b, "- ");
        yaml_from_json(b, json, 2);
        return;
    }
    if (l->c->form == ANSWER_TABLE) {
        if (l->sent && !b->n) buf_char(b, ',');
        table_row(b, l->c, l->scratch, json);
        return;
    }
    if (l->sent) buf_char(b, ',');
    if (l->c->form == ANSWER_PARTIAL)
        partial_encode(b, json, NULL, l->c->form_version);
    else
        buf_slice(b, json);
}

/* Objects from some size on are sent from where they lie: however many read the list slowly, their
 * bytes are there once. */
static bool is_shared(const struct list *l, const struct object *o) {
    return o->json->n >= SHARE_BYTES && l->c->form == ANSWER_OBJECT && l->c->media == MEDIA_JSON &&
           !l->c->pretty && storage_kind(l->c->kind) == l->c->kind;
}

/* Fills one piece, up to the next shared object; true when the list is complete. */
static bool put_compact(struct list *l, struct buf *b) {
    struct loop *loop = l->c->api->loop;
    size_t enough = loop_slice_ns(loop) < CLOCK_SLICE_NS ? SHARED_BYTES : PIECE_BYTES;
    if (request_memory_is_short()) enough = SHORT_BYTES;
    uint64_t until = loop_slice_end(loop, CLOCK_SLICE_NS);
    while (l->sent < l->items.n && b->n < enough) {
        struct object *o = l->items.v[l->sent];
        if (is_shared(l, o)) break;
        put_item(l, b, o);
        object_unref(o);
        l->sent++;
        if (l->sent % CLOCK_EVERY == 0 && clock_span_ns() >= until) break;
    }
    if (l->sent < l->items.n) return false;
    if (l->c->media == MEDIA_JSON) buf_str(b, "]}\n");
    return true;
}

static bool put_piece(struct list *l, struct buf *b) {
    bool complete = put_compact(l, b);
    if (!l->c->pretty || l->c->media != MEDIA_JSON) return complete;
    OWN(buf_done) struct buf compact = *b;
    *b = (struct buf){0};
    json_indent(&l->indent, b, buf_view(&compact));
    return complete;
}

static size_t write_shared(struct list *l, struct request *r) {
    struct object *o = l->items.v[l->sent];
    if (l->sent++) request_stream_write(r, SLICE(","));
    size_t queued = request_stream_write_bytes(r, o->json);
    object_unref(o);
    return queued;
}

/* Lists with something to do wait here for their part of a turn of the loop, so that many long ones
 * keep nobody else waiting. */
static struct {
    VEC(struct list *) lists; /* NULL: closed meanwhile */
    struct loop *loop;
    bool deferred;
} ready;

static void run_ready(void *user);

void list_wait(struct list *l) {
    l->ready = true;
    vec_push(&ready.lists, l);
    if (ready.deferred) return;
    ready.deferred = true;
    loop_defer(ready.loop, run_ready, NULL);
}

static void drained(struct request *r) {
    struct list *l = r->handler_data;
    if (!l->ready) list_wait(l);
}

static void pump(struct list *l) {
    struct request *r = l->c->r;
    struct buf *b = &l->c->api->piece;
    buf_clear(b);
    bool complete = put_piece(l, b);
    size_t queued = b->n || complete ? request_stream_write(r, buf_view(b)) : write_shared(l, r);
    if (complete) {
        r->handler_data = NULL;
        list_free(l);
        request_stream_end(r);
    } else if (queued == 0) {
        list_wait(l);
    }
}

static void begin(struct list *l);

static void step(struct list *l) {
    bool done = true;
    if (l->c) request_works(l->c->r);
    if (!l->c)
        done = free_some(l);
    else if (l->state == LIST_STREAMS)
        pump(l);
    else if (l->state == LIST_MEASURES ? !measure_some(l) : !list_collect_some(l))
        done = false;
    else if (l->state == LIST_MEASURES)
        begin(l);
    else
        list_found(l);
    if (!done) list_wait(l);
}

static void run_ready(void *user) {
    uint64_t until = loop_slice_end(ready.loop, CLOCK_SLICE_NS);
    size_t n = ready.lists.n, i = 0;
    for (; i < n && (i == 0 || clock_span_ns() < until); i++) {
        struct list *l = ready.lists.v[i];
        if (!l) continue;
        l->ready = false;
        step(l);
    }
    memmove(ready.lists.v, ready.lists.v + i, (ready.lists.n - i) * sizeof *ready.lists.v);
    ready.lists.n -= i;
    ready.deferred = ready.lists.n > 0;
    if (ready.deferred) loop_defer(ready.loop, run_ready, NULL);
}

static void list_closed(struct request *r) {
    struct list *l = r->handler_data;
    bool streams = l->state == LIST_STREAMS;
    l->c = NULL; /* who has it under way frees it */
    if (streams && !l->ready) list_free(l);
}

static void begin(struct list *l) {
    struct call *c = l->c;
    if (l->more) {
        const struct object *last = l->items.v[l->items.n - 1];
        l->meta.next = continue_encode(c->a, l->meta.revision, slice_from(last->key, last->key_n));
    }
    struct buf *b = &c->api->piece;
    buf_clear(b);
    put_head(l, b);
    bool complete = put_piece(l, b);
    struct http_headers h = reply_warnings(c);
    c->r->handler_data = l;
    if (complete) {
        struct request *r = c->r;
        const char *type = content_type(c);
        c->r->on_close = NULL;
        list_free(l);
        request_respond(r, 200, type, buf_view(b), &h);
        return;
    }
    l->state = LIST_STREAMS;
    c->r->on_drain = drained;
    c->r->on_close = list_closed;
    request_stream_begin(c->r, 200, content_type(c), &h);
    if (request_stream_write(c->r, buf_view(b)) == 0) list_wait(l);
}

static void send_converted(struct list *l) {
    l->c->r->handler_data = l;
    l->c->r->on_close = list_closed;
    l->state = LIST_MEASURES;
    if (l->c->media != MEDIA_PROTOBUF || measure_some(l))
        begin(l);
    else
        list_wait(l);
}

/* ---- versions that a webhook converts ---- */

static void on_converted(void *user, const struct slice *converted, const struct err *err) {
    struct list *l = user;
    struct call *c = l->c;
    if (err) {
        list_free(l);
        reply_error(c, err);
        return;
    }
    for (size_t i = 0; i < l->items.n; i++) {
        struct object *o = l->items.v[i];
        l->items.v[i] = object_new(slice_from(o->key, o->key_n), o->revision, converted[i]);
        object_unref(o);
    }
    send_converted(l);
}

void list_send(struct list *l) {
    struct call *c = l->c;
    bool needed = false;
    for (size_t i = 0; c->kind->custom && i < l->items.n; i++)
        needed = needed || conversion_needed(c->kind, object_json(l->items.v[i]));
    if (!needed) {
        send_converted(l);
        return;
    }
    c->r->on_close = NULL; /* the request waits even when the client goes away */
    struct slice *objects = ARENA_ARRAY(c->a, struct slice, l->items.n);
    for (size_t i = 0; i < l->items.n; i++) objects[i] = object_json(l->items.v[i]);
    conversion_run(c->api, c->a, c->kind, objects, l->items.n, on_converted, l);
}

void list_found(struct list *l) {
    if (l->found)
        l->found(l, l->user);
    else
        list_send(l);
}

/* ---- entry ---- */

static struct list *list_new(struct call *c, const struct list_position *p) {
    struct list *l = calloc(1, sizeof *l);
    if (!l) abort();
    l->c = c;
    l->scratch = arena_new();
    l->limit = p->limit;
    l->meta = (struct list_meta){.revision = p->revision, .remaining = -1};
    return l;
}

void list_begin(struct call *c, void (*found)(struct list *l, void *user), void *user) {
    struct err err;
    struct list_position p;
    if (list_position_parse(c, &p) < 0) return; /* answered */
    struct selection select;
    if (selection_init(c, &select, &err) < 0) {
        reply_error(c, &err);
        return;
    }
    struct list *l = list_new(c, &p);
    l->select = select;
    l->found = found;
    l->user = user;
    c->r->handler_data = l;
    c->r->on_close = list_closed;
    ready.loop = c->api->loop;
    if (!p.exact || c->resource->changed <= p.revision)
        list_collect(l, p.start);
    else
        list_collect_log(l, p.start);
}

void verb_list(struct call *c) { list_begin(c, NULL, NULL); }
