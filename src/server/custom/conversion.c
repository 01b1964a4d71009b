#include "server/custom/conversion.h"

#include "base/own.h"
#include "server/egress/call.h"
#include "server/media/body.h"
#include "server/media/convert.h"
#include "server/storage/raw.h"

enum { TIMEOUT_MS = 30 * 1000, SHOWN_BYTES_MAX = 256 };

struct conversion {
    struct api *api;
    struct arena *a;
    const struct api_kind *to;
    const char *review_version, *uid;
    struct slice *objects; /* becomes the converted ones */
    size_t n;
    struct {
        size_t *v;
        size_t n;
    } asked; /* which of them are in the question */
    conversion_fn *fn;
    void *user;
    struct err err;
};

bool conversion_needed(const struct api_kind *k, struct slice json) {
    struct slice version;
    if (!k->custom || !k->custom->set->webhook) return false;
    if (!raw_get(json, "apiVersion", &version) || version.n < 2) return false;
    return !slice_is(slice_from(version.p + 1, version.n - 2), k->api_version);
}

/* ---- the answer ---- */

static int fail(struct conversion *v, const char *why) {
    return err_set(&v->err, ERR_INTERNAL, "conversion webhook for %s, Kind=%s failed: %s",
                   v->to->api_version, v->to->kind, why);
}

/* Of the metadata a webhook may change labels and annotations only. */
static int take_object(struct conversion *v, struct slice before, struct slice after,
                       struct slice *ret) {
    struct api_object *was, *is;
    struct err err = {0};
    OWN(buf_done) struct buf b = {0};
    if (api_object_decode(v->a, v->to, before, &was, &err) < 0 ||
        api_object_decode(v->a, v->to, after, &is, &err) < 0)
        return fail(v, err.text);
    if (!str_eq(is->api_version, v->to->api_version))
        return fail(v, arena_printf(v->a, "invalid converted object: apiVersion is %s, expected %s",
                                    str_or(is->api_version, "empty"), v->to->api_version));
    if (!str_eq(is->kind, was->kind))
        return fail(v, arena_printf(v->a, "invalid converted object: kind is %s, expected %s",
                                    str_or(is->kind, "empty"), was->kind));
    if (!str_eq(is->metadata.name, was->metadata.name) ||
        !str_eq(is->metadata.namespace, was->metadata.namespace) ||
        !str_eq(is->metadata.uid, was->metadata.uid))
        return fail(v, "invalid converted object: name, namespace and uid must stay");
    struct str_map labels = is->metadata.labels, annotations = is->metadata.annotations;
    is->metadata = was->metadata;
    is->metadata.labels = labels;
    is->metadata.annotations = annotations;
    if (custom_read(v->a, v->to, is, NULL, &err) < 0) return fail(v, err.text);
    api_object_encode(&b, v->to, is);
    *ret = slice_from(arena_copy(v->a, b.p, b.n), b.n);
    return 0;
}

static int take_response(struct conversion *v, struct slice body) {
    struct slice response, list, one;
    size_t n = 0;
    if (!raw_get(body, "response", &response)) return fail(v, "no response provided");
    const char *status = raw_path_string(v->a, response, "result.status");
    if (!str_eq(raw_path_string(v->a, response, "uid"), v->uid))
        return fail(v, "expected response.uid to be that of the request");
    if (!str_eq(status, "Success"))
        return fail(v, str_or(raw_path_string(v->a, response, "result.message"),
                              "the webhook gave no reason"));
    if (!raw_get(response, "convertedObjects", &list)) list = SLICE("[]");
    struct raw_iter i = raw_array(list);
    for (; n < v->asked.n && raw_element(&i, &one); n++) {
        struct slice *object = &v->objects[v->asked.v[n]];
        int rc = take_object(v, *object, one, object);
        if (rc < 0) return rc;
    }
    if (n < v->asked.n || raw_element(&i, &one))
        return fail(v, arena_printf(v->a, "expected %zu converted objects", v->asked.n));
    return 0;
}

static void on_answer(void *user, const struct egress_result *r) {
    struct conversion *v = user;
    struct value document;
    struct err err = {0};
    int rc = 0;
    if (r->err.reason != ERR_NONE)
        rc = fail(v, r->err.text);
    else if (r->status < 200 || r->status > 299)
        rc = fail(v, arena_printf(v->a, "the webhook answered %d: %.*s", r->status,
                                  (int)MIN_OF(r->body.n, (size_t)SHOWN_BYTES_MAX),
                                  r->body.n ? r->body.p : ""));
    else if (value_parse(v->a, r->body, "", NULL, &document, &err) < 0) /* well-formed? */
        rc = fail(v, err.text);
    if (rc == 0) rc = take_response(v, r->body);
    v->fn(v->user, rc == 0 ? v->objects : NULL, rc == 0 ? NULL : &v->err);
}

