#include "controllers/common.h"

#include <string.h>

#include "api/rules/pods.h"
#include "api/values/selector.h"
#include "base/own.h"
#include "base/times.h"

static const char hash_label[] = "pod-template-hash";

struct meta_v1_owner_reference controller_reference(struct arena *a,
                                                    const struct api_object *owner) {
    return (struct meta_v1_owner_reference){
        .api_version = owner->api_version,
        .kind = owner->kind,
        .name = owner->metadata.name,
        .uid = owner->metadata.uid,
        .controller = bool_new(a, true),
        .block_owner_deletion = bool_new(a, true),
    };
}

bool pod_available_at(const struct core_v1_pod *pod, int32_t min_ready_s, int64_t now_ns,
                      uint64_t *wait_ms) {
    if (!pod_is_ready(pod)) return false;
    if (min_ready_s <= 0) return true;
    const struct core_v1_pod_condition *c = pod_condition_get(pod, "Ready");
    int64_t since;
    if (!c || time_parse(str_or(c->last_transition_time, ""), &since) < 0) return false;
    int64_t left_ms = (since - now_ns) / 1000000 + (int64_t)min_ready_s * 1000;
    if (left_ms <= 0) return true;
    if (wait_ms && (!*wait_ms || (uint64_t)left_ms < *wait_ms)) *wait_ms = (uint64_t)left_ms;
    return false;
}

void adoption_map(const struct reconciler *r, const struct world *w, const struct api_kind *k,
                  const struct api_object *now, const struct api_object *old, struct keys *out,
                  const char *const *kinds, selects_fn *selects) {
    const struct api_object *o;
    size_t at = 0;
    reconciler_default_map(r, w, k, now, old, out);
    if (!now || api_controller_of(now)) return;
    while (*kinds && strcmp(*kinds, k->kind) != 0) kinds++;
    if (!*kinds) return;
    while ((o = world_next(w, r->kind, now->metadata.namespace, &at)))
        if (selects(o, &now->metadata.labels)) keys_add_object(out, o);
}

static void template_bytes(struct buf *out, const struct core_v1_pod_template_spec *t) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct core_v1_pod_template_spec copy = *t;
    copy.metadata.labels = (struct str_map){0};
    for (size_t i = 0; i < t->metadata.labels.n; i++) {
        const struct str_pair *l = &t->metadata.labels.v[i];
        if (!str_eq(l->key, hash_label)) *ARENA_PUSH(a, &copy.metadata.labels) = *l;
    }
    api_encode(out, &core_v1_pod_template_spec_type, &copy);
}

const char *template_hash(struct arena *a, const struct core_v1_pod_template_spec *t,
                          const int32_t *collision_count) {
    static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789";
    OWN(buf_done) struct buf b = {0};
    template_bytes(&b, t);
    if (collision_count) buf_printf(&b, "#%d", *collision_count);
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < b.n; i++) h = (h ^ (unsigned char)b.p[i]) * 0x100000001b3u;
    char *out = arena_alloc(a, 11);
    for (int i = 0; i < 10; i++, h /= 27) out[i] = alphabet[h % 27];
    return out;
}

bool template_equal(const struct core_v1_pod_template_spec *x,
                    const struct core_v1_pod_template_spec *y) {
    OWN(buf_done) struct buf bx = {0}, by = {0};
    template_bytes(&bx, x);
    template_bytes(&by, y);
    return slice_eq(buf_view(&bx), buf_view(&by));
}

const char *now_text(struct arena *a, const struct world *w) {
    char *out = arena_alloc(a, TIME_TEXT_MAX);
    time_format(out, world_now_ns(w));
    return out;
}

bool bool_or(const bool *b, bool fallback) { return b ? *b : fallback; }

int32_t int_or(const int32_t *i, int32_t fallback) { return i ? *i : fallback; }

int32_t *int_new(struct arena *a, int32_t v) {
    int32_t *p = ARENA_NEW(a, int32_t);
    *p = v;
    return p;
}

bool *bool_new(struct arena *a, bool v) {
    bool *p = ARENA_NEW(a, bool);
    *p = v;
    return p;
}

