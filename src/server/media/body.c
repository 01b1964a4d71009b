#include "server/media/body.h"

#include <assert.h>
#include <sys/random.h>

#include "api/custom/custom.h"
#include "api/patch/duplicates.h"
#include "base/limits.h"
#include "base/own.h"
#include "base/times.h"
#include "proto/json.h"
#include "proto/yaml.h"
#include "server/media/protobuf.h"

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

/* The decoder knows metadata only, and calls all custom kinds by one name. */
static int name_custom(const struct api_kind *k, struct err *err) {
    static const char head[] =
        "CustomResource in version \"v1\" cannot be handled as a CustomResource: ";
    if (!str_starts(err->text, head)) return err_code(err->reason);
    struct err own = *err;
    return err_set(err, own.reason, "%s in version \"%s\" cannot be handled as a %s: %s", k->kind,
                   k->version, k->kind, own.text + sizeof head - 1);
}

/* Findings of metadata and of the rest are told in one answer. */
static int refuse_findings(const struct api_kind *k, const struct str_list *found,
                           struct err *err) {
    OWN(buf_done) struct buf b = {0};
    if (!found->n) return 0;
    for (size_t i = 0; i < found->n; i++) buf_printf(&b, "%s%s", i ? ", " : "", found->v[i]);
    return err_set(err, ERR_BAD_REQUEST,
                   "%s in version \"%s\" cannot be handled as a %s: strict decoding error: %s",
                   k->kind, k->version, k->kind, b.p);
}

int body_object(struct call *c, const struct api_kind *k, struct slice json,
                struct api_object **ret, struct err *err) {
    struct str_list found = {0};
    bool collect = k->custom && c->unknown == API_UNKNOWN_STRICT;
    struct api_decode_opts opts = {.unknown = collect ? API_UNKNOWN_WARN : c->unknown,
                                   .warnings = collect ? &found : &c->warnings};
    void *p;
    int rc = api_decode(c->a, k->type, json, &opts, &p, err);
    if (rc < 0) return k->custom ? name_custom(k, err) : rc;
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
    if (k->custom && (rc = custom_read(c->a, k, o, &opts, err)) < 0) return rc;
    *ret = o;
    return refuse_findings(k, &found, err);
}

int body_duplicates(struct call *c, struct slice json, json_t **ret, struct err *err) {
    struct str_list found = {0};
    OWN(buf_done) struct buf b = {0};
    int rc = json_parse_lenient(c->a, json, ret, &found, err);
    for (size_t i = 0; rc == 0 && i < found.n; i++) {
        buf_printf(&b, "%s%s", i ? ", " : "", found.v[i]);
        if (c->unknown == API_UNKNOWN_WARN) *ARENA_PUSH(c->a, &c->warnings) = found.v[i];
    }
    if (!b.n || c->unknown != API_UNKNOWN_STRICT) return rc;
    json_decref(*ret);
    *ret = NULL;
    return err_set(err, ERR_BAD_REQUEST, "strict decoding error: %s", b.p);
}

/* ---- options of the query ---- */

/* CreateOptions.meta.k8s.io "" is invalid: dryRun: … */
static int bad_option(struct call *c, struct err *err, const char *field, const char *why) {
    const char *of = str_eq(c->route.verb, "create")       ? "Create"
                     : str_eq(c->route.verb, "patch")      ? "Patch"
                     : str_starts(c->route.verb, "delete") ? "Delete"
                                                           : "Update";
    return err_field(err, ERR_INVALID, field, "%sOptions.meta.k8s.io \"\" is invalid: %s: %s", of,
                     field, why);
}

static int take_dry_run(struct call *c, struct err *err) {
    for (size_t i = 0; i < c->r->query.n; i++) {
        if (!str_eq(c->r->query.v[i].key, "dryRun") || str_empty(c->r->query.v[i].value)) continue;
        if (!str_eq(c->r->query.v[i].value, "All"))
            return bad_option(c, err, "dryRun",
                              arena_printf(c->a,
                                           "Unsupported value: \"%s\": supported values: \"All\"",
                                           c->r->query.v[i].value));
        c->dry_run = true;
    }
    return 0;
}

static int take_validation(struct call *c, struct err *err) {
    static const char *const names[] = {[API_UNKNOWN_IGNORE] = "Ignore",
                                        [API_UNKNOWN_WARN] = "Warn",
                                        [API_UNKNOWN_STRICT] = "Strict"};
    const char *asked = http_query_get(&c->r->query, "fieldValidation");
    c->unknown = API_UNKNOWN_WARN;
    if (str_empty(asked)) return 0;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (!str_eq(asked, names[i])) continue;
        c->unknown = (enum api_unknown)i;
        return 0;
    }
    return bad_option(c, err, "fieldValidation",
                      arena_printf(c->a,
                                   "Unsupported value: \"%s\": supported values: \"\", "
                                   "\"Ignore\", \"Strict\", \"Warn\"",
                                   asked));
}

