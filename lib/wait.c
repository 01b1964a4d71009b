/* Sleeping until there is something to receive, or room to send: first a short look without
 * sleeping, as long as that pays, then on the bell. */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>

#include "client.h"

enum {
    SPIN_MIN_NS = 1000,
    SPIN_MAX_NS = 60000, /* longer than it takes to wake the other side: then both stay awake */
    SPIN_TRY = 32,       /* a spin that does not pay is tried again once in so many waits */
};

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

uint64_t client_now_ms(void) { return now_ns() / 1000000; }

static bool several_processors(void) {
    static int n;
    if (!n) {
        cpu_set_t set;
        n = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
    }
    return n > 1;
}

static void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* True: it is worth looking. Learns how long waiting like this has paid. */
static bool spin(struct sp *s, bool (*there)(struct sp *s, uint64_t before), uint64_t before) {
    uint32_t budget = s->spin_ns;
    if (!several_processors()) return false;
    if (budget < SPIN_MIN_NS) {
        if (++s->waits % SPIN_TRY) return false;
        budget = SPIN_MAX_NS;
    }
    for (uint64_t end = now_ns() + budget; now_ns() < end;) {
        for (int i = 0; i < 16; i++) {
            relax();
            if (!there(s, before)) continue;
            s->spin_ns = budget * 2 < SPIN_MAX_NS ? budget * 2 : SPIN_MAX_NS;
            return true;
        }
    }
    s->spin_ns = budget / 2;
    return false;
}

static bool message_there(struct sp *s, uint64_t before) {
    (void)before;
    return ring_pending(s);
}

static bool room_there(struct sp *s, uint64_t before) {
    return ring_room(s) != before || session_has_news(s);
}

static bool arm(struct sp *s, bool drain) {
    if (ring_fetch(s) != 0) return true;
    ring_show(s, true);
    if (drain) bell_ring(s->bell, true);
    sp_side_arm(s->side);
    return ring_fetch(s) != 0;
}

bool arm_receive(struct sp *s) { return arm(s, true); }

/* Sleeps on the bell and the service's socket, without the lock. */
static int sleep_on(struct sp *s, short events, uint64_t deadline) {
    struct pollfd p[2] = {{.fd = s->bell, .events = events}, {.fd = s->ctl, .events = POLLIN}};
    uint64_t now = client_now_ms();
    if (now >= deadline) return -ETIMEDOUT;
    uint64_t left = deadline - now;
    client_unlock(s);
    int n = poll(p, 2, deadline == UINT64_MAX ? -1 : left < 60000 ? (int)left : 60000);
    int rc = n < 0 ? -errno : 0;
    client_lock(s);
    if (rc == 0 && p[1].revents) rc = session_listen(s, true);
    if (rc == 0 && p[0].revents & (POLLHUP | POLLERR)) {
        s->broken = true; /* a peer has shut the bell down */
        rc = -ECONNRESET;
    }
    return rc;
}

/* The first second of a wait: one call that sleeps and empties the bell. 1 it was rung, 0: what it
 * does not see (the service's end, a descriptor that somebody has made non-blocking) poll will. */
static int nap_on_bell(struct sp *s, uint64_t deadline) {
    char bytes[256];
    if (deadline != UINT64_MAX && deadline < client_now_ms() + BELL_MS) return 0;
    client_unlock(s);
    ssize_t n = recv(s->bell, bytes, sizeof(bytes), 0);
    int rc = n > 0 ? 1 : n < 0 && errno == EINTR ? -EINTR : 0;
    client_lock(s);
    return rc;
}

/* A request whose reply does not come is sent again. */
static uint64_t until_resend(const struct sp *s, uint64_t deadline) {
    if (s->protocol->role != SP_REQ || !s->requesting || !s->resend_ms) return deadline;
    uint64_t again = s->sent_ms + s->resend_ms;
    return again < deadline ? again : deadline;
}

int wait_receive(struct sp *s, uint64_t deadline) {
    if (spin(s, message_there, 0) || arm(s, false)) return 0;
    uint64_t first = until_resend(s, deadline);
    int rc = nap_on_bell(s, first);
    if (rc) return rc < 0 ? rc : 0;
    rc = sleep_on(s, POLLIN, first);
    if (rc == -ETIMEDOUT && first < deadline) {
        ring_resend(s);
        return 0;
    }
    return rc;
}

static int sleep_for_room(struct sp *s, uint64_t before, uint64_t deadline) {
    if (!s->bell_empties) { /* the same bell tells of messages and of room */
        bell_ring(s->bell, true);
        sp_side_arm(s->side);
        return ring_want_room(s, before) ? sleep_on(s, POLLIN, deadline) : 0;
    }
    static const char full[2048];
    bell_ring(s->bell_far, true); /* so that it is filled once, whoever has rung meanwhile */
    (void)!send(s->bell, full, sizeof(full), MSG_DONTWAIT | MSG_NOSIGNAL);
    s->bell_full = true;
    return ring_want_room(s, before) ? sleep_on(s, POLLOUT, deadline) : 0;
}

void writable_again(struct sp *s) {
    ring_want_none(s);
    if (s->bell_full) bell_ring(s->bell_far, true);
    s->bell_full = false;
}

int wait_send(struct sp *s, uint64_t deadline) {
    uint64_t before = ring_room_known(s); /* when the message found none */
    if (deadline && spin(s, room_there, before)) return 0;
    int rc = sleep_for_room(s, before, deadline);
    /* Who is told EAGAIN polls the bell, which stays as it is. */
    if (rc == -ETIMEDOUT) return rc;
    writable_again(s);
    return rc;
}
