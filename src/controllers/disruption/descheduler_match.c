/* Where a pod fits: what the scheduler's filters ask, on the descheduler's picture. */
#include "api/rules/node_match.h"
#include "api/rules/pods.h"
#include "api/values/selector.h"
#include "base/own.h"
#include "controllers/disruption/descheduler.h"

/* ---- terms ---- */

static void require(struct arena *a, struct meta_v1_label_selector *l, const char *key,
                    const char *operator, const char * value) {
    struct meta_v1_label_selector_requirement *r = ARENA_PUSH(a, &l->match_expressions);
    *r = (struct meta_v1_label_selector_requirement){.key = key, .operator= operator};
    *ARENA_PUSH(a, &r->values) = value;
}

/* With the pod's own values of the keys that must be, or must not be, the same. */
static struct selector *selector_of(struct arena *a, const struct core_v1_pod *pod,
                                    const struct meta_v1_label_selector *from,
                                    const struct str_list *same, const struct str_list *other) {
    struct meta_v1_label_selector l = {0};
    struct selector *s;
    struct err err;
    for (size_t i = 0; from && i < from->match_expressions.n; i++)
        *ARENA_PUSH(a, &l.match_expressions) = from->match_expressions.v[i];
    if (from) l.match_labels = from->match_labels;
    const struct {
        const struct str_list *keys;
        const char *operator;
    } more[] = {{same, "In"}, {other, "NotIn"}};
    for (size_t k = 0; k < ARRAY_LEN(more); k++)
        for (size_t i = 0; more[k].keys && i < more[k].keys->n; i++) {
            const char *value = str_map_get(&pod->metadata.labels, more[k].keys->v[i]);
            if (value) require(a, &l, more[k].keys->v[i], more[k].operator, value);
        }
    return selector_from_labels(a, from ? &l : NULL, &s, &err) == 0 ? s : NULL;
}

struct pod_term pod_term_make(struct view *v, const struct core_v1_pod *pod,
                              const struct core_v1_pod_affinity_term *t) {
    struct pod_term out = {.topology = view_topology(v, str_or(t->topology_key, "")),
                           .namespace_list = t->namespaces};
    struct err err;
    out.labels =
        selector_of(v->a, pod, t->label_selector, &t->match_label_keys, &t->mismatch_label_keys);
    if (t->namespace_selector &&
        selector_from_labels(v->a, t->namespace_selector, &out.namespaces, &err) < 0)
        out.namespaces = NULL;
    if (!t->namespaces.n && !t->namespace_selector)
        *ARENA_PUSH(v->a, &out.namespace_list) = pod->metadata.namespace;
    return out;
}

static bool pod_term_selects(const struct view *v, const struct pod_term *t,
                             const struct core_v1_pod *other) {
    bool inside = false;
    for (size_t i = 0; i < t->namespace_list.n && !inside; i++)
        inside = str_eq(t->namespace_list.v[i], other->metadata.namespace);
    if (!inside && t->namespaces) {
        const struct api_object *o = world_get(v->w, "Namespace", NULL, other->metadata.namespace);
        inside = o && selector_matches(t->namespaces, &o->metadata.labels);
    }
    return inside && t->labels && selector_matches(t->labels, &other->metadata.labels);
}

/* ---- a question ---- */

struct counted { /* pods by domain */
    struct topology *topology;
    int32_t *by_domain;
    int64_t all;
};

struct spread { /* one hard constraint */
    struct counted counted;
    const struct core_v1_topology_spread_constraint *constraint;
    int32_t least;
    bool self;
};

struct ban { /* a domain that another pod's anti-affinity closes */
    struct topology *topology;
    uint32_t domain;
};

struct fit {
    struct view *v;
    const struct resident *r;
    struct counted *affinity, *anti;
    size_t n_affinity, n_anti;
    bool first_of_kind; /* nobody matches the affinity but the pod itself: any domain will do */
    struct spread *spread;
    size_t n_spread;
    struct {
        struct ban *v;
        size_t n;
    } bans;
};

