/* Answers: objects, lists, Status and Table in the form that was asked for. */
#include "base/own.h"
#include "proto/json_indent.h"
#include "proto/yaml_write.h"
#include "server/api.h"
#include "server/media/protobuf.h"
#include "server/media/table.h"

const char *resource_title(struct arena *a, const char *group, const char *plural) {
    return *group ? arena_printf(a, "%s.%s", plural, group) : plural;
}

static void reply_header(struct call *c, struct http_headers *h, const char *name,
                         const char *value) {
    struct http_header *one = ARENA_PUSH(c->a, h);
    one->name = name;
    one->value = value;
}

/* RFC 7234 section 5.5: 299 - "text". Quotes and backslashes are escaped, controls dropped. */
struct http_headers reply_warnings(struct call *c) {
    struct http_headers h = {0};
    for (size_t i = 0; i < c->warnings.n && i < 64; i++) {
        const char *text = c->warnings.v[i];
        char *line = arena_alloc(c->a, 2 * strlen(text) + 16), *out = line;
        for (const char *p = "299 - \""; *p; p++) *out++ = *p;
        for (const char *p = text; *p; p++) {
            if ((unsigned char)*p < 0x20 || *p == 0x7f) continue;
            if (*p == '"' || *p == '\\') *out++ = '\\';
            *out++ = *p;
        }
        *out = '"';
        reply_header(c, &h, "warning", line);
    }
    return h;
}

/* ---- Accept ---- */

static const char *param(struct slice params, struct arena *a, const char *name) {
    struct slice one, key;
    while (slice_cut(&params, ';', &one)) {
        one = slice_trim(one);
        struct slice value = one;
        if (slice_cut(&value, '=', &key) && value.p && slice_is(slice_trim(key), name))
            return arena_strn(a, slice_trim(value));
    }
    return NULL;
}

#define YAML "application/yaml"
#define PROTOBUF "application/vnd.kubernetes.protobuf"

/* Thousandths of "q=0.5" (RFC 9110 section 12.4.2); 1000 when it is not given. */
static unsigned quality(struct slice params, struct arena *a) {
    const char *q = params.p ? param(params, a, "q") : NULL;
    unsigned v = 0;
    if (!q) return 1000;
    if (*q != '0' || (q[1] && q[1] != '.')) return *q == '0' ? 0 : 1000;
    const char *digit = q[1] ? q + 2 : q + 1;
    for (unsigned scale = 100; *digit >= '0' && *digit <= '9' && scale; digit++, scale /= 10)
        v += (unsigned)(*digit - '0') * scale;
    return v;
}

static bool protobuf_possible(const struct call *c) {
    return !c->kind || protobuf_speaks(c->kind->type);
}

struct accepted {
    enum answer_media media;
    enum answer_form form;
    const char *version;
    const char *refused; /* the form does not fit what is answered */
    unsigned quality;
};

/* Lists are PartialObjectMetadataList, all else is not. */
static const char *misfit(const struct call *c, const char *as) {
    bool list = str_eq(c->route.verb, "list") || str_eq(c->route.verb, "deletecollection");
    bool asks_list = str_eq(as, "PartialObjectMetadataList");
    if (!c->kind || list == asks_list) return NULL;
    return list ? "you requested PartialObjectMetadata, but the requested object is a list"
                : "you requested PartialObjectMetadataList, but the requested object is not a list";
}

static bool accept_one(struct call *c, struct slice range, struct accepted *ret) {
    struct slice type;
    slice_cut(&range, ';', &type);
    type = slice_trim(type);
    bool json = slice_ieq(type, "application/json") || slice_is(type, "*/*") ||
                slice_ieq(type, "application/*");
    bool yaml = slice_ieq(type, YAML) && !str_eq(c->route.verb, "watch");
    if (!json && !yaml && !(slice_ieq(type, PROTOBUF) && protobuf_possible(c))) return false;
    const char *as = range.p ? param(range, c->a, "as") : NULL;
    *ret = (struct accepted){.media = json   ? MEDIA_JSON
                                      : yaml ? MEDIA_YAML
                                             : MEDIA_PROTOBUF,
                             .quality = quality(range, c->a)};
    if (!as) return true;
    if (yaml) return false;
    if (c->kind && (c->kind->flags & (API_VIRTUAL | API_READ_ONLY)) == API_VIRTUAL)
        return false; /* answers that are no objects */
    const char *group = param(range, c->a, "g"), *version = param(range, c->a, "v");
    ret->version = version;
    if (!str_eq(group, "meta.k8s.io") || (!str_eq(version, "v1") && !str_eq(version, "v1beta1")))
        return !c->kind; /* discovery reads its own parameters */
    if (str_eq(as, "Table"))
        ret->form = ANSWER_TABLE;
    else if (str_eq(as, "PartialObjectMetadata") || str_eq(as, "PartialObjectMetadataList")) {
        ret->form = ANSWER_PARTIAL;
        ret->refused = misfit(c, as);
    } else
        return false;
    return json || ret->form != ANSWER_TABLE; /* a table's cells are JSON */
}

