/* /openapi/v3, its documents, and /openapi/v2: made when asked for, they are too big to keep. */
#include "api/openapi/openapi.h"
#include "base/own.h"
#include "server/aggregation/aggregation.h"
#include "server/discovery/tagged.h"

static bool document(struct call *c, const char *path) {
    struct slice left = slice_of(path), kind, group = SLICE(""), version = SLICE("");
    slice_cut(&left, '/', &kind);
    bool named = slice_is(kind, "apis");
    if (!named && !slice_is(kind, "api")) return false;
    if (named && left.p) slice_cut(&left, '/', &group);
    if (left.p) slice_cut(&left, '/', &version);
    if (left.p || !version.n || named != (group.n > 0)) return false;
    OWN(buf_done) struct buf b = {0};
    if (openapi_v3_document(arena_strn(c->a, group), arena_strn(c->a, version), &b) < 0)
        return false;
    reply_tagged(c, "application/json", buf_view(&b));
    return true;
}

/* Also the documents of aggregated APIs whose servers answer. */
static void put_index(struct buf *b) {
    openapi_v3_index(b);
    b->n -= strlen("}}");
    aggregation_put_openapi_paths(b);
    buf_str(b, "}}");
}

/* kubectl asks for the old document in protobuf. */
static bool wants_protobuf(const struct call *c) {
    const char *accept = http_header(&c->r->headers, "accept");
    return accept && strstr(accept, "proto-openapi");
}

bool openapi_handle(struct call *c) {
    const char *path = c->r->path;
    OWN(buf_done) struct buf b = {0};
    if (str_eq(path, "/openapi/v3") || str_eq(path, "/openapi/v3/")) {
        put_index(&b);
    } else if (str_eq(path, "/openapi/v2")) {
        struct openapi_part *parts;
        size_t n = aggregation_openapi_parts(c->a, &parts);
        if (wants_protobuf(c)) {
            openapi_v2_protobuf(parts, n, &b);
            reply_tagged(c, "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
                         buf_view(&b));
            return true;
        }
        openapi_v2_document(parts, n, &b);
    } else {
        return str_starts(path, "/openapi/v3/") && document(c, path + strlen("/openapi/v3/"));
    }
    reply_tagged(c, "application/json", buf_view(&b));
    return true;
}
