/* What an autoscaler scales: the four kinds of the tables are in the world; of every other, its
 * scale subresource is asked for. */
#include "base/own.h"
#include "client/path.h"
#include "client/skim.h"
#include "controllers/autoscaling/hpa.h"
#include "controllers/common.h"

enum { SCALE_MS = 1000 };

/* ---- kinds in the world ---- */

static void deployment_target(struct arena *a, const struct api_object *o, struct hpa_target *t) {
    const struct apps_v1_deployment *d = (const void *)o;
    t->spec_replicas = int_or(d->spec.replicas, 1);
    t->status_replicas = d->status.replicas;
    t->selector_text = selector_query(a, d->spec.selector);
}
static void replicaset_target(struct arena *a, const struct api_object *o, struct hpa_target *t) {
    const struct apps_v1_replica_set *s = (const void *)o;
    t->spec_replicas = int_or(s->spec.replicas, 1);
    t->status_replicas = s->status.replicas;
    t->selector_text = selector_query(a, s->spec.selector);
}
static void statefulset_target(struct arena *a, const struct api_object *o, struct hpa_target *t) {
    const struct apps_v1_stateful_set *s = (const void *)o;
    t->spec_replicas = int_or(s->spec.replicas, 1);
    t->status_replicas = s->status.replicas;
    t->selector_text = selector_query(a, s->spec.selector);
}
static void replication_target(struct arena *a, const struct api_object *o, struct hpa_target *t) {
    const struct core_v1_replication_controller *c = (const void *)o;
    const struct meta_v1_label_selector s = {.match_labels = c->spec.selector};
    t->spec_replicas = int_or(c->spec.replicas, 1);
    t->status_replicas = c->status.replicas;
    t->selector_text = selector_query(a, &s);
}

static const struct {
    const char *group, *kind;
    void (*read)(struct arena *a, const struct api_object *o, struct hpa_target *t);
} known[] = {
    {"apps", "Deployment", deployment_target},
    {"apps", "ReplicaSet", replicaset_target},
    {"apps", "StatefulSet", statefulset_target},
    {"", "ReplicationController", replication_target},
};

/* ---- any other kind, by its scale subresource ---- */

struct scale {
    int32_t spec_replicas, status_replicas;
    const char *selector;
};

static int32_t count_of(struct slice object) {
    struct slice v = skim_get(object, "replicas");
    uint64_t n;
    return v.p && slice_u64(v, &n) == 0 && n <= INT32_MAX ? (int32_t)n : 0;
}

static void *scale_read(struct arena *a, struct slice body) {
    struct slice status = skim_get(body, "status");
    struct scale *s = ARENA_NEW(a, struct scale);
    s->spec_replicas = count_of(skim_get(body, "spec"));
    s->status_replicas = count_of(status);
    s->selector = arena_strn(a, skim_string(skim_get(status, "selector")));
    return s;
}

static int asked_target(const struct world *w, struct plan *p, const char *ns, const char *name,
                        const struct api_kind *k, int64_t changed_ns, struct hpa_target *t,
                        const char **ret_error) {
    OWN(buf_done) struct buf path = {0};
    api_path(&path, k, ns, name, "scale");
    plan_want(p, path.p, SCALE_MS);
    const struct fact *f = world_fact(w, path.p);
    if (!f || f->asked_ns < changed_ns) return 1;
    const struct scale *s = fact_read(f, scale_read);
    *ret_error = f->error;
    if (!s) return -1;
    struct api_object *o = api_object_new(plan_arena(p), k);
    o->metadata.namespace = ns;
    o->metadata.name = name;
    t->object = o;
    t->spec_replicas = s->spec_replicas;
    t->status_replicas = s->status_replicas;
    t->selector_text = s->selector;
    return 0;
}

/* ---- */

static struct slice group_of(const char *api_version) {
    struct slice s = slice_of(api_version), group;
    return slice_cut(&s, '/', &group) ? group : SLICE("");
}

/* Any version of the kind will do. */
static const struct api_kind *
kind_of(const struct autoscaling_v2_cross_version_object_reference *r) {
    const struct api_kind *k = api_kind_by_api_version(str_or(r->api_version, "v1"), r->kind);
    if (k) return k;
    size_t n;
    const struct api_kind *const *all = api_kinds(&n);
    struct slice group = group_of(str_or(r->api_version, "v1"));
    for (size_t i = 0; i < n; i++)
        if (str_eq(all[i]->kind, r->kind) && slice_is(group, all[i]->group)) return all[i];
    return NULL;
}

int hpa_target_find(const struct world *w, struct plan *p, const char *ns,
                    const struct autoscaling_v2_cross_version_object_reference *r,
                    int64_t changed_ns, struct hpa_target *ret, const char **ret_error) {
    struct arena *a = plan_arena(p);
    const struct api_kind *k = kind_of(r);
    struct slice group = group_of(str_or(r->api_version, "v1"));
    *ret = (struct hpa_target){0};
    if (!k) {
        *ret_error = arena_printf(a, "no matches for kind \"%s\" in group \"%.*s\"",
                                  str_or(r->kind, ""), (int)group.n, group.p);
        return -1;
    }
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (!str_eq(k->kind, known[i].kind) || !str_eq(k->group, known[i].group)) continue;
        ret->object = world_get(w, known[i].kind, ns, r->name);
        if (ret->object) {
            known[i].read(a, ret->object, ret);
            return 0;
        }
        *ret_error = arena_printf(a, "%s/scale%s%s \"%s\" not found", k->plural,
                                  *k->group ? "." : "", k->group, str_or(r->name, ""));
        return -1;
    }
    return asked_target(w, p, ns, r->name, k, changed_ns, ret, ret_error);
}

struct hpa_pods hpa_pods_of(const struct world *w, struct arena *a, const char *ns,
                            const struct selector *s) {
    struct hpa_pods out = {0};
    const struct api_object *o;
    for (size_t at = 0; (o = world_next(w, "Pod", ns, &at));)
        if (selector_matches(s, &o->metadata.labels))
            *ARENA_PUSH(a, &out) = (const struct core_v1_pod *)o;
    return out;
}

/* ---- other autoscalers ---- */

static bool shares_pods(struct hpa_run *r, const hpa_object *other) {
    struct hpa_target t;
    struct selector *s;
    const char *error;
    OWN(plan_free_p) struct plan *scratch = plan_new(); /* asks for nothing */
    if (hpa_target_find(r->w, scratch, other->metadata.namespace, &other->spec.scale_target_ref, 0,
                        &t, &error) != 0)
        return false;
    if (str_empty(t.selector_text) ||
        selector_parse(plan_arena(scratch), t.selector_text, &s, NULL) < 0)
        return false;
    for (size_t i = 0; i < r->pods.n; i++)
        if (selector_matches(s, &r->pods.v[i]->metadata.labels)) return true;
    return false;
}

const char *hpa_rivals(struct hpa_run *r) {
    const struct api_object *o;
    OWN(buf_done) struct buf b = {0};
    size_t n = 0;
    for (size_t at = 0;
         (o = world_next(r->w, "HorizontalPodAutoscaler", r->hpa->metadata.namespace, &at));) {
        bool self = str_eq(o->metadata.uid, r->hpa->metadata.uid);
        if (!self && (o->metadata.deletion_timestamp || !shares_pods(r, (const hpa_object *)o)))
            continue;
        n += !self;
        buf_printf(&b, "%s{%s %s}", b.n ? " " : "", o->metadata.name, o->metadata.namespace);
    }
    return n ? arena_strn(r->a, buf_view(&b)) : NULL;
}