static bool accept_best(struct call *c, const char *accept, struct accepted *ret) {
    struct slice left = slice_of(accept), one;
    struct accepted candidate;
    *ret = (struct accepted){.media = MEDIA_JSON};
    if (str_eq(accept, "application/json") || str_eq(accept, "*/*")) return true;
    while (ret->quality < 1000 && slice_cut(&left, ',', &one))
        if (accept_one(c, one, &candidate) && candidate.quality > ret->quality) *ret = candidate;
    return ret->quality > 0;
}

/* ?pretty=, or who reads with his eyes. */
static bool wants_pretty(const struct call *c) {
    static const char *const yes[] = {"1", "t", "T", "TRUE", "true", "True"};
    static const char *const people[] = {"curl", "Wget", "Mozilla/5.0"};
    const char *told = http_query_get(&c->r->query, "pretty");
    for (size_t i = 0; !str_empty(told) && i < ARRAY_LEN(yes); i++)
        if (str_eq(told, yes[i])) return true;
    if (!str_empty(told)) return false;
    const char *agent = http_header(&c->r->headers, "user-agent");
    for (size_t i = 0; agent && i < ARRAY_LEN(people); i++)
        if (str_starts(agent, people[i])) return true;
    return false;
}

int reply_negotiate(struct call *c, struct err *err) {
    const char *accept = http_header(&c->r->headers, "accept");
    const char *include = http_query_get(&c->r->query, "includeObject");
    struct accepted best;
    c->include_object = str_or(include, "Metadata");
    c->media = MEDIA_JSON;
    c->pretty = wants_pretty(c);
    if (str_empty(accept)) return 0;
    bool any = accept_best(c, accept, &best);
    c->media = best.media;
    c->form = best.form;
    c->form_version = best.version;
    if (best.refused) return err_set(err, ERR_NOT_ACCEPTABLE, "%s", best.refused);
    if (any) return 0;
    return err_set(err, ERR_NOT_ACCEPTABLE, "only the following media types are accepted: %s",
                   protobuf_possible(c) ? "application/json, " YAML ", " PROTOBUF
                                        : "application/json, " YAML);
}

/* For answers before, or without, negotiation: those of errors and discovery. */
static enum answer_media media(struct call *c) {
    const char *accept = http_header(&c->r->headers, "accept");
    struct accepted best;
    if (c->media != MEDIA_UNDECIDED) return c->media;
    c->media = MEDIA_JSON;
    c->pretty = wants_pretty(c);
    if (!str_empty(accept) && accept_best(c, accept, &best)) c->media = best.media;
    return c->media;
}

const char *content_type(const struct call *c) {
    static const char *const types[][3] = {
        {"application/json", "application/json;as=Table;g=meta.k8s.io;v=v1",
         "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"},
        {PROTOBUF, PROTOBUF, PROTOBUF ";as=PartialObjectMetadata;g=meta.k8s.io;v=v1"},
    };
    if (c->form == ANSWER_TABLE && str_eq(c->form_version, "v1beta1"))
        return "application/json;as=Table;g=meta.k8s.io;v=v1beta1";
    return c->media == MEDIA_YAML ? YAML : types[c->media == MEDIA_PROTOBUF][c->form];
}

static void respond_yaml(struct call *c, int status, struct slice json,
                         const struct http_headers *h) {
    OWN(buf_done) struct buf b = {0};
    yaml_from_json(&b, json, 0);
    request_respond(c->r, status, YAML, buf_view(&b), h);
}

static void respond_pretty(struct call *c, int status, const char *type, struct slice json,
                           const struct http_headers *h) {
    OWN(buf_done) struct buf b = {0};
    json_indent(&(struct json_indent){0}, &b, json);
    request_respond(c->r, status, type, buf_view(&b), h);
}

/* The JSON of an object, or its form in protobuf or YAML where that is wanted and there is one. */
static void respond(struct call *c, int status, struct slice json, const struct http_headers *h) {
    if (media(c) == MEDIA_PROTOBUF) {
        OWN(buf_done) struct buf b = {0};
        if (protobuf_object(&b, c->a, json) == 0) {
            request_respond(c->r, status, PROTOBUF, buf_view(&b), h);
            return;
        }
    }
    if (media(c) == MEDIA_YAML) {
        respond_yaml(c, status, json, h);
        return;
    }
    if (c->pretty) {
        respond_pretty(c, status, "application/json", json, h);
        return;
    }
    struct object *latest = c->api->cache.latest;
    if (latest && json.p == latest->json->p && json.n == latest->json->n) /* just written */
        request_respond_bytes(c->r, status, "application/json", latest->json, h);
    else
        request_respond(c->r, status, "application/json", json, h);
}

