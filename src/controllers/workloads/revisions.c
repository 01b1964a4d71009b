#include "controllers/workloads/revisions.h"

#include <stdlib.h>
#include <string.h>

#include "api/patch/patch.h"
#include "base/own.h"

const char revision_hash_key[] = "controller-revision-hash";
const char *const revision_claimed[] = {"Pod", "ControllerRevision", NULL};
static const char named_hash_key[] = "controller.kubernetes.io/hash";

static int by_number(const void *x, const void *y) {
    const controller_revision *a = *(const controller_revision *const *)x,
                              *b = *(const controller_revision *const *)y;
    if (a->revision != b->revision) return a->revision < b->revision ? -1 : 1;
    int d = strcmp(str_or(a->metadata.creation_timestamp, ""),
                   str_or(b->metadata.creation_timestamp, ""));
    return d ? d : strcmp(a->metadata.name, b->metadata.name);
}

static void claim(const struct world *w, const struct revision_owner *o, struct plan *p,
                  struct revisions *ret) {
    const struct api_object *x;
    const struct meta_v1_object_meta *m = &o->object->metadata;
    bool dying = m->deletion_timestamp;
    size_t at = 0;
    while ((x = world_claimable(w, m->uid, "ControllerRevision", m->namespace, &at))) {
        const struct meta_v1_owner_reference *owner = api_controller_of(x);
        if (x->metadata.deletion_timestamp) continue;
        bool matches = labels_match(o->selector, &x->metadata.labels);
        if (owner && (matches || dying))
            *ARENA_PUSH(plan_arena(p), ret) = (const controller_revision *)x;
        else if (owner)
            plan_release(p, x, m->uid);
        else if (matches && !dying)
            plan_adopt(p, x, o->object);
    }
    if (ret->n) qsort(ret->v, ret->n, sizeof *ret->v, by_number);
}

struct core_v1_pod_template_spec *revision_template(struct arena *a, const controller_revision *r) {
    OWN(json_decref_p) json_t *doc = NULL;
    if (!r->data.p || patch_parse(r->data, &doc, NULL) < 0) return NULL;
    json_t *t = json_object_get(json_object_get(doc, "spec"), "template");
    if (!json_is_object(t)) return NULL;
    OWN(free_p) char *text = json_dumps(t, JSON_COMPACT);
    void *ret;
    if (!text ||
        api_decode(a, &core_v1_pod_template_spec_type, slice_of(text), NULL, &ret, NULL) < 0)
        return NULL;
    return ret;
}

static bool holds(const controller_revision *r, const struct core_v1_pod_template_spec *t) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct core_v1_pod_template_spec *kept = revision_template(a, r);
    return kept && template_equal(kept, t);
}

/* As Go writes text within JSON. */
static void escape(struct buf *out, const char *text) {
    for (const char *p = text; *p; p++) {
        if (strchr("<>&", *p))
            buf_printf(out, "\\u%04x", *p);
        else if (strncmp(p, "\xe2\x80\xa8", 3) == 0 || strncmp(p, "\xe2\x80\xa9", 3) == 0) {
            buf_str(out, p[2] == '\xa8' ? "\\u2028" : "\\u2029");
            p += 2;
        } else
            buf_char(out, *p);
    }
}

/* To the byte what clients make of the same template: those of Kubernetes compare the two, to find
 * the revision that an object is at. */
