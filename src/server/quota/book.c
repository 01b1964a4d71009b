#include "server/quota/book.h"

#include <stdlib.h>

#include "base/own.h"

struct charge {
    struct arena *arena;
    struct quota_usage usage;
};

/* ---- spaces ---- */

struct quota_space *quota_space_find(const struct quota_book *b, struct slice ns) {
    return b->spaces.n ? map_get(&b->spaces, ns) : NULL;
}

struct quota_space *quota_space_open(struct quota_book *b, struct slice ns) {
    struct quota_space *s = map_get(&b->spaces, ns);
    if (s) return s;
    s = calloc(1, sizeof *s);
    if (!s) abort();
    s->ns = strndup(ns.p, ns.n);
    if (!s->ns) abort();
    map_put(&b->spaces, ns, s);
    return s;
}

void quota_discard(struct quota *q) {
    arena_free(q->arena);
    free(q);
}

static void charge_free(struct charge *c) {
    if (!c) return;
    arena_free(c->arena);
    free(c);
}

static void space_free(struct quota_space *s) {
    size_t i = 0;
    for (struct map_entry *e; (e = map_next(&s->charges, &i));) charge_free(e->value);
    map_done(&s->charges);
    for (size_t j = 0; j < s->quotas.n; j++) quota_discard(s->quotas.v[j]);
    vec_done(&s->quotas);
    free(s->ns);
    free(s);
}

void quota_space_tidy(struct quota_book *b, struct quota_space *s) {
    if (s->quotas.n || s->promises) return;
    map_del(&b->spaces, slice_of(s->ns));
    space_free(s);
}

void quota_book_done(struct quota_book *b) {
    size_t i = 0;
    for (struct map_entry *e; (e = map_next(&b->spaces, &i));) space_free(e->value);
    map_done(&b->spaces);
}

/* ---- quotas ---- */

static size_t place(const struct quota_space *s, const char *name) {
    size_t i = 0;
    while (i < s->quotas.n && strcmp(s->quotas.v[i]->object->metadata.name, name) < 0) i++;
    return i;
}

struct quota *quota_find(const struct quota_space *s, const char *name) {
    size_t i = place(s, name);
    return i < s->quotas.n && str_eq(s->quotas.v[i]->object->metadata.name, name) ? s->quotas.v[i]
                                                                                  : NULL;
}

static void fill(struct quota *q, struct arena *a, const struct core_v1_resource_quota *o) {
    q->arena = a;
    q->object = o;
    q->n = o->spec.hard.n;
    q->lines = ARENA_ARRAY(a, struct quota_line, q->n ? q->n : 1);
    for (size_t i = 0; i < q->n; i++) {
        q->lines[i].resource = o->spec.hard.v[i].key;
        quantity_parse(o->spec.hard.v[i].value, &q->lines[i].hard);
    }
}

struct quota *quota_put(struct quota_space *s, struct arena *a,
                        const struct core_v1_resource_quota *o) {
    struct quota *q = quota_find(s, o->metadata.name);
    if (q) {
        struct arena *before = q->arena;
        fill(q, a, o);
        arena_free(before);
        return q;
    }
    q = calloc(1, sizeof *q);
    if (!q) abort();
    q->space = s;
    fill(q, a, o);
    size_t at = place(s, o->metadata.name);
    vec_push(&s->quotas, q);
    memmove(s->quotas.v + at + 1, s->quotas.v + at, (s->quotas.n - 1 - at) * sizeof *s->quotas.v);
    s->quotas.v[at] = q;
    return q;
}

void quota_drop(struct quota_space *s, const char *name) {
    size_t i = place(s, name);
    if (i >= s->quotas.n || !str_eq(s->quotas.v[i]->object->metadata.name, name)) return;
    struct quota *q = s->quotas.v[i];
    vec_remove(&s->quotas, i);
    if (q->writing) {
        q->gone = true; /* whoever writes it frees it */
        q->space = NULL;
    } else {
        quota_discard(q);
    }
}

/* ---- use ---- */

static void book(struct quota *q, const struct quota_usage *u, int sign) {
    if (!quota_covers(&q->object->spec, u)) return;
    for (size_t i = 0; i < q->n; i++) {
        const struct quantity *add = quota_amount_find(&u->amounts, q->lines[i].resource);
        if (!add) continue;
        if (sign > 0)
            quantity_add(&q->lines[i].used, add);
        else
            q->lines[i].used.nanos -= add->nanos;
    }
}

static void book_all(struct quota_space *s, const struct quota_usage *u, int sign) {
    for (size_t i = 0; i < s->quotas.n; i++) book(s->quotas.v[i], u, sign);
}

void quota_add_charges(struct quota *q) {
    size_t i = 0;
    for (struct map_entry *e; (e = map_next(&q->space->charges, &i));) {
        const struct charge *c = e->value;
        book(q, &c->usage, 1);
    }
}

