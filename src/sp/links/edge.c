#include "sp/links/edge.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/own.h"
#include "proc/resolve.h"
#include "sp/sp_service.h"

enum {
    ACCEPT_BATCH = 64,
    RETRY_FIRST_MS = 100,
    RETRY_MAX_MS = 30000,
    BURST_MS = 1000,
    RATE_WAIT_MS = 5
};

extern const struct sp_transport *const __start_atoll_sp_transports[] __attribute__((weak));
extern const struct sp_transport *const __stop_atoll_sp_transports[] __attribute__((weak));

static const char *const states[] = {[SP_EDGE_IDLE] = "Idle",
                                     [SP_EDGE_LISTENING] = "Listening",
                                     [SP_EDGE_CONNECTING] = "Connecting",
                                     [SP_EDGE_CONNECTED] = "Connected",
                                     [SP_EDGE_REFUSED] = "Refused"};

const char *sp_edge_state_name(enum sp_edge_state s) { return states[s]; }

const struct sp_transport *sp_transport_find(enum sp_scheme scheme) {
    for (const struct sp_transport *const *t = __start_atoll_sp_transports;
         t < __stop_atoll_sp_transports; t++)
        if ((*t)->scheme == scheme) return *t;
    return NULL;
}

static void state_set(struct sp_edge *e, enum sp_edge_state s) {
    e->state = s;
    e->topology->changed = true;
}

static enum sp_role peer_role(const struct sp_edge *e) {
    return sp_protocol_of_role(e->config->role)->peer_role;
}

/* ---- trying again ---- */

/* Doubles from 100 ms to 30 s; half of it is left to chance, so that those who lost the same peer
 * do not come back together. */
static void retry_later(struct sp_edge *e, const char *why) {
    if (e->ending) return;
    unsigned shift = MIN_OF(e->attempts, 9u);
    uint64_t delay = MIN_OF((uint64_t)RETRY_FIRST_MS << shift, (uint64_t)RETRY_MAX_MS);
    delay = delay / 2 + loop_random(e->topology->loop) % (delay / 2 + 1);
    if (e->attempts < UINT32_MAX) e->attempts++;
    snprintf(e->last_error, sizeof e->last_error, "%s", why);
    e->topology->changed = true;
    timer_start(e->retry, delay, 0);
}

/* ---- dialling ---- */

static void dial_ip(struct sp_edge *e, const char *ip) {
    struct err err = {0};
    int fd, r = e->transport->dial(&e->config->address, ip, &fd, &err);
    if (r < 0) {
        retry_later(e, err.text);
        return;
    }
    struct sp_credentials who = {0};
    snprintf(who.name, sizeof who.name, "%s", e->config->address_text);
    e->dialling = sp_link_new(e->topology, e, e->transport, fd, true, peer_role(e), &who);
}

static void on_resolved(void *user, const struct resolved *r, const struct err *err) {
    struct sp_edge *e = user;
    char ip[INET6_ADDRSTRLEN];
    e->resolving = NULL;
    if (!r->n) {
        retry_later(e, err->text);
        return;
    }
    const struct sockaddr_storage *ss = &r->v[e->attempts % r->n]; /* the next one next time */
    const void *address = ss->ss_family == AF_INET
                              ? (const void *)&((const struct sockaddr_in *)ss)->sin_addr
                              : (const void *)&((const struct sockaddr_in6 *)ss)->sin6_addr;
    if (inet_ntop(ss->ss_family, address, ip, sizeof ip)) dial_ip(e, ip);
}

static void dial(struct sp_edge *e) {
    const struct sp_address *a = &e->config->address;
    state_set(e, SP_EDGE_CONNECTING);
    if (e->transport->resolves)
        resolve_start(e->topology->loop, a->host, a->port, on_resolved, e, &e->resolving);
    else
        dial_ip(e, "");
}

/* ---- listening ---- */

