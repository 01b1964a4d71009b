/*
 * Events: the same one (object, field, type, reason, message) again only counts up; of those that
 * differ in their message alone, the tenth and all that follow within ten minutes are one Event
 * that shows the newest message ("(combined from similar events): …"). One object may cause
 * EVENTS_BURST of them at once and one more every EVENTS_REFILL_MS, as upstream's client does
 * (client-go tools/record: burst 25, 1/300 per second). What is over is dropped: Events are hints.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/map.h"
#include "base/own.h"
#include "base/times.h"
#include "base/vec.h"
#include "client/client_private.h"

enum {
    EVENTS_BURST = 25,
    EVENTS_REFILL_MS = 300 * 1000,
    ENTRIES_MAX = 1024, /* remembered; the idle ones go when there are more */
    FORGET_MS = 600 * 1000,
    RETRIES_MAX = 5,
    RETRY_MS = 1000,
    MESSAGE_BYTES_MAX = 1024, /* core/v1 Event validation */
    SIMILAR_MAX = 9,          /* Events of their own; client-go's aggregator: fewer than 10 */
    SIMILAR_MS = 600 * 1000,
};

#define COMBINED "(combined from similar events): "

/* Events of one object that differ in their message alone. */
struct similar {
    uint64_t last_ms;
    size_t n;
    uint64_t messages[SIMILAR_MAX]; /* their hashes */
};

struct event_entry {
    struct event_recorder *recorder;
    struct arena *a;
    struct core_v1_event event;
    char *last_time; /* the text of event.lastTimestamp */
    char *message;   /* the text of event.message of MESSAGE_BYTES_MAX, when it changes; or NULL */
    uint64_t last_ms;
    bool created, busy, dirty;
    unsigned retries;
};

struct bucket {
    uint64_t last_ms;
    unsigned tokens;
};

struct event_recorder {
    struct api_client *client;
    struct loop *loop;
    const struct api_kind *kind;
    char *component, *host;
    struct map entries; /* key → struct event_entry */
    struct map buckets; /* object uid → struct bucket */
    struct map similar; /* key without its message → struct similar */
    /* Looked through when there are as many. */
    size_t entries_limit, buckets_limit, similar_limit;
    VEC(struct event_entry *) retry;
    struct timer *retry_timer;
    uint64_t sequence;
};

static void entry_send(struct event_entry *e);

static void entry_free(struct event_entry *e) {
    if (!e) return;
    arena_free(e->a);
    free(e);
}

static void on_retry(void *user) {
    struct event_recorder *r = user;
    __auto_type list = r->retry;
    memset(&r->retry, 0, sizeof r->retry);
    for (size_t i = 0; i < list.n; i++) entry_send(list.v[i]);
    vec_done(&list);
}

static char *copy_str(const char *s) {
    char *p = strdup(str_or(s, ""));
    if (!p) abort();
    return p;
}

struct event_recorder *event_recorder_new(struct api_client *c, const char *component,
                                          const char *host) {
    struct event_recorder *r = calloc(1, sizeof *r);
    if (!r) abort();
    r->client = c;
    r->loop = api_client_loop(c);
    r->kind = api_kind_by_api_version("v1", "Event");
    r->component = copy_str(component);
    r->host = copy_str(host);
    r->retry_timer = timer_new(r->loop, on_retry, r);
    return r;
}

/* Entries whose answer is on its way live until it comes; when the client was freed first, which
 * drops pending calls, they are lost to the process that is about to end. */
void event_recorder_free(struct event_recorder *r) {
    if (!r) return;
    struct map_entry *e;
    for (size_t i = 0; i < r->retry.n; i++) r->retry.v[i]->busy = false;
    for (size_t i = 0; (e = map_next(&r->entries, &i));) {
        struct event_entry *entry = e->value;
        if (entry->busy)
            entry->recorder = NULL; /* freed by its answer */
        else
            entry_free(entry);
    }
    for (size_t i = 0; (e = map_next(&r->buckets, &i));) free(e->value);
    for (size_t i = 0; (e = map_next(&r->similar, &i));) free(e->value);
    map_done(&r->entries);
    map_done(&r->buckets);
    map_done(&r->similar);
    vec_done(&r->retry);
    timer_free(r->retry_timer);
    free(r->component);
    free(r->host);
    free(r);
}

/* ---- sending ---- */

static bool worth_retrying(const struct err *err) {
    return err->reason == ERR_UNAVAILABLE || err->reason == ERR_TIMEOUT ||
           err->reason == ERR_TOO_MANY_REQUESTS || err->reason == ERR_INTERNAL;
}

