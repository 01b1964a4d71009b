#include "server/verbs/continue.h"

#include <errno.h>

#include "base/own.h"
#include "server/storage/raw.h"

const char *continue_encode(struct arena *a, uint64_t revision, struct slice last) {
    OWN(buf_done) struct buf json = {0};
    buf_str(&json, "{\"v\":\"meta.k8s.io/v1\",\"rv\":");
    if (revision)
        buf_u64(&json, revision);
    else
        buf_str(&json, "-1"); /* upstream's sign for "whatever is newest" */
    buf_str(&json, ",\"start\":");
    buf_json_str(&json, last);
    buf_char(&json, '}');
    OWN(buf_done) struct buf b = {0};
    buf_base64url(&b, json.p, json.n);
    return arena_strn(a, buf_view(&b));
}

int continue_decode(struct arena *a, const char *token, uint64_t *ret_revision,
                    struct slice *ret_start) {
    OWN(buf_done) struct buf json = {0};
    if (buf_unbase64url(&json, slice_of(token)) < 0) return -EINVAL;
    struct slice rv, start;
    uint64_t revision = 0;
    const char *version = raw_path_string(a, buf_view(&json), "v");
    if (!str_eq(version, "meta.k8s.io/v1") || !raw_get(buf_view(&json), "rv", &rv) ||
        (!slice_is(rv, "-1") && slice_u64(rv, &revision) < 0) ||
        !raw_get(buf_view(&json), "start", &start))
        return -EINVAL;
    const char *text = raw_string(a, start);
    if (!text || !strchr(text, '/')) return -EINVAL;
    *ret_revision = revision;
    *ret_start = slice_of(text);
    return 0;
}

void continue_expired(struct call *c) {
    uint64_t revision;
    struct slice start;
    const char *token = http_query_get(&c->r->query, "continue"), *next = NULL;
    if (!str_empty(token) && continue_decode(c->a, token, &revision, &start) == 0)
        next = continue_encode(c->a, 0, start);
    reply_failure(c, ERR_EXPIRED,
                  &(struct failure){
                      .message = "The provided continue parameter is too old to display a "
                                 "consistent list result. You can start a new list without the "
                                 "continue parameter, or use the continue token in this response "
                                 "to retrieve the remainder of the results at the newest version",
                      .next = next});
}

void revision_refuse(struct call *c, const char *text, uint64_t revision) {
    uint64_t parsed;
    if (slice_u64(slice_of(text), &parsed) < 0) {
        reply_failure(c, ERR_BAD_REQUEST,
                      &(struct failure){
                          .message = arena_printf(c->a, "invalid resource version \"%s\"", text)});
        return;
    }
    struct api_causes causes = {.a = c->a};
    *ARENA_PUSH(c->a, &causes) =
        (struct api_cause){"ResourceVersionTooLarge", NULL, "Too large resource version"};
    reply_failure(c, ERR_TIMEOUT,
                  &(struct failure){.message = arena_printf(
                                        c->a, "Too large resource version: %llu, current: %llu",
                                        (unsigned long long)revision,
                                        (unsigned long long)c->api->cache.revision),
                                    .causes = &causes,
                                    .retry_after_s = 1});
}

static int refuse(struct call *c, const char *message) {
    reply_failure(c, ERR_BAD_REQUEST, &(struct failure){.message = message});
    return -EINVAL;
}

int list_options_refuse(struct call *c, const char *field, const char *reason, const char *why) {
    struct api_causes causes = {.a = c->a};
    *ARENA_PUSH(c->a, &causes) = (struct api_cause){reason, field, why};
    const char *message =
        arena_printf(c->a, "ListOptions.meta.k8s.io \"\" is invalid: %s: %s", field, why);
    reply_failure(
        c, ERR_INVALID,
        &(struct failure){
            .message = message, .group = "meta.k8s.io", .kind = "ListOptions", .causes = &causes});
    return -EINVAL;
}

static int forbid(struct call *c, const char *field, const char *why) {
    return list_options_refuse(c, field, "FieldValueForbidden",
                               arena_printf(c->a, "Forbidden: %s", why));
}

/* What upstream's validation of a list's options says. */
static int check_options(struct call *c, const char *version, const char *match,
                         const char *token) {
    static const char field[] = "resourceVersionMatch";
    bool exact = str_eq(match, "Exact");
    if (!str_empty(match) && str_empty(version))
        return forbid(c, field,
                      "resourceVersionMatch is forbidden unless resourceVersion is provided");
    if (!str_empty(match) && !str_empty(token))
        return forbid(c, field, "resourceVersionMatch is forbidden when continue is provided");
    if (!str_empty(match) && !exact && !str_eq(match, "NotOlderThan"))
        return list_options_refuse(c, field, "FieldValueNotSupported",
                                   arena_printf(c->a,
                                                "Unsupported value: \"%s\": supported values: "
                                                "\"Exact\", \"NotOlderThan\", \"\"",
                                                match));
    if (exact && str_eq(version, "0"))
        return forbid(c, field,
                      "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"");
    if (http_query_get(&c->r->query, "sendInitialEvents"))
        return forbid(c, "sendInitialEvents", "sendInitialEvents is forbidden for list");
    return 0;
}

static int take_version(struct call *c, struct list_position *p, const char *version,
                        const char *match) {
    uint64_t revision = 0;
    if (!str_empty(version) &&
        (slice_u64(slice_of(version), &revision) < 0 || revision > c->api->cache.revision)) {
        revision_refuse(c, version, revision);
        return -EINVAL;
    }
    bool exact = str_eq(match, "Exact");
    /* Upstream's legacy rule: a limit with a plain resourceVersion means exactly that one. */
    if (exact || (revision && p->limit && str_empty(match))) {
        p->exact = true;
        p->revision = revision;
    }
    return 0;
}

/* Upstream takes a negative one as none. */
static int limit_parse(const char *text, uint64_t *ret) {
    if (str_empty(text)) return 0;
    bool negative = *text == '-';
    int rc = slice_u64(slice_of(text + negative), ret);
    if (negative) *ret = 0;
    return rc;
}

int list_position_parse(struct call *c, struct list_position *ret) {
    const struct http_query *q = &c->r->query;
    const char *limit = http_query_get(q, "limit"), *token = http_query_get(q, "continue");
    const char *version = http_query_get(q, "resourceVersion");
    const char *match = http_query_get(q, "resourceVersionMatch");
    *ret = (struct list_position){.revision = c->api->cache.revision};
    if (check_options(c, version, match, token) < 0) return -EINVAL;
    if (limit_parse(limit, &ret->limit) < 0)
        return refuse(c, arena_printf(c->a, "limit: \"%s\" is not a number", limit));
    if (str_empty(token)) return take_version(c, ret, version, match);
    if (!str_empty(version) && !str_eq(version, "0"))
        return refuse(c, "specifying resource version is not allowed when using continue");
    if (continue_decode(c->a, token, &ret->revision, &ret->start) < 0 ||
        ret->revision > c->api->cache.revision)
        return refuse(c, "continue key is not valid");
    ret->exact = ret->revision > 0;
    if (!ret->exact) ret->revision = c->api->cache.revision;
    if (ret->exact && ret->revision < c->api->cache.compacted) {
        continue_expired(c);
        return -EINVAL;
    }
    return 0;
}