static void peer_name(int fd, char *ret, size_t size) {
    struct sockaddr_storage ss;
    socklen_t n = sizeof ss;
    char ip[INET6_ADDRSTRLEN] = "";
    *ret = 0;
    if (getpeername(fd, (struct sockaddr *)&ss, &n) < 0) return;
    if (ss.ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (void *)&ss;
        inet_ntop(AF_INET, &v4->sin_addr, ip, sizeof ip);
        snprintf(ret, size, "%s:%u", ip, ntohs(v4->sin_port));
    } else if (ss.ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (void *)&ss;
        inet_ntop(AF_INET6, &v6->sin6_addr, ip, sizeof ip);
        snprintf(ret, size, "[%s]:%u", ip, ntohs(v6->sin6_port));
    }
}

static void on_accept(void *user, unsigned events) {
    struct sp_edge *e = user;
    struct sp_topology *t = e->topology;
    (void)events;
    for (int i = 0; i < ACCEPT_BATCH; i++) {
        int fd = accept4(e->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) return;
        if (e->peers >= LIMIT_SP_EDGE_PEERS || t->handshakes.n >= LIMIT_SP_HANDSHAKES) {
            e->handshakes_failed++;
            sp_log(t->service, "peer_refused", "topology=%s edge=%s reason=\"too many\"",
                   t->config->name, e->config->name);
            close(fd);
            continue;
        }
        struct sp_credentials who = {0};
        peer_name(fd, who.name, sizeof who.name);
        sp_link_new(t, e, e->transport, fd, false, peer_role(e), &who);
    }
}

static void listen_now(struct sp_edge *e) {
    struct err err = {0};
    if (e->transport->listen(&e->config->address, &e->fd, &err) < 0) {
        state_set(e, SP_EDGE_REFUSED);
        if (e->attempts == 0 && e->topology->service)
            sp_log(e->topology->service, "listen_failed", "topology=%s edge=%s reason=\"%s\"",
                   e->topology->config->name, e->config->name, err.text);
        retry_later(e, err.text);
        return;
    }
    e->attempts = 0;
    e->last_error[0] = 0;
    e->watch = fd_watch_new(e->topology->loop, e->fd, FD_READ, on_accept, e);
    state_set(e, SP_EDGE_LISTENING);
}

static void on_retry(void *user) {
    struct sp_edge *e = user;
    if (e->config->listen)
        listen_now(e);
    else
        dial(e);
}

/* ---- links ---- */

void sp_edge_link_opened(struct sp_edge *e, struct sp_link *l) {
    e->peers++;
    e->last_error[0] = 0;
    snprintf(e->last_peer, sizeof e->last_peer, "%s", l->pipe.who.name);
    e->attempts = 0;
    state_set(e, e->config->listen ? SP_EDGE_LISTENING : SP_EDGE_CONNECTED);
}

void sp_edge_link_closed(struct sp_edge *e, struct sp_link *l, const char *why) {
    if (l->open) e->peers--;
    e->topology->changed = true;
    if (l != e->dialling) {
        snprintf(e->last_error, sizeof e->last_error, "%s", why);
        return;
    }
    e->dialling = NULL;
    state_set(e, SP_EDGE_CONNECTING);
    retry_later(e, why);
}

/* ---- rate ---- */

static bool has_rate(const struct sp_edge *e) {
    return e->config->rate.messages_per_second || e->config->rate.bytes_per_second;
}

/* Tokens for one second are kept at most. */
static int64_t refilled(int64_t tokens, uint64_t per_second, uint64_t span_ms) {
    int64_t each_ms = (int64_t)MIN_OF(per_second, (uint64_t)INT64_MAX / 4 / BURST_MS), come;
    int64_t most = each_ms * BURST_MS;
    if (__builtin_mul_overflow(each_ms, span_ms, &come) ||
        __builtin_add_overflow(tokens, come, &tokens))
        return most;
    return MIN_OF(tokens, most);
}

