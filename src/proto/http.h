/*
 * HTTP messages as values, and the HTTP/1.1 codec (RFC 9112): bytes in, values out, no I/O. Strict
 * where smuggling is possible: no obs-fold, no bare LF or CR, no space before a colon, one
 * Content-Length, never Content-Length with Transfer-Encoding, chunked last and only. Header names
 * are lower-cased. Limits from base/limits.h.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

struct http_header {
    const char *name; /* lower case */
    const char *value;
};
struct http_headers {
    struct http_header *v;
    size_t n;
};
const char *http_header(const struct http_headers *h,
                        const char *lower_name); /* first value, or NULL */

struct http_query { /* decoded query parameters, in order */
    struct str_kv {
        const char *key, *value;
    } * v;
    size_t n;
};
/* Percent-decoding, '+' is a space in the query. ERR_BAD_REQUEST on malformed escapes or NUL. */
int http_split_target(struct arena *a, const char *target, const char **ret_path,
                      struct http_query *ret_query, struct err *err);
const char *http_query_get(const struct http_query *q, const char *key); /* first value, or NULL */
bool http_target_is_clean(const char *target); /* visible ASCII, no blanks */

/* ---- HTTP/1.1 ---- */
enum http1_role { HTTP1_REQUESTS, HTTP1_RESPONSES }; /* what is parsed */

struct http1_head {
    const char *method, *target; /* requests */
    int status;                  /* responses */
    struct http_headers headers;
    bool keep_alive;
    bool http10;   /* the sender speaks HTTP/1.0: no chunks for it */
    bool upgrade;  /* Connection: upgrade present */
    bool has_body; /* responses: also when it lasts until the connection ends */
    bool chunked;
    uint64_t content_length; /* 0 when absent */
};

struct http1;         /* an incremental parser */
struct http1_events { /* any may return non-zero to stop: http1_feed returns it */
    /* h and its strings live until bytes are fed that follow the end of this message. */
    int (*head)(void *user, const struct http1_head *h);
    int (*body)(void *user, struct slice data);
    int (*end)(void *user); /* message complete; the parser waits for the next one */
};
struct http1 *http1_new(enum http1_role role, const struct http1_events *ev, void *user);
void http1_free(struct http1 *p);
/* Consumes bytes; *ret_used < n only after a callback asked to stop (its value is returned; feeding
 * the rest, or nothing, goes on from there), after an error (-EBADMSG; ERR_TOO_LARGE in err when a
 * limit was passed), or after the end of an upgrade message: the rest may not be HTTP. A declined
 * upgrade goes on with the next http1_feed. Interim answers but 101 are skipped. */
int http1_feed(struct http1 *p, struct slice bytes, size_t *ret_used, struct err *err);
/* For responses without length: the connection's end is the body's end. -EBADMSG when in the middle
 * of a message. */
int http1_eof(struct http1 *p);
/* The next response answers a HEAD or CONNECT: no body follows. */
void http1_expect_no_body(struct http1 *p);

/* CR and LF in names and values are written as spaces; "host: localhost" is added when h has none.
 */
void http1_write_request(struct buf *b, const char *method, const char *target,
                         const struct http_headers *h);
void http1_write_response(struct buf *b, int status, const struct http_headers *h);
void http1_write_chunk(struct buf *b, struct slice data); /* empty slice writes nothing */
void http1_write_last_chunk(struct buf *b);
const char *http_status_text(int status);
