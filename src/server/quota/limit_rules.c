#include "server/quota/limit_rules.h"

#include "base/map.h"
#include "base/own.h"
#include "server/quota/usage.h"

/* ---- defaults ---- */

/* Adds what `to` lacks; the names of what was added go to `names`. */
static void fill(struct arena *a, struct str_map *to, const struct str_map *defaults,
                 struct str_list *names) {
    for (size_t i = 0; i < defaults->n; i++)
        if (!str_map_get(to, defaults->v[i].key))
            *ARENA_PUSH(a, names) = defaults->v[i].key; /* sorted, since the map is */
    if (names->n) str_map_fill(a, to, defaults);
}

static void note(struct buf *b, const struct str_list *names, const char *what, const char *sort,
                 const char *container) {
    if (!names->n) return;
    buf_str(b, b->n ? "; " : "LimitRanger plugin set: ");
    for (size_t i = 0; i < names->n; i++) buf_printf(b, "%s%s", i ? ", " : "", names->v[i]);
    buf_printf(b, " %s for %s %s", what, sort, container);
}

static void fill_containers(struct arena *a, const struct core_v1_limit_range_spec *limits,
                            struct core_v1_container_list *l, const char *sort, struct buf *b) {
    for (size_t i = 0; i < l->n; i++) {
        struct core_v1_resource_requirements *r = &l->v[i].resources;
        struct str_list requested = {0}, limited = {0};
        for (size_t j = 0; j < limits->limits.n; j++) {
            const struct core_v1_limit_range_item *item = &limits->limits.v[j];
            if (!str_eq(item->type, "Container")) continue;
            fill(a, &r->limits, &item->default_, &limited);
            fill(a, &r->requests, &item->default_request, &requested);
        }
        note(b, &requested, "request", sort, l->v[i].name);
        note(b, &limited, "limit", sort, l->v[i].name);
    }
}

void limit_defaults(struct arena *a, const struct core_v1_limit_range_spec *limits,
                    struct core_v1_pod *pod) {
    OWN(buf_done) struct buf b = {0};
    fill_containers(a, limits, &pod->spec.containers, "container", &b);
    fill_containers(a, limits, &pod->spec.init_containers, "init container", &b);
    if (b.n)
        str_map_set(a, &pod->metadata.annotations, "kubernetes.io/limit-ranger",
                    arena_strn(a, buf_view(&b)));
}

/* ---- bounds ---- */

/* What one container, pod or claim asks for. */
struct wanted {
    const char *type; /* Container, Pod, PersistentVolumeClaim */
    struct quota_amounts requests, limits;
};

struct reasons {
    struct arena *a;
    struct str_list list;
};

static void add(struct reasons *r, const char *text) { *ARENA_PUSH(r->a, &r->list) = text; }

static const char *number(struct reasons *r, const struct quantity *q) {
    return quantity_text(r->a, q);
}

static void check_min(struct reasons *r, const struct wanted *w, const char *name,
                      const struct quantity *bound) {
    const struct quantity *request = quota_amount_find(&w->requests, name);
    const struct quantity *limit = quota_amount_find(&w->limits, name);
    const char *head =
        arena_printf(r->a, "minimum %s usage per %s is %s", name, w->type, number(r, bound));
    if (!request)
        add(r, arena_printf(r->a, "%s.  No request is specified", head));
    else if (request->nanos < bound->nanos)
        add(r, arena_printf(r->a, "%s, but request is %s", head, number(r, request)));
    else if (limit && limit->nanos < bound->nanos)
        add(r, arena_printf(r->a, "%s, but limit is %s", head, number(r, limit)));
}

static void check_max(struct reasons *r, const struct wanted *w, const char *name,
                      const struct quantity *bound) {
    const struct quantity *request = quota_amount_find(&w->requests, name);
    const struct quantity *limit = quota_amount_find(&w->limits, name);
    const char *head =
        arena_printf(r->a, "maximum %s usage per %s is %s", name, w->type, number(r, bound));
    bool claim = str_eq(w->type, "PersistentVolumeClaim"); /* has requests only */
    if (claim && !request)
        add(r, arena_printf(r->a, "%s.  No request is specified", head));
    else if (!claim && !limit)
        add(r, arena_printf(r->a, "%s.  No limit is specified", head));
    else if (!claim && limit->nanos > bound->nanos)
        add(r, arena_printf(r->a, "%s, but limit is %s", head, number(r, limit)));
    else if (request && request->nanos > bound->nanos)
        add(r, arena_printf(r->a, "%s, but request is %s", head, number(r, request)));
}

