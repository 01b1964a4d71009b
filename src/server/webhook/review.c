#include "server/webhook/review.h"

#include "api/patch/patch.h"
#include "base/own.h"
#include "proto/json.h"
#include "server/media/body.h"
#include "server/media/convert.h"

enum { WARNINGS_MAX = 64, WARNING_BYTES_MAX = 256, ANNOTATIONS_MAX = 64 };

/* ---- the question ---- */

static void put(struct buf *b, const char *key, const char *value) {
    buf_printf(b, "\"%s\":", key);
    buf_json_str(b, slice_of(str_or(value, "")));
}

static void put_kind(struct buf *b, const char *key, const char *group, const char *version,
                     const char *last_key, const char *last) {
    buf_printf(b, ",\"%s\":{", key);
    put(b, "group", group);
    buf_char(b, ',');
    put(b, "version", version);
    buf_char(b, ',');
    put(b, last_key, last);
    buf_char(b, '}');
}

static void put_list(struct buf *b, const struct str_list *l) {
    buf_char(b, '[');
    for (size_t i = 0; i < l->n; i++) {
        if (i) buf_char(b, ',');
        buf_json_str(b, slice_of(l->v[i]));
    }
    buf_char(b, ']');
}

static void put_user(struct buf *b, const struct user *u) {
    buf_str(b, ",\"userInfo\":{");
    put(b, "username", u->name);
    if (!str_empty(u->uid)) {
        buf_char(b, ',');
        put(b, "uid", u->uid);
    }
    if (u->groups.n) {
        buf_str(b, ",\"groups\":");
        put_list(b, &u->groups);
    }
    for (size_t i = 0; i < u->extra.n; i++) {
        buf_str(b, i ? "," : ",\"extra\":{");
        buf_json_str(b, slice_of(u->extra.v[i].key));
        buf_char(b, ':');
        put_list(b, &u->extra.v[i].value);
    }
    buf_str(b, u->extra.n ? "}}" : "}");
}

/* Connections are about options, which have kinds of their own. */
static const struct {
    const char *subresource, *plural, *kind;
} connections[] = {
    {"exec", "pods", "PodExecOptions"},
    {"attach", "pods", "PodAttachOptions"},
    {"portforward", "pods", "PodPortForwardOptions"},
    {"proxy", "pods", "PodProxyOptions"},
    {"proxy", "services", "ServiceProxyOptions"},
    {"proxy", "nodes", "NodeProxyOptions"},
};

static const char *connection_kind(const struct admission *ad) {
    for (size_t i = 0; i < ARRAY_LEN(connections); i++)
        if (str_eq(connections[i].subresource, ad->subresource) &&
            str_eq(connections[i].plural, ad->kind->plural))
            return connections[i].kind;
    return ad->kind->kind;
}

static void put_kinds(struct buf *b, const struct review *r) {
    const struct admission *ad = r->ad;
    const struct api_kind *asked = ad->c->kind ? ad->c->kind : ad->kind;
    if (ad->operation == ADMIT_CONNECT) {
        put_kind(b, "kind", "", "v1", "kind", connection_kind(ad));
    } else {
        const struct api_kind *k = ad->object_kind ? ad->object_kind : r->kind;
        put_kind(b, "kind", k->group, k->version, "kind", k->kind);
    }
    put_kind(b, "resource", r->kind->group, r->kind->version, "resource", r->kind->plural);
    if (*ad->subresource) {
        buf_char(b, ',');
        put(b, "subResource", ad->subresource);
    }
    if (ad->operation == ADMIT_CONNECT) {
        put_kind(b, "requestKind", "", "v1", "kind", connection_kind(ad));
    } else {
        const struct api_kind *k = ad->object_kind ? ad->object_kind : asked;
        put_kind(b, "requestKind", k->group, k->version, "kind", k->kind);
    }
    put_kind(b, "requestResource", asked->group, asked->version, "resource", asked->plural);
    if (*ad->subresource) {
        buf_char(b, ',');
        put(b, "requestSubResource", ad->subresource);
    }
}

