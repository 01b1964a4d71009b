#include "server/quota/ledger.h"

#include "base/limits.h"
#include "base/own.h"
#include "server/commit.h"
#include "server/storage/raw.h"

enum { LAPSE_MS = 30 * 1000 }; /* how often overdue deletions are looked for */

/* One resource that counts. Lives as long as the process: there are as many as kinds. */
struct counted {
    struct resource *resource;
    const char *plural, *group, *names[2];
    const char *key; /* "plural.group/" */
    bool measured;
};

static struct {
    struct api *api;
    struct arena *arena;
    struct quota_book book;
    struct resource *quotas;
    const struct api_kind *quota_kind;
    bool flushing;
    struct timer *lapse;
    VEC(struct counted *) counted;
} ledger;

static void changed(struct quota_space *s);

static int64_t now_ns(void) { return loop_wall_ns(ledger.api->loop); }

/* ---- what counts ---- */

static void on_object(void *user, const struct event *e);

static struct counted *counted_new(struct resource *r) {
    struct arena *a = ledger.arena;
    struct counted *w = ARENA_NEW(a, struct counted);
    const char *text = arena_strn(a, slice_from(r->prefix + 1, strlen(r->prefix) - 2));
    const char *dot = strchr(text, '.');
    w->resource = r;
    w->key = arena_printf(a, "%s/", text);
    w->plural = dot ? arena_strn(a, slice_from(text, (size_t)(dot - text))) : text;
    w->group = dot && !str_eq(dot + 1, "core") ? dot + 1 : "";
    w->measured = quota_measures(w->group, w->plural);
    quota_count_names(a, w->group, w->plural, w->names);
    return w;
}

static struct counted *watch(const char *prefix) {
    struct resource *r = cache_resource(&ledger.api->cache, prefix);
    if (!r) return NULL;
    for (size_t i = 0; i < r->listeners.n; i++)
        if (r->listeners.v[i].fn == on_object) return r->listeners.v[i].user;
    struct counted *w = NULL;
    for (size_t i = 0; i < ledger.counted.n && !w; i++) /* a custom kind that came back */
        if (str_eq(ledger.counted.v[i]->key, prefix + 1)) w = ledger.counted.v[i];
    if (!w) {
        w = counted_new(r);
        vec_push(&ledger.counted, w);
    }
    w->resource = r;
    resource_listen(r, on_object, w);
    return w;
}

/* Walks the objects of a namespace. */
static struct object *next_in(const struct resource *r, struct slice ns, struct key_cursor *at) {
    struct object *o = key_index_next(&r->index, at);
    return o && slice_eq(object_ns(o), ns) ? o : NULL;
}

static struct key_cursor first_in(const struct resource *r, const char *ns) {
    char key[LIMIT_NAME_BYTES + 2];
    int n = snprintf(key, sizeof key, "%s/", ns);
    return key_index_seek(&r->index, slice_from(key, MIN_OF((size_t)n, sizeof key - 1)), false);
}

static const char *charge_key(struct arena *a, const struct counted *w, const struct object *o) {
    return arena_printf(a, "%s%s", w->key, object_name(o));
}

static void charge(struct quota_space *s, const struct counted *w, struct object *o) {
    struct arena *a = arena_new_sized(1024 + o->json->n * 2);
    const struct api_kind *k = api_kind_by_plural(w->group, "v1", w->plural);
    struct quota_usage u;
    struct api_object *decoded;
    const char *key = charge_key(a, w, o);
    if (!k || api_object_decode(a, k, object_json(o), &decoded, NULL) < 0) {
        quota_uncharge(s, key);
        arena_free(a);
        return;
    }
    quota_usage_of(a, w->group, w->plural, decoded, now_ns(), &u);
    quota_fulfil(s, key);
    quota_charge(s, key, a, &u);
}

static void charge_all(struct quota_space *s) {
    static const char *const prefixes[] = {"/pods.core/", "/services.core/",
                                           "/persistentvolumeclaims.core/"};
    for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
        struct counted *w = watch(prefixes[i]);
        if (!w) continue;
        struct key_cursor at = first_in(w->resource, s->ns);
        for (struct object *o; (o = next_in(w->resource, slice_of(s->ns), &at));) charge(s, w, o);
    }
}

