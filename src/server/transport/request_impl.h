/* The transport's side of a request. Inside the transport only. */
#pragma once

#include "server/transport/request.h"

/* A raw byte pipe to the client after an upgrade (HTTP/1.1 only). */
struct tunnel_events {
    void (*data)(void *user, struct slice bytes);
    void (*eof)(void *user);
    void (*drained)(void *user);
    void (*closed)(void *user); /* the client is gone; last call */
};

struct request_ops {
    /* shared == NULL: body is copied */
    void (*respond)(struct request *r, int status, const char *content_type, struct slice body,
                    struct bytes *shared, const struct http_headers *extra);
    void (*begin)(struct request *r, int status, const char *content_type,
                  const struct http_headers *extra);
    size_t (*write)(struct request *r, struct slice data, struct bytes *shared);
    void (*end)(struct request *r);
    void (*abort)(struct request *r);
    /* The rest is NULL where upgrades do not exist. */
    void (*tunnel)(struct request *r, const struct http_headers *answer,
                   const struct tunnel_events *ev, void *user);
    size_t (*tunnel_write)(struct request *r, struct slice data);
    void (*tunnel_pause)(struct request *r, bool paused);
    void (*tunnel_half_close)(struct request *r);
    void (*tunnel_close)(struct request *r); /* sends what is queued; ends the request */
};

struct request_impl {
    const struct request_ops *ops;
    struct loop *loop;
    void *owner;
    struct conn *conn; /* what it came on */
    bool upgrade;      /* the client asked for one */
    bool must_end;     /* the connection cannot be used again after this request */
};

/* A length as text: lies at the end of `to`. printf takes longer than the rest of a head. */
enum { REQUEST_DIGITS = 21 };
static inline const char *request_digits(char to[REQUEST_DIGITS], uint64_t n) {
    size_t at = REQUEST_DIGITS - 1;
    to[at] = 0;
    do to[--at] = (char)('0' + n % 10);
    while (n /= 10);
    return to + at;
}

/* Before any answer: calls on_answer. */
void request_answering(struct request *r, int status, struct slice body);
#define TOO_MANY_BODIES "too many large requests are being received, try again later"
#define REQUEST_TIMED_OUT                                                                          \
    "Timeout: request did not complete within requested timeout - context deadline exceeded"

/* {"kind":"Status",…} for an error that no handler sees. */
void status_json(struct buf *b, int code, enum err_reason reason, const char *message);
/* Answers with a Status; code 0 = the reason's own. */
void request_fail(struct request *r, int code, enum err_reason reason, const char *message);
/* Calls on_over, once. */
static inline void request_tell_over(struct request *r) {
    void (*ended)(struct request *) = r->on_audit_end;
    r->on_audit_end = NULL;
    if (ended) ended(r);
    r->on_answer = NULL; /* the place is used again for the next request of the connection */
    r->audit_id = NULL;
    r->audit_data = NULL;
    if (r->meter_gone) r->meter_gone(r);
    r->meter_gone = NULL;
    r->meter_begun = NULL;
    void (*fn)(void *) = r->on_over;
    r->on_over = NULL;
    if (fn) fn(r->on_over_user);
}
