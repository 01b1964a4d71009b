/* A world as an API server in memory: for unit tests of reconcilers and the simulator. */
#include <stdio.h>
#include <stdlib.h>

#include "api/patch/patch.h"
#include "api/patch/strategic.h"
#include "api/registry.h"
#include "api/values/selector.h"
#include "base/own.h"
#include "base/times.h"
#include "client/plan.h"
#include "client/projection.h"
#include "client/world.h"
#include "client/world_private.h"

/* Revisions and uids must not repeat within a process: tests compare them across worlds too. */
static uint64_t last_revision = 1000;

struct world *world_test_new(void) {
    struct world *w = world_new();
    size_t n;
    const struct api_kind *const *kinds = api_kinds(&n);
    for (size_t i = 0; i < n; i++)
        if (!(kinds[i]->flags & (API_VIRTUAL | API_CONVERTED))) world_add_kind(w, kinds[i]);
    int64_t now_ns = 0;
    time_parse("2026-01-01T00:00:00Z", &now_ns);
    world_set_now(w, now_ns);
    return w;
}

static void revision_set(struct arena *a, struct api_object *o) {
    o->metadata.resource_version = arena_printf(a, "%llu", (unsigned long long)++last_revision);
}

static const char *now_text(struct arena *a, const struct world *w) {
    char text[TIME_TEXT_MAX];
    time_format(text, world_now_ns(w));
    return arena_str(a, text);
}

static void identity_set(struct world *w, struct arena *a, struct api_object *o) {
    struct meta_v1_object_meta *m = &o->metadata;
    if (str_empty(m->name) && !str_empty(m->generate_name))
        m->name = arena_printf(a, "%s%05llu", m->generate_name,
                               (unsigned long long)(last_revision % 100000));
    if (str_empty(m->uid))
        m->uid =
            arena_printf(a, "00000000-0000-4000-8000-%012llu", (unsigned long long)last_revision);
    if (str_empty(m->creation_timestamp)) m->creation_timestamp = now_text(a, w);
}

const struct api_object *world_put_seen(struct world *w, const struct api_kind *k, struct arena *a,
                                        struct api_object *o) {
    const struct api_keep *keep = projection_of(k);
    if (keep) {
        OWN(buf_done) struct buf json = {0};
        struct arena *seen = arena_new();
        api_encode(&json, k->type, o);
        if (projection_decode(seen, k, keep, buf_view(&json), &o) < 0) abort();
        arena_free(a);
        a = seen;
    }
    world_put(w, k, a, o);
    return o;
}

const struct api_object *world_add(struct world *w, const struct api_object *o) {
    const struct api_kind *k = api_kind_by_api_version(o->api_version, o->kind);
    if (!k) {
        fprintf(stderr, "world_add: %s %s is no kind\n", str_or(o->api_version, "?"),
                str_or(o->kind, "?"));
        abort();
    }
    struct arena *a = arena_new();
    struct api_object *copy = api_object_copy(a, k, o);
    if (str_empty(copy->metadata.resource_version)) revision_set(a, copy);
    identity_set(w, a, copy);
    return world_put_seen(w, k, a, copy);
}

const struct api_object *world_add_json(struct world *w, const char *json) {
    OWN(arena_free_p) struct arena *a = arena_new();
    size_t n;
    const struct api_kind *const *kinds = api_kinds(&n);
    struct api_object *head, *o;
    struct err err = {.text = "no known kind"};
    /* Any kind's table reads apiVersion and kind. */
    if (n && api_object_decode(a, kinds[0], slice_of(json), &head, &err) == 0) {
        const struct api_kind *k = api_kind_by_api_version(head->api_version, head->kind);
        if (k && api_object_decode(a, k, slice_of(json), &o, &err) == 0) return world_add(w, o);
    }
    fprintf(stderr, "world_add_json: %s: %s\n", err.text, json);
    abort();
}

/* ---- applying a plan ---- */

