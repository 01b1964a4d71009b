#include "scheduler/snapshot/quotas.h"

#include <stdlib.h>
#include <string.h>

#include "api/values/quantity.h"
#include "base/own.h"
#include "scheduler/snapshot/snapshot.h"

static void lines_done(struct quota_line *v, size_t n) {
    for (size_t i = 0; i < n; i++) free(v[i].resource);
    free(v);
}

static void quota_free(struct quota *q) {
    if (!q) return;
    lines_done(q->lines.v, q->lines.n);
    free(q->namespace);
    free(q->name);
    free(q->created);
    free(q);
}

void quotas_done(struct quotas *q) {
    size_t at = 0;
    struct map_entry *e;
    while ((e = map_next(&q->by_namespace, &at))) quota_free(e->value);
    map_done(&q->by_namespace);
    lines_done(q->all.v, q->all.n);
    *q = (struct quotas){0};
}

const struct quota *quota_of(const struct snapshot *s, const char *namespace) {
    return s->quotas.by_namespace.n ? map_gets(&s->quotas.by_namespace, namespace) : NULL;
}

static int64_t asks_of(const struct resources *r, const char *resource) {
    if (strcmp(resource, "cpu") == 0) return r->cpu_milli;
    if (strcmp(resource, "memory") == 0) return r->memory_bytes;
    if (strcmp(resource, "ephemeral-storage") == 0) return r->ephemeral_bytes;
    if (strcmp(resource, "pods") == 0) return r->pods;
    return extended_amount(r, resource);
}

static char *copy_str(const char *s) {
    char *p = strdup(str_or(s, ""));
    if (!p) abort();
    return p;
}

static size_t line_at(struct quota_line *v, size_t n, const char *resource) {
    for (size_t i = 0; i < n; i++)
        if (strcmp(v[i].resource, resource) == 0) return i;
    return n;
}

static int64_t amount_of(const struct str_pair *p) {
    return strcmp(p->key, "cpu") == 0 ? quantity_milli(p->value) : quantity_value(p->value);
}

static void read_amounts(struct quota *q, const struct str_map *m, bool max) {
    for (size_t i = 0; i < m->n; i++) {
        size_t at = line_at(q->lines.v, q->lines.n, m->v[i].key);
        if (at == q->lines.n)
            vec_push(&q->lines, (struct quota_line){.resource = copy_str(m->v[i].key), .max = -1});
        *(max ? &q->lines.v[at].max : &q->lines.v[at].min) = amount_of(&m->v[i]);
    }
}

/* Few quotas, rarely changed. */
static void sum_all(struct quotas *q) {
    size_t at = 0;
    struct map_entry *e;
    lines_done(q->all.v, q->all.n);
    memset(&q->all, 0, sizeof q->all);
    while ((e = map_next(&q->by_namespace, &at))) {
        const struct quota *one = e->value;
        for (size_t i = 0; i < one->lines.n; i++) {
            size_t j = line_at(q->all.v, q->all.n, one->lines.v[i].resource);
            if (j == q->all.n)
                vec_push(&q->all,
                         (struct quota_line){.resource = copy_str(one->lines.v[i].resource)});
            q->all.v[j].min += one->lines.v[i].min;
            q->all.v[j].used += one->lines.v[i].used;
            q->all.v[j].leaving += one->lines.v[i].leaving;
            q->all.v[j].promised += one->lines.v[i].promised;
        }
    }
    q->epoch++;
}

static void count_line(struct quota_line *l, const struct pod_class *c, enum quota_use use,
                       int sign) {
    int64_t *to[] = {&l->used, &l->leaving, &l->promised};
    *to[use] += sign * asks_of(&c->asks, l->resource);
}

static void count_in(struct quota *q, const struct pod_class *c, enum quota_use use) {
    for (size_t i = 0; i < q->lines.n; i++) count_line(&q->lines.v[i], c, use, 1);
}

static void count_all(const struct snapshot *s, struct quota *q) {
    size_t at = 0;
    struct map_entry *e;
    const struct sched_pod *p;
    while ((p = set_next(&s->pods, &at))) {
        if (!str_eq(p->class->namespace, q->namespace)) continue;
        count_in(q, p->class, QUOTA_USED);
        if (p->leaving) count_in(q, p->class, QUOTA_LEAVING);
    }
    for (at = 0; (e = map_next(&s->nominated_by_uid, &at));) {
        const struct nominated *m = e->value;
        if (str_eq(m->class->namespace, q->namespace)) count_in(q, m->class, QUOTA_PROMISED);
    }
}

