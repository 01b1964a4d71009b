/*
 * One HTTP request as the handlers of the api service see it, whatever carried it (HTTP/1.1 or
 * HTTP/2, TLS or unix socket). Transport (listener.c, http1_conn.c, http2_conn.c, tls.c) below,
 * handlers above; neither knows the other's insides.
 *
 * Life: the transport collects head and body, sets the peer, and calls the one handler given to
 * server_listen(). The handler answers now or later with exactly one of request_respond,
 * request_stream_begin … request_stream_end, request_proxy.
 */
#pragma once

#include "base/arena.h"
#include "proc/loop.h"
#include "proto/http.h"

/* Who is at the other end, as the transport can tell. */
struct peer {
    enum { PEER_UNIX, PEER_TLS } kind;
    uid_t uid;            /* PEER_UNIX */
    const char *address;  /* PEER_TLS: client address */
    bool has_certificate; /* verified against the cluster CA */
    const char *common_name;
    const char *const *organizations; /* NULL-terminated */
};

struct request {
    struct arena *arena; /* freed when the request is over */
    const char *method;
    const char *path;   /* decoded, starts with '/' */
    const char *target; /* as sent */
    struct http_query query;
    struct http_headers headers;
    struct slice body;
    const struct peer *peer;
    uint64_t received_ms; /* when the turn of the loop began in which its first byte came */
    bool chosen; /* its client was the one that has had least (ready.c): it has waited enough */
    void *handler_data; /* free for the handler */
    /* The client went away before the answer was complete; last callback, the request is freed
     * after it. Never called inside a request_… call. While it is NULL, the request outlives its
     * client and must still be answered (the answer is dropped). */
    void (*on_close)(struct request *);
    void (*on_drain)(struct request *); /* streaming: the queue is empty again */
    /* The request is over, in whatever way; called once, whatever became of the client. It may not
     * be used any more. */
    void (*on_over)(void *user);
    void *on_over_user;
    /* When nothing has been answered by then, the client gets 504, and the handler is told that it
     * went away (or its answer is dropped). 0: never. Streams are not cut. */
    uint64_t deadline_ms;
    /* For the counts of /metrics: once when the answer begins (of a proxied one, when its status is
     * known), and once when the request is over. Either may be NULL. */
    void (*meter_begun)(struct request *, int status);
    void (*meter_gone)(struct request *);
    void *meter_data;
    struct http_headers always; /* sent with every answer; of the arena */
    struct request_impl *impl;
    const char *audit_id; /* becomes the header Audit-Id; NULL = none */
    /* Told once, when an answer begins: its status (0: a proxied one, not known yet) and its body
     * when that is whole (p NULL: a stream). May be NULL. */
    void (*on_answer)(struct request *, int status, struct slice body);
    void (*on_audit_end)(struct request *); /* just before on_over; may be NULL */
    void *audit_data;                       /* for the two */
};

/* A whole answer. extra may be NULL. The body is copied (or shared, see _shared). The request is
 * freed before this returns. */
void request_respond(struct request *r, int status, const char *content_type, struct slice body,
                     const struct http_headers *extra);

/* Reference-counted bytes: GET, LIST and WATCH send what is stored without a copy. */
struct bytes {
    unsigned refs;
    size_t n;
    char p[];
};
struct bytes *bytes_new(struct slice s);
struct bytes *bytes_ref(struct bytes *b);
void bytes_unref(struct bytes *b);

/* A whole answer whose body is shared, not copied: takes its own reference. */
void request_respond_bytes(struct request *r, int status, const char *content_type,
                           struct bytes *body, const struct http_headers *extra);

/* A streamed answer (lists, watches, logs): head now, pieces later, gzip never. */
void request_stream_begin(struct request *r, int status, const char *content_type,
                          const struct http_headers *extra);
/* Queues a copy; returns the number of bytes queued and not yet taken by the kernel. A handler that
 * sees more than LIMIT_WATCH_QUEUE_BYTES ends the stream. */
size_t request_stream_write(struct request *r, struct slice data);
/* Readers are so slow that little should be queued in advance. */
bool request_memory_is_short(void);
size_t request_stream_write_bytes(struct request *r, struct bytes *b); /* takes its own reference */
void request_stream_end(struct request *r); /* complete; the request is freed when flushed. on_close
                                               is not called any more */
void request_stream_abort(
    struct request *r); /* cut: HTTP/2 RST_STREAM, HTTP/1.1 close without the last chunk */

/*
 * Hands the request to a backend that speaks HTTP/1.1 on a unix socket (the node's streaming
 * server): method, target (replaced by `target`), headers and body are forwarded, plus `extra`
 * headers; the answer is copied back, upgrades (WebSocket) become a byte pipe with back-pressure
 * both ways. ERR_UNAVAILABLE goes to the client as 503 Status JSON when the backend cannot be
 * reached. Over HTTP/2 extended CONNECT (RFC 8441) is not offered: clients fall back to HTTP/1.1
 * for upgrades (ALPN).
 */
void request_proxy(struct request *r, const char *socket_path, const char *target,
                   const struct http_headers *extra);

/* The same with more to say about the backend. Everything is copied. */
struct proxy_plan {
    const char *socket_path, *target;
    const struct http_headers *extra; /* replace what the client sent by these names; may be NULL */
    struct slice
        prelude;         /* for egress.sock (wire/egress.h): sent first, its answer is waited for */
    const char *host;    /* Host header; NULL: localhost */
    const char *trouble; /* stands before the reason in messages; may be NULL */
    /* "/api/v1/…/proxy": the answer's Location and the links of its pages are moved below it; NULL:
     * the answer passes as it is. */
    const char *prefix;
};
void request_proxy_to(struct request *r, const struct proxy_plan *plan);

/* The sender is known: from now on his part of the loop's turns is shared between all connections
 * of this name, not between all of this address. */
void request_identify(struct request *r, struct slice name);
/* Something is about to be done for it, long after it came: its client is active, and another one
 * that asks is not alone. */
void request_works(const struct request *r);

typedef void request_fn(struct request *r, void *user);

struct server;
struct server_tls; /* made by tls.c from the certificate chain and a signer */
struct server *server_new(struct loop *l, request_fn *fn, void *user);
void server_listen_unix(struct server *s, int fd);
void server_listen_tls(struct server *s, int fd, struct server_tls *tls);
void server_close(
    struct server *s); /* stops accepting, ends idle connections, tells HTTP/2 peers GOAWAY */
void server_free(struct server *s);

/* sign: answers with a DER ECDSA signature of digest (may block for a message round trip to keys).
 */
typedef int server_sign_fn(void *user, struct slice digest, struct buf *ret_der, struct err *err);
int server_tls_new(const char *chain_pem, const char *client_ca_pem, server_sign_fn *sign,
                   void *user, struct server_tls **ret, struct err *err);
