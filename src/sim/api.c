/* Requests: paths, verbs, subresources, answers. */
#include "sim/api.h"

#include <stdio.h>

#include "api/patch/patch.h"
#include "api/patch/strategic.h"
#include "api/rules/pods.h"
#include "api/table.h"
#include "base/own.h"

struct route {
    struct sim_resource *resource; /* NULL: there is none */
    const struct api_kind *kind;
    const char *ns, *name, *subresource; /* "" when none */
};

static bool route_parse(struct sim *s, struct arena *a, const char *target, struct route *ret) {
    struct slice path = slice_of(target), left, part;
    const char *parts[10] = {0};
    size_t n = 0;
    slice_cut(&path, '?', &left);
    while (n < ARRAY_LEN(parts) - 1 && slice_cut(&left, '/', &part))
        if (part.n) parts[n++] = arena_strn(a, part);
    bool core = str_eq(parts[0], "api");
    size_t i = core ? 2 : 3;
    *ret = (struct route){.ns = "", .name = "", .subresource = ""};
    if (n <= i) return false;
    if (str_eq(parts[i], "namespaces") && parts[i + 1] && parts[i + 2] &&
        !(core && (str_eq(parts[i + 2], "finalize") || str_eq(parts[i + 2], "status")))) {
        ret->ns = parts[i + 1];
        i += 2;
    }
    ret->kind = api_kind_by_plural(core ? "" : parts[1], parts[core ? 1 : 2], parts[i]);
    ret->resource = store_resource(s, ret->kind);
    ret->name = str_or(parts[i + 1], "");
    ret->subresource = *ret->name ? str_or(parts[i + 2], "") : "";
    return ret->resource && !(ret->kind->flags & API_CONVERTED);
}

static const char *query_get(struct arena *a, const char *target, const char *key) {
    const char *mark = strchr(target, '?');
    struct slice rest = slice_of(mark ? mark + 1 : ""), one, name;
    while (slice_cut(&rest, '&', &one)) {
        slice_cut(&one, '=', &name);
        if (slice_is(name, key)) return arena_strn(a, one);
    }
    return NULL;
}

void api_status_text(struct buf *b, enum err_reason reason, const char *message) {
    buf_str(b, "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"");
    buf_str(b, reason == ERR_NONE ? "Success\"" : "Failure\",\"message\":");
    if (reason != ERR_NONE) {
        buf_json_str(b, slice_of(message));
        buf_printf(b, ",\"reason\":\"%s\"", err_reason_name(reason));
    }
    buf_printf(b, ",\"code\":%d}", err_http(reason));
}

static void fail(struct sim_reply *p, const struct err *err) {
    p->status = err_http(err->reason);
    api_status_text(&p->body, err->reason, err->text);
}

/* ---- reading ---- */

bool filter_passes(const struct sim_filter *f, const struct sim_object *o) {
    return (!*f->ns || str_eq(f->ns, o->ns)) && (!*f->name || str_eq(f->name, o->name));
}

/* Of the field selectors, those that name an object: "metadata.name%3Dx,metadata.namespace%3Dy". */
static void filter_of(struct sim *s, struct arena *a, const char *target, const char *ns,
                      struct sim_filter *ret) {
    struct slice rest = slice_of(query_get(a, target, "fieldSelector")), one;
    *ret = (struct sim_filter){0};
    snprintf(ret->ns, sizeof ret->ns, "%s", ns);
    if (query_get(a, target, "labelSelector"))
        sim_violation(s, "the simulated API knows no label selectors: %s", target);
    while (rest.p && slice_cut(&rest, ',', &one)) {
        const char *text = arena_strn(a, one), *sign = strstr(text, "%3D");
        if (sign && str_starts(text, "metadata.name%3D"))
            snprintf(ret->name, sizeof ret->name, "%s", sign + 3);
        else if (sign && str_starts(text, "metadata.namespace%3D"))
            snprintf(ret->ns, sizeof ret->ns, "%s", sign + 3);
        else
            sim_violation(s, "the simulated API does not know the field selector %s", text);
    }
}

static void serve_list(struct sim *s, const struct route *r, const struct sim_filter *f,
                       struct sim_reply *p) {
    size_t n;
    OWN(free_p) struct sim_object **list = store_list(r->resource, &n);
    struct buf *b = &p->body;
    buf_printf(b,
               "{\"kind\":\"%s\",\"apiVersion\":\"%s\",\"metadata\":{\"resourceVersion\":\"%llu\"},"
               "\"items\":[",
               r->kind->list_kind, r->kind->api_version, (unsigned long long)s->store->revision);
    bool first = true;
    for (size_t i = 0; i < n; i++) {
        if (!filter_passes(f, list[i])) continue;
        if (!first) buf_char(b, ',');
        first = false;
        buf_slice(b, list[i]->json);
    }
    buf_str(b, "]}");
}

static int serve_get(struct sim *s, struct arena *a, const struct sim_request *q,
                     const struct route *r, struct sim_reply *p, struct err *err) {
    struct sim_filter f;
    if (!*r->name) {
        filter_of(s, a, q->target, r->ns, &f);
        serve_list(s, r, &f, p);
        return 0;
    }
    struct sim_object *o = store_get(r->resource, r->ns, r->name);
    if (!o) return err_set(err, ERR_NOT_FOUND, "%s \"%s\" not found", r->kind->plural, r->name);
    buf_slice(&p->body, o->json);
    return 0;
}

bool api_is_watch(const struct sim_request *q) {
    return str_eq(q->method, "GET") && strstr(q->target, "watch=true");
}

struct sim_resource *api_watched(struct sim *s, const struct sim_request *q, uint64_t *ret_revision,
                                 struct sim_filter *ret_filter) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct route r;
    *ret_revision = 0;
    *ret_filter = (struct sim_filter){0};
    if (!route_parse(s, a, q->target, &r)) return NULL;
    slice_u64(slice_of(str_or(query_get(a, q->target, "resourceVersion"), "0")), ret_revision);
    filter_of(s, a, q->target, r.ns, ret_filter);
    return r.resource;
}

