/* ETag and If-None-Match of documents about the API. */
#include "server/discovery/tagged.h"

#include "api/openapi/openapi.h"
#include "base/own.h"

/* If-None-Match lists tags, maybe weak ones; * is any. The tag has its quotes. */
static bool is_known(const struct call *c, const char *tag) {
    const char *given = http_header(&c->r->headers, "if-none-match");
    struct slice left = slice_of(given), one;
    if (!given) return false;
    while (slice_cut(&left, ',', &one)) {
        one = slice_trim(one);
        if (one.n > 2 && !memcmp(one.p, "W/", 2)) one = slice_from(one.p + 2, one.n - 2);
        if (slice_is(one, tag) || slice_is(one, "*")) return true;
    }
    return false;
}

void reply_tagged(struct call *c, const char *type, struct slice body) {
    const char *hash = arena_printf(c->a, "%016llX", (unsigned long long)openapi_hash(body));
    const char *asked = http_query_get(&c->r->query, "hash");
    const char *tag = arena_printf(c->a, "\"%s\"", hash);
    const char *keep =
        asked && str_eq(asked, hash) ? "public, immutable, max-age=31536000" : "no-cache, private";
    struct http_header v[] = {{"etag", tag}, {"vary", "Accept"}, {"cache-control", keep}};
    struct http_headers h = {.v = v, .n = ARRAY_LEN(v)};
    if (is_known(c, tag))
        request_respond(c->r, 304, type, (struct slice){0}, &h);
    else
        request_respond(c->r, 200, type, body, &h);
}