static void refill(struct sp_edge *e) {
    uint64_t now = sp_topology_now_ms(e->topology), span = now - e->rate_at_ms;
    e->rate_at_ms = now;
    e->rate_messages = refilled(e->rate_messages, e->config->rate.messages_per_second, span);
    e->rate_bytes = refilled(e->rate_bytes, e->config->rate.bytes_per_second, span);
}

static bool has_tokens(const struct sp_edge *e) {
    const struct sp_rate *rate = &e->config->rate;
    return (!rate->messages_per_second || e->rate_messages >= BURST_MS) &&
           (!rate->bytes_per_second || e->rate_bytes > 0);
}

static void on_rate(void *user) {
    struct sp_edge *e = user;
    struct sp_topology *t = e->topology;
    refill(e);
    if (!has_tokens(e)) {
        timer_start(e->rate_timer, RATE_WAIT_MS, 0);
        return;
    }
    for (size_t i = 0; i < t->pipes.n; i++)
        if (t->pipes.v[i] && t->pipes.v[i]->edge == e) sp_pipe_rested(t->pipes.v[i]);
    sp_topology_resume(t);
    sp_pipes_flush();
}

bool sp_edge_admits(struct sp_edge *e, bool waits) {
    if (!has_rate(e)) return true;
    refill(e);
    if (has_tokens(e)) return true;
    if (waits && !timer_active(e->rate_timer)) timer_start(e->rate_timer, RATE_WAIT_MS, 0);
    return false;
}

void sp_edge_passed(struct sp_edge *e, size_t bytes) {
    if (e->config->rate.messages_per_second) e->rate_messages -= BURST_MS;
    if (e->config->rate.bytes_per_second) e->rate_bytes -= (int64_t)bytes * BURST_MS;
}

void sp_edge_sum(const struct sp_edge *e, struct sp_counters *ret, uint64_t *ret_queued,
                 uint64_t *ret_queued_bytes) {
    const struct sp_topology *t = e->topology;
    *ret = e->gone;
    *ret_queued = *ret_queued_bytes = 0;
    for (size_t i = 0; i < t->pipes.n; i++) {
        const struct sp_pipe *p = t->pipes.v[i];
        if (!p || p->edge != e) continue;
        sp_counters_add(ret, &p->counters);
        *ret_queued += p->out.n;
        *ret_queued_bytes += p->out.bytes;
    }
}

/* ---- life ---- */

struct sp_edge *sp_edge_new(struct sp_topology *t, const struct sp_edge_config *config) {
    struct sp_edge *e = calloc(1, sizeof *e);
    if (!e) abort();
    *e = (struct sp_edge){.topology = t, .config = config, .fd = -1};
    e->rate_at_ms = sp_topology_now_ms(t);
    e->rate_messages = refilled(0, config->rate.messages_per_second, BURST_MS);
    e->rate_bytes = refilled(0, config->rate.bytes_per_second, BURST_MS);
    e->rate_timer = timer_new(t->loop, on_rate, e);
    e->retry = timer_new(t->loop, on_retry, e);
    e->transport = sp_transport_find(config->address.scheme);
    if (e->transport) {
        timer_start(e->retry, 0, 0); /* its topology is still being made */
        return e;
    }
    state_set(e, SP_EDGE_REFUSED);
    snprintf(e->last_error, sizeof e->last_error, "transport %s is not built in",
             sp_scheme_name(config->address.scheme));
    return e;
}

void sp_edge_free(struct sp_edge *e) {
    struct sp_topology *t = e->topology;
    e->ending = true;
    for (size_t i = t->handshakes.n; i-- > 0;)
        if (t->handshakes.v[i]->pipe.edge == e) sp_link_close_now(t->handshakes.v[i], "edge ends");
    for (size_t i = 0; i < t->pipes.n; i++)
        if (t->pipes.v[i] && t->pipes.v[i]->edge == e)
            sp_pipe_close_now(t->pipes.v[i], "edge ends");
    resolve_cancel(e->resolving);
    fd_watch_free(e->watch);
    close_p(&e->fd);
    timer_free(e->retry);
    timer_free(e->rate_timer);
    free(e);
}
