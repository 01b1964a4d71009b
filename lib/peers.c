/* The memory that is shared with others, as the service hands it over. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/own.h"
#include "client.h"

enum { PEERS_MAX = 65536 };

void bell_ring(int fd, bool empties) {
    char bytes[4096];
    if (fd < 0) return;
    if (empties)
        (void)!recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    else
        (void)!send(fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

int map_memfd(int fd, size_t least, bool writable, void **ret, size_t *ret_bytes) {
    struct stat st;
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || !(seals & F_SEAL_SHRINK) || fstat(fd, &st) < 0) return -EBADMSG;
    if (st.st_size < (off_t)least || st.st_size > (off_t)SP_RING_MAX_BYTES * 2) return -EBADMSG;
    void *p = mmap(NULL, (size_t)st.st_size, writable ? PROT_READ | PROT_WRITE : PROT_READ,
                   MAP_SHARED, fd, 0);
    if (p == MAP_FAILED) return -errno;
    *ret = p;
    if (ret_bytes) *ret_bytes = (size_t)st.st_size;
    return 0;
}

static void peer_free(struct peer *p) {
    if (p->memory) munmap(p->memory, p->memory_bytes);
    if (p->side && !p->is_service) munmap((void *)(uintptr_t)p->side, SP_SIDE_BYTES);
    if (p->bell >= 0 && !p->is_service) close(p->bell);
    sp_ring_detach(&p->cursor);
    free(p);
}

static void peer_free_p(struct peer **p) {
    if (*p) peer_free(*p);
}

void peers_drop(struct sp *s, size_t i) {
    struct peer *p = s->peers[i];
    s->lost += p->cursor.lost;
    if (i < s->n_ringing) { /* the ringing ones stay in front */
        s->peers[i] = s->peers[--s->n_ringing];
        i = s->n_ringing;
    }
    s->peers[i] = s->peers[--s->n_peers];
    peer_free(p);
    ring_room(s);
}

void peers_free(struct sp *s) {
    for (size_t i = 0; i < s->n_peers; i++) peer_free(s->peers[i]);
    s->n_peers = s->n_ringing = 0;
    free(s->peers);
    s->peers = NULL;
}

static int keep(struct sp *s, struct peer *p) {
    if (s->n_peers >= PEERS_MAX) return -ENFILE;
    if ((s->n_peers & (s->n_peers - 1)) == 0) {
        size_t cap = s->n_peers ? s->n_peers * 2 : 1;
        struct peer **more = realloc(s->peers, cap * sizeof(struct peer *));
        if (!more) return -ENOMEM;
        s->peers = more;
    }
    s->peers[s->n_peers++] = p;
    if (p->is_reader && p->rings) {
        struct peer *other = s->peers[s->n_ringing];
        s->peers[s->n_ringing++] = p;
        s->peers[s->n_peers - 1] = other;
    }
    return 0;
}

/* The peer's side and bell: the first and second descriptor after `fds`. */
static int take_side(struct sp *s, struct peer *p, int *fds, size_t n) {
    if (p->is_service) {
        p->side = s->service;
        p->bell = s->ctl;
        return 0;
    }
    void *side;
    if (n < 2) return -EBADMSG;
    int rc = map_memfd(fds[0], SP_SIDE_BYTES, false, &side, NULL);
    if (rc < 0) return rc;
    p->side = side;
    p->bell = TAKE_FD(fds[1]);
    return 0;
}

static int take_source(const struct sp *s, struct peer *p, const struct sp_session_message *m,
                       int *fds, size_t n) {
    if (n < 1) return -EBADMSG;
    int rc = map_memfd(fds[0], SP_RING_HEADER_BYTES, false, &p->memory, &p->memory_bytes);
    if (rc < 0) return rc;
    rc = sp_ring_open(p->memory, p->memory_bytes, &p->in);
    if (rc < 0) return rc;
    p->bell = p->is_service ? s->ctl : n > 1 ? TAKE_FD(fds[1]) : -1;
    p->has_in = true;
    if (p->is_service)
        sp_ring_attach_first(&p->cursor);
    else
        sp_ring_attach_at(&p->cursor, m->value, m->sequence);
    return 0;
}

/* One or two rings, each a page of header and its messages. */
static int take_lane(struct sp *s, struct peer *p, const struct sp_session_message *m, int *fds,
                     size_t n) {
    size_t half = SP_RING_HEADER_BYTES + (size_t)m->size;
    bool duplex = m->flags & SP_SESSION_DUPLEX, second = m->flags & SP_SESSION_SECOND;
    if (n < 1 || m->size > SP_RING_MAX_BYTES / 2 || m->size < SP_RING_MIN_BYTES) return -EBADMSG;
    int rc =
        map_memfd(fds[0], half * (duplex ? 2 : 1), duplex || !second, &p->memory, &p->memory_bytes);
    if (rc < 0) return rc;
    unsigned char *first_half = p->memory, *second_half = first_half + half;
    p->has_out = duplex || !second;
    p->has_in = duplex || second;
    if (p->has_out) {
        rc = sp_ring_format(second ? second_half : first_half, m->size, sp_ring_largest(m->size),
                            &p->out);
        if (rc < 0) return rc;
        sp_ring_limit(&p->out, 0);
    }
    if (p->has_in) {
        rc = sp_ring_open(second ? first_half : second_half, half, &p->in);
        if (rc < 0) return rc;
        sp_ring_attach_first(&p->cursor);
    }
    return take_side(s, p, fds + 1, n - 1);
}

int peers_add(struct sp *s, const struct sp_session_message *m, int *fds, size_t n_fds) {
    OWN(peer_free_p) struct peer *p = calloc(1, sizeof(*p));
    if (!p) return -ENOMEM;
    *p = (struct peer){
        .id = m->id,
        .bell = -1,
        .is_service = m->flags & SP_SESSION_SERVICE,
        .is_reader = m->kind == SP_SESSION_READER,
        .rings = m->flags & SP_SESSION_RING,
        .blocks = m->flags & SP_SESSION_BLOCK,
        .bell_empties = m->flags & SP_SESSION_BELL_EMPTIES,
        .own_slot = m->own_slot,
        .peer_slot = m->peer_slot,
    };
    int rc = m->kind == SP_SESSION_SOURCE   ? take_source(s, p, m, fds, n_fds)
             : m->kind == SP_SESSION_READER ? take_side(s, p, fds, n_fds)
                                            : take_lane(s, p, m, fds, n_fds);
    if (rc == 0 && (p->own_slot >= SP_SIDE_SLOTS || p->peer_slot >= SP_SIDE_SLOTS)) rc = -EBADMSG;
    if (rc == 0 && p->has_in) {
        p->shown = p->cursor.position;
        sp_side_show(s->side, p->own_slot, p->shown);
    }
    if (rc == 0) rc = keep(s, p);
    if (rc < 0) return rc;
    p = NULL;
    ring_room(s);
    return 0;
}

void peers_gone(struct sp *s, uint32_t id) {
    for (size_t i = s->n_peers; i-- > 0;) {
        struct peer *p = s->peers[i];
        if (p->id != id) continue;
        p->ended = true;
        if (s->ahead_of == p) continue; /* ring_fetch lets go of it */
        if (!p->has_in || !sp_ring_pending(&p->in, &p->cursor)) peers_drop(s, i);
    }
}