static int current(const struct world *w, const struct plan_step *s, const struct api_object **ret,
                   struct err *err) {
    const struct api_kind *k = s->kind;
    char name[128];
    snprintf(name, sizeof name, "%s.%s", k->kind, k->group);
    *ret = world_get(w, *k->group ? name : k->kind, s->ns, s->name);
    if (*ret) return 0;
    return err_set(err, ERR_NOT_FOUND, "%s \"%s\" not found", k->plural, s->name);
}

static int apply_create(struct world *w, const struct plan_step *s, struct err *err) {
    const struct api_object *old;
    if (*s->name && current(w, s, &old, NULL) == 0)
        return err_set(err, ERR_ALREADY_EXISTS, "%s \"%s\" already exists", s->kind->plural,
                       s->name);
    struct arena *a = arena_new();
    struct api_object *o = api_object_copy(a, s->kind, s->object);
    o->metadata.resource_version = o->metadata.uid = NULL;
    revision_set(a, o);
    identity_set(w, a, o);
    if (s->kind->flags & API_GENERATION) o->metadata.generation = 1;
    world_put_seen(w, s->kind, a, o);
    return 1;
}

/* Whether the specs differ: everything is compared but metadata and status, by their text. */
static bool spec_differs(const struct api_kind *k, const struct api_object *x,
                         const struct api_object *y) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct api_object *copy = api_object_copy(a, k, y);
    copy->metadata = x->metadata;
    return !api_equal(k->type, x, copy);
}

static int apply_update(struct world *w, const struct plan_step *s, struct err *err) {
    const struct api_object *old;
    int r = current(w, s, &old, err);
    if (r < 0) return r;
    if (!str_eq(old->metadata.resource_version, s->object->metadata.resource_version))
        return err_set(err, ERR_CONFLICT, "%s \"%s\" has been modified", s->kind->plural, s->name);
    if (api_equal(s->kind->type, old, s->object)) return 0;
    struct arena *a = arena_new();
    struct api_object *o = api_object_copy(a, s->kind, s->object);
    revision_set(a, o);
    if (s->op == PLAN_UPDATE && s->kind->flags & API_GENERATION &&
        spec_differs(s->kind, old, s->object))
        o->metadata.generation++;
    if (!str_empty(o->metadata.deletion_timestamp) && o->metadata.finalizers.n == 0) {
        arena_free(a);
        world_remove(w, s->kind, s->ns, s->name);
        return 1;
    }
    world_put_seen(w, s->kind, a, o);
    return 1;
}

static int apply_delete(struct world *w, const struct plan_step *s, struct err *err) {
    const struct api_object *old;
    int r = current(w, s, &old, err);
    if (r < 0) return r;
    if (!str_eq(old->metadata.uid, s->object->metadata.uid))
        return err_set(err, ERR_CONFLICT, "%s \"%s\": uid precondition failed", s->kind->plural,
                       s->name);
    bool foreground = str_eq(s->propagation, "Foreground");
    if (old->metadata.finalizers.n == 0 && !foreground && !str_eq(s->propagation, "Orphan")) {
        world_remove(w, s->kind, s->ns, s->name);
        return 1;
    }
    if (!str_empty(old->metadata.deletion_timestamp)) return 0;
    struct arena *a = arena_new();
    struct api_object *o = api_object_copy(a, s->kind, old);
    revision_set(a, o);
    o->metadata.deletion_timestamp = now_text(a, w);
    if (foreground)
        *ARENA_PUSH(a, &o->metadata.finalizers) = "foregroundDeletion";
    else if (str_eq(s->propagation, "Orphan"))
        *ARENA_PUSH(a, &o->metadata.finalizers) = "orphan";
    world_put_seen(w, s->kind, a, o);
    return 1;
}

static int strategic(const struct api_kind *k, json_t *doc, struct slice patch, json_t **ret,
                     struct err *err) {
    OWN(json_decref_p) json_t *parsed = NULL;
    int r = patch_parse(patch, &parsed, err);
    return r < 0 ? r : patch_strategic(k->type, doc, parsed, ret, err);
}