static void on_answer(void *user, const struct api_object *obj, struct slice body,
                      const struct err *err) {
    struct event_entry *e = user;
    struct event_recorder *r = e->recorder;
    e->busy = false;
    if (!r) {
        entry_free(e);
        return;
    }
    if (!err) {
        e->created = true;
        e->retries = 0;
    } else if (e->created && err->reason == ERR_NOT_FOUND) {
        e->created = false; /* it has expired: make it anew */
        e->dirty = true;
    } else if (worth_retrying(err) && e->retries++ < RETRIES_MAX) {
        e->busy = true; /* waits in the retry list */
        vec_push(&r->retry, e);
        if (!timer_active(r->retry_timer)) timer_start(r->retry_timer, RETRY_MS, 0);
        return;
    }
    if (e->dirty) entry_send(e);
}

static void entry_send(struct event_entry *e) {
    struct event_recorder *r = e->recorder;
    const struct meta_v1_object_meta *m = &e->event.metadata;
    e->busy = true;
    e->dirty = false;
    if (!e->created) {
        api_create(r->client, r->kind, (const struct api_object *)&e->event, on_answer, e);
        return;
    }
    OWN(buf_done) struct buf patch = {0};
    buf_printf(&patch, "{\"count\":%d,\"lastTimestamp\":\"%s\"", e->event.count,
               e->event.last_timestamp);
    if (e->message) {
        buf_str(&patch, ",\"message\":");
        buf_json_str(&patch, slice_of(e->message));
    }
    buf_char(&patch, '}');
    api_patch(r->client, r->kind, m->namespace, m->name, "", "application/merge-patch+json",
              buf_view(&patch), on_answer, e);
}

/* ---- limits ---- */

static bool bucket_take(struct event_recorder *r, const char *uid, uint64_t now_ms) {
    struct bucket *b = map_gets(&r->buckets, uid);
    if (!b) {
        b = calloc(1, sizeof *b);
        if (!b) abort();
        *b = (struct bucket){now_ms, EVENTS_BURST};
        map_put(&r->buckets, slice_of(uid), b);
    }
    uint64_t refill = (now_ms - b->last_ms) / EVENTS_REFILL_MS;
    if (refill) {
        b->last_ms += refill * EVENTS_REFILL_MS;
        b->tokens = (unsigned)MIN_OF(b->tokens + refill, (uint64_t)EVENTS_BURST);
    }
    if (b->tokens == 0) return false;
    b->tokens--;
    return true;
}

static void forget_map(struct map *m, bool (*old)(const void *value, uint64_t now_ms),
                       void (*release)(void *value), uint64_t now_ms) {
    VEC(char *) keys = {0};
    struct map_entry *e;
    for (size_t i = 0; (e = map_next(m, &i));)
        if (old(e->value, now_ms)) vec_push(&keys, copy_str(e->key));
    for (size_t i = 0; i < keys.n; i++) {
        release(map_del(m, slice_of(keys.v[i])));
        free(keys.v[i]);
    }
    vec_done(&keys);
}

static bool entry_old(const void *value, uint64_t now_ms) {
    const struct event_entry *e = value;
    return !e->busy && now_ms - e->last_ms > FORGET_MS;
}
static bool entry_idle(const void *value, uint64_t now_ms) {
    return !((const struct event_entry *)value)->busy;
}
static void entry_release(void *value) { entry_free(value); }
static bool bucket_full(const void *value, uint64_t now_ms) {
    const struct bucket *b = value;
    return (now_ms - b->last_ms) / EVENTS_REFILL_MS + b->tokens >= EVENTS_BURST ||
           now_ms - b->last_ms > FORGET_MS;
}

static bool bucket_left(const void *value, uint64_t now_ms) {
    (void)now_ms;
    return ((const struct bucket *)value)->tokens > 0;
}

static bool similar_old(const void *value, uint64_t now_ms) {
    return now_ms - ((const struct similar *)value)->last_ms > SIMILAR_MS;
}
static bool similar_few(const void *value, uint64_t now_ms) {
    (void)now_ms;
    return ((const struct similar *)value)->n < SIMILAR_MAX;
}

/* Where many remain, the next look waits until there are twice as many: each event pays for a few.
 */
static void make_room(struct event_recorder *r, uint64_t now_ms) {
    if (r->entries.n >= MAX_OF(r->entries_limit, (size_t)ENTRIES_MAX)) {
        forget_map(&r->entries, entry_old, entry_release, now_ms);
        if (r->entries.n >= ENTRIES_MAX) forget_map(&r->entries, entry_idle, entry_release, now_ms);
        r->entries_limit = 2 * r->entries.n;
    }
    if (r->buckets.n >= MAX_OF(r->buckets_limit, (size_t)ENTRIES_MAX)) {
        forget_map(&r->buckets, bucket_full, free, now_ms);
        if (r->buckets.n >= ENTRIES_MAX) forget_map(&r->buckets, bucket_left, free, now_ms);
        r->buckets_limit = 2 * r->buckets.n;
    }
    if (r->similar.n >= MAX_OF(r->similar_limit, (size_t)ENTRIES_MAX)) {
        forget_map(&r->similar, similar_old, free, now_ms);
        if (r->similar.n >= ENTRIES_MAX) forget_map(&r->similar, similar_few, free, now_ms);
        r->similar_limit = 2 * r->similar.n;
    }
}