/* ---- writing ---- */

static void answer_object(struct sim_reply *p, const struct sim_object *o) {
    if (o)
        buf_slice(&p->body, o->json);
    else
        api_status_text(&p->body, ERR_NONE, NULL);
}

static int serve_post(struct sim *s, struct arena *a, const struct sim_request *q,
                      const struct route *r, struct sim_reply *p, struct err *err) {
    struct api_object *o;
    struct sim_object *stored = NULL;
    int rc = api_object_decode(a, r->kind, q->body, &o, err);
    if (rc < 0) return rc;
    if (r->kind->flags & API_NAMESPACED && *r->ns) o->metadata.namespace = r->ns;
    rc = write_create(s, a, r->kind, o, &stored, err);
    if (rc < 0) return rc;
    p->status = 201;
    answer_object(p, stored);
    return 0;
}

static int current_of(const struct route *r, struct sim_object **ret, struct err *err) {
    *ret = store_get(r->resource, r->ns, r->name);
    if (*ret) return 0;
    return err_set(err, ERR_NOT_FOUND, "%s \"%s\" not found", r->kind->plural, r->name);
}

/* As src/server/subresources/finalize.c: ?whenEmpty=true. */
static int check_empty(struct sim *s, const char *ns, struct err *err) {
    for (size_t i = 0; i < s->store->n_resources; i++) {
        struct map_entry *e;
        for (size_t at = 0; (e = map_next(&s->store->resources[i].objects, &at));) {
            const struct sim_object *o = e->value;
            if (str_eq(o->ns, ns))
                return err_set(err, ERR_CONFLICT,
                               "Operation cannot be fulfilled on namespaces \"%s\": the namespace "
                               "still holds %s %s",
                               ns, o->kind->plural, o->name);
        }
    }
    return 0;
}

static int serve_put(struct sim *s, struct arena *a, const struct sim_request *q,
                     const struct route *r, struct sim_reply *p, struct err *err) {
    struct api_object *o;
    struct sim_object *current, *stored;
    int rc = current_of(r, &current, err);
    if (rc == 0) rc = api_object_decode(a, r->kind, q->body, &o, err);
    if (rc == 0 && str_eq(query_get(a, q->target, "whenEmpty"), "true"))
        rc = check_empty(s, r->name, err);
    if (rc < 0) return rc;
    if (str_empty(o->metadata.resource_version) && !(r->kind->flags & API_UNCONDITIONAL_UPDATE))
        return err_set(err, ERR_INVALID, "metadata.resourceVersion: must be specified");
    rc = write_update(s, a, r->kind, current, o, r->subresource, &stored, err);
    if (rc == 0) answer_object(p, stored);
    return rc;
}

static int patched(struct arena *a, const struct sim_request *q, const struct api_kind *k,
                   const struct sim_object *current, struct api_object **ret, struct err *err) {
    json_error_t why;
    OWN(json_decref_p) json_t *doc = json_loadb(current->json.p, current->json.n, 0, &why);
    OWN(json_decref_p) json_t *patch = NULL;
    OWN(json_decref_p) json_t *result = NULL;
    int rc;
    if (strstr(q->content_type, "json-patch"))
        rc = patch_json(doc, q->body, &result, err);
    else if (!strstr(q->content_type, "strategic"))
        rc = patch_merge(doc, q->body, &result, err);
    else if ((rc = patch_parse(q->body, &patch, err)) == 0)
        rc = patch_strategic(k->type, doc, patch, &result, err);
    if (rc < 0) return rc;
    OWN(free_p) char *text = json_dumps(result, JSON_COMPACT);
    return api_object_decode(a, k, slice_of(text), ret, err);
}