void quotas_put(struct snapshot *s, const struct scheduling_v1alpha1_elastic_quota *o) {
    const char *namespace = str_or(o->metadata.namespace, "");
    const struct quota *old = quota_of(s, namespace);
    const char *created = str_or(o->metadata.creation_timestamp, "");
    if (old && !str_eq(old->name, o->metadata.name) && strcmp(old->created, created) <= 0) return;
    struct quota *q = calloc(1, sizeof *q);
    if (!q) abort();
    q->namespace = copy_str(namespace);
    q->name = copy_str(o->metadata.name);
    q->created = copy_str(created);
    read_amounts(q, &o->spec.min, false);
    read_amounts(q, &o->spec.max, true);
    count_all(s, q);
    quota_free(map_put(&s->quotas.by_namespace, slice_of(namespace), q));
    q->changed = true;
    sum_all(&s->quotas);
}

void quotas_remove(struct snapshot *s, const char *namespace, const char *name) {
    const struct quota *q = quota_of(s, namespace);
    if (!q || !str_eq(q->name, name)) return;
    quota_free(map_del(&s->quotas.by_namespace, slice_of(namespace)));
    sum_all(&s->quotas);
}

void quotas_count(struct snapshot *s, const struct pod_class *c, enum quota_use use, int sign) {
    if (!s->quotas.by_namespace.n) return;
    struct quota *q = map_gets(&s->quotas.by_namespace, c->namespace);
    if (!q) return;
    q->changed = true;
    for (size_t i = 0; i < q->lines.n; i++) {
        struct quota_line *l = &q->lines.v[i];
        count_line(l, c, use, sign);
        size_t j = line_at(s->quotas.all.v, s->quotas.all.n, l->resource);
        if (j < s->quotas.all.n) count_line(&s->quotas.all.v[j], c, use, sign);
    }
}

const char *quota_refuses(struct arena *a, const struct snapshot *s, const struct pod_class *c) {
    const struct quota *q = quota_of(s, c->namespace);
    if (!q) return NULL;
    for (size_t i = 0; i < q->lines.n; i++) {
        const struct quota_line *l = &q->lines.v[i];
        int64_t asks = asks_of(&c->asks, l->resource);
        if (asks && l->max >= 0 && l->used + l->promised + asks > l->max)
            return arena_printf(a, "the namespace would have more %s than max of ElasticQuota %s.",
                                l->resource, q->name);
    }
    /* Only what others do not use of their min is lent. */
    for (size_t i = 0; quota_over_min(s, c, true) && i < q->lines.n; i++) {
        const struct quota_line *l = &q->lines.v[i];
        const struct quota_line *all =
            &s->quotas.all.v[line_at(s->quotas.all.v, s->quotas.all.n, l->resource)];
        int64_t asks = asks_of(&c->asks, l->resource);
        if (asks && all->min && l->used + l->promised + asks > l->min &&
            all->used + all->promised + asks > all->min)
            return arena_printf(a,
                                "no %s is left to lend: the namespace has its min of "
                                "ElasticQuota %s, and the others use theirs.",
                                l->resource, q->name);
    }
    return NULL;
}

bool quota_over_min(const struct snapshot *s, const struct pod_class *c, bool more) {
    const struct quota *q = quota_of(s, c->namespace);
    for (size_t i = 0; q && i < q->lines.n; i++) {
        const struct quota_line *l = &q->lines.v[i];
        int64_t asks = asks_of(&c->asks, l->resource);
        int64_t has = l->used - l->leaving + (more ? l->promised + asks : 0);
        if (asks && has > l->min) return true;
    }
    return false;
}

double quota_share(const struct quota *q) {
    double share = 0;
    for (size_t i = 0; i < q->lines.n; i++) {
        const struct quota_line *l = &q->lines.v[i];
        double one = (double)l->used / (double)MAX_OF(l->min, (int64_t)1);
        share = MAX_OF(share, one);
    }
    return share;
}