static void put_options(struct buf *b, const struct admission *ad) {
    const char *kind = ad->operation == ADMIT_CREATE        ? "CreateOptions"
                       : ad->operation == ADMIT_DELETE      ? "DeleteOptions"
                       : str_eq(ad->c->route.verb, "patch") ? "PatchOptions"
                                                            : "UpdateOptions";
    const char *manager = http_query_get(&ad->c->r->query, "fieldManager");
    if (ad->operation == ADMIT_CONNECT) {
        buf_str(b, ",\"options\":null");
        return;
    }
    buf_printf(b, ",\"options\":{\"kind\":\"%s\",\"apiVersion\":\"meta.k8s.io/v1\"", kind);
    if (ad->dry_run) buf_str(b, ",\"dryRun\":[\"All\"]");
    if (!str_empty(manager)) {
        buf_char(b, ',');
        put(b, "fieldManager", manager);
    }
    buf_char(b, '}');
}

static void put_object(struct buf *b, const char *key, struct slice json) {
    buf_printf(b, ",\"%s\":", key);
    if (json.n)
        buf_slice(b, json);
    else
        buf_str(b, "null");
}

void review_request(struct buf *b, const struct review *r, bool with_objects) {
    const struct admission *ad = r->ad;
    buf_char(b, '{');
    put(b, "uid", r->uid);
    put_kinds(b, r);
    if (!str_empty(ad->name)) {
        buf_char(b, ',');
        put(b, "name", ad->name);
    }
    bool is_namespace = !*ad->kind->group && str_eq(ad->kind->plural, "namespaces");
    const char *ns = is_namespace ? ad->name : ad->ns;
    if (!str_empty(ns)) {
        buf_char(b, ',');
        put(b, "namespace", ns);
    }
    buf_char(b, ',');
    put(b, "operation", match_operation_name(ad->operation));
    put_user(b, &ad->c->user);
    if (with_objects) put_object(b, "object", r->object);
    if (with_objects) put_object(b, "oldObject", r->old);
    buf_printf(b, ",\"dryRun\":%s", ad->dry_run ? "true" : "false");
    put_options(b, ad);
    buf_char(b, '}');
}

void review_encode(struct buf *b, const struct review *r, const char *version) {
    buf_printf(b,
               "{\"kind\":\"AdmissionReview\",\"apiVersion\":\"admission.k8s.io/%s\","
               "\"request\":",
               version);
    review_request(b, r, true);
    buf_char(b, '}');
}

/* The query of a connection as the options it stands for. */
static void connection_options(struct buf *b, const struct admission *ad) {
    static const char *const flags[] = {"stdin", "stdout", "stderr", "tty"};
    const struct http_query *q = &ad->c->r->query;
    bool first = true, stream = !str_eq(ad->subresource, "proxy");
    buf_printf(b, "{\"kind\":\"%s\",\"apiVersion\":\"v1\"", connection_kind(ad));
    for (size_t i = 0; stream && i < ARRAY_LEN(flags); i++)
        if (route_flag(ad->c->r, flags[i])) buf_printf(b, ",\"%s\":true", flags[i]);
    if (!str_empty(http_query_get(q, "container"))) {
        buf_char(b, ',');
        put(b, "container", http_query_get(q, "container"));
    }
    for (size_t i = 0; i < q->n; i++) {
        if (!str_eq(q->v[i].key, "command")) continue;
        buf_str(b, first ? ",\"command\":[" : ",");
        buf_json_str(b, slice_of(q->v[i].value));
        first = false;
    }
    if (!first) buf_char(b, ']');
    if (!stream && *ad->c->route.rest) {
        buf_char(b, ',');
        put(b, "path", ad->c->route.rest);
    }
    buf_char(b, '}');
}

