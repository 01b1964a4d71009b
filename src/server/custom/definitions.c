#include "server/custom/definitions.h"

#include "api/custom/definition.h"
#include "base/log.h"
#include "base/own.h"
#include "base/times.h"
#include "server/commit.h"
#include "server/custom/rules.h"
#include "server/storage/raw.h"
#include "server/verbs/remove.h"

enum { TOGETHER = 32 };

typedef struct apiextensions_v1_custom_resource_definition definition;
typedef struct apiextensions_v1_custom_resource_definition_names definition_names;

/* One definition that is at work. */
struct entry {
    char *name;
    struct custom_set *set;          /* NULL: not established */
    uint64_t spec_hash, schema_hash; /* of what the set was made from */
    bool terminating;
    struct resource *instances; /* listened to while terminating */
    size_t deleting;            /* deletions under way */
    struct arena *names_arena;
    const struct apiextensions_v1_custom_resource_definition_names *names; /* accepted, as stored */
    bool writing; /* a write of ours is under way; its event comes back here */
};

static struct {
    struct api *api;
    const struct api_kind *kind;
    struct resource *resource;
    struct map entries; /* by name */
} all;

static void consider(const char *name, bool starting);

static const char *now_text(struct arena *a) {
    char text[TIME_TEXT_MAX];
    time_format(text, loop_wall_ns(all.api->loop));
    return arena_str(a, text);
}

static definition *decode(struct arena *a, const struct object *o) {
    struct api_object *decoded;
    struct err err;
    if (api_object_decode(a, all.kind, object_json(o), &decoded, &err) == 0)
        return (definition *)(void *)decoded;
    log_error("definition_unreadable", "name=%s why=%s", object_name(o), err.text);
    return NULL;
}

/* ---- kinds ---- */

static const char *prefix_of(struct arena *a, const char *name) {
    return arena_printf(a, "/%s/", name);
}

static void unregister(struct entry *e) {
    if (!e->set) return;
    for (size_t i = 0; i < e->set->versions.n; i++) api_kind_remove(&e->set->versions.v[i]->kind);
    custom_set_unref(e->set);
    e->set = NULL;
}

static void install(struct entry *e, struct custom_set *set) {
    unregister(e);
    e->set = set;
    for (size_t i = 0; i < set->versions.n; i++)
        if (set->versions.v[i]->served) api_kind_add(&set->versions.v[i]->kind);
}

static uint64_t raw_hash(struct slice json, const char *path) {
    struct slice part = {0};
    raw_path(json, path, &part);
    return map_hash(part);
}

/* Makes the kinds anew when the definition says something new about them. */
static void update_kinds(struct entry *e, const struct object *o, const definition *d,
                         bool starting) {
    struct err err;
    struct custom_set *set;
    OWN(buf_done) struct buf names = {0};
    struct arena *scratch = arena_new();
    api_encode(&names, &apiextensions_v1_custom_resource_definition_names_type,
               &d->status.accepted_names);
    bool terminating = !str_empty(d->metadata.deletion_timestamp);
    uint64_t schema = raw_hash(object_json(o), "spec.versions");
    uint64_t spec =
        raw_hash(object_json(o), "spec") ^ map_hash(buf_view(&names)) ^ (terminating ? 1 : 0);
    if (!definition_is(d, "Established")) {
        unregister(e);
    } else if (e->set && e->spec_hash == spec) {
        ;
    } else if (custom_set_new(d, &d->status.accepted_names, &set, &err) < 0) {
        log_error("definition_unusable", "name=%s why=%s", e->name, err.text);
        unregister(e);
    } else {
        struct resource *r = cache_resource_make(&all.api->cache, prefix_of(scratch, e->name));
        if (starting || (e->set && e->schema_hash != schema))
            set->complete_since = o->revision;
        else if (e->set)
            set->complete_since = e->set->complete_since;
        for (size_t i = 0; i < set->versions.n; i++) custom_rules_compile(set->versions.v[i]);
        bool replaced = e->set && e->spec_hash != spec;
        install(e, set);
        e->spec_hash = spec;
        e->schema_hash = schema;
        if (replaced) resource_end_watches(r);
    }
    arena_free(scratch);
}

/* ---- status ---- */

static void on_written(void *user, struct slice json, const struct err *err) {
    char *name = user;
    struct entry *e = map_gets(&all.entries, name);
    (void)json;
    if (e) e->writing = false;
    if (err && err->reason != ERR_CONFLICT && err->reason != ERR_NOT_FOUND)
        log_warn("definition_status_failed", "name=%s why=%s", name, err->text);
    else if (e) /* what has changed meanwhile */
        consider(name, false);
    free(name);
}

