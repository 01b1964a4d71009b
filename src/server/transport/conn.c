#include "server/transport/conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/own.h"

enum {
    IOV_MAX_PIECES = 64,
    READ_TURNS = 4,  /* TLS records per event: one busy peer must not starve the others */
    FLUSH_TURNS = 2, /* each as much as the socket takes */
    LINGER_MS = 2000,
};

static void reread_later(struct conn *c);

/* Not while input is handled: most changes would be taken back before the next event. */
static void watch(struct conn *c) {
    if (c->dead || c->corked || c->queued || c->ready.waits) return;
    unsigned want = c->paused && !c->handshaking ? 0 : FD_READ;
    if (c->at_eof) want &= ~(unsigned)FD_READ;
    if (conn_queued(c) > 0 || c->owes_drain) want |= FD_WRITE;
    if (want == c->watching) return;
    ready_watch(c, want);
}

/* ---- Life ---- */

struct conn *conn_open(struct listener *l, int fd, SSL *ssl) {
    struct conn *c = calloc(1, sizeof *c);
    if (!c) abort();
    c->listener = l;
    c->fd = fd;
    c->ssl = ssl;
    c->handshaking = ssl != NULL;
    if (ssl) tls_out_attach(c);
    return c;
}

void conn_start(struct conn *c, struct server *s, struct loop *l) {
    c->server = s;
    c->loop = l;
    c->deadline_ms = loop_now_ms(l) + LIMIT_HTTP_HEAD_MS;
    ready_enter(server_ready(s), c, c->place);
    ready_watch(c, FD_READ);
}

static void free_memory(struct conn *c) {
    if (c->protocol) c->protocol->released(c);
    arena_free(c->arena);
    free(c);
}

/* Of a connection that is not warm OpenSSL gives the buffers back after each record, since there
 * may be thousands of idle ones. */
static unsigned n_warm;
unsigned conns_warm(void) { return n_warm; }

static void warm_up(struct conn *c) {
    if (++c->reads < CONN_WARM_READS || c->warm || n_warm == CONNS_WARM_MAX) return;
    c->warm = true;
    n_warm++;
    SSL_clear_mode(c->ssl, SSL_MODE_RELEASE_BUFFERS);
}

static void give_buffers_back(struct conn *c) {
    SSL_set_mode(c->ssl, SSL_MODE_RELEASE_BUFFERS);
    SSL_free_buffers(c->ssl); /* unless there is something in them: then it does so later */
}

static void cool_down(struct conn *c) {
    if (!c->warm) return;
    c->warm = false;
    n_warm--;
    give_buffers_back(c);
}

void conn_hold(struct conn *c) { c->holds++; }

void conn_release(struct conn *c) {
    if (--c->holds == 0 && c->dead) free_memory(c);
}

void conn_kill(struct conn *c) {
    if (c->dead) return;
    c->dead = true;
    conn_hold(c);
    ready_leave(c);
    listener_forget(c);
    if (c->protocol) c->protocol->closed(c);
    cool_down(c);
    if (c->ssl) SSL_free(c->ssl);
    close(c->fd);
    outq_done(&c->out);
    tls_out_done(&c->tls_out);
    buf_done(&c->preface);
    c->server = NULL;
    c->fd = -1;
    c->ssl = NULL;
    conn_release(c);
}

static void kill_later(void *user) {
    struct conn *c = user;
    conn_kill(c);
    conn_release(c);
}

void conn_fail(struct conn *c) {
    if (c->broken || c->dead) return;
    c->broken = true;
    conn_hold(c);
    loop_defer(c->loop, kill_later, c);
}

/* What others have left would be taken for errors of the next call. To clear where there is nothing
 * takes OpenSSL as long as a small record. */
static void forget_errors(void) {
    if (ERR_peek_error()) ERR_clear_error();
}

/* ---- Sending ---- */

/* Bytes taken, 0: the socket is full, -errno: broken. */
static ssize_t send_plain(struct conn *c) {
    struct iovec iov[IOV_MAX_PIECES];
    struct msghdr m = {.msg_iov = iov};
    m.msg_iovlen = (size_t)outq_iov(&c->out, iov, IOV_MAX_PIECES);
    ssize_t n = sendmsg(c->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0) return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    return n;
}

static ssize_t send_tls(struct conn *c) {
    struct iovec first = {0};
    size_t n = MIN_OF(c->out.bytes, (size_t)SERVER_RECORD_BYTES), sent = 0;
    if (c->out.bytes > n) tls_out_gather(c);
    outq_iov(&c->out, &first, 1);
    const char *record = first.iov_base;
    if (first.iov_len < n) record = server_record(c->server);
    if (first.iov_len < n) n = outq_peek(&c->out, server_record(c->server), n);
    forget_errors();
    int r = SSL_write_ex(c->ssl, record, n, &sent);
    if (r == 1) return (ssize_t)sent;
    int why = SSL_get_error(c->ssl, r);
    return why == SSL_ERROR_WANT_WRITE || why == SSL_ERROR_WANT_READ ? 0 : -EPIPE;
}

