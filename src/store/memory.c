/* The backend without a disk: for tests and the simulator, and the model that the others are
 * compared with. */
#include <stdlib.h>

#include "base/map.h"
#include "base/vec.h"
#include "store/backend.h"

struct blob {
    unsigned refs;
    size_t n;
    char p[];
};

struct object {
    uint64_t revision;
    struct blob *value;
};

struct log_row {
    uint8_t op;
    uint64_t revision, prev_revision;
    struct blob *key, *value, *prev_value; /* prev_value: NULL for creates */
};

struct memory {
    struct store_backend base;
    struct map objects; /* key → struct object */
    VEC(struct log_row) log;
    uint64_t revision, compacted;
};

static struct blob *blob_new(struct slice s) {
    struct blob *b = malloc(sizeof *b + s.n);
    if (!b) abort();
    b->refs = 1;
    b->n = s.n;
    memcpy(b->p, s.p, s.n);
    return b;
}

static struct blob *blob_ref(struct blob *b) {
    b->refs++;
    return b;
}

static void blob_unref(struct blob *b) {
    if (b && --b->refs == 0) free(b);
}

static struct slice blob_view(const struct blob *b) { return slice_from(b->p, b->n); }

static int memory_open(const char *path, struct store_backend **ret, struct err *err) {
    struct memory *m = calloc(1, sizeof *m);
    if (!m) abort();
    m->base.ops = &store_memory;
    *ret = &m->base;
    return 0;
}

static void log_row_done(struct log_row *r) {
    blob_unref(r->key);
    blob_unref(r->value);
    blob_unref(r->prev_value);
}

static void memory_close(struct store_backend *b) {
    struct memory *m = (struct memory *)b;
    if (!m) return;
    struct map_entry *e;
    for (size_t i = 0; (e = map_next(&m->objects, &i));) {
        blob_unref(((struct object *)e->value)->value);
        free(e->value);
    }
    map_done(&m->objects);
    for (size_t i = 0; i < m->log.n; i++) log_row_done(&m->log.v[i]);
    vec_done(&m->log);
    free(m);
}

static enum err_reason write_refused(const struct store_write *w, const struct object *o) {
    if (w->op == STORE_CREATE) return o ? ERR_ALREADY_EXISTS : ERR_NONE;
    if (!o) return ERR_NOT_FOUND;
    return o->revision == w->expected_revision ? ERR_NONE : ERR_CONFLICT;
}

static void write_one(struct memory *m, struct arena *a, const struct store_write *w,
                      struct store_result *res) {
    struct object *o = map_get(&m->objects, w->key);
    *res = (struct store_result){.reason = write_refused(w, o), .revision = o ? o->revision : 0};
    if (res->reason != ERR_NONE) return;

    res->prev_revision = res->revision;
    res->revision = ++m->revision;
    res->value = store_splice(a, w, res->revision);
    struct log_row row = {w->op,
                          res->revision,
                          res->prev_revision,
                          blob_new(w->key),
                          blob_new(res->value),
                          o ? blob_ref(o->value) : NULL};
    vec_push(&m->log, row);
    if (o) blob_unref(o->value);
    if (w->op == STORE_DELETE) {
        free(map_del(&m->objects, w->key));
        return;
    }
    if (!o) {
        o = calloc(1, sizeof *o);
        if (!o) abort();
        map_put(&m->objects, w->key, o);
    }
    *o = (struct object){res->revision, blob_ref(row.value)};
}

static int memory_write(struct store_backend *b, struct arena *a, const struct store_write *w,
                        size_t n, struct store_result *results, struct err *err) {
    for (size_t i = 0; i < n; i++) write_one((struct memory *)b, a, &w[i], &results[i]);
    return 0;
}

static int row_cmp(const void *x, const void *y) {
    const struct store_event *a = x, *b = y;
    size_t n = a->key.n < b->key.n ? a->key.n : b->key.n;
    int c = memcmp(a->key.p, b->key.p, n);
    if (c) return c;
    return a->key.n < b->key.n ? -1 : a->key.n > b->key.n;
}

static bool in_range(const struct store_range *r, struct slice key) {
    if (key.n < r->prefix.n || memcmp(key.p, r->prefix.p, r->prefix.n) != 0) return false;
    struct store_event x = {.key = key}, after = {.key = r->after};
    return r->after.n == 0 || row_cmp(&x, &after) > 0;
}

