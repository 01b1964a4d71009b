/* /scale: replicas of any workload through one small object (autoscaling/v1 Scale). */
#include "api/custom/custom.h"
#include "base/own.h"
#include "server/media/body.h"
#include "server/media/convert.h"
#include "server/media/table.h"
#include "server/storage/raw.h"
#include "server/verbs/write.h"

/* Where each kind keeps its number. */
static int32_t **deployment_replicas(struct api_object *o) {
    return &((struct apps_v1_deployment *)(void *)o)->spec.replicas;
}
static int32_t **replicaset_replicas(struct api_object *o) {
    return &((struct apps_v1_replica_set *)(void *)o)->spec.replicas;
}
static int32_t **statefulset_replicas(struct api_object *o) {
    return &((struct apps_v1_stateful_set *)(void *)o)->spec.replicas;
}
static int32_t **controller_replicas(struct api_object *o) {
    return &((struct core_v1_replication_controller *)(void *)o)->spec.replicas;
}
static const struct {
    const char *group, *plural;
    int32_t **(*replicas)(struct api_object *o);
} scaled[] = {
    {"apps", "deployments", deployment_replicas},
    {"apps", "replicasets", replicaset_replicas},
    {"apps", "statefulsets", statefulset_replicas},
    {"", "replicationcontrollers", controller_replicas},
};

static int32_t number(struct slice json, const char *path) {
    struct slice v;
    uint64_t n;
    return raw_path(json, path, &v) && slice_u64(v, &n) == 0 && n <= INT32_MAX ? (int32_t)n : 0;
}

static void put_requirement(struct buf *b, struct arena *a, struct slice one) {
    const char *key = str_or(raw_path_string(a, one, "key"), "");
    const char *op = str_or(raw_path_string(a, one, "operator"), "");
    bool in = str_eq(op, "In");
    buf_str(b, b->n ? "," : "");
    if (str_eq(op, "Exists") || str_eq(op, "DoesNotExist")) {
        buf_printf(b, "%s%s", str_eq(op, "Exists") ? "" : "!", key);
        return;
    }
    buf_printf(b, "%s %s (", key, in ? "in" : "notin");
    struct slice values = SLICE(""), value;
    raw_get(one, "values", &values);
    struct raw_iter s = raw_array(values);
    for (bool comma = false; raw_element(&s, &value); comma = true)
        buf_printf(b, "%s%s", comma ? "," : "", raw_string(a, value));
    buf_char(b, ')');
}

/* spec.selector in the form that a list's labelSelector takes. */
static const char *selector_text(struct arena *a, struct slice json) {
    OWN(buf_done) struct buf b = {0};
    struct slice part, one;
    if (raw_path(json, "spec.selector.matchLabels", &part)) {
        struct str_map m = raw_map(a, part);
        for (size_t i = 0; i < m.n; i++)
            buf_printf(&b, "%s%s=%s", i ? "," : "", m.v[i].key, m.v[i].value);
    }
    if (raw_path(json, "spec.selector.matchExpressions", &part)) {
        struct raw_iter s = raw_array(part);
        while (raw_element(&s, &one)) put_requirement(&b, a, one);
    }
    /* A ReplicationController's selector is a plain map. */
    if (!b.n && !raw_path(json, "spec.selector.matchLabels", &part) &&
        raw_path(json, "spec.selector", &part)) {
        struct str_map m = raw_map(a, part);
        for (size_t i = 0; i < m.n; i++)
            buf_printf(&b, "%s%s=%s", i ? "," : "", m.v[i].key, m.v[i].value);
    }
    return arena_strn(a, buf_view(&b));
}

static struct slice scale_json(struct arena *a, const struct api_kind *k, struct slice json) {
    struct autoscaling_v1_scale s = {.api_version = "autoscaling/v1", .kind = "Scale"};
    s.metadata.name = raw_path_string(a, json, "metadata.name");
    s.metadata.namespace = raw_path_string(a, json, "metadata.namespace");
    s.metadata.uid = raw_path_string(a, json, "metadata.uid");
    s.metadata.resource_version = raw_path_string(a, json, "metadata.resourceVersion");
    s.metadata.creation_timestamp = raw_path_string(a, json, "metadata.creationTimestamp");
    s.spec.replicas = number(json, "spec.replicas");
    s.status.replicas = number(json, "status.replicas");
    s.status.selector = selector_text(a, json);
    if (k->custom) {
        s.spec.replicas = (int32_t)custom_number(json, k->custom->spec_replicas);
        s.status.replicas = (int32_t)custom_number(json, k->custom->status_replicas);
        s.status.selector =
            k->custom->label_selector ? custom_field(a, json, k->custom->label_selector) : NULL;
    }
    OWN(buf_done) struct buf b = {0};
    api_encode(&b, &autoscaling_v1_scale_type, &s);
    return slice_from(arena_copy(a, b.p, b.n), b.n);
}