static void write_back(struct entry *e, enum store_op op, definition *d, uint64_t revision) {
    if (e->writing) return;
    e->writing = true;
    char *name = strdup(e->name);
    if (!name) abort();
    commit_submit(all.api, &(struct commit){op, all.kind, (struct api_object *)(void *)d, revision},
                  on_written, name);
}

static void remember_names(struct entry *e, const definition *d) {
    arena_free(e->names_arena);
    e->names_arena = arena_new();
    e->names = api_copy(e->names_arena, &apiextensions_v1_custom_resource_definition_names_type,
                        &d->status.accepted_names);
}

/* The names that the other definitions of the group have. */
static void others_of(struct arena *a, const definition *d, const definition_names ***ret,
                      size_t *ret_n) {
    struct {
        const definition_names **v;
        size_t n;
    } list = {0};
    const char *end = arena_printf(a, ".%s", d->spec.group);
    size_t i = 0;
    for (struct map_entry *m; (m = map_next(&all.entries, &i));) {
        const struct entry *e = m->value;
        if (e->names && str_ends(e->name, end) && !str_eq(e->name, d->metadata.name))
            *ARENA_PUSH(a, &list) = e->names;
    }
    *ret = list.v;
    *ret_n = list.n;
}

/* ---- the end of a definition ---- */

static void continue_deletion(struct entry *e);

static void on_removed(void *user, struct slice json, bool gone, const struct err *err) {
    OWN(free_p) char *name = user;
    struct entry *e = map_gets(&all.entries, name);
    (void)json;
    if (!e) return;
    e->deleting--;
    /* Those that wait for their finalizers come back as events. */
    if (!e->deleting && (gone || err)) continue_deletion(e);
}

static void delete_instance(struct entry *e, const struct api_kind *k, const struct object *o) {
    struct remove_options options = {.grace_s = -1};
    char ns[256] = "";
    memcpy(ns, o->key, MIN_OF(o->ns_n, sizeof ns - 1));
    char *name = strdup(e->name);
    if (!name) abort();
    e->deleting++;
    remove_object(all.api, k, ns, object_name(o), &options, on_removed, name);
}

static bool is_dying(const struct object *o) {
    struct slice when;
    return raw_path(object_json(o), "metadata.deletionTimestamp", &when);
}

static void remove_finalizer(struct arena *a, definition *d) {
    struct str_list left = {0};
    for (size_t i = 0; i < d->metadata.finalizers.n; i++)
        if (!str_eq(d->metadata.finalizers.v[i], DEFINITION_FINALIZER))
            *ARENA_PUSH(a, &left) = d->metadata.finalizers.v[i];
    d->metadata.finalizers = left;
}

static void finish_deletion(struct entry *e) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct object *o = resource_get(all.resource, "", e->name);
    definition *d = o ? decode(a, o) : NULL;
    if (!d) return;
    remove_finalizer(a, d);
    definition_set_condition(a, d, "Terminating", "False", "InstanceDeletionCompleted",
                             "removed all instances", now_text(a));
    write_back(e, d->metadata.finalizers.n ? STORE_UPDATE : STORE_DELETE, d, o->revision);
}

/* Deletes some of the objects that are left, or ends the definition when none is. */
static void continue_deletion(struct entry *e) {
    if (e->deleting) return;
    if (!e->instances->index.n || !e->set) {
        finish_deletion(e);
        return;
    }
    VEC(struct object *) some = {0};
    struct key_cursor at = key_index_seek(&e->instances->index, SLICE(""), false);
    for (struct object *o; some.n < TOGETHER && (o = key_index_next(&e->instances->index, &at));)
        if (!is_dying(o)) vec_push(&some, object_ref(o));
    e->deleting++; /* none of the answers that come at once may go on from here */
    for (size_t i = 0; i < some.n; i++) {
        delete_instance(e, &e->set->storage->kind, some.v[i]);
        object_unref(some.v[i]);
    }
    e->deleting--;
    vec_done(&some);
}

static void on_instance(void *user, const struct event *ev) {
    struct entry *e = user;
    if (ev->type == EVENT_DELETED && !e->instances->index.n) continue_deletion(e);
}

static bool has_finalizer(const definition *d) {
    for (size_t i = 0; i < d->metadata.finalizers.n; i++)
        if (str_eq(d->metadata.finalizers.v[i], DEFINITION_FINALIZER)) return true;
    return false;
}