static uint32_t domain_at(const struct topology *t, const struct place *p) {
    return t->of_place[p->index];
}

static struct counted counted_new(struct arena *a, struct topology *t) {
    return (struct counted){.topology = t, .by_domain = ARENA_ARRAY(a, int32_t, t->n + 1)};
}

static void counted_add(struct counted *c, const struct place *p) {
    uint32_t d = domain_at(c->topology, p);
    if (d == NO_DOMAIN) return;
    c->by_domain[d]++;
    c->all++;
}

static void prepare_affinity(struct fit *q, const struct core_v1_pod_affinity *affinity) {
    struct view *v = q->v;
    size_t n = affinity ? affinity->required_during_scheduling_ignored_during_execution.n : 0;
    if (!n) return;
    struct pod_term *terms = ARENA_ARRAY(v->a, struct pod_term, n);
    q->affinity = ARENA_ARRAY(v->a, struct counted, n);
    q->n_affinity = n;
    bool self = true;
    for (size_t i = 0; i < n; i++) {
        terms[i] = pod_term_make(
            v, q->r->pod, &affinity->required_during_scheduling_ignored_during_execution.v[i]);
        q->affinity[i] = counted_new(v->a, terms[i].topology);
        self &= pod_term_selects(v, &terms[i], q->r->pod);
    }
    for (size_t i = 0; i < v->residents.n; i++) {
        const struct resident *o = &v->residents.v[i];
        bool all = o != q->r;
        for (size_t t = 0; t < n && all; t++) all = pod_term_selects(v, &terms[t], o->pod);
        for (size_t t = 0; t < n && all; t++) counted_add(&q->affinity[t], o->place);
    }
    q->first_of_kind = self && !q->affinity[0].all;
}

static void prepare_anti(struct fit *q, const struct core_v1_pod_anti_affinity *anti) {
    struct view *v = q->v;
    size_t n = anti ? anti->required_during_scheduling_ignored_during_execution.n : 0;
    q->anti = ARENA_ARRAY(v->a, struct counted, n + 1);
    q->n_anti = n;
    for (size_t t = 0; t < n; t++) {
        struct pod_term term = pod_term_make(
            v, q->r->pod, &anti->required_during_scheduling_ignored_during_execution.v[t]);
        q->anti[t] = counted_new(v->a, term.topology);
        for (size_t i = 0; i < v->residents.n; i++)
            if (&v->residents.v[i] != q->r && pod_term_selects(v, &term, v->residents.v[i].pod))
                counted_add(&q->anti[t], v->residents.v[i].place);
    }
    for (size_t i = 0; i < v->keepers.n; i++) {
        const struct keeper *k = &v->keepers.v[i];
        for (size_t t = 0; t < k->n && k->resident != q->r; t++) {
            struct topology *topology = k->terms[t].topology;
            uint32_t d = domain_at(topology, k->resident->place);
            if (d != NO_DOMAIN && pod_term_selects(v, &k->terms[t], q->r->pod))
                *ARENA_PUSH(v->a, &q->bans) = (struct ban){topology, d};
        }
    }
}

static bool counts_node(const struct fit *q, const struct spread *s, const struct place *p) {
    const struct core_v1_pod_spec *spec = &q->r->pod->spec;
    bool by_affinity = !str_eq(s->constraint->node_affinity_policy, "Ignore");
    bool by_taints = str_eq(s->constraint->node_taints_policy, "Honor");
    return domain_at(s->counted.topology, p) != NO_DOMAIN &&
           (!by_affinity || pod_selects_node(spec, p->object)) &&
           (!by_taints || !pod_untolerated_taint(spec, p->object, true));
}