/* ---- the question ---- */

static void later(void *user) {
    struct conversion *v = user;
    bool failed = v->err.reason != ERR_NONE;
    v->fn(v->user, failed ? NULL : v->objects, failed ? &v->err : NULL);
}

static int target_of(struct conversion *v, struct egress_target *ret, struct err *err) {
    const struct apiextensions_v1_webhook_client_config *c =
        v->to->custom->set->webhook->client_config;
    OWN(buf_done) struct buf ca = {0};
    if (!c) return err_set(err, ERR_INTERNAL, "the definition names no webhook");
    int rc = c->url ? egress_target_url(v->a, c->url, false, ret, err)
                    : egress_target_service(v->api, v->a, c->service->namespace, c->service->name,
                                            c->service->port ? *c->service->port : 443,
                                            c->service->path, ret, err);
    if (rc < 0) return rc;
    if (c->ca_bundle && buf_unbase64(&ca, slice_of(c->ca_bundle)) == 0)
        ret->ca_pem = arena_strn(v->a, buf_view(&ca));
    return 0;
}

static const char *review_version(const struct custom_set *s) {
    const struct str_list *l = &s->webhook->conversion_review_versions;
    for (size_t i = 0; i < l->n; i++)
        if (str_eq(l->v[i], "v1") || str_eq(l->v[i], "v1beta1")) return l->v[i];
    return "v1";
}

static void put_question(struct conversion *v, struct buf *b) {
    buf_printf(b,
               "{\"kind\":\"ConversionReview\",\"apiVersion\":\"apiextensions.k8s.io/%s\","
               "\"request\":{\"uid\":\"%s\",\"desiredAPIVersion\":\"%s\",\"objects\":[",
               v->review_version, v->uid, v->to->api_version);
    for (size_t i = 0; i < v->asked.n; i++) {
        if (i) buf_char(b, ',');
        buf_slice(b, v->objects[v->asked.v[i]]);
    }
    buf_str(b, "]}}");
}

static void ask(struct conversion *v) {
    struct egress_target t = {0};
    struct err err = {0};
    OWN(buf_done) struct buf body = {0};
    if (target_of(v, &t, &err) < 0) {
        fail(v, err.text);
        loop_defer(v->api->loop, later, v);
        return;
    }
    struct http_header accept[] = {{"accept", "application/json"}};
    put_question(v, &body);
    egress_call(v->api,
                &(struct egress_request){.target = &t,
                                         .method = "POST",
                                         .body = buf_view(&body),
                                         .headers = &(struct http_headers){accept, 1},
                                         .timeout_ms = TIMEOUT_MS,
                                         .max_body_bytes = (size_t)16 * 1024 * 1024},
                on_answer, v);
}

void conversion_run(struct api *api, struct arena *a, const struct api_kind *to,
                    const struct slice *objects, size_t n, conversion_fn *fn, void *user) {
    struct conversion *v = ARENA_NEW(a, struct conversion);
    *v = (struct conversion){.api = api, .a = a, .to = to, .n = n, .fn = fn, .user = user};
    v->uid = uuid_new(a);
    v->review_version = review_version(to->custom->set);
    v->objects = ARENA_ARRAY(a, struct slice, n);
    for (size_t i = 0; i < n; i++) {
        v->objects[i] = slice_from(arena_copy(a, objects[i].p, objects[i].n), objects[i].n);
        if (conversion_needed(to, objects[i])) *ARENA_PUSH(a, &v->asked) = i;
    }
    if (v->asked.n)
        ask(v);
    else
        loop_defer(api->loop, later, v);
}

/* ---- one object as an answer ---- */

struct reply {
    struct call *c;
    int status;
};

static void on_converted(void *user, const struct slice *converted, const struct err *err) {
    struct reply *r = user;
    if (converted)
        reply_object(r->c, r->status, converted[0]);
    else
        reply_error(r->c, err);
}

void conversion_reply(struct call *c, int status, struct slice stored) {
    if (!conversion_needed(c->kind, stored)) {
        reply_object(c, status, convert_json(c->a, c->kind, stored));
        return;
    }
    struct reply *r = ARENA_NEW(c->a, struct reply);
    *r = (struct reply){c, status};
    conversion_run(c->api, c->a, c->kind, &stored, 1, on_converted, r);
}