static void terminate(struct entry *e, struct arena *a, definition *d, const struct object *o) {
    if (!has_finalizer(d)) return;
    if (!definition_condition(d, "Terminating")) {
        definition_set_condition(a, d, "Terminating", "True", "InstanceDeletionInProgress",
                                 "CustomResource deletion is in progress", now_text(a));
        write_back(e, STORE_UPDATE, d, o->revision);
        return; /* goes on when that is stored */
    }
    if (!e->instances) {
        e->instances = cache_resource_make(&all.api->cache, prefix_of(a, e->name));
        resource_listen(e->instances, on_instance, e);
    }
    continue_deletion(e);
}

/* ---- changes ---- */

static struct entry *entry_of(const char *name) {
    struct entry *e = map_gets(&all.entries, name);
    if (e) return e;
    e = calloc(1, sizeof *e);
    if (!e || !(e->name = strdup(name))) abort();
    map_put(&all.entries, slice_of(name), e);
    return e;
}

/* A name has become free: somebody else may have been waiting for it. */
static void consider_group(const char *name) {
    OWN(arena_free_p) struct arena *a = arena_new();
    const char *group = strchr(name, '.');
    struct str_list names = {0};
    struct key_cursor at = key_index_seek(&all.resource->index, SLICE("/"), false);
    for (struct object *o; (o = key_index_next(&all.resource->index, &at));)
        if (group && str_ends(object_name(o), group) && !str_eq(object_name(o), name))
            *ARENA_PUSH(a, &names) = arena_str(a, object_name(o));
    for (size_t i = 0; i < names.n; i++) consider(names.v[i], false);
}

static void forget(const char *name) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct entry *e = map_del(&all.entries, slice_of(name));
    if (!e) return;
    if (e->instances) resource_unlisten(e->instances, e);
    unregister(e);
    arena_free(e->names_arena);
    resource_end_watches(cache_resource_make(&all.api->cache, prefix_of(a, name)));
    free(e->name);
    free(e);
    consider_group(name);
}

static void consider(const char *name, bool starting) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct object *o = resource_get(all.resource, "", name);
    definition *d = o ? decode(a, o) : NULL;
    if (!d) return;
    struct entry *e = entry_of(name);
    const definition_names **others;
    size_t n;
    remember_names(e, d);
    others_of(a, d, &others, &n);
    bool changed = definition_grant(a, d, others, n, now_text(a));
    if (changed) remember_names(e, d); /* taken from now on */
    update_kinds(e, o, d, starting);
    if (changed)
        write_back(e, STORE_UPDATE, d, o->revision);
    else if (!str_empty(d->metadata.deletion_timestamp))
        terminate(e, a, d, o);
}

static void on_definition(void *user, const struct event *ev) {
    (void)user;
    OWN(free_p) char *name = strdup(object_name(ev->now));
    if (!name) abort();
    if (ev->type == EVENT_DELETED)
        forget(name);
    else
        consider(name, false);
}

void definitions_start(struct api *api) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct str_list names = {0};
    all.api = api;
    definition_use_rules(custom_rules_check);
    all.kind = api_kind_by_plural("apiextensions.k8s.io", "v1", "customresourcedefinitions");
    all.resource = cache_of_kind(&api->cache, all.kind);
    struct key_cursor at = key_index_seek(&all.resource->index, SLICE("/"), false);
    for (struct object *o; (o = key_index_next(&all.resource->index, &at));)
        *ARENA_PUSH(a, &names) = arena_str(a, object_name(o));
    for (size_t i = 0; i < names.n; i++) { /* all names first: who holds one keeps it */
        OWN(arena_free_p) struct arena *scratch = arena_new();
        const definition *d = decode(scratch, resource_get(all.resource, "", names.v[i]));
        if (d) remember_names(entry_of(names.v[i]), d);
    }
    for (size_t i = 0; i < names.n; i++) consider(names.v[i], true);
    resource_listen(all.resource, on_definition, api);
}

/* ---- requests ---- */

static void release(void *user) { custom_set_unref(user); }

bool custom_call_begin(struct call *c) {
    const struct custom_version *v = c->kind->custom;
    arena_finally(c->a, release, custom_set_ref(v->set));
    if (v->deprecated) *ARENA_PUSH(c->a, &c->warnings) = v->deprecation_warning;
    if (!v->set->terminating || !str_eq(c->route.verb, "create")) return true;
    struct err err;
    err_set(&err, ERR_METHOD_NOT_ALLOWED,
            "create not allowed while custom resource definition is terminating");
    reply_error(c, &err);
    return false;
}
