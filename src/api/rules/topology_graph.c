#include "api/rules/topology_graph.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/own.h"
#include "base/vec.h"
#include "proto/sp/address.h"

/* One side of an edge. Only two ends with the same key can meet. */
struct end {
    uint64_t key;
    struct sp_address address;
    bool listens;
    size_t topology;
    const char *pattern, *role, *field; /* field: of the topology that is looked at */
};

/* Messages, or questions, can pass from one topology to another. */
struct passage {
    size_t from, to, link;
    const char *field;
};

struct graph {
    struct arena *a;
    const struct sp_v1_topology **v; /* [0] is the one that is looked at */
    size_t n;
    VEC(struct end) ends;
    VEC(struct passage) passages;
};

/* Roles from which messages or questions go out; those of bus and pair go both ways. */
static bool role_sends(const char *role) {
    return str_eq(role, "pub") || str_eq(role, "push") || str_eq(role, "req") ||
           str_eq(role, "surveyor") || str_eq(role, "bus") || str_eq(role, "pair");
}

static bool role_gets(const char *role) {
    return !role_sends(role) || str_eq(role, "bus") || str_eq(role, "pair");
}

static uint64_t address_key(const struct sp_address *a) {
    uint64_t h = 1469598103934665603ULL ^ a->port ^ ((uint64_t)a->scheme << 32);
    for (const char *p = a->path; *p; p++) h = (h ^ (unsigned char)*p) * 1099511628211ULL;
    return h;
}

static void add_ends(struct graph *g, size_t topology, const struct sp_v1_topology_edge_list *l,
                     const char *list) {
    const struct sp_v1_topology *t = g->v[topology];
    for (size_t i = 0; i < l->n; i++) {
        const struct sp_v1_topology_edge *e = &l->v[i];
        struct end end = {.topology = topology, .pattern = t->spec.pattern, .role = e->role};
        end.listens = !str_empty(e->listen);
        const char *text = end.listens ? e->listen : e->dial;
        if (str_empty(text) || str_empty(e->role)) continue;
        if (sp_address_parse(text, end.listens, &end.address, NULL) < 0) continue;
        end.key = address_key(&end.address);
        if (!topology)
            end.field =
                arena_printf(g->a, "spec.%s[%zu].%s", list, i, end.listens ? "listen" : "dial");
        vec_push(&g->ends, end);
    }
}

static int by_key(const void *x, const void *y) {
    const struct end *a = x, *b = y;
    if (a->key != b->key) return a->key < b->key ? -1 : 1;
    return (int)b->listens - (int)a->listens; /* listeners first */
}

static void meet(struct graph *g, const struct end *dial, const struct end *listen, size_t link) {
    if (!str_eq(dial->pattern, listen->pattern)) return;
    if (!sp_address_reaches(&dial->address, &listen->address)) return;
    const char *field = dial->field ? dial->field : listen->field;
    if (role_sends(dial->role) && role_gets(listen->role))
        vec_push(&g->passages, (struct passage){dial->topology, listen->topology, link, field});
    if (role_sends(listen->role) && role_gets(dial->role))
        vec_push(&g->passages, (struct passage){listen->topology, dial->topology, link, field});
}

static void meet_all(struct graph *g) {
    size_t link = 0;
    if (g->ends.n) qsort(g->ends.v, g->ends.n, sizeof *g->ends.v, by_key);
    for (size_t i = 0; i < g->ends.n; i++) {
        const struct end *l = &g->ends.v[i];
        for (size_t j = i + 1; l->listens && j < g->ends.n && g->ends.v[j].key == l->key; j++)
            if (!g->ends.v[j].listens) meet(g, &g->ends.v[j], l, link++);
    }
}

static int by_from(const void *x, const void *y) {
    const struct passage *a = x, *b = y;
    if (a->from != b->from) return a->from < b->from ? -1 : 1;
    if (a->link != b->link) return a->link < b->link ? -1 : 1;
    return 0;
}