/* The resource that a line like count/deployments.apps or secrets counts; NULL: none such. */
static struct counted *counted_by(struct arena *a, const char *line) {
    if (str_starts(line, "count/"))
        line += 6;
    else if (strchr(line, '.') || strchr(line, '/'))
        return NULL;
    const char *prefix =
        strchr(line, '.') ? arena_printf(a, "/%s/", line) : arena_printf(a, "/%s.core/", line);
    struct counted *w = watch(prefix);
    return w && !w->measured ? w : NULL;
}

static void count_line(struct quota_space *s, struct arena *a, struct quota_line *l) {
    const struct counted *w = counted_by(a, l->resource);
    if (!w || (!str_eq(l->resource, w->names[0]) && !str_eq(l->resource, w->names[1]))) return;
    int64_t n = 0;
    struct key_cursor at = first_in(w->resource, s->ns);
    while (next_in(w->resource, slice_of(s->ns), &at)) n++;
    l->used = (struct quantity){(__int128)n * 1000000000, FORMAT_DECIMAL_SI};
}

static void load(struct object *o) {
    struct arena *a = arena_new();
    struct api_object *decoded;
    if (api_object_decode(a, ledger.quota_kind, object_json(o), &decoded, NULL) < 0) {
        arena_free(a);
        return;
    }
    struct quota_space *s = quota_space_open(&ledger.book, object_ns(o));
    if (!s->quotas.n) charge_all(s);
    struct quota *q = quota_put(s, a, (const void *)decoded);
    quota_add_charges(q);
    bool scoped = q->object->spec.scopes.n || q->object->spec.scope_selector;
    for (size_t i = 0; i < q->n && !scoped; i++) count_line(s, a, &q->lines[i]);
    changed(s);
}

static void on_quota(const struct event *e) {
    struct quota_space *s = quota_space_find(&ledger.book, object_ns(e->now));
    if (e->type == EVENT_DELETED) {
        if (!s) return;
        quota_drop(s, object_name(e->now));
        changed(s);
        quota_space_tidy(&ledger.book, s);
        return;
    }
    struct slice now, old;
    bool same = s && e->old && quota_find(s, object_name(e->now)) &&
                raw_get(object_json(e->now), "spec", &now) &&
                raw_get(object_json(e->old), "spec", &old) && slice_eq(now, old);
    if (same)
        changed(s);
    else
        load(e->now);
}

static void on_object(void *user, const struct event *e) {
    const struct counted *w = user;
    struct quota_space *s = quota_space_find(&ledger.book, object_ns(e->now));
    if (s) {
        char key[LIMIT_STORE_KEY_BYTES];
        snprintf(key, sizeof key, "%s%s", w->key, object_name(e->now));
        if (e->type != EVENT_DELETED) quota_fulfil(s, key);
        if (w->measured && e->type == EVENT_DELETED)
            quota_uncharge(s, key);
        else if (w->measured)
            charge(s, w, e->now);
        else if (e->type != EVENT_MODIFIED)
            quota_count(s, NULL, w->names, e->type == EVENT_ADDED ? 1 : -1);
        if (w->measured || e->type != EVENT_MODIFIED) changed(s);
    }
    if (w->resource == ledger.quotas) on_quota(e);
}

/* ---- status of the quotas ---- */

static void write_status(struct quota *q);

static void on_written(void *user, struct slice json, const struct err *err) {
    struct quota *q = user;
    q->writing = false;
    if (q->gone) {
        quota_discard(q);
        return;
    }
    bool again = q->again || (err && err->reason == ERR_CONFLICT);
    q->again = false;
    if (again) write_status(q);
}

static void fill_status(const struct quota *q, struct arena *a,
                        struct core_v1_resource_quota_status *status) {
    status->hard = q->object->spec.hard;
    status->used = (struct str_map){0};
    for (size_t i = 0; i < q->n; i++) /* in the order of hard, which is sorted */
        *ARENA_PUSH(a, &status->used) =
            (struct str_pair){q->lines[i].resource, quantity_text(a, &q->lines[i].used)};
}