/* The queue is sent: what was to happen then? */
static void after_sending(struct conn *c) {
    if (c->lingering) return;
    if (c->shut_write || c->finishing) {
        if (c->ssl) SSL_shutdown(c->ssl);
        shutdown(c->fd, SHUT_WR);
        c->shut_write = false;
    }
    if (!c->finishing) return;
    /* Closing with unread input would reset the connection and could destroy the answer. */
    c->lingering = true;
    c->paused = false;
    reread_later(c);
    c->deadline_ms = loop_now_ms(c->loop) + LINGER_MS;
    if (c->at_eof) conn_fail(c);
}

static bool send_turns(struct conn *c) {
    bool progress = false, keeps = c->ssl && !c->warm && c->out.bytes > SERVER_RECORD_BYTES;
    if (keeps) SSL_clear_mode(c->ssl, SSL_MODE_RELEASE_BUFFERS); /* from record to record */
    for (int turn = 0;; turn++) {
        if (c->protocol && c->protocol->fill) c->protocol->fill(c);
        if (turn == (c->ssl ? TLS_OUT_RECORDS : FLUSH_TURNS))
            break; /* what is left waits for the next event */
        if (c->broken || c->out.bytes == 0) break;
        ssize_t n = c->ssl ? send_tls(c) : send_plain(c);
        if (n < 0) conn_fail(c);
        if (n <= 0) break;
        outq_consume(&c->out, (size_t)n);
        progress = true;
    }
    if (keeps) give_buffers_back(c);
    return progress;
}

static void send_queue(struct conn *c) {
    if (c->dead || c->broken || c->handshaking || c->flushing || c->corked) return;
    c->flushing = true;
    uint64_t before = c->stalled_ms;
    bool waits = tls_out_bytes(&c->tls_out) > 0, broken = waits && tls_out_send(c) < 0;
    if (waits && c->tls_out.moved) before = 0;
    if (!broken && tls_out_bytes(&c->tls_out) == 0) {
        if (send_turns(c)) before = 0;
        broken = c->ssl && tls_out_send(c) < 0;
    }
    if (broken) conn_fail(c);
    c->flushing = false;
    c->stalled_ms = conn_queued(c) == 0 ? 0 : before ? before : loop_now_ms(c->loop);
    if (conn_queued(c) == 0 && !c->broken) after_sending(c);
}

void conn_flush(struct conn *c) {
    send_queue(c);
    watch(c);
}

static void flush_now(void *user) {
    struct conn *c = user;
    c->flush_due = false;
    if (!c->dead) conn_flush(c);
    conn_release(c);
}

void conn_flush_soon(struct conn *c) {
    if (c->flush_due || c->corked) return;
    c->flush_due = true;
    conn_hold(c);
    loop_defer(c->loop, flush_now, c);
}

/* Event context: may call the protocol back. */
static void flush_and_drain(struct conn *c) {
    send_queue(c);
    if (c->owes_drain && conn_queued(c) == 0 && !c->broken && !c->dead && !c->corked) {
        c->owes_drain = false;
        c->protocol->drained(c);
        send_queue(c);
    }
    watch(c);
}

void conn_finish(struct conn *c) {
    c->finishing = true;
    conn_flush(c);
}

void conn_half_close(struct conn *c) {
    c->shut_write = true;
    conn_flush(c);
}

void conn_pause(struct conn *c, bool paused) {
    c->paused = paused && !c->lingering;
    watch(c);
    reread_later(c);
}

void conn_owe_drain(struct conn *c) {
    c->owes_drain = true;
    watch(c);
}

/* ---- Receiving ---- */

void conn_handshake(struct conn *c) {
    ERR_clear_error();
    int r = SSL_do_handshake(c->ssl);
    if (r == 1) {
        c->handshaking = false;
        c->records = SSL_has_pending(c->ssl);
        tls_read_peer(c);
        ready_watch(c, FD_READ);
        if (tls_chose_http2(c))
            http2_conn_start(c);
        else
            http1_conn_start(c);
        reread_later(c);
        return;
    }
    int why = SSL_get_error(c->ssl, r);
    if (why == SSL_ERROR_WANT_READ)
        ready_watch(c, FD_READ);
    else if (why == SSL_ERROR_WANT_WRITE)
        ready_watch(c, FD_WRITE);
    else
        conn_kill(c);
}