/* The message is one too many of its sort. The key is that of the event but for the message. */
static bool is_combined(struct event_recorder *r, struct slice key, const char *message,
                        uint64_t now_ms) {
    struct similar *s = map_get(&r->similar, key);
    uint64_t hash = map_hash(slice_of(message));
    if (!s) {
        s = calloc(1, sizeof *s);
        if (!s) abort();
        map_put(&r->similar, key, s);
    }
    if (now_ms - s->last_ms > SIMILAR_MS) s->n = 0;
    s->last_ms = now_ms;
    for (size_t i = 0; i < s->n; i++)
        if (s->messages[i] == hash) return false;
    if (s->n == SIMILAR_MAX) return true;
    s->messages[s->n++] = hash;
    return false;
}

/* ---- recording ---- */

static struct event_entry *entry_new(struct event_recorder *r, const struct api_object *about,
                                     const char *field_path, const char *type, const char *reason,
                                     const char *message) {
    struct event_entry *e = calloc(1, sizeof *e);
    if (!e) abort();
    struct arena *a = e->a = arena_new_sized(1024);
    const struct meta_v1_object_meta *m = &about->metadata;
    struct core_v1_event *v = &e->event;
    e->recorder = r;
    v->api_version = "v1";
    v->kind = "Event";
    v->metadata.namespace = arena_str(a, str_or(m->namespace, "default"));
    v->metadata.name = arena_printf(a, "%s.%llx", str_or(m->name, "unknown"),
                                    (unsigned long long)loop_wall_ns(r->loop) + r->sequence++);
    v->involved_object = (struct core_v1_object_reference){
        .kind = arena_str(a, about->kind),
        .namespace = arena_str(a, m->namespace),
        .name = arena_str(a, m->name),
        .uid = arena_str(a, m->uid),
        .api_version = arena_str(a, about->api_version),
        .resource_version = arena_str(a, m->resource_version),
        .field_path = str_empty(field_path) ? NULL : arena_str(a, field_path)};
    v->reason = arena_str(a, reason);
    v->message = arena_str(a, message);
    v->type = arena_str(a, type);
    v->source.component = arena_str(a, r->component);
    v->source.host = *r->host ? arena_str(a, r->host) : NULL;
    v->reporting_component = arena_str(a, r->component);
    v->reporting_instance = *r->host ? arena_str(a, r->host) : NULL;
    e->last_time = arena_alloc(a, TIME_TEXT_MAX);
    time_format(e->last_time, loop_wall_ns(r->loop));
    v->first_timestamp = arena_str(a, e->last_time);
    v->last_timestamp = e->last_time;
    return e;
}

__attribute__((format(printf, 6, 0))) static void
record(struct event_recorder *r, const struct api_object *about, const char *field_path,
       const char *type, const char *reason, const char *fmt, va_list ap) {
    char message[MESSAGE_BYTES_MAX];
    vsnprintf(message, sizeof message, fmt, ap);
    uint64_t now_ms = loop_now_ms(r->loop);
    OWN(buf_done) struct buf key = {0};
    buf_printf(&key, "%s\n%s\n%s\n%s\n%s\n", str_or(about->metadata.uid, ""),
               str_or(about->metadata.name, ""), str_or(field_path, ""), type, reason);
    if (!bucket_take(r, str_or(about->metadata.uid, str_or(about->metadata.name, "")), now_ms))
        return;
    make_room(r, now_ms);
    bool combined = is_combined(r, buf_view(&key), message, now_ms);
    if (!combined) buf_str(&key, message);
    struct event_entry *e = map_get(&r->entries, buf_view(&key));
    if (!e) {
        e = entry_new(r, about, field_path, type, reason, message);
        if (combined) e->event.message = e->message = arena_alloc(e->a, MESSAGE_BYTES_MAX);
        map_put(&r->entries, buf_view(&key), e);
    } else {
        time_format(e->last_time, loop_wall_ns(r->loop));
    }
    if (combined) snprintf(e->message, MESSAGE_BYTES_MAX, COMBINED "%s", message);
    e->event.count++;
    e->last_ms = now_ms;
    if (e->busy)
        e->dirty = true;
    else
        entry_send(e);
}

void event_record(struct event_recorder *r, const struct api_object *about, const char *type,
                  const char *reason, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    record(r, about, NULL, type, reason, fmt, ap);
    va_end(ap);
}

void event_record_field(struct event_recorder *r, const struct api_object *about,
                        const char *field_path, const char *type, const char *reason,
                        const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    record(r, about, field_path, type, reason, fmt, ap);
    va_end(ap);
}
