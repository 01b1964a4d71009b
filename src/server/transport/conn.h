/*
 * One accepted connection: descriptor, optional TLS, output queue, dead-line. It carries a protocol
 * (HTTP/1.1 or HTTP/2) that sees decrypted bytes. Inside the transport only.
 *
 * Two contexts: *event* (called by the loop: input, drained, closed, expired) and *direct* (inside
 * a request_… call of a handler). Handlers' callbacks run in event context only; a connection that
 * breaks in direct context is killed by the loop soon after.
 *
 * Life: conn_open … conn_kill (closes, tells the protocol) … memory is freed once nothing holds it.
 */
#pragma once

#include <openssl/ssl.h>

#include "server/transport/outq.h"
#include "server/transport/request.h"
#include "server/transport/tls_out.h"

struct conn;
struct listener;

struct conn_protocol {
    void (*input)(struct conn *c, struct slice bytes);
    void (*eof)(struct conn *c);      /* the peer sends no more */
    void (*fill)(struct conn *c);     /* may add output; before every write. May be NULL */
    void (*drained)(struct conn *c);  /* after conn_owe_drain: the queue is empty */
    void (*expired)(struct conn *c);  /* deadline_ms passed */
    void (*shut)(struct conn *c);     /* the server closes: finish what runs, take no more */
    void (*closed)(struct conn *c);   /* the connection is gone */
    void (*released)(struct conn *c); /* nothing holds c any more: free c->state */
};
void http1_conn_start(struct conn *c); /* sets protocol and state */
void http2_conn_start(struct conn *c);

struct conn {
    struct conn *next, *prev; /* of the listener */
    struct listener *listener;
    struct server *server; /* NULL once dead */
    struct loop *loop;
    int fd;
    SSL *ssl;                             /* NULL: plain */
    unsigned watching;                    /* FD_READ, FD_WRITE */
    const struct conn_protocol *protocol; /* NULL until it is known */
    void *state;
    struct outq out;
    struct tls_out tls_out; /* what has left `out` already, as records */
    struct buf preface;     /* unix: the first bytes, until the protocol is known */
    uint64_t deadline_ms;   /* 0: none */
    uint64_t stalled_ms;    /* since when output waits without progress; 0: it does not */
    unsigned holds;         /* requests and deferred calls that still point here */
    struct peer peer;
    struct arena *arena; /* the peer's strings */
    unsigned place;      /* its peer's in listener->peers */
    struct {             /* room.c: in which list of its peer */
        struct conn *next, *prev;
        enum conn_rest { REST_NONE, REST_UNSERVED, REST_IDLE } where;
    } rest;
    struct {                   /* ready.c */
        struct client *client; /* who takes turns with others */
        unsigned at;           /* waits: where among those that are to be served */
        bool waits;
        bool chosen; /* is served because its client has had least; no request knows of it yet */
    } ready;
    bool served; /* a whole request has arrived on it */
    bool queued; /* waits for its part of a turn to shake hands */
    bool handshaking, corked, flushing, paused, idle;
    bool finishing;  /* close once the queue is sent */
    bool lingering;  /* sent and shut down; reads and drops until the peer closes */
    bool shut_write; /* half close once the queue is sent */
    bool owes_drain, broken, dead, at_eof;
    bool records;   /* of TLS may have been read from the socket and not handled: no event comes */
    bool rereading; /* conn_serve's reading is deferred */
    bool flush_due; /* conn_flush is deferred */
    bool warm;      /* keeps the buffers of its TLS between requests */
    unsigned reads; /* since the last tick, of TLS */
};

struct conn *conn_open(struct listener *l, int fd, SSL *ssl); /* takes fd and ssl */
void conn_start(struct conn *c, struct server *s, struct loop *l);
void conn_kill(struct conn *c); /* event context */
void conn_fail(struct conn *c); /* any context: kills soon */
void conn_flush(
    struct conn *c); /* sends what it can; no-op while corked (input is being handled) */
/* The same once what runs now is over, so that answers which come together leave together. */
void conn_flush_soon(struct conn *c);
void conn_finish(struct conn *c); /* sends the queue, then closes; lets the peer read it all */
void conn_half_close(struct conn *c);
void conn_pause(struct conn *c, bool paused); /* stops reading */
void conn_owe_drain(struct conn *c);
/* What a protocol tells, after it has set deadline_ms: some of a request has come; all of one; none
 * is under way. */
void conn_begins(struct conn *c);
void conn_serves(struct conn *c);
void conn_idles(struct conn *c);
/* Bytes that the kernel has not taken yet. */
static inline size_t conn_queued(const struct conn *c) {
    return c->out.bytes + tls_out_bytes(&c->tls_out);
}
void conn_hold(struct conn *c);
void conn_release(struct conn *c);
void conn_tick(struct conn *c, uint64_t now_ms); /* every second */
/* Connections that keep the buffers of their TLS, since they are busy; a few at most. */
enum { CONNS_WARM_MAX = 64, CONN_WARM_READS = 8 };
unsigned conns_warm(void);

/* Handles events, now; in event context. */
void conn_serve(struct conn *c, unsigned events);

/* ready.c: who is watched, and in which order conn_serve is called. */
struct ready *ready_new(struct loop *l);
void ready_free(struct ready *r); /* without connections */
void ready_tick(struct ready *r); /* every second, while there are connections */
void ready_enter(struct ready *r, struct conn *c, unsigned place); /* not watched yet */
void ready_leave(struct conn *c);
/* Its client is another one; one that waits to be served keeps its place. */
void ready_move(struct ready *r, struct conn *c, unsigned place);
void ready_watch(struct conn *c, unsigned events); /* from now on for c->watching = events */
/* Its client has so many connections that each waits long for its turn. */
bool ready_in_crowd(const struct conn *c);
/* Whether a request that is read now has had its wait here: one of each time c is served. */
static inline bool conn_was_chosen(struct conn *c) {
    bool chosen = c->ready.chosen;
    c->ready.chosen = false;
    return chosen;
}
struct ready *server_ready(struct server *s);

/* listener.c */
void listener_forget(struct conn *c);
/* Who is at the other end, as far as it has been verified: connections are counted by this, and
 * when there are too many, those go who have most. */
void listener_identify(struct conn *c, struct slice who);
unsigned listener_place(struct slice who); /* of the LISTENER_PEERS, where it is counted */
/* Has conn_handshake called, now or in its turn: a handshake takes longer than most requests. */
void server_handshake(struct conn *c);
void conn_handshake(struct conn *c);
enum { SERVER_RECORD_BYTES = 16 * 1024 };
/* Shared between all connections: what is being read (while the protocol handles it), and one TLS
 * record on its way out. */
char *server_scratch(struct server *s, size_t *ret_size);
char *server_record(struct server *s);
const char *server_date(const struct server *s); /* IMF-fixdate, now */
/* Arenas of requests: the one given back last, whose memory is still near. */
struct arena *server_arena_take(void);
void server_arena_give(struct arena *a);
void server_dispatch(struct server *s, struct request *r);
bool server_is_closing(const struct server *s);

/* tls.c */
SSL *tls_accept(struct server_tls *t, int fd);
void tls_read_peer(struct conn *c); /* after the handshake */
bool tls_chose_http2(const struct conn *c);