/* The patched object as an update without precondition; merge and strategic merge patches. */
static int apply_patch(struct world *w, const struct plan_step *s, struct err *err) {
    bool merge = str_eq(s->content_type, "application/merge-patch+json");
    if (!merge && !str_eq(s->content_type, "application/strategic-merge-patch+json"))
        return err_set(err, ERR_UNSUPPORTED_MEDIA_TYPE, "world_apply knows merge patches only");
    const struct api_object *old;
    int r = current(w, s, &old, err);
    if (r < 0) return r;
    OWN(buf_done) struct buf text = {0};
    OWN(json_decref_p) json_t *doc = NULL;
    OWN(json_decref_p) json_t *patched = NULL;
    OWN(arena_free_p) struct arena *a = arena_new();
    api_object_encode(&text, s->kind, old);
    r = patch_parse(buf_view(&text), &doc, err);
    if (r == 0)
        r = merge ? patch_merge(doc, s->body, &patched, err)
                  : strategic(s->kind, doc, s->body, &patched, err);
    if (r < 0) return r;
    OWN(free_p) char *dumped = json_dumps(patched, JSON_COMPACT);
    struct api_object *o;
    r = api_object_decode(a, s->kind, slice_of(dumped), &o, err);
    if (r < 0) return r;
    struct plan_step update = *s;
    update.op = *s->subresource ? PLAN_UPDATE_STATUS : PLAN_UPDATE;
    update.object = o;
    return apply_update(w, &update, err);
}

static bool budget_over(const struct policy_v1_pod_disruption_budget *b,
                        const struct api_object *pod) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct selector *s;
    struct err err;
    return selector_from_labels(a, b->spec.selector, &s, &err) == 0 &&
           selector_matches(s, &pod->metadata.labels);
}

/* One budget at most is charged; what it forbids is left out. */
static int apply_evict(struct world *w, const struct plan_step *s, struct err *err) {
    const struct api_object *pod, *o;
    if (current(w, s, &pod, err) < 0 || !str_eq(pod->metadata.uid, s->object->metadata.uid))
        return 0;
    for (size_t at = 0; (o = world_next(w, "PodDisruptionBudget", s->ns, &at));) {
        const struct policy_v1_pod_disruption_budget *b = (const void *)o;
        if (!budget_over(b, pod)) continue;
        if (b->status.disruptions_allowed <= 0) return 0;
        const struct api_kind *k = world_kind(w, "PodDisruptionBudget");
        struct arena *a = arena_new();
        struct api_object *copy = api_object_copy(a, k, o);
        ((struct policy_v1_pod_disruption_budget *)(void *)copy)->status.disruptions_allowed--;
        revision_set(a, copy);
        world_put_seen(w, k, a, copy);
        break;
    }
    struct plan_step removal = *s;
    removal.op = PLAN_DELETE;
    return apply_delete(w, &removal, err);
}

static int apply_step(struct world *w, const struct plan_step *s, struct err *err) {
    switch (s->op) {
    case PLAN_CREATE: return apply_create(w, s, err);
    case PLAN_UPDATE:
    case PLAN_UPDATE_STATUS: return apply_update(w, s, err);
    case PLAN_DELETE: return apply_delete(w, s, err);
    case PLAN_EVENT: return 0;
    case PLAN_PATCH: return apply_patch(w, s, err);
    case PLAN_EVICT: return apply_evict(w, s, err);
    case PLAN_NOTE: world_set_fact(w, s->name, world_now_ns(w), s->body, NULL); return 0;
    case PLAN_REQUEST: break;
    }
    return err_set(err, ERR_METHOD_NOT_ALLOWED,
                   "world_apply knows no plain requests: compare the plan instead");
}

int world_apply(struct world *w, struct plan *p, struct err *err) {
    int changed = 0;
    for (size_t i = 0; i < plan_count(p); i++) {
        const struct plan_step *s = plan_at(p, i);
        if (s->op != PLAN_REQUEST && s->op != PLAN_NOTE && !s->kind)
            return err_set(err, ERR_INVALID, "step %zu: apiVersion and kind name no known kind", i);
        int r = apply_step(w, s, err);
        if (r < 0) return r;
        changed += r;
    }
    return changed;
}
