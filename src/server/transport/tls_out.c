#include "server/transport/tls_out.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "server/transport/budget.h"
#include "server/transport/conn.h"

enum { RECORD_EXTRA_BYTES = 256 }; /* more than head, type and tag of any suite */

/* Of the connection that is being flushed; nobody else's flush runs meanwhile. */
static struct {
    const struct conn *of; /* NULL: records go to the socket one by one */
    size_t n;
    char p[TLS_OUT_RECORDS * (SERVER_RECORD_BYTES + RECORD_EXTRA_BYTES)];
} gathered;

/* Bytes taken, 0: the socket is full, -errno: broken. */
static ssize_t give_socket(const struct conn *c, const char *p, size_t n) {
    ssize_t sent = send(c->fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    return sent;
}

/* OpenSSL puts what it says of its own accord in between, too: in order, behind what waits. */
static int out_write(BIO *b, const char *p, int n) {
    struct conn *c = BIO_get_data(b);
    BIO_clear_retry_flags(b);
    ssize_t taken = 0;
    if (gathered.of == c && gathered.n + (size_t)n <= sizeof gathered.p) {
        memcpy(gathered.p + gathered.n, p, (size_t)n);
        gathered.n += (size_t)n;
        taken = n;
    } else if (gathered.of != c && tls_out_bytes(&c->tls_out) == 0) {
        taken = give_socket(c, p, (size_t)n);
    }
    if (taken == 0) BIO_set_retry_write(b);
    return taken > 0 ? (int)taken : -1;
}

static long out_control(BIO *b, int command, long number, void *pointer) {
    return command == BIO_CTRL_FLUSH; /* what has been written is on its way */
}

static int out_create(BIO *b) {
    BIO_set_init(b, 1);
    return 1;
}

void tls_out_attach(struct conn *c) {
    static BIO_METHOD *method; /* as long as the process */
    if (!method) {
        method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "connection");
        if (!method || !BIO_meth_set_write(method, out_write) ||
            !BIO_meth_set_ctrl(method, out_control) || !BIO_meth_set_create(method, out_create))
            abort();
    }
    BIO *b = BIO_new(method);
    if (!b) abort();
    BIO_set_data(b, c);
    SSL_set0_wbio(c->ssl, b);
}

void tls_out_gather(struct conn *c) {
    if (gathered.of == c || budget_is_short()) return;
    assert(!gathered.of && gathered.n == 0);
    gathered.of = c;
}

static void keep(struct tls_out *o, const char *p, size_t n) {
    budget_queued(0, n);
    buf_slice(&o->left, slice_from(p, n));
}

/* What an earlier flush has left. */
static int send_left(struct conn *c) {
    struct tls_out *o = &c->tls_out;
    ssize_t n = give_socket(c, o->left.p + o->sent, tls_out_bytes(o));
    if (n < 0) return (int)n;
    budget_queued((size_t)n, 0);
    o->sent += (size_t)n;
    if (n > 0) o->moved = true;
    if (tls_out_bytes(o) == 0) tls_out_done(o);
    return 0;
}

int tls_out_send(struct conn *c) {
    struct tls_out *o = &c->tls_out;
    o->moved = false;
    int r = tls_out_bytes(o) > 0 ? send_left(c) : 0;
    if (gathered.of != c) return r;
    size_t n = gathered.n;
    gathered.of = NULL;
    gathered.n = 0;
    if (r < 0 || n == 0) return r;
    ssize_t sent = tls_out_bytes(o) > 0 ? 0 : give_socket(c, gathered.p, n);
    if (sent < 0) return (int)sent;
    if (sent > 0) o->moved = true;
    if ((size_t)sent < n) keep(o, gathered.p + sent, n - (size_t)sent);
    return 0;
}

void tls_out_done(struct tls_out *o) {
    budget_queued(tls_out_bytes(o), 0);
    buf_done(&o->left);
    o->sent = 0;
}
