/*
 * Server-side apply: PATCH with application/apply-patch+yaml. The body is what its manager wants to
 * own; merging and conflicts are api/managed's, the rest of the way is that of every write.
 */
#include <jansson.h>

#include "api/custom/custom.h"
#include "api/managed/merge.h"
#include "api/patch/patch.h"
#include "base/limits.h"
#include "base/own.h"
#include "proto/json.h"
#include "proto/yaml.h"
#include "server/media/body.h"
#include "server/media/convert.h"
#include "server/storage/raw.h"
#include "server/verbs/write.h"

static const char last_applied[] = "kubectl.kubernetes.io/last-applied-configuration";

/* ---- the body ---- */

static int read_config(struct call *c, json_t **ret, struct err *err) {
    OWN(buf_done) struct buf text = {0};
    struct slice json = slice_trim(c->r->body);
    int rc = 0;
    if (!json.n || json.p[0] != '{') {
        rc = yaml_to_json(c->r->body, &text, err);
        json = slice_from(arena_copy(c->a, text.p, text.n), text.n);
    }
    if (rc == 0) rc = body_duplicates(c, json, ret, err);
    if (rc < 0) return err_wrap(err, "error decoding YAML");
    if (json_is_object(*ret)) return 0;
    return err_set(err, ERR_BAD_REQUEST, "error decoding YAML: an applied object is a map");
}

static int check_config(struct call *c, const struct api_kind *k, const json_t *config,
                        struct err *err) {
    const char *version = json_string_value(json_object_get(config, "apiVersion"));
    const char *kind = json_string_value(json_object_get(config, "kind"));
    const json_t *fields = json_object_get(json_object_get(config, "metadata"), "managedFields");
    if (!kind || !version || !*kind || !*version)
        return err_set(err, ERR_BAD_REQUEST, "Object '%s' is missing in the applied object",
                       kind && *kind ? "apiVersion" : "Kind");
    if (!str_eq(version, k->api_version))
        return err_set(err, ERR_BAD_REQUEST,
                       "Incorrect version specified in apply patch. Specified patch version: %s, "
                       "expected: %s",
                       version, k->api_version);
    if (!str_eq(kind, k->kind))
        return err_set(err, ERR_BAD_REQUEST,
                       "Incorrect kind specified in apply patch. Specified kind: %s, expected: %s",
                       kind, k->kind);
    if (fields && !json_is_null(fields))
        return err_set(err, ERR_BAD_REQUEST, "metadata.managedFields must be nil");
    return 0;
}

/* ---- from client-side apply ---- */

/* Conflicts that kubectl had itself: what the annotation of client-side apply holds and nobody has
 * changed since. */
static bool migrated(struct call *c, const struct managed_write *w, const struct api_object *old,
                     struct fields *ret) {
    const char *text = str_map_get(&old->metadata.annotations, last_applied);
    OWN(json_decref_p) json_t *config = NULL;
    OWN(buf_done) struct buf raw = {0}, typed = {0};
    struct api_object *obj;
    struct fields changed, removed;
    if (str_empty(text) || json_parse(slice_of(text), &config, NULL) < 0) return false;
    if (!str_eq(json_string_value(json_object_get(config, "apiVersion")), w->api_version) ||
        api_object_decode(c->a, c->kind, slice_of(text), &obj, NULL) < 0)
        return false;
    json_canonical(&raw, config);
    struct slice json = slice_from(arena_copy(c->a, raw.p, raw.n), raw.n);
    if (fields_of_config(c->a, w->shape, w->part, json, ret, NULL) < 0) return false;
    api_object_encode(&typed, c->kind, obj);
    struct slice then = slice_from(arena_copy(c->a, typed.p, typed.n), typed.n);
    fields_compare(c->a, w->shape, w->part, then, w->before, &changed, &removed);
    *ret = fields_difference(c->a, ret, &changed);
    *ret = fields_cut(c->a, ret, &removed);
    return true;
}