/* An object of the storage kind in another form of its resource. */
static struct slice encoded(struct admission *ad, const struct api_kind *kind,
                            const struct api_object *o) {
    OWN(buf_done) struct buf b = {0};
    const struct api_kind *from = storage_kind(kind);
    if (from == kind) {
        api_object_encode(&b, kind, o);
    } else {
        struct api_object *copy = api_object_copy(ad->a, from, o);
        api_object_encode(&b, kind, api_convert(ad->a, from, kind, copy));
    }
    return slice_from(arena_copy(ad->a, b.p, b.n), b.n);
}

void review_init(struct review *r, struct admission *ad, const struct api_kind *kind) {
    *r = (struct review){.ad = ad, .kind = kind, .uid = uuid_new(ad->a)};
    if (ad->operation == ADMIT_CONNECT) {
        OWN(buf_done) struct buf b = {0};
        connection_options(&b, ad);
        r->object = slice_from(arena_copy(ad->a, b.p, b.n), b.n);
        return;
    }
    const struct api_kind *k = ad->object_kind ? ad->object_kind : kind;
    if (ad->object) r->object = encoded(ad, k, ad->object);
    if (match_old(ad)) r->old = encoded(ad, k, match_old(ad));
}

/* ---- the answer ---- */

static const char *text_of(struct arena *a, const json_t *o, const char *key) {
    const json_t *v = json_object_get(o, key);
    return json_is_string(v) ? arena_str(a, json_string_value(v)) : "";
}

static struct slice dumped(struct arena *a, const json_t *v) {
    char *text = json_dumps(v, JSON_COMPACT);
    if (!text) return SLICE("");
    struct slice s = slice_of(arena_str(a, text));
    free(text);
    return s;
}

static const struct {
    int code;
    enum err_reason reason;
} by_code[] = {
    {400, ERR_BAD_REQUEST}, {401, ERR_UNAUTHORIZED},      {403, ERR_FORBIDDEN},
    {404, ERR_NOT_FOUND},   {409, ERR_CONFLICT},          {413, ERR_TOO_LARGE},
    {422, ERR_INVALID},     {429, ERR_TOO_MANY_REQUESTS}, {500, ERR_INTERNAL},
    {503, ERR_UNAVAILABLE}, {504, ERR_TIMEOUT},
};

/* The client gets the webhook's Status with its own message in front, as upstream. */
static void take_refusal(struct arena *a, const char *name, const json_t *given,
                         struct verdict *ret) {
    static const char denied[] = "admission webhook \"%s\" denied the request%s%s";
    OWN(json_decref_p)
    json_t *status = json_is_object(given) ? json_copy((json_t *)(uintptr_t)given) : json_object();
    const char *message = text_of(a, status, "message"), *reason = text_of(a, status, "reason");
    const json_t *code = json_object_get(status, "code");
    ret->code = json_is_integer(code) ? (int)json_integer_value(code) : 0;
    if (ret->code < 400 || ret->code > 599) ret->code = 400;
    const char *why = str_or(message, reason);
    ret->message =
        arena_printf(a, denied, name, *why ? ": " : " ", *why ? why : "without explanation");
    ret->reason = ERR_FORBIDDEN;
    for (size_t i = 0; i < ARRAY_LEN(by_code); i++)
        if (by_code[i].code == ret->code) ret->reason = by_code[i].reason;
    json_object_set_new(status, "kind", json_string("Status"));
    json_object_set_new(status, "apiVersion", json_string("v1"));
    if (!json_is_object(json_object_get(status, "metadata")))
        json_object_set_new(status, "metadata", json_object());
    json_object_set_new(status, "status", json_string("Failure"));
    json_object_set_new(status, "message", json_string(ret->message));
    json_object_set_new(status, "code", json_integer(ret->code));
    ret->status = dumped(a, status);
}