static struct slice data_of(struct arena *a, const struct core_v1_pod_template_spec *t) {
    OWN(buf_done) struct buf text = {0}, out = {0};
    OWN(json_decref_p) json_t *doc = NULL;
    api_encode(&text, &core_v1_pod_template_spec_type, t);
    if (patch_parse(buf_view(&text), &doc, NULL) < 0) abort(); /* we have just written it */
    json_t *metadata = json_object_get(doc, "metadata");
    if (!metadata) json_object_set_new(doc, "metadata", metadata = json_object());
    if (!json_object_get(metadata, "creationTimestamp"))
        json_object_set_new(metadata, "creationTimestamp", json_null());
    json_object_set_new(doc, "$patch", json_string("replace"));
    OWN(free_p) char *sorted = json_dumps(doc, JSON_COMPACT | JSON_SORT_KEYS);
    if (!sorted) abort();
    buf_str(&out, "{\"spec\":{\"template\":");
    escape(&out, sorted);
    buf_str(&out, "}}");
    return slice_from(arena_copy(a, out.p, out.n), out.n);
}

static enum revisions_state create(const struct world *w, const struct revision_owner *o,
                                   int64_t number, struct plan *p) {
    struct arena *a = plan_arena(p);
    const struct meta_v1_object_meta *m = &o->object->metadata;
    const char *hash = template_hash(a, o->template, o->collision_count);
    const char *name = arena_printf(a, "%.223s-%s", m->name, hash);
    if (world_get(w, "ControllerRevision", m->namespace, name)) return REVISIONS_TAKEN;
    controller_revision *r = (controller_revision *)api_object_new(
        a, api_kind_by_name("apps", "v1", "ControllerRevision"));
    r->metadata.name = name;
    r->metadata.namespace = m->namespace;
    str_map_merge(a, &r->metadata.labels, &o->template->metadata.labels);
    str_map_set(a, &r->metadata.labels, named_hash_key, hash);
    str_map_set(a, &r->metadata.labels, revision_hash_key, hash);
    r->metadata.annotations = m->annotations;
    *ARENA_PUSH(a, &r->metadata.owner_references) = controller_reference(a, o->object);
    r->data = data_of(a, o->template);
    r->revision = number;
    plan_create(p, (struct api_object *)r);
    return REVISIONS_PLANNED;
}

enum revisions_state revisions_sync(const struct world *w, const struct revision_owner *o,
                                    struct plan *p, struct revisions *ret) {
    size_t before = plan_count(p);
    *ret = (struct revisions){0};
    claim(w, o, p, ret);
    if (plan_count(p) > before) return REVISIONS_PLANNED;
    for (size_t i = ret->n; i > 0 && !ret->update; i--)
        if (holds(ret->v[i - 1], o->template)) ret->update = ret->v[i - 1];
    if (o->object->metadata.deletion_timestamp) return REVISIONS_KNOWN;
    int64_t last = ret->n ? ret->v[ret->n - 1]->revision : 0;
    if (!ret->update) return create(w, o, last + 1, p);
    if (ret->update->revision == last) return REVISIONS_KNOWN;
    /* A rollback: the old one is the newest again. */
    controller_revision *copy = arena_copy(plan_arena(p), ret->update, sizeof *copy);
    copy->revision = last + 1;
    plan_update(p, (struct api_object *)copy);
    return REVISIONS_PLANNED;
}

const controller_revision *revision_named(const struct revisions *r, const char *name) {
    for (size_t i = 0; i < r->n; i++)
        if (str_eq(r->v[i]->metadata.name, name)) return r->v[i];
    return NULL;
}

const char *revision_hash(const controller_revision *r) {
    const char *hash = str_map_get(&r->metadata.labels, revision_hash_key);
    return str_or(hash ? hash : str_map_get(&r->metadata.labels, named_hash_key), "");
}

void revisions_trim(const struct revisions *r, const int32_t *limit,
                    bool (*used)(const void *user, const controller_revision *r), const void *user,
                    struct plan *p) {
    size_t keep = (size_t)MAX_OF(int_or(limit, 10), 0), unused = 0;
    for (size_t i = 0; i < r->n; i++) unused += !used(user, r->v[i]);
    for (size_t i = 0; i < r->n && unused > keep; i++) {
        if (used(user, r->v[i])) continue;
        plan_delete(p, (const struct api_object *)r->v[i], NULL);
        unused--;
    }
}
