/* The service `dns`: answers for the cluster's names on the node's pod gateway, UDP and TCP, and
 * forwards the rest. */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/own.h"
#include "client/client.h"
#include "dns/forward.h"
#include "dns/zone.h"
#include "proc/service.h"

enum { TCP_CLIENTS_MAX = 128, TCP_IDLE_MS = 10000, UDP_BATCH = 64 };

static struct dns {
    struct service_ctx *ctx;
    struct zone zone;
    struct api_client *client;
    struct informer *services, *slices;
    struct forward *forward;
    int udp, tcp;
    struct fd_watch *udp_watch, *tcp_watch;
    size_t n_tcp;
    char *resolv_conf;
} dns = {.udp = -1, .tcp = -1};

static void write_error(struct buf *out, const struct dns_query *q, enum dns_rcode rcode) {
    struct dns_answer a;
    dns_begin(&a, out, q);
    dns_end(&a, q, rcode, false, DNS_UDP_MAX_BYTES);
}

/* True when the answer is in out; false when the query must be forwarded, or dropped (*ret_drop).
 */
static bool answer_here(struct slice message, size_t max_bytes, struct buf *out,
                        struct dns_query *q, bool *ret_drop) {
    int r = dns_parse_query(message, q);
    *ret_drop = r == -EBADMSG;
    if (*ret_drop) return false;
    if (r < 0) {
        write_error(out, q, DNS_FORMAT_ERROR);
        return true;
    }
    if (q->class_ != 1) {
        write_error(out, q, DNS_REFUSED);
        return true;
    }
    char alias[DNS_NAME_MAX];
    if (zone_alias(&dns.zone, q, alias)) return false;
    return zone_answer(&dns.zone, q, max_bytes ? max_bytes : q->udp_bytes, out);
}

static void forward(struct slice message, const struct dns_query *q, bool tcp, forward_fn *done,
                    void *user) {
    char alias[DNS_NAME_MAX];
    OWN(buf_done) struct buf query = {0};
    if (zone_alias(&dns.zone, q, alias)) {
        dns_write_query(&query, q->id, alias, q->type);
        message = buf_view(&query);
    }
    forward_query(dns.forward, message, tcp, done, user);
}

/* What the client gets for the resolver's answer; empty: there was none. */
static void write_forwarded(struct buf *out, const struct dns_query *q, struct slice answer,
                            size_t max_bytes) {
    char alias[DNS_NAME_MAX];
    struct dns_answer a;
    if (!zone_alias(&dns.zone, q, alias)) {
        if (answer.n)
            buf_slice(out, answer);
        else
            write_error(out, q, DNS_SERVER_FAILURE);
        return;
    }
    dns_begin(&a, out, q);
    dns_name_record(&a, q->name, DNS_CNAME, ZONE_TTL_S, alias);
    bool good = answer.n && dns_copy_answers(&a, answer) == 0;
    int code = good ? answer.p[3] & 15 : DNS_SERVER_FAILURE;
    dns_end(&a, q, (enum dns_rcode)code, false, max_bytes);
}

/* ---- UDP ---- */

struct udp_client {
    struct sockaddr_storage from;
    socklen_t from_n;
    struct dns_query query;
    char question[DNS_NAME_MAX + 8];
};

static void udp_forwarded(void *user, struct slice answer) {
    struct udp_client *c = user;
    OWN(buf_done) struct buf out = {0};
    write_forwarded(&out, &c->query, answer, c->query.udp_bytes);
    sendto(dns.udp, out.p, out.n, MSG_NOSIGNAL, (struct sockaddr *)&c->from, c->from_n);
    free(c);
}

