/*
 * Garbage collector: dependents whose owners are all gone are deleted; the finalizers `orphan` and
 * `foregroundDeletion` (the two other propagation policies) are carried out. Reads metadata only.
 * Keys are "kind\ngroup\nnamespace\nname", since it works on every kind.
 */
#include <string.h>

#include "base/own.h"
#include "base/times.h"
#include "controllers/common.h"

static const char orphan[] = "orphan";
static const char foreground[] = "foregroundDeletion";

/* Copies of different kinds may be some moments apart: an owner that is not seen yet must not cost
 * its dependents their life. */
enum { OWNER_UNSEEN_MS = 2000 };

static bool has_finalizer(const struct api_object *o, const char *name) {
    for (size_t i = 0; i < o->metadata.finalizers.n; i++)
        if (str_eq(o->metadata.finalizers.v[i], name)) return true;
    return false;
}

static bool is_leaving(const struct api_object *o) {
    return o->metadata.deletion_timestamp && has_finalizer(o, foreground);
}

static const char *world_name(struct arena *a, const struct api_kind *k) {
    return *k->group ? arena_printf(a, "%s.%s", k->kind, k->group) : k->kind;
}

static void add_key(struct keys *out, const struct api_kind *k, const struct api_object *o) {
    OWN(buf_done) struct buf b = {0};
    buf_printf(&b, "%s\n%s\n%s\n%s", k->kind, k->group, str_or(o->metadata.namespace, ""),
               o->metadata.name);
    keys_add(out, b.p);
}

enum owner_state {
    OWNER_UNKNOWN_KIND,
    OWNER_ABSENT,
    OWNER_PRESENT,
    OWNER_LEAVING /* waits for its dependents */
};

static enum owner_state look_up(const struct world *w, struct arena *a, const struct api_object *o,
                                const struct meta_v1_owner_reference *ref) {
    const struct api_kind *k =
        api_kind_by_api_version(str_or(ref->api_version, ""), str_or(ref->kind, ""));
    if (!k || !world_kind(w, world_name(a, k))) return OWNER_UNKNOWN_KIND;
    const struct api_object *owner = world_by_uid(w, world_name(a, k), str_or(ref->uid, ""));
    if (!owner) return OWNER_ABSENT;
    /* An owner in another namespace is none (KEP: cross-namespace owner references are not
     * allowed). */
    if ((k->flags & API_NAMESPACED) && !str_eq(owner->metadata.namespace, o->metadata.namespace))
        return OWNER_ABSENT;
    return is_leaving(owner) ? OWNER_LEAVING : OWNER_PRESENT;
}

static void collect(const struct world *w, const struct api_object *o, struct plan *p) {
    size_t n = o->metadata.owner_references.n, absent = 0, leaving = 0;
    const char *gone = NULL; /* one of those, a leaving one first */
    if (!n || o->metadata.deletion_timestamp) return;
    for (size_t i = 0; i < n; i++) {
        const struct meta_v1_owner_reference *ref = &o->metadata.owner_references.v[i];
        enum owner_state s = look_up(w, plan_arena(p), o, ref);
        absent += s == OWNER_ABSENT;
        leaving += s == OWNER_LEAVING;
        if (s == OWNER_LEAVING || (s == OWNER_ABSENT && !gone)) gone = ref->uid;
    }
    if (!gone) return;
    if (absent && !world_complete(w)) { /* an owner may be of a kind that is not seen yet */
        plan_requeue(p, OWNER_UNSEEN_MS);
        return;
    }
    int64_t created, age_ms = OWNER_UNSEEN_MS;
    if (absent && time_parse(str_or(o->metadata.creation_timestamp, ""), &created) == 0)
        age_ms = (world_now_ns(w) - created) / 1000000;
    if (age_ms < OWNER_UNSEEN_MS)
        plan_requeue(p, (uint64_t)(OWNER_UNSEEN_MS - MAX_OF(age_ms, 0)));
    else if (absent + leaving < n)
        plan_release(p, o, gone); /* it lives on with the others; again after this write */
    else
        plan_delete(p, o, leaving ? "Foreground" : "Background");
}

static void orphan_dependents(const struct world *w, const struct api_object *o, struct plan *p) {
    const struct api_object *d;
    size_t at = 0;
    while ((d = world_dependents(w, o->metadata.uid, NULL, &at)))
        plan_release(p, d, o->metadata.uid);
    plan_set_finalizers(p, o, orphan);
}