static int serve_patch(struct sim *s, struct arena *a, const struct sim_request *q,
                       const struct route *r, struct sim_reply *p, struct err *err) {
    struct api_object *o;
    struct sim_object *current, *stored;
    int rc = current_of(r, &current, err);
    if (rc == 0) rc = patched(a, q, r->kind, current, &o, err);
    if (rc == 0) rc = write_update(s, a, r->kind, current, o, r->subresource, &stored, err);
    if (rc == 0) answer_object(p, stored);
    return rc;
}

int api_patch_json(struct sim *s, const struct api_kind *k, const char *ns, const char *name,
                   const char *subresource, const char *merge_patch, struct err *err) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct sim_reply p = {0};
    struct sim_request q = {.body = slice_of(merge_patch),
                            .content_type = "application/merge-patch+json"};
    struct route r = {store_resource(s, k), k, ns, name, str_or(subresource, "")};
    int rc = serve_patch(s, a, &q, &r, &p, err);
    buf_done(&p.body);
    return rc;
}

static int take_options(struct arena *a, struct slice body, struct sim_delete *d, struct err *err) {
    static const char *const names[] = {"", "Background", "Foreground", "Orphan"};
    void *decoded;
    *d = (struct sim_delete){.grace_s = -1};
    if (!slice_trim(body).n) return 0;
    int rc = api_decode(a, &meta_v1_delete_options_type, body, NULL, &decoded, err);
    if (rc < 0) return rc;
    const struct meta_v1_delete_options *o = decoded;
    if (o->grace_period_seconds) d->grace_s = *o->grace_period_seconds;
    if (o->preconditions) {
        d->uid = o->preconditions->uid;
        d->resource_version = o->preconditions->resource_version;
    }
    for (size_t i = 1; i < ARRAY_LEN(names); i++)
        if (str_eq(o->propagation_policy, names[i])) d->policy = (enum propagation)i;
    return 0;
}

static int serve_delete(struct sim *s, struct arena *a, const struct sim_request *q,
                        const struct route *r, struct sim_reply *p, struct err *err) {
    struct sim_delete d;
    struct sim_object *before, *left = NULL;
    int rc = take_options(a, q->body, &d, err);
    if (rc == 0) rc = current_of(r, &before, err);
    if (rc < 0) return rc;
    object_hold(before);
    rc = api_remove(s, r->kind, r->ns, r->name, &d, &left, err);
    if (rc == 0) answer_object(p, left || !deletion_answers_object(r->kind) ? left : before);
    object_drop(before);
    return rc;
}

/* ---- subresources ---- */

static bool bind(struct sim *s, struct arena *a, struct api_object *o, void *user) {
    struct core_v1_pod *pod = (void *)o;
    const struct core_v1_binding *binding = user;
    pod->spec.node_name = arena_str(a, binding->target.name);
    pod_condition_set(a, pod, "PodScheduled", "True", NULL, NULL, api_now(s, a));
    return true;
}

static int serve_binding(struct sim *s, struct arena *a, const struct sim_request *q,
                         const struct route *r, struct sim_reply *p, struct err *err) {
    void *decoded;
    struct sim_object *current;
    int rc = current_of(r, &current, err);
    if (rc == 0) rc = api_decode(a, &core_v1_binding_type, q->body, NULL, &decoded, err);
    if (rc < 0) return rc;
    const struct core_v1_binding *binding = decoded;
    const struct core_v1_pod *pod = (const void *)store_decode(a, current);
    const char *why = NULL;
    if (!str_empty(binding->metadata.uid) && !str_eq(binding->metadata.uid, pod->metadata.uid))
        why = "Precondition failed: UID in precondition";
    else if (pod_is_terminating(pod))
        why = "the pod is being deleted, cannot be assigned to a host";
    else if (!str_empty(pod->spec.node_name) && !(s->bugs & SIM_BUG_REBIND))
        why = "the pod is already assigned to a node";
    if (why)
        return err_set(err, ERR_CONFLICT,
                       "Operation cannot be fulfilled on pods/binding \"%s\": %s", r->name, why);
    rc = api_edit(s, r->kind, r->ns, r->name, "binding", bind, decoded, err);
    p->status = 201;
    if (rc == 0) api_status_text(&p->body, ERR_NONE, NULL);
    return rc;
}

