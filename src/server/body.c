#include "server/body.h"

#include <assert.h>
#include <sys/random.h>

#include "base/limits.h"
#include "base/own.h"
#include "base/times.h"
#include "proto/yaml.h"
#include "server/protobuf.h"

static struct slice media_type(const struct request *r) {
    struct slice type = slice_of(http_header(&r->headers, "content-type")), head;
    if (!type.n) return SLICE("application/json");
    slice_cut(&type, ';', &head);
    return slice_trim(head);
}

int body_json(struct call *c, struct slice *ret, struct err *err) {
    static const struct {
        const char *type;
        int (*convert)(struct slice text, struct buf *out, struct err *err);
    } forms[] = {
        {"application/yaml", yaml_to_json},
        {"text/yaml", yaml_to_json},
        {"application/x-yaml", yaml_to_json},
        {"application/vnd.kubernetes.protobuf", protobuf_to_json},
    };
    struct slice type = media_type(c->r);
    if (slice_ieq(type, "application/json")) {
        *ret = c->r->body;
        return 0;
    }
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        if (!slice_ieq(type, forms[i].type)) continue;
        OWN(buf_done) struct buf json = {0};
        int rc = forms[i].convert(c->r->body, &json, err);
        if (rc == 0) *ret = slice_from(arena_copy(c->a, json.p, json.n), json.n);
        return rc;
    }
    return err_set(err, ERR_UNSUPPORTED_MEDIA_TYPE,
                   "the body of the request was in an unknown format - accepted media types "
                   "include: application/json, application/yaml, "
                   "application/vnd.kubernetes.protobuf");
}

int body_object(struct call *c, const struct api_kind *k, struct slice json,
                struct api_object **ret, struct err *err) {
    struct api_decode_opts opts = {.unknown = c->unknown, .warnings = &c->warnings};
    void *p;
    int rc = api_decode(c->a, k->type, json, &opts, &p, err);
    if (rc < 0) return rc;
    struct api_object *o = p;
    if (!str_empty(o->api_version) && !str_eq(o->api_version, k->api_version))
        return err_set(err, ERR_BAD_REQUEST,
                       "the API version in the data (%s) does not match the expected API version "
                       "(%s)",
                       o->api_version, k->api_version);
    if (!str_empty(o->kind) && !str_eq(o->kind, k->kind))
        return err_set(err, ERR_BAD_REQUEST,
                       "%s in version \"%s\" cannot be handled as a %s: unknown conversion",
                       o->kind, str_or(o->api_version, k->api_version), k->kind);
    o->api_version = k->api_version;
    o->kind = k->kind;
    *ret = o;
    return 0;
}

int body_options(struct call *c, struct err *err) {
    const char *dry = http_query_get(&c->r->query, "dryRun");
    const char *strict = http_query_get(&c->r->query, "fieldValidation");
    if (!str_empty(dry)) {
        if (!str_eq(dry, "All"))
            return err_set(err, ERR_INVALID,
                           "dryRun: Unsupported value: \"%s\": supported values: \"All\"", dry);
        c->dry_run = true;
    }
    c->unknown = API_UNKNOWN_WARN;
    if (str_eq(strict, "Strict"))
        c->unknown = API_UNKNOWN_STRICT;
    else if (str_eq(strict, "Ignore"))
        c->unknown = API_UNKNOWN_IGNORE;
    else if (!str_empty(strict) && !str_eq(strict, "Warn"))
        return err_set(err, ERR_INVALID,
                       "fieldValidation: Unsupported value: \"%s\": supported values: \"Ignore\", "
                       "\"Strict\", \"Warn\"",
                       strict);
    return 0;
}

const char *body_generate_name(struct call *c, const char *base) {
    static const char letters[] = "bcdfghjklmnpqrstvwxz2456789"; /* no vowels: no words */
    char tail[6] = {0};
    uint64_t r = loop_random(c->api->loop);
    for (int i = 0; i < 5; i++, r /= sizeof letters - 1)
        tail[i] = letters[r % (sizeof letters - 1)];
    return arena_printf(c->a, "%.*s%s", LIMIT_LABEL_BYTES - 5, base, tail);
}

const char *uuid_new(struct arena *a) {
    unsigned char u[16];
    ssize_t n = getrandom(u, sizeof u, 0);
    assert(n == sizeof u);
    u[6] = (unsigned char)((u[6] & 0x0f) | 0x40);
    u[8] = (unsigned char)((u[8] & 0x3f) | 0x80);
    return arena_printf(a, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
                        u[0], u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11],
                        u[12], u[13], u[14], u[15]);
}

const char *time_now(struct call *c) {
    char text[TIME_TEXT_MAX];
    time_format(text, loop_wall_ns(c->api->loop));
    return arena_str(c->a, text);
}