static int memory_range(struct store_backend *b, const struct store_range *r, store_row_fn *fn,
                        void *user, uint64_t *ret_revision, struct err *err) {
    struct memory *m = (struct memory *)b;
    uint64_t at = r->revision ? r->revision : m->revision;
    if (at < m->compacted || at > m->revision)
        return err_set(err, ERR_EXPIRED, "revision %llu is not in the log", (unsigned long long)at);
    *ret_revision = at;
    VEC(struct store_event) rows = {0};
    struct map_entry *e;
    for (size_t i = 0; (e = map_next(&m->objects, &i));) {
        const struct object *o = e->value;
        struct slice key = slice_from(e->key, e->key_n);
        if (o->revision > at || !in_range(r, key)) continue;
        vec_push(&rows,
                 (struct store_event){STORE_CREATE, o->revision, 0, key, blob_view(o->value)});
    }
    for (size_t i = 0; i < m->log.n && !r->unchanged; i++) {
        const struct log_row *l = &m->log.v[i];
        if (l->revision <= at || l->prev_revision == 0 || l->prev_revision > at) continue;
        if (!in_range(r, blob_view(l->key))) continue;
        vec_push(&rows, (struct store_event){STORE_CREATE, l->prev_revision, 0, blob_view(l->key),
                                             blob_view(l->prev_value)});
    }
    if (rows.n) qsort(rows.v, rows.n, sizeof *rows.v, row_cmp);
    int result = 0;
    for (size_t i = 0; i < rows.n && (!r->limit || i < r->limit) && result == 0; i++)
        result = fn(user, &rows.v[i]);
    vec_done(&rows);
    return result;
}

static int memory_past(struct store_backend *b, uint64_t revision, store_row_fn *fn, void *user,
                       struct err *err) {
    struct memory *m = (struct memory *)b;
    if (revision < m->compacted || revision > m->revision)
        return err_set(err, ERR_EXPIRED, "revision %llu is not in the log",
                       (unsigned long long)revision);
    int result = 0;
    for (size_t i = (size_t)(revision - m->compacted); i < m->log.n && result == 0; i++) {
        const struct log_row *l = &m->log.v[i];
        if (l->prev_revision == 0 || l->prev_revision > revision) continue;
        struct store_event row = {STORE_CREATE, l->prev_revision, 0, blob_view(l->key),
                                  blob_view(l->prev_value)};
        result = fn(user, &row);
    }
    return result;
}

static int memory_log(struct store_backend *b, uint64_t from, uint32_t limit, store_row_fn *fn,
                      void *user, struct err *err) {
    struct memory *m = (struct memory *)b;
    if (from < m->compacted || from > m->revision)
        return err_set(err, ERR_EXPIRED, "revision %llu is not in the log",
                       (unsigned long long)from);
    size_t start = (size_t)(from - m->compacted);
    for (size_t i = start; i < m->log.n && (!limit || i - start < limit); i++) {
        const struct log_row *l = &m->log.v[i];
        struct store_event row = {l->op, l->revision, l->prev_revision, blob_view(l->key),
                                  blob_view(l->value)};
        int r = fn(user, &row);
        if (r) return r;
    }
    return 0;
}

static int memory_compact(struct store_backend *b, uint64_t keep_rows, uint64_t max_rows,
                          struct err *err) {
    struct memory *m = (struct memory *)b;
    if (m->log.n <= keep_rows) return 0;
    size_t n = m->log.n - (size_t)keep_rows;
    if (n > max_rows) n = (size_t)max_rows;
    for (size_t i = 0; i < n; i++) log_row_done(&m->log.v[i]);
    memmove(m->log.v, m->log.v + n, (m->log.n - n) * sizeof *m->log.v);
    m->log.n -= n;
    m->compacted += n;
    return 0;
}

static void memory_stats(struct store_backend *b, struct store_stats *ret) {
    const struct memory *m = (const struct memory *)b;
    *ret = (struct store_stats){m->revision, m->compacted, m->objects.n, m->log.n, 0};
}

static int memory_maintain(struct store_backend *b, struct err *err) { return 0; }

static int memory_idle(struct store_backend *b, struct err *err) { return 0; }

const struct store_backend_ops store_memory = {
    .name = "memory",
    .open = memory_open,
    .write = memory_write,
    .range = memory_range,
    .past = memory_past,
    .log = memory_log,
    .compact = memory_compact,
    .maintain = memory_maintain,
    .stats = memory_stats,
    .idle = memory_idle,
    .close = memory_close,
};