static void one_datagram(struct slice message, const struct sockaddr_storage *from,
                         socklen_t from_n) {
    OWN(buf_done) struct buf out = {0};
    struct dns_query q = {0};
    bool drop;
    if (answer_here(message, 0, &out, &q, &drop)) {
        sendto(dns.udp, out.p, out.n, MSG_NOSIGNAL, (const struct sockaddr *)from, from_n);
        return;
    }
    if (drop) return;
    struct udp_client *c = calloc(1, sizeof *c);
    if (!c) abort();
    c->from = *from;
    c->from_n = from_n;
    c->query = q;
    size_t n = MIN_OF(q.question.n, sizeof c->question);
    memcpy(c->question, q.question.p, n);
    c->query.question = slice_from(c->question, n);
    forward(message, &c->query, false, udp_forwarded, c);
}

static void udp_ready(void *user, unsigned events) {
    (void)user, (void)events;
    for (int i = 0; i < UDP_BATCH; i++) {
        char m[4096];
        struct sockaddr_storage from;
        socklen_t from_n = sizeof from;
        ssize_t n = recvfrom(dns.udp, m, sizeof m, MSG_DONTWAIT, (struct sockaddr *)&from, &from_n);
        if (n < 0) return;
        one_datagram(slice_from(m, (size_t)n), &from, from_n);
    }
}

/* ---- TCP: one query at a time, in order ---- */

struct tcp_client {
    int fd;
    struct fd_watch *watch;
    struct timer *idle;
    struct buf in, out;
    struct dns_query query;
    char question[DNS_NAME_MAX + 8];
    bool waiting, closed;
};

static void tcp_close(struct tcp_client *c) {
    fd_watch_free(c->watch);
    c->watch = NULL;
    timer_free(c->idle);
    c->idle = NULL;
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
    c->closed = true;
    if (c->waiting) return; /* the forwarder still has it; it frees */
    buf_done(&c->in);
    buf_done(&c->out);
    dns.n_tcp--;
    free(c);
}