static void write_status_in(struct quota *q, struct arena *a) {
    const struct api_kind *k = ledger.quota_kind;
    struct object *current = resource_get(ledger.quotas, q->space->ns, q->object->metadata.name);
    struct api_object *o;
    if (!current || api_object_decode(a, k, object_json(current), &o, NULL) < 0) return;
    fill_status(q, a, &((struct core_v1_resource_quota *)(void *)o)->status);
    OWN(buf_done) struct buf json = {0};
    object_encode_at(&json, k, o, current->revision);
    if (slice_eq(buf_view(&json), object_json(current))) return;
    q->writing = true;
    commit_submit(ledger.api, &(struct commit){STORE_UPDATE, k, o, current->revision}, on_written,
                  q);
}

/* One write of a quota at a time; what changes meanwhile goes into the next. */
static void write_status(struct quota *q) {
    if (q->writing) {
        q->again = true;
        return;
    }
    struct arena *a = arena_new();
    write_status_in(q, a);
    arena_free(a);
}

static void on_flush(void *user) {
    if (!ledger.flushing) return; /* stopped meanwhile */
    ledger.flushing = false;
    size_t i = 0;
    for (struct map_entry *e; (e = map_next(&ledger.book.spaces, &i));) {
        struct quota_space *s = e->value;
        if (!s->changed) continue;
        s->changed = false;
        for (size_t j = 0; j < s->quotas.n; j++) write_status(s->quotas.v[j]);
    }
}

/* All that changes in one turn of the loop becomes one write. */
static void changed(struct quota_space *s) {
    s->changed = true;
    if (ledger.flushing) return;
    ledger.flushing = true;
    loop_defer(ledger.api->loop, on_flush, NULL);
}

/* Pods whose deletion is overdue do not count any more, though nothing says so. */
static void on_lapse(void *user) {
    size_t i = 0;
    struct resource *pods = cache_resource(&ledger.api->cache, "/pods.core/");
    struct counted *w = watch("/pods.core/");
    for (struct map_entry *e; (e = map_next(&ledger.book.spaces, &i));) {
        struct quota_space *s = e->value;
        size_t at = 0;
        for (const char *key; w && (key = quota_lapsed(s, now_ns(), &at)); at = 0) {
            struct object *o = resource_get(pods, s->ns, key + strlen(w->key));
            if (o)
                charge(s, w, o);
            else
                quota_uncharge(s, key);
            changed(s);
        }
    }
}

/* ---- for the plugin ---- */

struct quota_space *quota_ledger_space(const char *ns) {
    return quota_space_find(&ledger.book, slice_of(ns));
}

void quota_ledger_watch(const struct api_kind *k) { watch(k->store_prefix); }

void quota_ledger_tidy(struct quota_space *s) { quota_space_tidy(&ledger.book, s); }

void quota_ledger_start(struct api *api) {
    ledger.api = api;
    ledger.quota_kind = api_kind_by_plural("", "v1", "resourcequotas");
    if (!ledger.quota_kind) return;
    ledger.arena = arena_new();
    ledger.quotas = cache_of_kind(&api->cache, ledger.quota_kind);
    watch(ledger.quotas->prefix);
    struct key_cursor at = key_index_seek(&ledger.quotas->index, SLICE(""), false);
    for (struct object *o; (o = key_index_next(&ledger.quotas->index, &at));) load(o);
    ledger.lapse = timer_new(api->loop, on_lapse, NULL);
    timer_start(ledger.lapse, LAPSE_MS, LAPSE_MS);
}

void quota_ledger_stop(void) {
    for (size_t i = 0; i < ledger.counted.n; i++)
        resource_unlisten(ledger.counted.v[i]->resource, ledger.counted.v[i]);
    vec_done(&ledger.counted);
    timer_free(ledger.lapse);
    quota_book_done(&ledger.book);
    arena_free(ledger.arena);
    memset(&ledger, 0, sizeof ledger);
}
