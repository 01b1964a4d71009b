#include "sp/declare/topology.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/own.h"
#include "sp/endpoints/endpoint.h"
#include "sp/links/edge.h"
#include "sp/memory.h"
#include "sp/sp_service.h"
#include "sp/status.h"

enum { SLOT_MASK = (1 << 14) - 1, TICK_MS = 20, GROUPS_MAX = 1024 };

extern const struct sp_pattern_ops *const __start_atoll_sp_patterns[] __attribute__((weak));
extern const struct sp_pattern_ops *const __stop_atoll_sp_patterns[] __attribute__((weak));

/* NULL: not linked in */
static const struct sp_pattern_ops *sp_pattern_find(enum sp_pattern pattern) {
    for (const struct sp_pattern_ops *const *p = __start_atoll_sp_patterns;
         p < __stop_atoll_sp_patterns; p++)
        if ((*p)->pattern == pattern) return *p;
    return NULL;
}

void sp_pattern_resume(struct sp_pipe *p) { sp_topology_resume(p->topology); }

/* ---- pipes ---- */

struct sp_pipe *sp_topology_pipe(const struct sp_topology *t, uint32_t id) {
    uint32_t slot = id & SLOT_MASK;
    struct sp_pipe *p = slot < t->pipes.n ? t->pipes.v[slot] : NULL;
    return p && p->id == id && !p->closing ? p : NULL;
}

struct sp_pipe *sp_topology_next(const struct sp_topology *t, enum sp_role role, size_t *i) {
    while (*i < t->pipes.n) {
        struct sp_pipe *p = t->pipes.v[(*i)++];
        if (p && p->role == role && !p->closing) return p;
    }
    return NULL;
}

uint64_t sp_topology_now_ms(const struct sp_topology *t) { return loop_now_ms(t->loop); }

/* Runs while somebody's time runs out. */
static void on_tick(void *user) {
    struct sp_topology *t = user;
    uint64_t now = sp_topology_now_ms(t);
    size_t running = 0;
    for (size_t i = 0; i < t->pipes.n; i++) {
        struct sp_pipe *p = t->pipes.v[i];
        if (!p || p->closing || (!p->blocks_since_ms && !p->hung_up_ms)) continue;
        running++;
        uint32_t limit = p->out.limits->block_timeout_ms;
        if (p->blocks_since_ms && limit && now - p->blocks_since_ms >= limit) {
            sp_pipe_close(p, "blocked its senders for too long");
            if (t->service)
                sp_log(t->service, "receiver_too_slow", "topology=%s pid=%d peer=\"%s\"",
                       t->config->name, (int)p->who.pid, p->who.name);
        } else if (p->hung_up_ms && now - p->hung_up_ms >= t->config->linger_ms) {
            sp_pipe_close(p, "linger time is over");
        }
    }
    if (!running) timer_stop(t->tick);
}

void sp_topology_tick(struct sp_topology *t) {
    if (!timer_active(t->tick)) timer_start(t->tick, TICK_MS, TICK_MS);
}

/* ---- who may connect ---- */

static bool in_groups(const struct sp_role_config *c, gid_t gid) {
    for (size_t i = 0; i < c->n_groups; i++)
        if (c->groups[i] == gid) return true;
    return false;
}

static bool in_supplementary(const struct sp_role_config *c, int fd) {
    gid_t list[GROUPS_MAX];
    socklen_t n = sizeof list;
    if (!c->n_groups || getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, list, &n) < 0) return false;
    for (size_t i = 0; i < n / sizeof list[0]; i++)
        if (in_groups(c, list[i])) return true;
    return false;
}

bool sp_topology_admits(const struct sp_topology *t, enum sp_role role,
                        const struct sp_credentials *who, int fd) {
    const struct sp_role_config *c = &t->config->roles[role];
    if (who->granted) return c->pods;
    if (!c->restricted || who->uid == 0) return true;
    for (size_t i = 0; i < c->n_users; i++)
        if (c->users[i] == who->uid) return true;
    return in_groups(c, who->gid) || in_supplementary(c, fd);
}

/* ---- life ---- */