/* first[t] … first[t + 1]: passages that leave t. */
static size_t *index_passages(struct graph *g) {
    size_t *first = ARENA_ARRAY(g->a, size_t, g->n + 1);
    if (g->passages.n) qsort(g->passages.v, g->passages.n, sizeof *g->passages.v, by_from);
    for (size_t i = 0; i < g->passages.n; i++) first[g->passages.v[i].from + 1]++;
    for (size_t t = 0; t < g->n; t++) first[t + 1] += first[t];
    return first;
}

static const char *cycle_text(struct graph *g, const size_t *came_by, size_t last) {
    const char *text = g->v[0]->metadata.name;
    for (size_t t = last; t; t = g->passages.v[came_by[t]].from)
        text = arena_printf(g->a, "%s → %s", g->v[t]->metadata.name, text);
    return arena_printf(g->a, "closes a cycle: %s → %s", g->v[0]->metadata.name, text);
}

/* A way that leaves topology 0 by this passage and comes back by another link. */
static const char *way_back(struct graph *g, const size_t *first, size_t start) {
    const struct passage *out = &g->passages.v[start];
    size_t *came_by = ARENA_ARRAY(g->a, size_t, g->n), *queue = ARENA_ARRAY(g->a, size_t, g->n);
    if (!out->to) return cycle_text(g, came_by, 0);
    bool *seen = ARENA_ARRAY(g->a, bool, g->n);
    size_t n = 0;
    came_by[out->to] = start;
    seen[out->to] = true;
    queue[n++] = out->to;
    for (size_t done = 0; done < n; done++) {
        size_t here = queue[done], by = g->passages.v[came_by[here]].link;
        for (size_t i = first[here]; i < first[here + 1]; i++) {
            const struct passage *p = &g->passages.v[i];
            if (p->link == out->link || p->link == by) continue;
            if (!p->to) return cycle_text(g, came_by, here);
            if (seen[p->to]) continue;
            seen[p->to] = true;
            came_by[p->to] = i;
            queue[n++] = p->to;
        }
    }
    return NULL;
}

const char *topology_cycle(struct arena *a, const struct sp_v1_topology *t,
                           const struct sp_v1_topology *const *others, size_t n_others,
                           const char **ret_field) {
    struct graph g = {.a = a, .v = ARENA_ARRAY(a, const struct sp_v1_topology *, n_others + 1)};
    const char *found = NULL;
    g.v[g.n++] = t;
    for (size_t i = 0; i < n_others; i++)
        if (!str_eq(others[i]->metadata.name, t->metadata.name)) g.v[g.n++] = others[i];
    for (size_t i = 0; i < g.n; i++) {
        add_ends(&g, i, &g.v[i]->spec.edges, "edges");
        add_ends(&g, i, &g.v[i]->spec.exports, "exports");
        add_ends(&g, i, &g.v[i]->spec.imports, "imports");
    }
    meet_all(&g);
    size_t *first = index_passages(&g);
    for (size_t i = first[0]; i < first[1] && !found; i++)
        if ((found = way_back(&g, first, i))) *ret_field = g.passages.v[i].field;
    vec_done(&g.ends);
    vec_done(&g.passages);
    return found;
}

const char *topology_filter_name(struct arena *a, const struct sp_v1_topology_filter *f) {
    OWN(buf_done) struct buf b = {0};
    static const char plain[] = "-_.~%+:=,@";
    if (!str_empty(f->name)) return f->name;
    for (const char *p = str_or(f->prefix, ""); *p; p++) {
        char c = *p;
        bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (alnum || strchr(plain, c))
            buf_char(&b, c);
        else
            buf_printf(&b, "%%%02X", (unsigned)(unsigned char)c);
    }
    return arena_strn(a, buf_view(&b));
}

int topology_filters_file(const char *topology, char ret[TOPOLOGY_FILTERS_FILE_BYTES]) {
    if (str_empty(topology) || *topology == '.' || strchr(topology, '/')) return -EINVAL;
    int n = snprintf(ret, TOPOLOGY_FILTERS_FILE_BYTES, "%s.filters", topology);
    return n < TOPOLOGY_FILTERS_FILE_BYTES ? 0 : -EINVAL;
}