static void check_ratio(struct reasons *r, const struct wanted *w, const char *name,
                        const struct quantity *bound) {
    const struct quantity *request = quota_amount_find(&w->requests, name);
    const struct quantity *limit = quota_amount_find(&w->limits, name);
    const char *head = arena_printf(r->a, "%s max limit to request ratio per %s is %s", name,
                                    w->type, number(r, bound));
    if (!request || !request->nanos) {
        add(r, arena_printf(r->a, "%s, but no request is specified or request is 0", head));
    } else if (!limit || !limit->nanos) {
        add(r, arena_printf(r->a, "%s, but no limit is specified or limit is 0", head));
    } else {
        double ratio = (double)limit->nanos / (double)request->nanos;
        if (ratio > (double)bound->nanos / 1e9)
            add(r, arena_printf(r->a, "%s, but provided ratio is %f", head, ratio));
    }
}

typedef void check_fn(struct reasons *r, const struct wanted *w, const char *name,
                      const struct quantity *bound);

static void check_each(struct reasons *r, const struct wanted *w, const struct str_map *bounds,
                       check_fn *check) {
    for (size_t i = 0; i < bounds->n; i++) {
        struct quantity bound;
        if (quantity_parse(bounds->v[i].value, &bound)) check(r, w, bounds->v[i].key, &bound);
    }
}

static void check_item(struct reasons *r, const struct core_v1_limit_range_item *item,
                       const struct wanted *w) {
    check_each(r, w, &item->min, check_min);
    check_each(r, w, &item->max, check_max);
    if (!str_eq(w->type, "PersistentVolumeClaim"))
        check_each(r, w, &item->max_limit_request_ratio, check_ratio);
}

static void amounts_of(struct arena *a, const struct str_map *m, struct quota_amounts *ret) {
    for (size_t i = 0; i < m->n; i++) {
        struct quantity q;
        if (!quantity_parse(m->v[i].value, &q)) continue;
        *ARENA_PUSH(a, ret) = (struct quota_amount){m->v[i].key, q};
    }
}

static void check_containers(struct reasons *r, const struct core_v1_limit_range_item *item,
                             const struct core_v1_container_list *l) {
    for (size_t i = 0; i < l->n; i++) {
        struct wanted w = {.type = "Container"};
        amounts_of(r->a, &l->v[i].resources.requests, &w.requests);
        amounts_of(r->a, &l->v[i].resources.limits, &w.limits);
        check_item(r, item, &w);
    }
}

/* As upstream prints several errors at once: without doubles, in brackets. */
static const char *joined(struct reasons *r) {
    OWN(buf_done) struct buf b = {0};
    OWN(map_done) struct map seen = {0};
    size_t n = 0;
    for (size_t i = 0; i < r->list.n; i++) {
        if (map_seen(&seen, slice_of(r->list.v[i]))) continue;
        buf_printf(&b, "%s%s", n++ ? ", " : "", r->list.v[i]);
    }
    if (!n) return NULL;
    return n == 1 ? arena_strn(r->a, buf_view(&b)) : arena_printf(r->a, "[%s]", b.p);
}

const char *limit_refuses_pod(struct arena *a, const struct core_v1_limit_range_spec *limits,
                              const struct core_v1_pod_spec *pod) {
    struct reasons r = {.a = a};
    for (size_t i = 0; i < limits->limits.n; i++) {
        const struct core_v1_limit_range_item *item = &limits->limits.v[i];
        if (str_eq(item->type, "Container")) {
            check_containers(&r, item, &pod->containers);
            check_containers(&r, item, &pod->init_containers);
        } else if (str_eq(item->type, "Pod")) {
            struct wanted w = {.type = "Pod"};
            quota_pod_resources(a, pod, false, false, &w.requests);
            quota_pod_resources(a, pod, true, false, &w.limits);
            check_item(&r, item, &w);
        }
    }
    return joined(&r);
}

const char *limit_refuses_claim(struct arena *a, const struct core_v1_limit_range_spec *limits,
                                const struct core_v1_persistent_volume_claim_spec *claim) {
    struct reasons r = {.a = a};
    struct wanted w = {.type = "PersistentVolumeClaim"};
    amounts_of(a, &claim->resources.requests, &w.requests);
    for (size_t i = 0; i < limits->limits.n; i++)
        if (str_eq(limits->limits.v[i].type, w.type)) check_item(&r, &limits->limits.v[i], &w);
    return joined(&r);
}