static int serve_eviction(struct sim *s, struct arena *a, const struct sim_request *q,
                          const struct route *r, struct sim_reply *p, struct err *err) {
    void *decoded;
    int rc = api_decode(a, &policy_v1_eviction_type, q->body, NULL, &decoded, err);
    if (rc < 0) return rc;
    const struct policy_v1_eviction *e = decoded;
    struct sim_delete d = {.grace_s = -1};
    if (e->delete_options && e->delete_options->preconditions)
        d.uid = e->delete_options->preconditions->uid;
    rc = api_evict(s, r->ns, r->name, &d, err);
    p->status = 201;
    if (rc == 0) api_status_text(&p->body, ERR_NONE, NULL);
    return rc;
}

static int serve_scale(struct sim *s, struct arena *a, const struct sim_request *q,
                       const struct route *r, struct sim_reply *p, struct err *err) {
    void *decoded;
    struct sim_object *current;
    if (str_eq(q->method, "GET")) {
        int rc = current_of(r, &current, err);
        if (rc < 0) return rc;
        OWN(json_decref_p) json_t *doc = json_loadb(current->json.p, current->json.n, 0, NULL);
        json_t *replicas = json_object_get(json_object_get(doc, "spec"), "replicas");
        buf_printf(&p->body,
                   "{\"kind\":\"Scale\",\"apiVersion\":\"autoscaling/v1\",\"metadata\":{\"name\":"
                   "\"%s\",\"namespace\":\"%s\",\"resourceVersion\":\"%llu\"},\"spec\":{"
                   "\"replicas\":%lld}}",
                   r->name, r->ns, (unsigned long long)current->revision,
                   json_integer_value(replicas));
        return 0;
    }
    int rc = api_decode(a, &autoscaling_v1_scale_type, q->body, NULL, &decoded, err);
    if (rc < 0) return rc;
    const struct autoscaling_v1_scale *scale = decoded;
    const char *patch = arena_printf(a, "{\"spec\":{\"replicas\":%d}}", (int)scale->spec.replicas);
    rc = api_patch_json(s, r->kind, r->ns, r->name, "", patch, err);
    if (rc == 0) buf_slice(&p->body, q->body);
    return rc;
}

static void hide_revision(struct buf *b) {
    char *at = b->p ? strstr(b->p, "\"resourceVersion\":\"") : NULL;
    if (at) memcpy(at, "\"resourceVersioN", 16);
}

typedef int serve_fn(struct sim *s, struct arena *a, const struct sim_request *q,
                     const struct route *r, struct sim_reply *p, struct err *err);

static const struct {
    const char *method, *subresource; /* NULL: "", "status" and what else is the object itself */
    serve_fn *run;
} verbs[] = {
    {"POST", "binding", serve_binding}, {"POST", "eviction", serve_eviction},
    {"GET", "scale", serve_scale},      {"PUT", "scale", serve_scale},
    {"PATCH", "scale", serve_scale},    {"GET", NULL, serve_get},
    {"POST", NULL, serve_post},         {"PUT", NULL, serve_put},
    {"PATCH", NULL, serve_patch},       {"DELETE", NULL, serve_delete},
};

void api_serve(struct sim *s, const struct sim_request *q, struct sim_reply *ret) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct route r;
    struct err err = {0};
    int rc = -1;
    *ret = (struct sim_reply){.status = 200};
    if (str_eq(q->target, "/apis")) {
        buf_str(&ret->body, "{\"kind\":\"APIGroupList\",\"apiVersion\":\"v1\",\"groups\":[]}");
        return;
    }
    if (str_eq(q->target, "/apis/metrics.k8s.io/v1beta1/pods")) {
        api_metrics_of_pods(s, &ret->body);
        return;
    }
    if (!route_parse(s, a, q->target, &r)) {
        err_set(&err, ERR_NOT_FOUND, "the server could not find the requested resource");
    } else {
        err_set(&err, ERR_METHOD_NOT_ALLOWED, "the server does not allow this method");
        for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
            if (!str_eq(verbs[i].method, q->method) ||
                (verbs[i].subresource && !str_eq(verbs[i].subresource, r.subresource)))
                continue;
            rc = verbs[i].run(s, a, q, &r, ret, &err);
            break;
        }
    }
    if (rc < 0) {
        buf_done(&ret->body);
        fail(ret, &err);
    }
    if (s->bugs & SIM_BUG_NO_REVISION && rc >= 0 && !str_eq(q->method, "GET"))
        hide_revision(&ret->body);
    if (!str_eq(q->method, "GET") && !strstr(q->target, "/events"))
        sim_say(s, "%s %s %s: %d%s%s", q->asker, q->method, q->target, ret->status,
                rc < 0 ? " " : "", rc < 0 ? err.text : "");
}