static int set_replicas(struct call *c, struct api_object *o, int32_t n, struct err *err) {
    for (size_t i = 0; i < ARRAY_LEN(scaled); i++)
        if (str_eq(scaled[i].plural, c->kind->plural) && str_eq(scaled[i].group, c->kind->group))
            *scaled[i].replicas(o) = arena_copy(c->a, &n, sizeof n);
    if (c->kind->custom && custom_set_number(c->a, o, c->kind->custom->spec_replicas, n) < 0)
        return err_set(err, ERR_INTERNAL, "the stored object is not JSON");
    return 0;
}

/* ---- what admission sees ---- */

static int show(struct write *w, const struct api_object *o, struct api_object **ret,
                struct err *err) {
    struct call *c = w->c;
    OWN(buf_done) struct buf b = {0};
    const struct api_kind *k = storage_kind(c->kind);
    const char *version = o->metadata.resource_version;
    void *p;
    api_object_encode(&b, k, o);
    int rc = api_decode(c->a, &autoscaling_v1_scale_type, scale_json(c->a, c->kind, buf_view(&b)),
                        &(struct api_decode_opts){0}, &p, err);
    if (rc < 0) return rc;
    struct autoscaling_v1_scale *s = p;
    s->metadata.resource_version = version;
    *ret = p;
    return 0;
}

static int take(struct write *w, const struct api_object *shown, struct err *err) {
    const struct autoscaling_v1_scale *s = (const void *)shown;
    return set_replicas(w->c, w->object, s->spec.replicas, err);
}

static const struct api_kind scale_kind = {.group = "autoscaling",
                                           .version = "v1",
                                           .kind = "Scale",
                                           .plural = "scales",
                                           .type = &autoscaling_v1_scale_type,
                                           .api_version = "autoscaling/v1"};
const struct write_view scale_view = {&scale_kind, show, take};

static int build(struct write *w, struct object *current, const struct api_object *old,
                 struct api_object **ret, struct err *err) {
    struct call *c = w->c;
    struct slice wanted;
    int rc = str_eq(c->route.verb, "patch")
                 ? update_patched(c, &autoscaling_v1_scale_type,
                                  scale_json(c->a, c->kind, object_json(current)), &wanted, err)
                 : body_json(c, &wanted, err);
    struct api_decode_opts opts = {.unknown = c->unknown, .warnings = &c->warnings};
    void *p;
    if (rc == 0) rc = api_decode(c->a, &autoscaling_v1_scale_type, wanted, &opts, &p, err);
    if (rc < 0) return rc;
    const struct autoscaling_v1_scale *s = p;
    struct api_causes causes = {.a = c->a};
    api_validate(&autoscaling_v1_scale_type, s, NULL, "", &causes);
    if (causes.n) {
        reply_invalid(c, c->route.name, &causes);
        return 1;
    }
    struct api_object *o = api_object_copy(c->a, c->kind, old);
    if ((rc = set_replicas(c, o, s->spec.replicas, err)) < 0) return rc;
    const char *version = s->metadata.resource_version;
    w->conditional = !str_empty(version) && !str_eq(c->route.verb, "patch");
    if (!str_empty(version)) o->metadata.resource_version = version;
    if (str_empty(version)) o->metadata.resource_version = NULL;
    *ret = o;
    return 0;
}

static void answer(struct write *w, struct slice json) {
    reply_json(w->c, 200, scale_json(w->c->a, w->c->kind, json));
}

/* Also as a table; all other forms are reply_json()'s. */
static void reply_scale(struct call *c, struct slice json) {
    static const struct api_kind scale = {.group = "autoscaling",
                                          .version = "v1",
                                          .kind = "Scale",
                                          .type = &autoscaling_v1_scale_type,
                                          .api_version = "autoscaling/v1"};
    struct err err;
    bool table = reply_negotiate(c, &err) == 0 && c->form == ANSWER_TABLE;
    if (!table) {
        c->form = ANSWER_OBJECT;
        c->media = MEDIA_UNDECIDED;
        reply_json(c, 200, json);
        return;
    }
    OWN(buf_done) struct buf b = {0};
    c->kind = &scale;
    table_object(&b, c, json);
    request_respond(c->r, 200, content_type(c), buf_view(&b), NULL);
}

void scale_handle(struct call *c) {
    struct err err;
    if (str_eq(c->route.verb, "get")) {
        struct object *o = named_object(c);
        if (o) reply_scale(c, scale_json(c->a, c->kind, object_json(o)));
        return;
    }
    if (!str_eq(c->route.verb, "update") && !str_eq(c->route.verb, "patch")) {
        reply_method_not_allowed(c);
        return;
    }
    if (body_options(c, &err) < 0) {
        reply_error(c, &err);
        return;
    }
    if (str_eq(c->route.verb, "patch") && patch_is_apply(c))
        apply_scale(c, answer);
    else
        write_existing(
            c, &(struct write){
                   .build = build, .answer = answer, .subresource = "scale", .view = &scale_view});
}
