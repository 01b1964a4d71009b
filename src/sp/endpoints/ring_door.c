/* Clients of the ring door: greeting, what they are told and say, their memory and their end. */
#include "sp/endpoints/ring_door.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/own.h"
#include "sp/sp_service.h"

enum {
    GREETING_MS = 10000,
    FIGURES_MS = 200,
    CONTROLS = 32, /* of one client in a turn */
    PUB_RING_BYTES = 4 * 1024 * 1024,
    PUB_RING_MAX_BYTES = 64 * 1024 * 1024,
    SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE,
    BELL_BUFFER_BYTES = 1, /* the kernel rounds up to its least */
    LANE_ALL_BYTES = SP_RING_HEADER_BYTES + SP_LANE_BYTES
};

static size_t clients, greeting;
static struct timer *figures;
static VEC(struct ring_client *) publishers;

bool ring_empties(enum sp_role role) { return role == SP_PUB || role == SP_PUSH; }

/* ---- memory ---- */

int ring_memfd(const char *name, size_t bytes, void **ret, int *ret_fd, int seals) {
    OWN(close_p) int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || ftruncate(fd, (off_t)bytes) < 0) return -errno;
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED) return -errno;
    if (fcntl(fd, F_ADD_SEALS, seals) < 0) {
        munmap(p, bytes);
        return -errno;
    }
    *ret = p;
    *ret_fd = TAKE_FD(fd);
    return 0;
}

/* Memory that the client has made, for us to read: it can neither shrink nor be changed by anybody
 * else, and all of it exists, so that reading never allocates at our expense. */
static int map_theirs(int fd, size_t least, size_t most, void **ret, size_t *ret_bytes) {
    struct stat st;
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &st) < 0) return -EBADMSG;
    if (st.st_size < (off_t)least || st.st_size > (off_t)most) return -EBADMSG;
    if (st.st_blocks * 512 < st.st_size) return -EBADMSG;
    void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED) return -errno;
    *ret = p;
    *ret_bytes = (size_t)st.st_size;
    return 0;
}

/* ---- talking ---- */

void ring_client_ring(const struct ring_client *c) {
    char bytes[4096];
    if (ring_empties(c->pipe.role))
        (void)!recv(c->bell, bytes, sizeof bytes, MSG_DONTWAIT);
    else
        (void)!send(c->bell, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void ring_client_watch(struct ring_client *c) {
    fd_watch_set(c->ctl_watch, (c->ended ? 0 : FD_READ) | (c->blocked ? FD_WRITE : 0));
}

bool ring_client_tell(struct ring_client *c, const struct sp_session_message *m, const void *bytes,
                      size_t n, const int *fds, size_t n_fds) {
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int) * SP_SESSION_FDS_MAX)];
    } control = {0};
    struct iovec v[2] = {{(void *)(uintptr_t)m, sizeof *m}, {(void *)(uintptr_t)bytes, n}};
    struct msghdr h = {.msg_iov = v, .msg_iovlen = 2};
    if (c->pipe.closing) return false;
    if (n_fds) {
        h.msg_control = &control;
        h.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
        struct cmsghdr *head = CMSG_FIRSTHDR(&h);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
        memcpy(CMSG_DATA(head), fds, sizeof(int) * n_fds);
    }
    if (sendmsg(c->ctl, &h, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) {
        atomic_fetch_add_explicit(&c->own->news, 1, memory_order_release);
        ring_client_ring(c);
        return true;
    }
    /* ETOOMANYREFS: too many descriptors are under way to this user; later there are fewer. */
    if (errno == EAGAIN || errno == ENOBUFS || errno == ETOOMANYREFS)
        c->blocked = true;
    else if (c->pipe.id)
        sp_pipe_close(&c->pipe, "client has closed");
    return false;
}

/* ---- what it has to know ---- */

/* The ring that we share with it, or that we read its own. */
static bool tell_service(struct ring_client *c) {
    struct sp_session_message m = {.flags = SP_SESSION_SERVICE, .size = SP_LANE_BYTES};
    bool block = c->policy == SP_BLOCK;
    if (c->service_told) return true;
    m.kind = c->pipe.role == SP_PUB   ? SP_SESSION_READER
             : c->pipe.role == SP_SUB ? SP_SESSION_SOURCE
                                      : SP_SESSION_LANE;
    if (c->pipe.role == SP_PUB) m.flags |= SP_SESSION_RING;
    if (c->pipe.role == SP_SUB || (c->pipe.role == SP_PUB && c->reading && block))
        m.flags |= SP_SESSION_BLOCK;
    if (c->has_in && c->has_out) m.flags |= SP_SESSION_DUPLEX;
    if (c->pipe.role == SP_PULL) m.flags |= SP_SESSION_SECOND;
    c->service_told = ring_client_tell(c, &m, NULL, 0, &c->lane_fd, c->lane_fd >= 0 ? 1 : 0);
    return c->service_told;
}