static int take_patch(struct arena *a, const struct webhook *h, const json_t *response,
                      struct verdict *ret, struct err *err) {
    OWN(buf_done) struct buf patch = {0};
    const char *base64 = text_of(a, response, "patch"), *type = text_of(a, response, "patchType");
    bool v1 = str_eq(h->version, "v1");
    if (!*base64 && !(v1 && *type)) return 0;
    if (!h->mutating && v1)
        return err_set(err, ERR_INTERNAL, "webhook response may not have a %s: it only validates",
                       *base64 ? "patch" : "patchType");
    if (!h->mutating) return 0;
    if (!*base64)
        return err_set(err, ERR_INTERNAL,
                       "webhook returned response.patchType but not response.patch");
    if (!*type && v1)
        return err_set(err, ERR_INTERNAL,
                       "webhook returned response.patch but not response.patchType");
    if (*type && !str_eq(type, "JSONPatch"))
        return err_set(err, ERR_INTERNAL, "webhook returned invalid response.patchType of %s",
                       type);
    if (buf_unbase64(&patch, slice_of(base64)) < 0)
        return err_set(err, ERR_INTERNAL, "webhook response.patch is not base64");
    ret->patch = slice_from(arena_copy(a, patch.p, patch.n), patch.n);
    return 0;
}

static void take_extras(struct arena *a, const struct webhook *h, const json_t *response,
                        struct verdict *ret) {
    const json_t *warnings = json_object_get(response, "warnings");
    for (size_t i = 0; i < json_array_size(warnings) && i < WARNINGS_MAX; i++) {
        const char *text = json_string_value(json_array_get(warnings, i));
        if (!text) continue;
        struct slice cut = slice_from(text, MIN_OF(strlen(text), WARNING_BYTES_MAX));
        *ARENA_PUSH(a, &ret->warnings) = arena_strn(a, cut);
    }
    const char *key;
    json_t *value;
    json_object_foreach(json_object_get(response, "auditAnnotations"), key, value) {
        if (!json_is_string(value) || ret->annotations.n == ANNOTATIONS_MAX) continue;
        str_map_set(a, &ret->annotations, arena_printf(a, "%s/%s", h->name, key),
                    arena_str(a, json_string_value(value)));
    }
}

int verdict_decode(struct arena *a, struct slice body, const struct webhook *h, const char *uid,
                   struct verdict *ret, struct err *err) {
    OWN(json_decref_p) json_t *root = NULL;
    struct err why;
    if (json_parse(body, &root, &why) < 0)
        return err_set(err, ERR_INTERNAL, "couldn't get version/kind; json parse error: %s",
                       why.text);
    const char *version = arena_printf(a, "admission.k8s.io/%s", h->version);
    const json_t *response = json_object_get(root, "response");
    bool v1 = str_eq(h->version, "v1");
    if (v1 && (!str_eq(text_of(a, root, "apiVersion"), version) ||
               !str_eq(text_of(a, root, "kind"), "AdmissionReview")))
        return err_set(err, ERR_INTERNAL,
                       "expected webhook response of %s, Kind=AdmissionReview, got %s, Kind=%s",
                       version, text_of(a, root, "apiVersion"), text_of(a, root, "kind"));
    if (!json_is_object(response)) return err_set(err, ERR_INTERNAL, "webhook response was absent");
    if (v1 && !str_eq(text_of(a, response, "uid"), uid))
        return err_set(err, ERR_INTERNAL, "expected response.uid=\"%s\", got \"%s\"", uid,
                       text_of(a, response, "uid"));
    struct verdict v = {.allowed = json_is_true(json_object_get(response, "allowed"))};
    int r = take_patch(a, h, response, &v, err);
    if (r < 0) return r;
    take_extras(a, h, response, &v);
    if (!v.allowed) take_refusal(a, h->name, json_object_get(response, "status"), &v);
    *ret = v;
    return 0;
}