/* The annotation follows, so that client-side apply can go on. */
static void sync_annotation(struct call *c, const json_t *config, struct api_object *obj) {
    struct str_map *annotations = &obj->metadata.annotations;
    if (!str_map_get(annotations, last_applied)) return;
    OWN(json_decref_p) json_t *copy = json_deep_copy(config);
    json_t *own = json_object_get(json_object_get(copy, "metadata"), "annotations");
    json_object_del(own, last_applied);
    OWN(free_p) char *text = json_dumps(copy, JSON_COMPACT | JSON_SORT_KEYS);
    size_t n = text ? strlen(text) + sizeof last_applied : 0;
    for (size_t i = 0; i < annotations->n; i++)
        if (!str_eq(annotations->v[i].key, last_applied))
            n += strlen(annotations->v[i].key) + strlen(str_or(annotations->v[i].value, ""));
    bool fits = text && n < LIMIT_ANNOTATIONS_BYTES;
    str_map_set(c->a, annotations, last_applied, fits ? arena_printf(c->a, "%s\n", text) : "");
}

/* ---- the write ---- */

static int reply_conflicts(struct write *w, const struct managed_conflict_list *l) {
    struct call *c = w->c;
    struct api_causes causes = {.a = c->a};
    for (size_t i = 0; i < l->n; i++)
        *ARENA_PUSH(c->a, &causes) = (struct api_cause){
            "FieldManagerConflict", l->v[i].path,
            arena_printf(c->a, "conflict with %s", managed_entry_text(c->a, l->v[i].with))};
    reply_failure(c, ERR_CONFLICT,
                  &(struct failure){.message = managed_conflicts_text(c->a, l), .causes = &causes});
    return 1;
}

static struct slice encoded(struct call *c, const struct api_object *o) {
    OWN(buf_done) struct buf b = {0};
    api_object_encode(&b, c->kind, o);
    return slice_from(arena_copy(c->a, b.p, b.n), b.n);
}

/* The config merged into the live object, decoded. */
static int merged_object(struct write *w, struct managed_apply *m, const json_t *config,
                         struct api_object **ret, struct err *err) {
    struct call *c = w->c;
    OWN(json_decref_p) json_t *live = NULL, *merged = NULL;
    OWN(buf_done) struct buf b = {0};
    int rc = m->w.before.n ? json_parse(m->w.before, &live, err) : 0;
    if (rc < 0) return rc;
    rc = managed_merge(m, live, config, &merged, err);
    if (rc < 0)
        return err_wrap(err, "failed to create typed patch object (%s/%s; %s, Kind=%s)",
                        c->route.ns, c->route.name, c->kind->api_version, c->kind->kind);
    json_canonical(&b, merged);
    return body_object(c, c->kind, slice_from(arena_copy(c->a, b.p, b.n), b.n), ret, err);
}

static bool forced(struct call *c) {
    const char *force = http_query_get(&c->r->query, "force");
    return force && (str_eq(force, "true") || str_eq(force, "1") || !*force);
}

/* A uid is that of an object which was there. 1: answered. */
static int names_another(struct call *c, const json_t *config) {
    const char *uid =
        json_string_value(json_object_get(json_object_get(config, "metadata"), "uid"));
    if (str_empty(uid)) return 0;
    reply_conflict(c, c->route.name,
                   arena_printf(c->a,
                                "uid mismatch: the provided object specified uid %s, and no "
                                "existing object was found",
                                uid));
    return 1;
}

static int apply_config(struct write *w, struct object *current, const struct api_object *old,
                        const json_t *config, struct api_object **ret, struct err *err) {
    static const managed_list none;
    struct call *c = w->c;
    struct fields allowed;
    struct managed_apply m = {.w = write_manager(w),
                              .was = old ? &old->metadata.managed_fields : &none,
                              .force = forced(c)};
    if (old) m.w.before = convert_json(c->a, c->kind, object_json(current));
    int rc = merged_object(w, &m, config, ret, err);
    if (rc < 0) return rc;
    if (!old && write_name_new(c, *ret)) return 1;
    if (old && str_eq(m.w.manager, "kubectl") && migrated(c, &m.w, old, &allowed))
        m.allowed = &allowed;
    struct managed_conflict_list conflicts;
    if (managed_applied(&m, encoded(c, *ret), &w->managed, &conflicts) < 0)
        return reply_conflicts(w, &conflicts);
    if (str_eq(m.w.manager, "kubectl")) sync_annotation(c, config, *ret);
    (*ret)->metadata.managed_fields = (managed_list){0};
    w->applied = true;
    w->conditional =
        json_object_get(json_object_get(config, "metadata"), "resourceVersion") != NULL;
    *ret = old ? api_convert(c->a, c->kind, storage_kind(c->kind), *ret) : *ret;
    return 0;
}