/* ---- Status objects ---- */

static void put_string(struct buf *b, const char *key, const char *value) {
    if (str_empty(value)) return;
    if (b->n && b->p[b->n - 1] != '{') buf_char(b, ',');
    buf_json_str(b, slice_of(key));
    buf_char(b, ':');
    buf_json_str(b, slice_of(value));
}

static void put_causes(struct buf *b, const struct api_causes *causes) {
    if (b->p[b->n - 1] != '{') buf_char(b, ',');
    buf_str(b, "\"causes\":[");
    for (size_t i = 0; i < causes->n; i++) {
        buf_str(b, i ? ",{" : "{");
        put_string(b, "reason", causes->v[i].reason);
        put_string(b, "message", causes->v[i].message);
        put_string(b, "field", causes->v[i].field);
        buf_char(b, '}');
    }
    buf_char(b, ']');
}

static void put_details(struct buf *b, const struct failure *f) {
    buf_str(b, ",\"details\":{");
    put_string(b, "name", f->name);
    put_string(b, "group", f->group);
    put_string(b, "kind", f->kind);
    put_string(b, "uid", f->uid);
    if (f->causes && f->causes->n) put_causes(b, f->causes);
    if (f->retry_after_s)
        buf_printf(b, "%s\"retryAfterSeconds\":%d", b->p[b->n - 1] == '{' ? "" : ",",
                   f->retry_after_s);
    buf_char(b, '}');
}

void failure_encode(struct buf *b, enum err_reason reason, const struct failure *f) {
    buf_str(b, "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{");
    put_string(b, "continue", f->next);
    buf_str(b, "},\"status\":\"Failure\"");
    put_string(b, "message", f->message);
    put_string(b, "reason", err_reason_name(reason));
    if (f->name || f->kind || f->retry_after_s || (f->causes && f->causes->n)) put_details(b, f);
    buf_printf(b, ",\"code\":%d}\n", err_http(reason));
}

void reply_failure(struct call *c, enum err_reason reason, const struct failure *f) {
    struct failure full = *f;
    struct http_headers h = reply_warnings(c);
    if (!full.retry_after_s && (reason == ERR_UNAVAILABLE || reason == ERR_TOO_MANY_REQUESTS))
        full.retry_after_s = 1;
    if (full.retry_after_s)
        reply_header(c, &h, "retry-after", arena_printf(c->a, "%d", full.retry_after_s));
    OWN(buf_done) struct buf b = {0};
    failure_encode(&b, reason, &full);
    respond(c, err_http(reason), buf_view(&b), &h);
}

/* The cause of an error about one field, from its text: FIELD: Invalid value: … */
static bool cause_of(const struct err *err, struct api_cause *ret) {
    static const struct {
        const char *begin, *reason;
    } reasons[] = {{"Invalid value", "FieldValueInvalid"},
                   {"Required value", "FieldValueRequired"},
                   {"Unsupported value", "FieldValueNotSupported"},
                   {"Forbidden", "FieldValueForbidden"},
                   {"Too long", "FieldValueTooLong"}};
    const char *at =
        err->reason == ERR_INVALID && *err->field ? strstr(err->text, err->field) : NULL;
    if (!at || !str_starts(at + strlen(err->field), ": ")) return false;
    at += strlen(err->field) + 2;
    for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
        if (!str_starts(at, reasons[i].begin)) continue;
        *ret = (struct api_cause){reasons[i].reason, err->field, at};
        return true;
    }
    return false;
}

/* What a body that cannot be read may owe to how it was sent. */
static const char *body_encoding(const struct call *c) {
    const char *encoding = http_header(&c->r->headers, "content-encoding");
    return c->r->body.n && !str_empty(encoding) && !str_eq(encoding, "identity") ? encoding : NULL;
}

static void refuse_encoding(struct call *c, const char *encoding) {
    reply_failure(c, ERR_UNSUPPORTED_MEDIA_TYPE,
                  &(struct failure){.message = arena_printf(
                                        c->a,
                                        "the body of the request was in an unknown encoding (%s) "
                                        "- Content-Encoding may only be identity",
                                        encoding)});
}