void ring_client_tell_all(struct ring_client *c) {
    if (!c->joined || c->blocked || c->pipe.closing) return;
    if (!tell_service(c) || !ring_links_tell(c) || c->ready_told) {
        if (c->blocked) ring_client_watch(c);
        return;
    }
    struct sp_session_message m = {.kind = SP_SESSION_READY};
    c->ready_told = ring_client_tell(c, &m, NULL, 0, NULL, 0);
    if (c->blocked) ring_client_watch(c);
}

/* ---- life ---- */

static void close_memory(struct ring_client *c) {
    if (c->side) munmap((void *)(uintptr_t)c->side, SP_SIDE_BYTES);
    if (c->own) munmap(c->own, SP_SIDE_BYTES);
    if (c->lane) munmap(c->lane, c->lane_bytes);
    close_p(&c->side_fd);
    close_p(&c->own_fd);
    close_p(&c->bell);
    close_p(&c->ring_fd);
    close_p(&c->lane_fd);
    close_p(&c->ctl);
    sp_ring_detach(&c->cursor);
}

static void client_free(struct ring_client *c) {
    for (size_t i = 0; i < publishers.n; i++)
        if (publishers.v[i] == c) {
            vec_swap_remove(&publishers, i);
            break;
        }
    if (!c->joined) greeting--;
    clients--;
    if (!publishers.n) {
        timer_free(figures);
        figures = NULL;
        vec_done(&publishers);
    }
    fd_watch_free(c->ctl_watch);
    timer_free(c->limit);
    timer_free(c->again);
    close_memory(c);
    vec_done(&c->gone);
    free(c);
}

void ring_client_freed(struct sp_pipe *p) {
    struct ring_client *c = (struct ring_client *)p;
    ring_links_leave(c);
    if (c->own) { /* it will see the end */
        atomic_fetch_add_explicit(&c->own->news, 1, memory_order_release);
        ring_client_ring(c);
    }
    client_free(c);
}

static void on_figures(void *user) {
    struct loop *loop = user;
    uint64_t now = loop_now_ms(loop);
    for (size_t i = 0; i < publishers.n; i++) {
        struct ring_client *c = publishers.v[i];
        if (!c->joined || c->pipe.closing) continue;
        ring_client_count(c);
        if (c->policy == SP_BLOCK) ring_links_watch(c, now);
    }
}

static void follow(struct ring_client *c) {
    struct loop *loop = c->pipe.topology->loop;
    vec_push(&publishers, c);
    if (!figures) figures = timer_new(loop, on_figures, loop);
    if (!timer_active(figures)) timer_start(figures, FIGURES_MS, FIGURES_MS);
}

/* ---- greeting ---- */

static void on_limit(void *user) {
    struct ring_client *c = user;
    sp_pipe_fault(&c->pipe, "has not greeted");
}

static int take_ring(struct ring_client *c, int *fd) {
    void *p;
    size_t bytes;
    int r = map_theirs(*fd, LANE_ALL_BYTES, SP_RING_HEADER_BYTES + PUB_RING_MAX_BYTES, &p, &bytes);
    if (r < 0) return r;
    c->lane = p;
    c->lane_bytes = bytes;
    c->ring_fd = TAKE_FD(*fd);
    return sp_ring_open(p, bytes, &c->in);
}

/* The ring, or both, that we share with the client. */
static int make_lane(struct ring_client *c) {
    const struct sp_protocol *protocol = sp_protocol_of_role(c->pipe.role);
    c->has_in = protocol->sends;
    c->has_out = protocol->receives;
    bool both = c->has_in && c->has_out;
    c->lane_bytes = LANE_ALL_BYTES * (both ? 2U : 1U);
    int seals = F_SEAL_SHRINK | F_SEAL_GROW | (c->has_in ? 0 : F_SEAL_FUTURE_WRITE);
    int r = ring_memfd("atoll-sp-lane", c->lane_bytes, &c->lane, &c->lane_fd, seals);
    if (r < 0) return r;
    struct sp_ring_writer theirs;
    uint32_t most = sp_ring_largest(SP_LANE_BYTES);
    char *first = c->lane, *second = both ? first + LANE_ALL_BYTES : first;
    if (c->has_out) sp_ring_format(second, SP_LANE_BYTES, most, &c->out);
    if (c->has_in) {
        sp_ring_format(first, SP_LANE_BYTES, most, &theirs);
        c->in = theirs.ring;
    }
    sp_ring_limit(&c->out, 0);
    sp_ring_attach_first(&c->cursor);
    return 0;
}