static void prepare_spread(struct fit *q) {
    struct view *v = q->v;
    const struct core_v1_pod *pod = q->r->pod;
    const struct core_v1_topology_spread_constraint_list *list =
        &pod->spec.topology_spread_constraints;
    q->spread = ARENA_ARRAY(v->a, struct spread, list->n + 1);
    for (size_t c = 0; c < list->n; c++) {
        if (str_eq(list->v[c].when_unsatisfiable, "ScheduleAnyway")) continue;
        struct spread *s = &q->spread[q->n_spread++];
        struct topology *t = view_topology(v, str_or(list->v[c].topology_key, ""));
        struct selector *labels =
            selector_of(v->a, pod, list->v[c].label_selector, &list->v[c].match_label_keys, NULL);
        *s = (struct spread){.constraint = &list->v[c], .counted = counted_new(v->a, t)};
        s->self = labels && selector_matches(labels, &pod->metadata.labels);
        for (size_t i = 0; labels && i < v->residents.n; i++) {
            const struct resident *o = &v->residents.v[i];
            if (o != q->r && str_eq(o->pod->metadata.namespace, pod->metadata.namespace) &&
                !pod_is_terminating(o->pod) && counts_node(q, s, o->place) &&
                selector_matches(labels, &o->pod->metadata.labels))
                counted_add(&s->counted, o->place);
        }
        bool *live = ARENA_ARRAY(v->a, bool, t->n + 1);
        int32_t domains = 0;
        for (size_t i = 0; i < v->places.n; i++) {
            if (!counts_node(q, s, &v->places.v[i])) continue;
            uint32_t d = t->of_place[i];
            s->least =
                domains ? MIN_OF(s->least, s->counted.by_domain[d]) : s->counted.by_domain[d];
            domains += !live[d];
            live[d] = true;
        }
        if (domains < int_or(list->v[c].min_domains, 1)) s->least = 0;
    }
}

struct fit *fit_new(struct view *v, const struct resident *r) {
    struct fit *q = ARENA_NEW(v->a, struct fit);
    const struct core_v1_affinity *affinity = r->pod->spec.affinity;
    *q = (struct fit){.v = v, .r = r};
    prepare_affinity(q, affinity ? affinity->pod_affinity : NULL);
    prepare_anti(q, affinity ? affinity->pod_anti_affinity : NULL);
    prepare_spread(q);
    return q;
}

/* ---- answers ---- */

static bool affinity_holds(const struct fit *q, const struct place *p) {
    for (size_t i = 0; i < q->n_affinity; i++) {
        uint32_t d = domain_at(q->affinity[i].topology, p);
        if (d == NO_DOMAIN || (!q->affinity[i].by_domain[d] && !q->first_of_kind)) return false;
    }
    return true;
}

static bool is_kept_apart(const struct fit *q, const struct place *p) {
    for (size_t i = 0; i < q->n_anti; i++) {
        uint32_t d = domain_at(q->anti[i].topology, p);
        if (d != NO_DOMAIN && q->anti[i].by_domain[d]) return true;
    }
    for (size_t i = 0; i < q->bans.n; i++)
        if (domain_at(q->bans.v[i].topology, p) == q->bans.v[i].domain) return true;
    return false;
}

static bool spread_holds(const struct fit *q, const struct place *p) {
    for (size_t i = 0; i < q->n_spread; i++) {
        const struct spread *s = &q->spread[i];
        uint32_t d = domain_at(s->counted.topology, p);
        if (d == NO_DOMAIN) return false;
        if ((int64_t)s->counted.by_domain[d] + s->self - s->least > s->constraint->max_skew)
            return false;
    }
    return true;
}

static bool shares_port(const struct core_v1_pod *x, const struct core_v1_pod *y) {
    for (size_t i = 0; i < x->spec.containers.n; i++)
        for (size_t j = 0; j < x->spec.containers.v[i].ports.n; j++) {
            const struct core_v1_container_port *p = &x->spec.containers.v[i].ports.v[j];
            for (size_t k = 0; p->host_port && k < y->spec.containers.n; k++)
                for (size_t l = 0; l < y->spec.containers.v[k].ports.n; l++)
                    if (y->spec.containers.v[k].ports.v[l].host_port == p->host_port) return true;
        }
    return false;
}