static int build(struct write *w, struct object *current, const struct api_object *old,
                 struct api_object **ret, struct err *err) {
    struct call *c = w->c;
    OWN(json_decref_p) json_t *config = NULL;
    c->warnings = (struct str_list){0};
    int rc = read_config(c, &config, err);
    if (rc == 0) rc = check_config(c, c->kind, config, err);
    if (rc < 0) return rc;
    if (!old && (!write_may_create(c) || names_another(c, config))) return 1;
    return apply_config(w, current, old, config, ret, err);
}

/* fieldManager is required; the rest of the options is body_options()'. */
static bool named_manager(struct call *c) {
    if (!str_empty(http_query_get(&c->r->query, "fieldManager"))) return true;
    struct api_causes causes = {.a = c->a};
    cause_required(&causes, "fieldManager", "is required for apply patch");
    reply_failure(c, ERR_INVALID,
                  &(struct failure){.message =
                                        "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: "
                                        "Required value: is required for apply patch",
                                    .group = "meta.k8s.io",
                                    .kind = "PatchOptions",
                                    .causes = &causes});
    return false;
}

void apply_handle(struct call *c) {
    if (!named_manager(c)) return;
    write_existing(c, &(struct write){.build = build,
                                      .status = 200,
                                      .creates = !*c->route.subresource,
                                      .subresource = c->route.subresource});
}

/* ---- scale: the number of replicas is the parent's field ---- */

/* Puts replicas into the parent's configuration where its kind keeps them. */
static void put_replicas(struct call *c, json_t *parent, json_t *replicas) {
    struct slice path =
        slice_of(c->kind->custom ? c->kind->custom->spec_replicas : ".spec.replicas");
    struct slice step;
    if (!replicas) return;
    if (path.n && path.p[0] == '.') path = slice_from(path.p + 1, path.n - 1);
    while (slice_cut(&path, '.', &step)) {
        const char *key = arena_strn(c->a, step);
        if (!path.p) {
            json_object_set(parent, key, replicas);
            return;
        }
        json_object_set_new(parent, key, json_object());
        parent = json_object_get(parent, key);
    }
}

static int build_scale(struct write *w, struct object *current, const struct api_object *old,
                       struct api_object **ret, struct err *err) {
    static const struct api_kind scale = {.api_version = "autoscaling/v1", .kind = "Scale"};
    struct call *c = w->c;
    OWN(json_decref_p) json_t *config = NULL;
    c->warnings = (struct str_list){0};
    int rc = read_config(c, &config, err);
    if (rc == 0) rc = check_config(c, &scale, config, err);
    if (rc < 0) return rc;
    json_t *metadata = json_object_get(config, "metadata");
    OWN(json_decref_p)
    json_t *parent = json_pack("{s:s,s:s,s:{s:s,s:O*,s:O*}}", "apiVersion", c->kind->api_version,
                               "kind", c->kind->kind, "metadata", "name", c->route.name, "uid",
                               json_object_get(metadata, "uid"), "resourceVersion",
                               json_object_get(metadata, "resourceVersion"));
    if (!parent) return err_set(err, ERR_BAD_REQUEST, "the applied Scale cannot be read");
    put_replicas(c, parent, json_object_get(json_object_get(config, "spec"), "replicas"));
    return apply_config(w, current, old, parent, ret, err);
}

void apply_scale(struct call *c, void (*answer)(struct write *w, struct slice json)) {
    if (!named_manager(c)) return;
    write_existing(c, &(struct write){.build = build_scale,
                                      .answer = answer,
                                      .subresource = "scale",
                                      .view = &scale_view});
}