static int greet(struct ring_client *c, const struct sp_session_message *m, int *fds, size_t n) {
    void *side;
    size_t bytes;
    bool publishes = c->pipe.role == SP_PUB;
    if (m->kind != SP_SESSION_HELLO || m->version != SP_SESSION_VERSION) return -EBADMSG;
    if (n != (publishes ? 2U : 1U)) return -EBADMSG;
    int r = map_theirs(fds[0], SP_SIDE_BYTES, SP_SIDE_BYTES, &side, &bytes);
    if (r < 0) return r;
    c->side = side;
    c->side_fd = TAKE_FD(fds[0]);
    r = publishes ? take_ring(c, &fds[1]) : make_lane(c);
    c->reading = !publishes && c->has_in;
    return r;
}

static void join(struct ring_client *c) {
    timer_stop(c->limit);
    c->joined = true;
    greeting--;
    if (c->pipe.role == SP_PUB) follow(c);
    ring_links_join(c);
    ring_pipes_changed(c->pipe.topology);
    ring_client_tell_all(c);
    timer_start(c->again, 0, 0);
}

/* ---- what it says ---- */

static void obey(struct ring_client *c, const struct sp_session_message *m, const char *prefix,
                 size_t n) {
    if (m->kind == SP_SESSION_BROKEN) {
        ring_links_break(c, m->id);
        return;
    }
    if (c->pipe.role != SP_SUB ||
        (m->kind != SP_SESSION_SUBSCRIBE && m->kind != SP_SESSION_UNSUBSCRIBE)) {
        sp_pipe_fault(&c->pipe, "broken control");
        return;
    }
    struct sp_message *control = sp_message_new(0, slice_from(NULL, n + 1));
    char *body = sp_message_body_p(control);
    body[0] = m->kind == SP_SESSION_SUBSCRIBE ? '+' : '-';
    memcpy(body + 1, prefix, n);
    c->asked = m->id;
    sp_pipe_received(&c->pipe, control);
}

/* 1 something came, 0 nothing, -ECONNRESET the end. */
static int hear(struct ring_client *c) {
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int) * SP_SESSION_FDS_MAX)];
    } control;
    struct sp_session_message m;
    static char bytes[LIMIT_SP_PREFIX_BYTES + 1];
    struct iovec v[2] = {{&m, sizeof m}, {bytes, sizeof bytes}};
    struct msghdr h = {.msg_iov = v,
                       .msg_iovlen = 2,
                       .msg_control = &control,
                       .msg_controllen = CMSG_LEN(sizeof(int) * SP_SESSION_FDS_MAX)};
    int fds[SP_SESSION_FDS_MAX], r = 1;
    size_t n_fds = 0;
    ssize_t n = recvmsg(c->ctl, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n <= 0) return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -ECONNRESET;
    for (struct cmsghdr *head = CMSG_FIRSTHDR(&h); head; head = CMSG_NXTHDR(&h, head)) {
        if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) continue;
        n_fds = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(fds, CMSG_DATA(head), n_fds * sizeof(int));
    }
    size_t body = (size_t)n >= sizeof m ? (size_t)n - sizeof m : 0;
    if (h.msg_flags & (MSG_TRUNC | MSG_CTRUNC) || body > LIMIT_SP_PREFIX_BYTES)
        r = -EBADMSG;
    else if ((size_t)n < sizeof m)
        r = n == 1 ? 1 : -EBADMSG; /* it only rings */
    else if (!c->joined)
        r = greet(c, &m, fds, n_fds) < 0 ? -EBADMSG : 2;
    else
        obey(c, &m, bytes, body);
    for (size_t i = 0; i < n_fds; i++) close_p(&fds[i]);
    return r;
}

static void left(struct ring_client *c, bool broken) {
    if (broken)
        sp_pipe_fault(&c->pipe, "broken control");
    else if (!c->joined)
        sp_pipe_close(&c->pipe, "client has closed");
    if (broken || !c->joined) return;
    c->ended = true; /* what it has sent is read first, for the linger time at most */
    ring_client_watch(c);
    ring_client_look(c);
}

static void on_ctl(void *user, unsigned events) {
    struct ring_client *c = user;
    if (c->pipe.closing) {
        fd_watch_set(c->ctl_watch, 0);
        return;
    }
    if (events & FD_WRITE && c->blocked) {
        c->blocked = false;
        ring_client_watch(c);
        ring_client_tell_all(c);
        sp_pipe_flush(&c->pipe);
    }
    for (int i = 0; i < CONTROLS && !c->pipe.closing && events & FD_READ; i++) {
        int r = hear(c);
        if (r == 0) break;
        if (r == 2) join(c);
        if (r < 0) {
            left(c, r != -ECONNRESET);
            return;
        }
    }
    ring_client_look(c);
}