static bool has_host_port(const struct core_v1_pod *pod) { return shares_port(pod, pod); }

static bool has_room(const struct fit *q, const struct place *p) {
    const struct view *v = q->v;
    for (size_t i = 0; i < v->resources.n; i++) {
        int64_t used = p->used[i] - (p == q->r->place ? q->r->asks[i] : 0), after;
        if (q->r->asks[i] &&
            (__builtin_add_overflow(used, q->r->asks[i], &after) || after > p->offers[i]))
            return false;
    }
    for (size_t i = 0; has_host_port(q->r->pod) && i < v->residents.n; i++)
        if (&v->residents.v[i] != q->r && v->residents.v[i].place == p &&
            shares_port(q->r->pod, v->residents.v[i].pod))
            return false;
    return true;
}

/* Its volumes can be used there: claims are bound, and their volumes reach the node. */
static bool volumes_reach(const struct fit *q, const struct place *p) {
    const struct core_v1_pod *pod = q->r->pod;
    for (size_t i = 0; i < pod->spec.volumes.n; i++) {
        const struct core_v1_persistent_volume_claim_volume_source *source =
            pod->spec.volumes.v[i].persistent_volume_claim;
        if (!source) continue;
        const struct core_v1_persistent_volume_claim *claim =
            (const void *)world_get(q->v->w, "PersistentVolumeClaim", pod->metadata.namespace,
                                    str_or(source->claim_name, ""));
        const struct core_v1_persistent_volume *volume =
            claim ? (const void *)world_get(q->v->w, "PersistentVolume", NULL,
                                            str_or(claim->spec.volume_name, ""))
                  : NULL;
        if (!volume) return false;
        if (volume->spec.node_affinity && volume->spec.node_affinity->required &&
            !node_selector_matches(volume->spec.node_affinity->required, p->object))
            return false;
    }
    return true;
}

unsigned fit_ask(const struct fit *q, const struct place *p) {
    const struct core_v1_pod_spec *spec = &q->r->pod->spec;
    unsigned misfits = 0;
    if (!p->open) misfits |= MISFIT_CLOSED;
    if (pod_untolerated_taint(spec, p->object, true)) misfits |= MISFIT_TAINT;
    if (!pod_selects_node(spec, p->object)) misfits |= MISFIT_NODE_AFFINITY;
    if (is_kept_apart(q, p)) misfits |= MISFIT_ANTI_AFFINITY;
    if (!affinity_holds(q, p)) misfits |= MISFIT_AFFINITY;
    if (!spread_holds(q, p)) misfits |= MISFIT_SPREAD;
    if (!has_room(q, p)) misfits |= MISFIT_ROOM;
    if (!volumes_reach(q, p)) misfits |= MISFIT_VOLUME;
    return misfits;
}

/* As NodeResourcesFit scores it after the pod has come. */
static int64_t score_at(const struct fit *q, const struct place *p) {
    int64_t sum = 0, weights = 0;
    for (size_t i = 1; i < q->v->resources.n; i++) {
        int64_t weight = score_weight(&q->v->rule, q->v->resources.v[i]);
        int64_t used = p->used[i] + (p == q->r->place ? 0 : q->r->asks[i]);
        if (!weight || p->offers[i] <= 0) continue;
        sum +=
            weight * score_of_share(&q->v->rule, (int64_t)((__int128)used * 1000 / p->offers[i]));
        weights += weight;
    }
    return weights ? sum * 1000 / weights : 0;
}

struct place *fit_place(const struct fit *q) {
    struct place *best = NULL;
    int64_t most = 0;
    for (size_t i = 0; i < q->v->places.n; i++) {
        struct place *p = &q->v->places.v[i];
        if (fit_ask(q, p)) continue;
        int64_t score = score_at(q, p);
        if (best && (score < most || (score == most && p != q->r->place))) continue;
        best = p;
        most = score;
    }
    return best;
}
