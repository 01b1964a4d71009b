#include <assert.h>

#include "server/transport/budget.h"
#include "server/transport/request_impl.h"

void request_answering(struct request *r, int status, struct slice body) {
    void (*fn)(struct request *, int, struct slice) = r->on_answer;
    r->on_answer = NULL;
    if (fn) fn(r, status, body);
    if (r->meter_begun && status) {
        r->meter_begun(r, status);
        r->meter_begun = NULL;
    }
}

/* The headers with Audit-Id. *all is the place for them. */
static const struct http_headers *with_id(struct request *r, const struct http_headers *extra,
                                          struct http_headers *all) {
    if (!r->audit_id) return extra;
    for (size_t i = 0; extra && i < extra->n; i++) *ARENA_PUSH(r->arena, all) = extra->v[i];
    *ARENA_PUSH(r->arena, all) = (struct http_header){"audit-id", r->audit_id};
    return all;
}

void request_respond(struct request *r, int status, const char *content_type, struct slice body,
                     const struct http_headers *extra) {
    struct http_headers all = {0};
    request_answering(r, status, body);
    r->impl->ops->respond(r, status, content_type, body, NULL, with_id(r, extra, &all));
}

void request_respond_bytes(struct request *r, int status, const char *content_type,
                           struct bytes *body, const struct http_headers *extra) {
    struct http_headers all = {0};
    struct slice view = slice_from(body->p, body->n);
    request_answering(r, status, view);
    r->impl->ops->respond(r, status, content_type, view, body, with_id(r, extra, &all));
}

void request_stream_begin(struct request *r, int status, const char *content_type,
                          const struct http_headers *extra) {
    struct http_headers all = {0};
    request_answering(r, status, (struct slice){0});
    r->impl->ops->begin(r, status, content_type, with_id(r, extra, &all));
}

size_t request_stream_write(struct request *r, struct slice data) {
    return r->impl->ops->write(r, data, NULL);
}

size_t request_stream_write_bytes(struct request *r, struct bytes *b) {
    return r->impl->ops->write(r, slice_from(b->p, b->n), b);
}

void request_stream_end(struct request *r) { r->impl->ops->end(r); }

void request_stream_abort(struct request *r) { r->impl->ops->abort(r); }

void status_json(struct buf *b, int code, enum err_reason reason, const char *message) {
    buf_str(b, "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\","
               "\"message\":");
    buf_json_str(b, slice_of(message));
    buf_str(b, ",\"reason\":");
    buf_json_str(b, slice_of(err_reason_name(reason)));
    buf_printf(b, ",\"code\":%d}\n", code);
}

void request_fail(struct request *r, int code, enum err_reason reason, const char *message) {
    struct buf b = {0};
    if (code == 0) code = err_http(reason);
    status_json(&b, code, reason, message);
    request_respond(r, code, "application/json", buf_view(&b), NULL);
    buf_done(&b);
}

bool request_memory_is_short(void) { return budget_is_short(); }