/* ---- connecting ---- */

static uint64_t ring_bytes(const struct sp_config *config) {
    uint64_t bytes = PUB_RING_BYTES;
    while (bytes < PUB_RING_MAX_BYTES && sp_ring_largest(bytes) < config->message_max_bytes)
        bytes *= 2;
    return bytes;
}

static int welcome(struct ring_client *c) {
    const struct sp_config *config = c->pipe.topology->config;
    bool publishes = c->pipe.role == SP_PUB, subscribes = c->pipe.role == SP_SUB;
    bool numbered = c->pipe.role == SP_REQ || c->pipe.role == SP_REP;
    struct sp_session_message m = {.kind = SP_SESSION_WELCOME, .version = SP_SESSION_VERSION};
    uint64_t most = sp_ring_largest(SP_LANE_BYTES) - (numbered ? SP_LANE_REQUEST_BYTES : 0);
    int pair[2];
    if (publishes) m.size = ring_bytes(config);
    if (publishes || most > config->message_max_bytes) most = config->message_max_bytes;
    m.value = most << 32 | config->request_resend_ms;
    if (c->policy == SP_BLOCK) m.flags |= SP_SESSION_BLOCK;
    if (c->policy == SP_CONFLATE && subscribes) m.flags |= SP_SESSION_CONFLATE;
    if (c->policy == SP_DISCONNECT && subscribes) m.flags |= SP_SESSION_DISCONNECT;
    void *own;
    int r = ring_memfd("atoll-sp-side", SP_SIDE_BYTES, &own, &c->own_fd, SEALS);
    if (r < 0) return r;
    c->own = own;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) return -errno;
    int least = BELL_BUFFER_BYTES;
    for (int i = 0; i < 2; i++) setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &least, sizeof least);
    c->bell = pair[1];
    int fds[] = {c->own_fd, pair[0], pair[1]};
    bool told = ring_client_tell(c, &m, NULL, 0, fds, 3);
    close(pair[0]);
    close_p(&c->own_fd);
    c->own_fd = -1;
    return told ? 0 : -ECONNRESET;
}

static struct ring_client *client_new(struct sp_endpoint *e, int fd,
                                      const struct sp_credentials *who) {
    struct loop *loop = e->topology->loop;
    struct ring_client *c = calloc(1, sizeof *c);
    if (!c) abort();
    *c = (struct ring_client){.ctl = fd,
                              .side_fd = -1,
                              .bell = -1,
                              .ring_fd = -1,
                              .own_fd = -1,
                              .lane_fd = -1,
                              .policy = e->topology->config->queue.policy};
    c->pipe = (struct sp_pipe){
        .topology = e->topology, .ops = &ring_pipe_ops, .role = e->role, .who = *who};
    clients++;
    greeting++;
    c->limit = timer_new(loop, on_limit, c);
    c->again = timer_new(loop, ring_client_again, c);
    c->ctl_watch = fd_watch_new(loop, fd, FD_READ, on_ctl, c);
    return c;
}

static void client_accepted(struct sp_endpoint *e, int fd, const struct sp_credentials *who) {
    struct err err = {0};
    if (clients >= LIMIT_SP_RINGS || greeting >= LIMIT_SP_HANDSHAKES) {
        e->refused++; /* it takes the plain door instead */
        close(fd);
        return;
    }
    struct ring_client *c = client_new(e, fd, who);
    e->topology->on_pipes = ring_pipes_changed;
    if (sp_pipe_open(&c->pipe, &err) < 0) {
        e->refused++;
        sp_log(e->topology->service, "client_refused", "file=%s/%s pid=%d reason=\"%s\"",
               e->topology->config->name, e->name, (int)who->pid, err.text);
        client_free(c);
        return;
    }
    timer_start(c->limit, GREETING_MS, 0);
    if (welcome(c) < 0) sp_pipe_close(&c->pipe, "no memory or descriptors");
    sp_pipes_flush();
}

static bool wanted(const struct sp_config *config, enum sp_role role) {
    switch (config->pattern) {
    case SP_PUBSUB: return config->queue.policy != SP_DROP_NEWEST; /* a ring keeps the newest */
    case SP_PIPELINE:
    case SP_REQREP: return role < SP_ROLE_COUNT;
    default: return false;
    }
}

static const struct sp_door ring = {.name = "ring",
                                    .directory = ".ring",
                                    .suffix = "",
                                    .socket_type = SOCK_SEQPACKET,
                                    .wanted = wanted,
                                    .accepted = client_accepted};
SP_DOOR(ring);