void reply_error(struct call *c, const struct err *err) {
    const char *encoding = err->reason == ERR_BAD_REQUEST ? body_encoding(c) : NULL;
    if (encoding) {
        refuse_encoding(c, encoding);
        return;
    }
    struct failure f = {.message = err->text};
    struct api_causes causes = {.a = c->a};
    struct api_cause cause;
    if (cause_of(err, &cause)) {
        *ARENA_PUSH(c->a, &causes) = cause;
        f.causes = &causes;
    }
    if (c->route.is_resource && err->reason != ERR_BAD_REQUEST && err->reason != ERR_INVALID &&
        err->reason != ERR_NOT_ACCEPTABLE && err->reason != ERR_UNSUPPORTED_MEDIA_TYPE) {
        f.name = c->route.name;
        f.group = c->route.group;
        f.kind = c->route.plural;
    }
    reply_failure(c, err->reason, &f);
}

void reply_not_found(struct call *c, const char *name) {
    const char *title = resource_title(c->a, c->route.group, c->route.plural);
    reply_failure(
        c, ERR_NOT_FOUND,
        &(struct failure){.message = arena_printf(c->a, "%s \"%s\" not found", title, name),
                          .name = name,
                          .group = c->route.group,
                          .kind = c->route.plural});
}

struct object *named_object(struct call *c) {
    struct object *o = resource_get(c->resource, c->route.ns, c->route.name);
    if (!o) reply_not_found(c, c->route.name);
    return o;
}

struct object *named_object_to_create(struct call *c) {
    if (str_eq(c->route.verb, "create")) return named_object(c);
    reply_method_not_allowed(c);
    return NULL;
}

void reply_page_not_found(struct call *c) { reply_text(c, 404, "404 page not found\n"); }

void reply_method_not_allowed(struct call *c) {
    struct err err;
    err_set(&err, ERR_METHOD_NOT_ALLOWED,
            "the server does not allow this method on the requested resource");
    reply_error(c, &err);
}

void reply_conflict(struct call *c, const char *name, const char *why) {
    const char *title = resource_title(c->a, c->route.group, c->route.plural);
    reply_failure(c, ERR_CONFLICT,
                  &(struct failure){
                      .message = arena_printf(
                          c->a, "Operation cannot be fulfilled on %s \"%s\": %s", title, name, why),
                      .name = name,
                      .group = c->route.group,
                      .kind = c->route.plural});
}

static const char *causes_text(struct arena *a, const struct api_causes *causes) {
    OWN(buf_done) struct buf b = {0};
    if (causes->n > 1) buf_char(&b, '[');
    for (size_t i = 0; i < causes->n; i++)
        buf_printf(&b, "%s%s: %s", i ? ", " : "", causes->v[i].field, causes->v[i].message);
    if (causes->n > 1) buf_char(&b, ']');
    return arena_strn(a, buf_view(&b));
}

void reply_invalid(struct call *c, const char *name, const struct api_causes *causes) {
    const char *kind = c->kind ? c->kind->kind : "";
    const char *group = c->kind ? c->kind->group : "";
    const char *title = *group ? arena_printf(c->a, "%s.%s", kind, group) : kind;
    reply_failure(c, ERR_INVALID,
                  &(struct failure){.message = arena_printf(c->a, "%s \"%s\" is invalid: %s", title,
                                                            name, causes_text(c->a, causes)),
                                    .name = name,
                                    .group = group,
                                    .kind = kind,
                                    .causes = causes});
}

void reply_success(struct call *c, int status, const char *name, const char *uid) {
    OWN(buf_done) struct buf b = {0};
    buf_str(&b,
            "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Success\"");
    if (!str_empty(name))
        put_details(
            &b, &(struct failure){
                    .name = name, .group = c->route.group, .kind = c->route.plural, .uid = uid});
    if (status == 201) buf_str(&b, ",\"code\":201");
    buf_str(&b, "}\n");
    struct http_headers h = reply_warnings(c);
    respond(c, status, buf_view(&b), &h);
}

void reply_json(struct call *c, int status, struct slice body) {
    struct http_headers h = reply_warnings(c);
    respond(c, status, body, &h);
}

void reply_text(struct call *c, int status, const char *text) {
    request_respond(c->r, status, "text/plain; charset=utf-8", slice_of(text), NULL);
}

void reply_object(struct call *c, int status, struct slice json) {
    if (c->form == ANSWER_OBJECT) {
        reply_json(c, status, json);
        return;
    }
    OWN(buf_done) struct buf b = {0};
    if (c->form == ANSWER_TABLE)
        table_object(&b, c, json);
    else if (c->media == MEDIA_PROTOBUF)
        protobuf_enveloped(&b, c->a, &protobuf_partial_type,
                           arena_printf(c->a, "meta.k8s.io/%s", str_or(c->form_version, "v1")),
                           "PartialObjectMetadata", json);
    else
        partial_encode(&b, json, NULL, c->form_version);
    struct http_headers h = reply_warnings(c);
    if (c->pretty && c->media == MEDIA_JSON)
        respond_pretty(c, status, content_type(c), buf_view(&b), &h);
    else
        request_respond(c->r, status, content_type(c), buf_view(&b), &h);
}
