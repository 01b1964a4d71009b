/*
 * Changes of one object, one after the other. The store lets only one of those pass that start from
 * the same version; the others would be made again, as often as there are clients, and of a large
 * object each time costs what the whole request does. So while one is on its way to the store, the
 * next ones wait, and begin with what it leaves.
 */
#include <stdlib.h>

#include "base/own.h"
#include "server/media/convert.h"
#include "server/verbs/write_impl.h"

struct order { /* of one object */
    struct order *next_due;
    struct api *api;
    struct write *first, *last; /* wait */
    unsigned sent;              /* are on their way */
    bool due;                   /* wake is deferred */
    char key[];
};

static struct map orders; /* by kind, namespace and name */

static struct slice key_of(struct write *w) {
    const struct call *c = w->c;
    return slice_of(arena_printf(c->a, "%s%s/%s", storage_kind(c->kind)->store_prefix, c->route.ns,
                                 c->route.name));
}

static void order_free_if_empty(struct order *o) {
    if (o->sent || o->first || o->due) return;
    map_del(&orders, slice_of(o->key));
    free(o);
    if (!orders.n) map_done(&orders);
}

static void take(struct order *o, struct write *w) {
    struct write **at = &o->first, *before = NULL;
    for (; *at != w; at = &(*at)->next_waiting) before = *at;
    *at = w->next_waiting;
    if (o->last == w) o->last = before;
    w->c->r->on_close = NULL;
    w->c->r->handler_data = NULL;
    w->order = NULL;
}

/* Waits, and its client went away. */
static void on_close(struct request *r) {
    struct write *w = r->handler_data;
    struct order *o = w->order;
    take(o, w);
    order_free_if_empty(o);
    write_over(w, false);
}

static void wake_later(struct order *o);

/* One in each turn of the loop: it may take long. */
static void wake(void *user) {
    struct order *o = user;
    struct write *w = o->sent ? NULL : o->first;
    if (w) {
        take(o, w);
        write_attempt(w);
    }
    o->due = false;
    if (!o->sent && o->first)
        wake_later(o); /* that one has not come as far as to the store */
    else
        order_free_if_empty(o);
}

static void wake_later(struct order *o) {
    if (o->due) return;
    o->due = true;
    loop_defer(o->api->loop, wake, o);
}

bool write_waits(struct write *w) {
    struct order *o = orders.n ? map_get(&orders, key_of(w)) : NULL;
    if (!o || !o->sent) return false;
    w->order = o;
    w->next_waiting = NULL;
    if (o->last)
        o->last->next_waiting = w;
    else
        o->first = w;
    o->last = w;
    w->c->r->handler_data = w;
    w->c->r->on_close = on_close;
    return true;
}

void write_order_begin(struct write *w) {
    if (w->ordered) return;
    struct slice key = key_of(w);
    struct order *o = map_get(&orders, key);
    if (!o) {
        o = calloc(1, sizeof *o + key.n + 1);
        if (!o) abort();
        o->api = w->api;
        memcpy(o->key, key.p, key.n);
        map_put(&orders, key, o);
    }
    o->sent++;
    w->ordered = o;
}

void write_order_end(struct write *w) {
    struct order *o = w->ordered;
    w->ordered = NULL;
    if (!o || --o->sent) return;
    if (o->first)
        wake_later(o);
    else
        order_free_if_empty(o);
}