enum { CIRCLE_MAX = 256 }; /* objects looked at; a longer circle is left alone */

/* Does o wait for objects that, one after the other, wait for o? Then none of them would ever go.
 */
static bool waits_for_itself(const struct world *w, struct arena *a, const struct api_object *o) {
    const struct api_object **seen = ARENA_ARRAY(a, const struct api_object *, CIRCLE_MAX);
    size_t n = 0;
    seen[n++] = o;
    for (size_t i = 0; i < n; i++) {
        const struct api_object *d;
        size_t at = 0;
        while ((d = world_dependents(w, seen[i]->metadata.uid, NULL, &at))) {
            const struct meta_v1_owner_reference *ref =
                owner_reference_to(d, seen[i]->metadata.uid);
            if (!ref || !bool_or(ref->block_owner_deletion, false) || !is_leaving(d)) continue;
            if (d == o) return true;
            bool known = false;
            for (size_t j = 0; j < n; j++) known |= seen[j] == d;
            if (!known && n < CIRCLE_MAX) seen[n++] = d;
        }
    }
    return false;
}

static void wait_for_dependents(const struct world *w, const struct api_object *o, struct plan *p) {
    const struct api_object *d;
    size_t at = 0;
    bool blocked = false;
    while ((d = world_dependents(w, o->metadata.uid, NULL, &at))) {
        const struct meta_v1_owner_reference *ref = owner_reference_to(d, o->metadata.uid);
        blocked |= ref && bool_or(ref->block_owner_deletion, false);
        /* collect() deletes the dependent in its own turn, when all its owners leave. */
    }
    if (!blocked || waits_for_itself(w, plan_arena(p), o)) plan_set_finalizers(p, o, foreground);
}

static int reconcile(const struct world *w, const char *key, struct plan *p, struct err *err) {
    (void)err;
    struct arena *a = plan_arena(p);
    struct slice rest = slice_of(key), kind = {0}, group = {0}, ns = {0}, name = {0};
    slice_cut(&rest, '\n', &kind);
    slice_cut(&rest, '\n', &group);
    slice_cut(&rest, '\n', &ns);
    slice_cut(&rest, '\n', &name);
    const char *world_kind_name =
        group.n ? arena_printf(a, "%.*s.%.*s", (int)kind.n, kind.p, (int)group.n, group.p)
                : arena_strn(a, kind);
    const struct api_object *o =
        world_get(w, world_kind_name, arena_strn(a, ns), arena_strn(a, name));
    if (!o) return 0;
    if (o->metadata.deletion_timestamp && has_finalizer(o, orphan))
        orphan_dependents(w, o, p);
    else if (o->metadata.deletion_timestamp && has_finalizer(o, foreground))
        wait_for_dependents(w, o, p);
    else
        collect(w, o, p);
    return 0;
}

static void map(const struct reconciler *r, const struct world *w, const struct api_kind *k,
                const struct api_object *now, const struct api_object *old, struct keys *out) {
    (void)r;
    const struct api_object *o = now ? now : old, *d;
    const struct api_kind *dk;
    size_t at = 0;
    /* Leases and Events change all the time and own nothing. */
    if (!o->metadata.owner_references.n && !o->metadata.deletion_timestamp && now) return;
    if (now) add_key(out, k, now);
    if (now && !now->metadata.deletion_timestamp) return;
    while ((d = world_dependents(w, o->metadata.uid, &dk, &at))) add_key(out, dk, d);
    /* An owner that waits in the foreground looks again when a dependent is gone. */
    for (size_t i = 0; i < o->metadata.owner_references.n; i++) {
        OWN(arena_free_p) struct arena *a = arena_new();
        const struct meta_v1_owner_reference *ref = &o->metadata.owner_references.v[i];
        const struct api_kind *ok =
            api_kind_by_api_version(str_or(ref->api_version, ""), str_or(ref->kind, ""));
        const struct api_object *owner =
            ok ? world_by_uid(w, world_name(a, ok), str_or(ref->uid, "")) : NULL;
        if (owner && owner->metadata.deletion_timestamp) add_key(out, ok, owner);
    }
}

static const char *const watches[] = {"*", NULL};
static const struct reconciler garbage = {
    .name = "garbage", .kind = "", .watches = watches, .map = map, .reconcile = reconcile};
RECONCILER(garbage);