int64_t annotation_int(const struct api_object *o, const char *key) {
    struct slice s = slice_of(str_or(str_map_get(&o->metadata.annotations, key), ""));
    bool negative = s.n && s.p[0] == '-';
    if (negative) s = slice_from(s.p + 1, s.n - 1);
    uint64_t n;
    if (slice_u64(s, &n) < 0 || n > INT64_MAX) return 0;
    return negative ? -(int64_t)n : (int64_t)n;
}

bool labels_match(const struct meta_v1_label_selector *s, const struct str_map *labels) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct selector *parsed;
    if (selector_from_labels(a, s, &parsed, NULL) < 0) return false;
    return selector_matches(parsed, labels);
}

const struct meta_v1_owner_reference *owner_reference_to(const struct api_object *o,
                                                         const char *uid) {
    for (size_t i = 0; i < o->metadata.owner_references.n; i++)
        if (str_eq(o->metadata.owner_references.v[i].uid, uid))
            return &o->metadata.owner_references.v[i];
    return NULL;
}

struct owner_list {
    struct meta_v1_owner_reference *v;
    size_t n;
};

static struct owner_list owners_without(struct arena *a, const struct api_object *o,
                                        const char *uid) {
    struct owner_list out = {0};
    for (size_t i = 0; i < o->metadata.owner_references.n; i++)
        if (!str_eq(o->metadata.owner_references.v[i].uid, uid))
            *ARENA_PUSH(a, &out) = o->metadata.owner_references.v[i];
    return out;
}

static void begin_guarded(struct buf *b, const struct api_object *o) {
    buf_str(b, "{\"metadata\":{\"uid\":");
    buf_json_str(b, slice_of(o->metadata.uid));
    buf_str(b, ",\"resourceVersion\":");
    buf_json_str(b, slice_of(o->metadata.resource_version));
}

static void end_guarded(struct plan *p, const struct api_object *o, struct buf *b) {
    buf_str(b, "}}");
    struct arena *a = plan_arena(p);
    plan_patch(p, o, "", "application/merge-patch+json",
               slice_from(arena_copy(a, b->p, b->n), b->n));
}

void plan_set_owners(struct plan *p, const struct api_object *o,
                     const struct meta_v1_owner_reference *refs, size_t n) {
    OWN(buf_done) struct buf b = {0};
    begin_guarded(&b, o);
    buf_str(&b, ",\"ownerReferences\":[");
    for (size_t i = 0; i < n; i++) {
        if (i) buf_char(&b, ',');
        api_encode(&b, &meta_v1_owner_reference_type, &refs[i]);
    }
    buf_char(&b, ']');
    end_guarded(p, o, &b);
}

void plan_set_finalizers(struct plan *p, const struct api_object *o, const char *without) {
    OWN(buf_done) struct buf b = {0};
    bool first = true;
    begin_guarded(&b, o);
    buf_str(&b, ",\"finalizers\":[");
    for (size_t i = 0; i < o->metadata.finalizers.n; i++) {
        if (str_eq(o->metadata.finalizers.v[i], without)) continue;
        if (!first) buf_char(&b, ',');
        first = false;
        buf_json_str(&b, slice_of(o->metadata.finalizers.v[i]));
    }
    buf_char(&b, ']');
    end_guarded(p, o, &b);
}

void plan_adopt(struct plan *p, const struct api_object *o, const struct api_object *owner) {
    struct owner_list refs = owners_without(plan_arena(p), o, owner->metadata.uid);
    *ARENA_PUSH(plan_arena(p), &refs) = controller_reference(plan_arena(p), owner);
    plan_set_owners(p, o, refs.v, refs.n);
}

void plan_release(struct plan *p, const struct api_object *o, const char *owner_uid) {
    struct owner_list refs = owners_without(plan_arena(p), o, owner_uid);
    plan_set_owners(p, o, refs.v, refs.n);
}

void map_own_kind(const struct reconciler *r, const struct world *w, const struct api_kind *k,
                  const struct api_object *now, const struct api_object *old, struct keys *out) {
    (void)w;
    if (strcmp(k->kind, r->kind) == 0) keys_add_object(out, now ? now : old);
}

void map_node_to_pods(const struct world *w, const char *node, struct keys *out) {
    const struct api_object *o;
    for (size_t at = 0; (o = world_next(w, "Pod", NULL, &at));)
        if (str_eq(((const struct core_v1_pod *)o)->spec.node_name, node)) keys_add_object(out, o);
}