static int directory_open(struct sp_topology *t, struct err *err) {
    const char *name = t->config->name;
    int run = t->service->run_dir;
    if (mkdirat(run, name, 0755) < 0 && errno != EEXIST) return err_errno(err, errno, "%s", name);
    t->dir_fd = openat(run, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (t->dir_fd < 0) return err_errno(err, errno, "%s", name);
    if (fchmod(t->dir_fd, 0755) < 0) return err_errno(err, errno, "%s", name);
    return 0;
}

static bool same_slice_list(const struct slice *a, size_t n_a, const struct slice *b, size_t n_b) {
    for (size_t i = 0; i < n_a && i < n_b; i++)
        if (!slice_eq(a[i], b[i])) return false;
    return n_a == n_b;
}

/* Whether links of the one can go on as links of the other. */
static bool same_edge(const struct sp_edge_config *a, const struct sp_edge_config *b) {
    return str_eq(a->name, b->name) && a->kind == b->kind && a->role == b->role &&
           a->listen == b->listen && str_eq(a->address_text, b->address_text) &&
           a->priority == b->priority && str_eq(a->peer.identity, b->peer.identity) &&
           str_eq(a->peer.key_pin, b->peer.key_pin) && slice_eq(a->peer.ca_pem, b->peer.ca_pem) &&
           same_slice_list(a->filters, a->n_filters, b->filters, b->n_filters) &&
           a->forwarding == b->forwarding && a->subscriptions_max == b->subscriptions_max &&
           str_eq(a->organisation, b->organisation) && str_eq(a->topology, b->topology);
}

static bool same_identity(const struct sp_identity_config *a, const struct sp_identity_config *b) {
    return slice_eq(a->certificate_pem, b->certificate_pem) && slice_eq(a->key_pem, b->key_pem) &&
           slice_eq(a->ca_pem, b->ca_pem);
}

static struct sp_edge *edge_kept(struct sp_topology *t, const struct sp_config *old,
                                 const struct sp_edge_config *wanted) {
    if (old && !same_identity(&old->identity, &t->config->identity)) return NULL;
    for (size_t i = 0; i < t->edges.n; i++) {
        struct sp_edge *e = t->edges.v[i];
        if (!e || !same_edge(e->config, wanted)) continue;
        t->edges.v[i] = NULL;
        return e;
    }
    return NULL;
}

/* Edges that stay are found first, the others end before new ones begin: an address may move. */
static void edges_apply(struct sp_topology *t, const struct sp_config *old) {
    const struct sp_config *c = t->config;
    struct sp_edge **next = calloc(c->n_edges + 1, sizeof(struct sp_edge *));
    if (!next) abort();
    for (size_t i = 0; i < c->n_edges; i++) {
        next[i] = edge_kept(t, old, &c->edges[i]);
        if (next[i]) next[i]->config = &c->edges[i];
    }
    for (size_t i = 0; i < t->edges.n; i++)
        if (t->edges.v[i]) sp_edge_free(t->edges.v[i]);
    t->edges.n = 0;
    for (size_t i = 0; i < c->n_edges; i++)
        vec_push(&t->edges, next[i] ? next[i] : sp_edge_new(t, &c->edges[i]));
    free(next);
}

struct sp_topology *sp_topology_new(struct sp_service *service, struct loop *loop,
                                    struct sp_config *config, struct err *err) {
    struct sp_topology *t = calloc(1, sizeof *t);
    if (!t) abort();
    t->service = service;
    t->loop = loop;
    t->config = config;
    t->dir_fd = t->accept_epoll = -1;
    t->waiting_tail = &t->waiting;
    t->pattern = sp_pattern_find(config->pattern);
    t->tick = timer_new(loop, on_tick, t);
    t->generation = (uint32_t)loop_random(loop) & 0xffff;
    t->changed = true;
    sp_memory_join(t);
    int r = t->pattern ? 0
                       : err_set(err, ERR_INVALID, "pattern %s is not built in",
                                 sp_pattern_name(config->pattern));
    if (r == 0) {
        t->state = calloc(1, t->pattern->state_bytes + 1);
        if (!t->state) abort();
        if (t->pattern->start) t->pattern->start(t);
    }
    if (r == 0 && service) r = directory_open(t, err);
    if (r == 0 && service) r = sp_endpoints_apply(t, err);
    if (r == 0 && service) sp_sweep_topology(t);
    if (r == 0 && service) edges_apply(t, NULL);
    if (r == 0) return t;
    sp_topology_free(t);
    return NULL;
}

int sp_topology_apply(struct sp_topology *t, struct sp_config *config, struct err *err) {
    const struct sp_config *old = t->config;
    t->config = config;
    t->changed = true;
    int r = t->service ? sp_endpoints_apply(t, err) : 0;
    if (t->service) edges_apply(t, old);
    for (size_t i = 0; i < t->pipes.n; i++) {
        struct sp_pipe *p = t->pipes.v[i];
        if (!p) continue;
        p->out.limits = p->edge ? &p->edge->config->queue : &config->queue;
        if (!p->edge && !sp_topology_admits(t, p->role, &p->who, p->who.fd))
            sp_pipe_close(p, "access was taken away");
    }
    if (t->pattern->configured) t->pattern->configured(t);
    if (t->on_pipes) t->on_pipes(t);
    arena_free(old->arena);
    return r;
}

static void topology_end(struct sp_topology *t, bool remove_files) {
    t->stopping = true;
    for (size_t i = 0; i < t->edges.n; i++) sp_edge_free(t->edges.v[i]);
    while (t->handshakes.n) sp_link_close_now(t->handshakes.v[0], "topology ends");
    for (size_t i = 0; i < t->pipes.n; i++)
        if (t->pipes.v[i]) sp_pipe_close_now(t->pipes.v[i], "topology ends");
    if (t->service) sp_endpoints_close(t, remove_files);
    if (t->state && t->pattern->stop) t->pattern->stop(t);
    if (t->dir_fd >= 0) close(t->dir_fd);
    sp_memory_leave(t);
    timer_free(t->tick);
    vec_done(&t->pipes);
    vec_done(&t->endpoints);
    vec_done(&t->edges);
    vec_done(&t->handshakes);
    free(t->state);
    arena_free(t->config->arena);
    free(t);
}

void sp_topology_free(struct sp_topology *t) { topology_end(t, false); }

void sp_topology_remove(struct sp_topology *t) { topology_end(t, true); }
