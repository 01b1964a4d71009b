/*
 * Which objects a LIST has: from a snapshot of the cache, looked at in slices, or from the store's
 * log.
 */
#include "base/clock.h"
#include "base/own.h"
#include "server/verbs/continue.h"
#include "server/verbs/list_impl.h"

enum { RANGE_ROWS = 500, CLOCK_EVERY = 16 /* objects */ };

/* ---- from the cache ---- */

bool list_collect_some(struct list *l) {
    uint64_t until = loop_slice_end(l->c->api->loop, CLOCK_SLICE_NS);
    struct object *o;
    for (size_t i = 1; !l->more && (o = key_snapshot_next(&l->from)); i++) {
        arena_reset(l->scratch);
        bool covered = selection_covers(&l->select, l->scratch, o);
        if (covered && l->limit && l->items.n == l->limit)
            l->more = true;
        else if (covered)
            vec_push(&l->items, object_ref(o));
        if (i % CLOCK_EVERY == 0 && !l->more && clock_span_ns() >= until) return false;
    }
    l->meta.remaining = l->more && !l->select.narrow ? 1 + (int64_t)l->from.left : -1;
    key_snapshot_done(&l->from);
    return true;
}

static void collect_one(struct list *l) {
    struct object *o = resource_get(l->c->resource, l->select.ns, l->select.name);
    if (o && selection_covers(&l->select, l->scratch, o)) vec_push(&l->items, object_ref(o));
    list_found(l);
}

void list_collect(struct list *l, struct slice start) {
    struct call *c = l->c;
    const struct selection *s = &l->select;
    if (*s->name && (*s->ns || !(c->kind->flags & API_NAMESPACED))) {
        collect_one(l);
        return;
    }
    struct slice prefix = {0};
    if (*s->ns) prefix = slice_of(arena_printf(c->a, "%s/", s->ns));
    l->from = key_index_snapshot(&c->resource->index, start, true, prefix);
    if (list_collect_some(l))
        list_found(l);
    else
        list_wait(l);
}

/* ---- from the store's log ---- */

static void range_next(struct list *l);

static void on_row(void *user, const struct store_event *row) {
    struct list *l = user;
    l->range_rows++;
    buf_clear(&l->after);
    buf_slice(&l->after, row->key);
    if (!l->c || l->more) return;
    size_t skip = strlen(l->c->kind->store_prefix);
    if (row->key.n <= skip) return;
    struct object *o =
        object_new(slice_from(row->key.p + skip, row->key.n - skip), row->revision, row->value);
    arena_reset(l->scratch);
    if (!selection_covers(&l->select, l->scratch, o)) {
        object_unref(o);
    } else if (l->limit && l->items.n == l->limit) {
        l->more = true;
        object_unref(o);
    } else {
        vec_push(&l->items, o);
    }
}

static void on_range_done(void *user, const struct err *err) {
    struct list *l = user;
    if (!l->c) {
        list_free(l);
        return;
    }
    if (err) {
        struct call *c = l->c;
        c->r->on_close = NULL;
        list_free(l);
        if (err->reason == ERR_EXPIRED || err->reason == ERR_GONE)
            continue_expired(c);
        else
            reply_error(c, err);
        return;
    }
    if (l->range_rows == RANGE_ROWS && !l->more)
        range_next(l);
    else
        list_found(l);
}

static void range_next(struct list *l) {
    const char *prefix = l->c->kind->store_prefix;
    if (*l->select.ns) prefix = arena_printf(l->c->a, "%s%s/", prefix, l->select.ns);
    l->range_rows = 0;
    struct buf after = l->after; /* on_row replaces it */
    l->after = (struct buf){0};
    struct store_range range = {.prefix = slice_of(prefix),
                                .after = buf_view(&after),
                                .revision = l->meta.revision,
                                .limit = RANGE_ROWS};
    store_link_range(l->c->api->store, &range, on_row, on_range_done, l);
    buf_done(&after);
}

void list_collect_log(struct list *l, struct slice start) {
    if (start.n) {
        buf_str(&l->after, l->c->kind->store_prefix);
        buf_slice(&l->after, start);
    }
    range_next(l);
}