static bool tcp_flush(struct tcp_client *c) {
    while (c->out.n) {
        ssize_t n = send(c->fd, c->out.p, c->out.n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return errno == EAGAIN;
        buf_consume(&c->out, (size_t)n);
    }
    return true;
}

static void tcp_put(struct tcp_client *c, struct slice answer) {
    char head[2] = {(char)(answer.n >> 8), (char)answer.n};
    buf_append(&c->out, head, 2);
    buf_slice(&c->out, answer);
}

static void tcp_work(struct tcp_client *c);

static void tcp_forwarded(void *user, struct slice answer) {
    struct tcp_client *c = user;
    OWN(buf_done) struct buf out = {0};
    c->waiting = false;
    if (c->closed) {
        tcp_close(c);
        return;
    }
    write_forwarded(&out, &c->query, answer, 65535);
    tcp_put(c, buf_view(&out));
    tcp_work(c);
}

/* Answers what has arrived; closes on a broken peer. */
static void tcp_work(struct tcp_client *c) {
    while (!c->waiting && c->in.n >= 2) {
        size_t n = (size_t)((unsigned char)c->in.p[0] << 8 | (unsigned char)c->in.p[1]);
        if (c->in.n < n + 2) break;
        OWN(buf_done) struct buf out = {0}, message = {0};
        bool drop;
        buf_append(&message, c->in.p + 2, n);
        buf_consume(&c->in, n + 2);
        if (answer_here(buf_view(&message), 65535, &out, &c->query, &drop)) {
            tcp_put(c, buf_view(&out));
        } else if (drop) {
            tcp_close(c);
            return;
        } else {
            size_t q = MIN_OF(c->query.question.n, sizeof c->question);
            memcpy(c->question, c->query.question.p, q);
            c->query.question = slice_from(c->question, q);
            c->waiting = true;
            forward(buf_view(&message), &c->query, true, tcp_forwarded, c);
            return; /* it may have answered, and freed, at once */
        }
    }
    if (!tcp_flush(c)) {
        tcp_close(c);
        return;
    }
    fd_watch_set(c->watch, (c->out.n ? FD_WRITE : 0) | (c->in.n < 65537 ? FD_READ : 0));
}

static void tcp_ready(void *user, unsigned events) {
    struct tcp_client *c = user;
    char m[4096];
    timer_start(c->idle, TCP_IDLE_MS, 0);
    if (events & (FD_READ | FD_HANGUP)) {
        ssize_t n = recv(c->fd, m, sizeof m, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
            tcp_close(c);
            return;
        }
        if (n > 0) buf_append(&c->in, m, (size_t)n);
    }
    tcp_work(c);
}

static void tcp_idle(void *user) { tcp_close(user); }

static void tcp_accept(void *user, unsigned events) {
    int listener = *(int *)user;
    (void)events;
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    if (dns.n_tcp >= TCP_CLIENTS_MAX) {
        close(fd);
        return;
    }
    struct tcp_client *c = calloc(1, sizeof *c);
    if (!c) abort();
    dns.n_tcp++;
    c->fd = fd;
    c->idle = timer_new(dns.ctx->loop, tcp_idle, c);
    timer_start(c->idle, TCP_IDLE_MS, 0);
    c->watch = fd_watch_new(dns.ctx->loop, fd, FD_READ, tcp_ready, c);
}

/* ---- life ---- */

/* Questions wait in the sockets until the zone is whole: after a restart no name is denied that
 * exists. */
static void serve_if_synced(void) {
    if (dns.udp_watch || !informer_synced(dns.services) || !informer_synced(dns.slices)) return;
    dns.udp_watch = fd_watch_new(dns.ctx->loop, dns.udp, FD_READ, udp_ready, NULL);
    dns.tcp_watch = fd_watch_new(dns.ctx->loop, dns.tcp, FD_READ, tcp_accept, &dns.tcp);
    service_ready(dns.ctx);
}

static void slices_changed(void *user, enum informer_event e, const struct api_object *now,
                           const struct api_object *old) {
    (void)user;
    if (e == INFORMER_SYNCED) {
        serve_if_synced();
        return;
    }
    if (e == INFORMER_DELETED)
        zone_slice_changed(&dns.zone, NULL, now);
    else
        zone_slice_changed(&dns.zone, now, old);
}

static void services_changed(void *user, enum informer_event e, const struct api_object *now,
                             const struct api_object *old) {
    (void)user, (void)now, (void)old;
    if (e == INFORMER_SYNCED) serve_if_synced();
}

static int prepare(struct service_ctx *ctx, struct err *err) {
    OWN(buf_done) struct buf text = {0};
    char piece[1024];
    (void)ctx, (void)err;
    /* No resolver configured is fine: cluster names work, others fail. */
    OWN(fclose_p) FILE *f = fopen("/etc/resolv.conf", "re");
    for (size_t n; f && text.n < 65536 && (n = fread(piece, 1, sizeof piece, f)) > 0;)
        buf_append(&text, piece, n);
    dns.resolv_conf = buf_steal(&text);
    return 0;
}

static int start(struct service_ctx *ctx, struct err *err) {
    const struct settings *s = ctx->settings;
    const char *const avoid[] = {s->gateway_ip, s->dns_ip};
    dns.ctx = ctx;
    dns.udp = service_fd(ctx, "udp53");
    dns.tcp = service_fd(ctx, "tcp53");
    if (dns.udp < 0 || dns.tcp < 0)
        return err_set(err, ERR_INTERNAL, "the port 53 sockets were not handed over");
    dns.client = api_client_new(ctx->loop, "api.sock");
    dns.services = informer_new(dns.client, api_kind_by_name("", "v1", "Service"), NULL, NULL,
                                services_changed, NULL);
    dns.slices =
        informer_new(dns.client, api_kind_by_name("discovery.k8s.io", "v1", "EndpointSlice"), NULL,
                     NULL, slices_changed, NULL);
    dns.zone =
        (struct zone){.domain = s->cluster_domain, .services = dns.services, .slices = dns.slices};
    dns.forward = forward_new(ctx->loop, dns.resolv_conf, avoid, ARRAY_LEN(avoid));
    return 0;
}

static const struct service dns_service = {.name = "dns", .prepare = prepare, .start = start};
SERVICE(dns_service);