void quota_uncharge(struct quota_space *s, const char *key) {
    struct charge *c = map_del(&s->charges, slice_of(key));
    if (!c) return;
    book_all(s, &c->usage, -1);
    charge_free(c);
}

void quota_charge(struct quota_space *s, const char *key, struct arena *a,
                  const struct quota_usage *u) {
    struct charge *c = calloc(1, sizeof *c);
    if (!c) abort();
    *c = (struct charge){a, *u};
    quota_uncharge(s, key);
    map_put(&s->charges, slice_of(key), c);
    book_all(s, &c->usage, 1);
}

void quota_count(struct quota_space *s, struct quota *q, const char *const names[2], int64_t by) {
    for (size_t i = 0; i < s->quotas.n; i++) {
        struct quota *one = s->quotas.v[i];
        if ((q && one != q) || one->object->spec.scopes.n || one->object->spec.scope_selector)
            continue;
        for (size_t j = 0; j < one->n; j++)
            if (str_eq(one->lines[j].resource, names[0]) ||
                (names[1] && str_eq(one->lines[j].resource, names[1])))
                one->lines[j].used.nanos += (__int128)by * 1000000000;
    }
}

const char *quota_lapsed(struct quota_space *s, int64_t now_ns, size_t *at) {
    for (struct map_entry *e; (e = map_next(&s->charges, at));) {
        const struct charge *c = e->value;
        if (c->usage.over_ns && now_ns > c->usage.over_ns &&
            quota_amount_find(&c->usage.amounts, "pods"))
            return e->key;
    }
    return NULL;
}

/* ---- the check ---- */

static struct quantity promised(const struct quota *q, const char *resource) {
    struct quantity sum = {0};
    for (const struct quota_promise *p = q->space->promises; p; p = p->next) {
        const struct quantity *one = quota_amount_find(&p->usage.amounts, resource);
        if (one && quota_covers(&q->object->spec, &p->usage)) quantity_add(&sum, one);
    }
    return sum;
}

static void put(struct buf *b, struct arena *a, const char *resource, const struct quantity *q) {
    buf_printf(b, "%s%s=%s", b->n ? "," : "", resource, quantity_text(a, q));
}

static const char *exceeded(const struct quota *q, struct arena *a, const struct quota_usage *u,
                            const struct quota_amounts *asked) {
    OWN(buf_done) struct buf requested = {0};
    OWN(buf_done) struct buf used = {0};
    OWN(buf_done) struct buf limited = {0};
    for (size_t i = 0; i < q->n; i++) {
        const struct quota_line *l = &q->lines[i];
        const struct quantity *more = quota_amount_find(asked, l->resource);
        if (!more || more->nanos <= 0) continue;
        struct quantity now = l->used, open = promised(q, l->resource);
        quantity_add(&now, &open);
        if (now.nanos + more->nanos <= l->hard.nanos) continue;
        put(&requested, a, l->resource, more);
        put(&used, a, l->resource, &now);
        put(&limited, a, l->resource, &l->hard);
    }
    if (!requested.n) return NULL;
    return arena_printf(a, "exceeded quota: %s, requested: %s, used: %s, limited: %s",
                        q->object->metadata.name, requested.p, used.p, limited.p);
}

const char *quota_refusal(struct quota_space *s, struct arena *a, const struct quota_usage *u,
                          const struct quota_amounts *asked, const struct core_v1_pod_spec *pod) {
    for (size_t i = 0; i < s->quotas.n; i++) {
        const struct quota *q = s->quotas.v[i];
        if (!quota_covers(&q->object->spec, u)) continue;
        const char *missing = pod ? quota_must_specify(a, &q->object->spec, pod) : NULL;
        if (missing)
            return arena_printf(a, "failed quota: %s: must specify %s", q->object->metadata.name,
                                missing);
    }
    for (size_t i = 0; i < s->quotas.n; i++) {
        const struct quota *q = s->quotas.v[i];
        if (!quota_covers(&q->object->spec, u)) continue;
        const char *why = exceeded(q, a, u, asked);
        if (why) return why;
    }
    return NULL;
}

/* ---- promises ---- */

void quota_promise(struct quota_space *s, struct quota_promise *p) {
    struct quota_promise **end = &s->promises;
    while (*end) end = &(*end)->next;
    p->next = NULL;
    p->space = s;
    *end = p;
}

static void take_out(struct quota_promise **at) {
    struct quota_promise *p = *at;
    *at = p->next;
    p->space = NULL;
}

void quota_fulfil(struct quota_space *s, const char *key) {
    for (struct quota_promise **at = &s->promises; *at; at = &(*at)->next) {
        if (!str_eq((*at)->key, key)) continue;
        take_out(at);
        return;
    }
}

struct quota_space *quota_release(struct quota_promise *p) {
    struct quota_space *s = p->space;
    for (struct quota_promise **at = s ? &s->promises : NULL; at && *at; at = &(*at)->next) {
        if (*at != p) continue;
        take_out(at);
        return s;
    }
    return NULL;
}