static const char http2_preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/* HTTP/2 with prior knowledge starts with a fixed text; whatever differs is HTTP/1.1. */
static void choose_protocol(struct conn *c, struct slice bytes) {
    buf_slice(&c->preface, bytes);
    size_t n = MIN_OF(c->preface.n, sizeof http2_preface - 1);
    bool matches = memcmp(c->preface.p, http2_preface, n) == 0;
    if (matches && n < sizeof http2_preface - 1) return;
    struct buf first = c->preface;
    c->preface = (struct buf){0};
    if (matches)
        http2_conn_start(c);
    else
        http1_conn_start(c);
    c->protocol->input(c, buf_view(&first));
    buf_done(&first);
}

static void take_input(struct conn *c, struct slice bytes) {
    if (c->lingering || c->broken) return;
    if (c->protocol)
        c->protocol->input(c, bytes);
    else if (c->preface.n == 0 && bytes.p[0] != 'P')
        http1_conn_start(c), c->protocol->input(c, bytes);
    else
        choose_protocol(c, bytes);
}

static void take_eof(struct conn *c) {
    c->at_eof = true;
    if (c->lingering || !c->protocol)
        conn_kill(c);
    else
        c->protocol->eof(c);
}

/* > 0: bytes, 0: end of input, -EAGAIN: nothing now, other: broken. What is only to be dropped, TCP
 * drops without copying it. */
static ssize_t receive(struct conn *c, char *p, size_t size) {
    if (!c->ssl || c->lingering) {
        ssize_t n = recv(c->fd, p, size, c->ssl ? MSG_DONTWAIT | MSG_TRUNC : MSG_DONTWAIT);
        c->records = false;
        return n < 0 ? (errno == EINTR ? -EAGAIN : -errno) : n;
    }
    size_t n = 0;
    forget_errors();
    int r = SSL_read_ex(c->ssl, p, size, &n);
    c->records = r == 1 && SSL_has_pending(c->ssl);
    if (r == 1) {
        warm_up(c);
        return (ssize_t)n;
    }
    int why = SSL_get_error(c->ssl, r);
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) return -EAGAIN;
    return why == SSL_ERROR_ZERO_RETURN ? 0 : -EPIPE;
}

/* The answer acknowledges its request. In a crowd it comes later than Linux waits for it (40 ms),
 * which then no longer waits and sends a packet for each request that is read, unless told so. */
static void without_acknowledging(const struct conn *c) {
    int off = 0;
    setsockopt(c->fd, IPPROTO_TCP, TCP_QUICKACK, &off, sizeof off);
}

/* What the records that have arrived together ask for is answered together. */
static void read_some(struct conn *c) {
    size_t size;
    char *p = server_scratch(c->server, &size);
    if (c->ssl && ready_in_crowd(c)) without_acknowledging(c);
    for (int turn = 0; turn < READ_TURNS && !c->paused && !c->at_eof; turn++) {
        ssize_t n = receive(c, p, size);
        if (n == -EAGAIN) break;
        c->corked = true;
        if (n > 0)
            take_input(c, slice_from(p, (size_t)n));
        else if (n == 0)
            take_eof(c);
        else
            conn_kill(c);
        c->corked = false;
        if (c->dead) return;
        if (!c->records) break; /* what comes later is told by an event */
    }
    flush_and_drain(c);
    if (!c->dead) reread_later(c);
}

static void reread(void *user) {
    struct conn *c = user;
    c->rereading = false;
    if (!c->dead && !c->handshaking) read_some(c);
    if (!c->dead && !c->handshaking) watch(c);
    conn_release(c);
}

/* Reads on although no event will come, unless reading has stopped; then whoever starts it again
 * calls this. */
static void reread_later(struct conn *c) {
    if (!c->records || c->rereading || c->paused || c->at_eof || c->dead || c->broken) return;
    c->rereading = true;
    conn_hold(c);
    loop_defer(c->loop, reread, c);
}

void conn_serve(struct conn *c, unsigned events) {
    conn_hold(c);
    if (c->handshaking) {
        if (!c->queued) server_handshake(c);
    } else {
        if (!c->dead && (events & FD_READ)) read_some(c);
        if (!c->dead && (events & FD_WRITE)) flush_and_drain(c);
        if (!c->dead) watch(c);
    }
    c->ready.chosen = false;
    conn_release(c);
}

void conn_tick(struct conn *c, uint64_t now_ms) {
    conn_hold(c);
    if (c->reads < CONN_WARM_READS) cool_down(c);
    c->reads = 0;
    if (c->stalled_ms && now_ms > c->stalled_ms + LIMIT_HTTP_REQUEST_MS) {
        conn_kill(c);
    } else if (c->deadline_ms && now_ms >= c->deadline_ms) {
        if (c->lingering || !c->protocol)
            conn_kill(c);
        else
            c->protocol->expired(c);
        if (!c->dead) watch(c);
    }
    conn_release(c);
}