/* Goes into stored objects: short, printable, and UTF-8. */
static int take_manager(struct call *c, struct err *err) {
    enum { MANAGER_BYTES = 128 };
    const char *name = http_query_get(&c->r->query, "fieldManager");
    OWN(buf_done) struct buf quoted = {0};
    struct json_reader r;
    if (str_empty(name)) return 0;
    if (strlen(name) > MANAGER_BYTES)
        return bad_option(c, err, "fieldManager", "Too long: may not be more than 128 bytes");
    for (size_t i = 0; name[i]; i++)
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
            return bad_option(c, err, "fieldManager",
                              arena_printf(c->a,
                                           "Invalid value: invalid character U+%04X (at position "
                                           "%zu)",
                                           (unsigned)name[i], i));
    buf_json_str(&quoted, slice_of(name));
    json_reader_init(&r, buf_view(&quoted));
    if (json_skip(&r) < 0)
        return bad_option(c, err, "fieldManager", "Invalid value: not valid UTF-8");
    return 0;
}

int body_patch_kind(struct call *c, enum patch_kind *ret, struct err *err) {
    static const char *const types[] = {
        "application/json-patch+json", "application/merge-patch+json",
        "application/strategic-merge-patch+json", "application/apply-patch+yaml"};
    struct slice type = slice_of(http_header(&c->r->headers, "content-type")), head = {0};
    if (type.p) slice_cut(&type, ';', &head);
    head = slice_trim(head);
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        if (!slice_ieq(head, types[i])) continue;
        if (i == PATCH_STRATEGIC && c->kind->custom && !str_eq(c->route.subresource, "scale"))
            return err_set(err, ERR_UNSUPPORTED_MEDIA_TYPE,
                           "the body of the request was in an unknown format - accepted media "
                           "types include: %s, %s, %s",
                           types[0], types[1], types[3]);
        *ret = (enum patch_kind)i;
        return 0;
    }
    return err_set(err, ERR_UNSUPPORTED_MEDIA_TYPE,
                   "the body of the request was in an unknown format - accepted media types "
                   "include: %s, %s, %s, %s",
                   types[0], types[1], types[2], types[3]);
}

bool patch_is_apply(struct call *c) {
    enum patch_kind kind;
    return body_patch_kind(c, &kind, NULL) == 0 && kind == PATCH_APPLY;
}

int body_options(struct call *c, struct err *err) {
    int rc = take_dry_run(c, err);
    if (rc == 0) rc = take_validation(c, err);
    if (rc == 0) rc = take_manager(c, err);
    if (rc < 0 || !str_eq(c->route.verb, "patch") || !http_query_get(&c->r->query, "force"))
        return rc;
    if (patch_is_apply(c)) return 0;
    return bad_option(c, err, "force", "Forbidden: may not be specified for non-apply patch");
}

const char *body_generate_name(struct call *c, const char *base) {
    static const char letters[] = "bcdfghjklmnpqrstvwxz2456789"; /* no vowels: no words */
    char tail[6] = {0};
    uint64_t r = loop_random(c->api->loop);
    for (int i = 0; i < 5; i++, r /= sizeof letters - 1)
        tail[i] = letters[r % (sizeof letters - 1)];
    return arena_printf(c->a, "%.*s%s", LIMIT_LABEL_BYTES - 5, base, tail);
}

enum { UUID_BYTES = 16, UUIDS_AT_ONCE = 16 };

const char *uuid_new(struct arena *a) {
    static unsigned char random[UUIDS_AT_ONCE * UUID_BYTES]; /* one system call for many */
    static size_t left;
    if (left == 0) {
        left = sizeof random;
        ssize_t n = getrandom(random, sizeof random, 0); /* never cut short up to 256 bytes */
        assert(n == sizeof random);
    }
    left -= UUID_BYTES;
    unsigned char *u = random + left;
    u[6] = (unsigned char)((u[6] & 0x0f) | 0x40);
    u[8] = (unsigned char)((u[8] & 0x3f) | 0x80);
    char text[2 * UUID_BYTES + 4], *out = text;
    for (size_t i = 0; i < UUID_BYTES; i++) {
        static const char digits[] = "0123456789abcdef";
        if (i == 4 || i == 6 || i == 8 || i == 10) *out++ = '-';
        *out++ = digits[u[i] >> 4];
        *out++ = digits[u[i] & 15];
    }
    return arena_strn(a, slice_from(text, sizeof text));
}

const char *time_now(struct call *c) {
    char text[TIME_TEXT_MAX];
    time_format(text, loop_wall_ns(c->api->loop));
    return arena_str(c->a, text);
}
