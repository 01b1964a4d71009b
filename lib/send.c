/* Sending through rings: one for all readers (pub), or one for each peer (push, req, rep). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"

enum { LOOK_ROUND = 4096 /* messages between two looks at the service's socket */ };
#define NOBODY UINT32_MAX

/* ---- room ---- */

static void readers_room(struct sp *s) {
    uint64_t least = UINT64_MAX;
    for (size_t i = 0; i < s->n_peers; i++) {
        const struct peer *p = s->peers[i];
        if (!p->is_reader || !p->blocks) continue;
        uint64_t position = sp_side_position(p->side, p->peer_slot);
        if (sp_ring_plausible(&s->out, position) && position < least) least = position;
    }
    if (least == UINT64_MAX)
        s->out.limit = UINT64_MAX;
    else
        sp_ring_limit(&s->out, least);
}

uint64_t ring_room_known(const struct sp *s) {
    uint64_t sum = 0;
    if (s->protocol->role == SP_PUB) return s->out.limit;
    for (size_t i = 0; i < s->n_peers; i++)
        if (s->peers[i]->has_out) sum += s->peers[i]->out.limit;
    return sum;
}

uint64_t ring_room(struct sp *s) {
    if (s->protocol->role == SP_PUB) readers_room(s);
    for (size_t i = 0; i < s->n_peers; i++) {
        struct peer *p = s->peers[i];
        if (p->has_out) sp_ring_limit(&p->out, sp_side_position(p->side, p->peer_slot));
    }
    return ring_room_known(s);
}

/* An eighth of the ring behind the slowest: so much has to be free before it is worth a wake-up. */
static void want(struct sp_ring_writer *w) {
    uint64_t mark = w->limit - w->ring.size + w->ring.size / 8;
    sp_ring_want(w, mark < w->written ? mark : w->written);
}

bool ring_want_room(struct sp *s, uint64_t before) {
    if (s->protocol->role == SP_PUB && s->out.limit != UINT64_MAX) want(&s->out);
    for (size_t i = 0; i < s->n_peers; i++)
        if (s->peers[i]->has_out) want(&s->peers[i]->out);
    return ring_room(s) == before && !session_has_news(s);
}

void ring_want_none(struct sp *s) {
    if (s->protocol->role == SP_PUB) sp_ring_want(&s->out, 0);
    for (size_t i = 0; i < s->n_peers; i++)
        if (s->peers[i]->has_out) sp_ring_want(&s->peers[i]->out, 0);
}

/* ---- putting ---- */

static int put_pub(struct sp *s, const struct iovec *v) {
    int rc = sp_ring_put(&s->out, v, 1);
    if (rc != -EAGAIN) return rc;
    readers_room(s);
    return sp_ring_put(&s->out, v, 1);
}

static int put_lane(struct peer *p, const struct iovec *v, size_t n) {
    int rc = sp_ring_put(&p->out, v, n);
    if (rc == -EAGAIN) {
        sp_ring_limit(&p->out, sp_side_position(p->side, p->peer_slot));
        rc = sp_ring_put(&p->out, v, n);
    }
    if (rc == 0) p->dirty = true;
    return rc;
}

/* The service has its turn when it reaches others than we do, and when there is nobody else. */
static bool has_turn(const struct sp *s, const struct peer *p, bool alone) {
    if (!p->has_out || p->ended) return false;
    return !p->is_service || alone ||
           atomic_load_explicit(&s->service->helps, memory_order_relaxed);
}

static int put_round(struct sp *s, const struct iovec *v, size_t n, uint32_t not_to, bool alone,
                     bool *ret_any) {
    for (size_t tried = 0; tried < s->n_peers; tried++) {
        s->turn_out = s->turn_out + 1 >= s->n_peers ? 0 : s->turn_out + 1;
        struct peer *p = s->peers[s->turn_out];
        if (!has_turn(s, p, alone) || p->id == not_to) continue;
        *ret_any = true;
        int rc = put_lane(p, v, n);
        s->partner = p->id;
        if (rc != -EAGAIN) return rc;
    }
    return -EAGAIN;
}

/* To the next peer in turn that has room; if there is another one not to `not_to`. */
static int put_turn(struct sp *s, const struct iovec *v, size_t n, uint32_t not_to) {
    bool any = false;
    int rc = put_round(s, v, n, not_to, false, &any);
    if (!any && not_to != NOBODY) rc = put_round(s, v, n, NOBODY, false, &any);
    return any ? rc : put_round(s, v, n, NOBODY, true, &any);
}

static int put_request(struct sp *s, const void *message, size_t n) {
    void *copy = malloc(n ? n : 1);
    if (!copy) return -ENOMEM;
    memcpy(copy, message, n);
    uint64_t number = s->request + 1;
    struct iovec v[2] = {{&number, sizeof(number)}, {copy, n}};
    int rc = put_turn(s, v, 2, NOBODY);
    if (rc < 0) {
        free(copy);
        return rc;
    }
    free(s->request_copy);
    s->request_copy = copy;
    s->request_n = n;
    s->request = number;
    s->requesting = true;
    s->sent_ms = client_now_ms();
    s->ahead = NULL; /* the reply to what is cancelled */
    s->ahead_of = NULL;
    return 0;
}

int ring_resend(struct sp *s) {
    struct iovec v[2] = {{&s->request, sizeof(s->request)}, {s->request_copy, s->request_n}};
    int rc = put_turn(s, v, 2, s->partner);
    s->sent_ms = client_now_ms();
    if (rc == 0) ring_wake(s);
    return rc;
}

static int put_reply(struct sp *s, const void *message, size_t n) {
    struct iovec v[2] = {{&s->request, sizeof(s->request)}, {(void *)(uintptr_t)message, n}};
    if (!s->requesting) return -EPROTO;
    s->requesting = false;
    for (size_t i = 0; i < s->n_peers; i++) {
        struct peer *p = s->peers[i];
        if (p->id != s->partner || !p->has_out) continue;
        int rc = put_lane(p, v, 2);
        return rc == -EAGAIN ? 0 : rc; /* who does not read its replies asks again */
    }
    return 0;
}

int ring_send(struct sp *s, const void *message, size_t n) {
    if (n > s->maximum_bytes) return -EMSGSIZE;
    bool look_round = ++s->ticks % LOOK_ROUND == 0;
    if (look_round || session_has_news(s)) {
        int rc = session_listen(s, true);
        if (rc < 0) return rc;
    }
    if (s->broken) return -ECONNRESET;
    struct iovec v = {(void *)(uintptr_t)message, n};
    switch (s->protocol->role) {
    case SP_PUB: return put_pub(s, &v);
    case SP_PUSH: return put_turn(s, &v, 1, NOBODY);
    case SP_REQ: return put_request(s, message, n);
    case SP_REP: return put_reply(s, message, n);
    default: return -EOPNOTSUPP;
    }
}

void ring_wake(struct sp *s) {
    if (s->protocol->role == SP_PUB) {
        sp_ring_publish(&s->out);
        for (size_t i = 0; i < s->n_ringing; i++) {
            struct peer *p = s->peers[i];
            if (sp_side_asks(p->side, &p->rung)) bell_ring(p->bell, p->bell_empties);
        }
        return;
    }
    for (size_t i = 0; i < s->n_peers; i++) {
        struct peer *p = s->peers[i];
        if (!p->dirty) continue;
        p->dirty = false;
        sp_ring_publish(&p->out);
        if (sp_side_asks(p->side, &p->rung)) bell_ring(p->bell, p->bell_empties);
    }
}
