#include "sp/links/forward_nodes.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/own.h"
#include "sp/links/edge.h"
#include "sp/sp_service.h"

enum { DISTANCE_MAX = 32, NUMBER_MAX = (1 << 24) - 1 };

struct forward_node {
    uint64_t id;
    uint32_t number; /* never used for another one, and never 0: that is here */
    uint32_t refs;   /* links that name it */
    /* of the last update that met it */
    uint64_t update;
    const struct forward *best;
    uint8_t distance;
    char name[SP_FORWARD_NAME_MAX + 1];
};

static struct forward *all;
static struct map nodes; /* by id */
static uint32_t last_number;
static uint64_t last_update;

uint64_t sp_forward_own_id(const struct sp_topology *t) {
    static uint64_t id;
    while (id == 0)
        if (getrandom(&id, sizeof id, 0) != (ssize_t)sizeof id) abort();
    return id ^ map_hash(slice_of(t->config->name));
}

void sp_forward_own_name(const struct sp_topology *t, char ret[SP_FORWARD_NAME_MAX + 1]) {
    char host[65] = "node";
    const char *node = t->service ? t->service->ctx->settings->node_name : NULL;
    if (str_empty(node) && gethostname(host, sizeof host) == 0) host[sizeof host - 1] = 0;
    snprintf(ret, SP_FORWARD_NAME_MAX + 1, "%s/%s", str_or(t->config->organisation, "local"),
             str_or(node, host));
}

struct forward *sp_forward_new(struct sp_link *l) {
    struct forward *f = calloc(1, sizeof *f);
    if (!f) abort();
    f->link = l;
    l->dialect_state = f;
    f->next = all;
    all = f;
    return f;
}

/* ---- nodes ---- */

static struct slice id_key(const uint64_t *id) { return slice_from(id, sizeof *id); }

static struct forward_node *node_ref(const struct sp_forward_node *from) {
    struct forward_node *n = map_get(&nodes, id_key(&from->id));
    if (!n) {
        if (last_number == NUMBER_MAX) return NULL;
        n = calloc(1, sizeof *n);
        if (!n) abort();
        n->id = from->id;
        n->number = ++last_number;
        snprintf(n->name, sizeof n->name, "%.*s", (int)from->name.n, from->name.p);
        map_put(&nodes, id_key(&n->id), n);
    }
    n->refs++;
    return n;
}

static void node_unref(struct forward_node *n) {
    if (--n->refs) return;
    map_del(&nodes, id_key(&n->id));
    free(n);
}

static int by_number(const void *a, const void *b) {
    const struct heard *x = a, *y = b;
    return (x->theirs > y->theirs) - (x->theirs < y->theirs);
}

static void heard_forget(struct forward *f) {
    for (size_t i = 0; i < f->heard.n; i++) node_unref(f->heard.v[i].node);
    f->heard.n = 0;
}

void sp_forward_nodes_heard(struct forward *f, const struct sp_forward_node *v, size_t n) {
    heard_forget(f);
    for (size_t i = 0; i < n; i++) {
        struct forward_node *node = v[i].distance < DISTANCE_MAX ? node_ref(&v[i]) : NULL;
        if (!node) continue;
        vec_push(&f->heard,
                 (struct heard){.theirs = v[i].number, .distance = v[i].distance, .node = node});
    }
    if (f->heard.n) qsort(f->heard.v, f->heard.n, sizeof *f->heard.v, by_number);
}

void sp_forward_leave(struct forward *f) {
    for (struct forward **at = &all; *at; at = &(*at)->next) {
        if (*at != f) continue;
        *at = f->next;
        return;
    }
}

void sp_forward_free(struct forward *f) {
    heard_forget(f);
    vec_done(&f->heard);
    map_done(&f->waiting);
    free(f);
}

/* ---- choosing ---- */

/* Who is of the own organisation is believed first, then the shorter way counts, then the older
 * connection. */
static bool is_better(const struct forward *f, const struct heard *h,
                      const struct forward_node *node) {
    const struct forward *old = node->best;
    bool inside = f->link->pipe.edge->config->kind == SP_EDGE;
    bool old_inside = old->link->pipe.edge->config->kind == SP_EDGE;
    if (inside != old_inside) return inside;
    if (h->distance != node->distance) return h->distance < node->distance;
    return f->link->pipe.opened_ms < old->link->pipe.opened_ms;
}

static void choose(const struct sp_topology *t) {
    uint64_t own = sp_forward_own_id(t);
    last_update++;
    for (struct forward *f = all; f; f = f->next) {
        if (f->link->pipe.topology != t || f->suspended) continue;
        for (size_t i = 0; i < f->heard.n; i++) {
            struct heard *h = &f->heard.v[i];
            struct forward_node *node = h->node;
            if (node->id == own) continue;
            if (node->update == last_update && !is_better(f, h, node)) continue;
            node->update = last_update;
            node->best = f;
            node->distance = h->distance;
        }
    }
    for (struct forward *f = all; f; f = f->next)
        for (size_t i = 0; i < f->heard.n && f->link->pipe.topology == t; i++) {
            struct heard *h = &f->heard.v[i];
            h->chosen = h->node->update == last_update && h->node->best == f;
        }
}

bool sp_forward_nodes_take(struct forward *f, uint32_t theirs, uint32_t *ret) {
    struct heard key = {.theirs = theirs};
    const struct heard *h =
        f->heard.n ? bsearch(&key, f->heard.v, f->heard.n, sizeof key, by_number) : NULL;
    if (!h && f->heard.n) h = &f->heard.v[0]; /* a node that has gone meanwhile */
    if (!h || !h->chosen) return false;
    *ret = h->node->number;
    return true;
}

/* ---- telling ---- */

typedef VEC(struct sp_forward_node) node_vec;

static void list(uint64_t id, const char *name, node_vec *ret) {
    vec_push(ret, (struct sp_forward_node){.id = id, .name = slice_of(name)});
    struct map_entry *e;
    for (size_t i = 0; (e = map_next(&nodes, &i)) && ret->n < SP_FORWARD_NODES_MAX;) {
        const struct forward_node *n = e->value;
        if (n->update != last_update) continue;
        vec_push(ret, (struct sp_forward_node){.id = n->id,
                                               .number = n->number,
                                               .distance = (uint8_t)(n->distance + 1),
                                               .name = slice_of(n->name)});
    }
}

/* Whatever the order of the map is. */
static uint64_t digest(const node_vec *v) {
    uint64_t sum = 1;
    for (size_t i = 0; i < v->n; i++) {
        uint64_t words[] = {v->v[i].id, v->v[i].number, v->v[i].distance};
        sum += map_hash(slice_from(words, sizeof words));
    }
    return sum;
}

void sp_forward_nodes_update(struct sp_topology *t) {
    char own[SP_FORWARD_NAME_MAX + 1];
    node_vec v = {0};
    choose(t);
    sp_forward_own_name(t, own);
    list(sp_forward_own_id(t), own, &v);
    uint64_t sum = digest(&v);
    for (struct forward *f = all; f; f = f->next) {
        if (f->link->pipe.topology != t || !f->up || !f->greeted || f->told == sum) continue;
        f->told = sum;
        sp_forward_up_nodes(f->up, v.v, v.n);
    }
    vec_done(&v);
}
