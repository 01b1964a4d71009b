#include "proto/sp/ring.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"

enum {
    MAGIC = 0x70735241, /* "ARsp" */
    VERSION = 1,
    LANDMARKS = 16,
    AHEAD_BYTES = 4096, /* reserved at once, so that the line is written less often */
    STAGE_BYTES = 16 * 1024,
    LAPS_MAX = 64, /* without one message between: no honest writer manages that */
};

struct sp_ring_shared {
    uint32_t magic;
    uint32_t version;
    uint64_t size;
    uint32_t maximum_bytes;
    uint32_t unused[11];
    /* One line, written for every publication. */
    _Atomic uint64_t written;
    _Atomic uint64_t reserved;
    _Atomic uint64_t wanted;
    _Atomic uint64_t sent;
    uint64_t unused_too[4];
    /* Where the first message of each sixteenth of the memory begins. */
    _Atomic uint64_t landmark[LANDMARKS];
};

struct message_head {
    uint32_t length;
    uint32_t zero;
    uint64_t sequence;
};

_Static_assert(sizeof(struct sp_ring_shared) <= SP_RING_HEADER_BYTES, "the header is one page");
_Static_assert(sizeof(struct sp_side) <= SP_SIDE_BYTES, "a side is one page");
_Static_assert(sizeof(struct message_head) == SP_RING_MESSAGE_BYTES, "as the layout says");

static uint64_t record_bytes(uint64_t length) {
    return (SP_RING_MESSAGE_BYTES + length + 15) & ~(uint64_t)15;
}

uint32_t sp_ring_largest(uint64_t size) { return (uint32_t)(size / 4) - SP_RING_MESSAGE_BYTES; }

static bool sizes_hold(uint64_t size, uint32_t maximum_bytes) {
    return size >= SP_RING_MIN_BYTES && size <= SP_RING_MAX_BYTES && (size & (size - 1)) == 0 &&
           maximum_bytes > 0 && maximum_bytes <= sp_ring_largest(size);
}

int sp_ring_format(void *memory, uint64_t size, uint32_t maximum_bytes,
                   struct sp_ring_writer *ret) {
    struct sp_ring_shared *h = memory;
    if (!sizes_hold(size, maximum_bytes)) return -EINVAL;
    h->version = VERSION;
    h->size = size;
    h->maximum_bytes = maximum_bytes;
    h->magic = MAGIC;
    *ret = (struct sp_ring_writer){
        .ring = {.shared = h,
                 .data = (unsigned char *)memory + SP_RING_HEADER_BYTES,
                 .size = size,
                 .maximum_bytes = maximum_bytes},
        .limit = UINT64_MAX,
    };
    return 0;
}

int sp_ring_open(void *memory, size_t bytes, struct sp_ring *ret) {
    struct sp_ring_shared *h = memory;
    if (bytes < SP_RING_HEADER_BYTES + (size_t)SP_RING_MIN_BYTES) return -EBADMSG;
    /* Read once: the writer may change them between two looks. */
    uint32_t magic = *(volatile uint32_t *)&h->magic, version = *(volatile uint32_t *)&h->version;
    uint32_t maximum_bytes = *(volatile uint32_t *)&h->maximum_bytes;
    uint64_t size = *(volatile uint64_t *)&h->size;
    if (magic != MAGIC || version != VERSION || !sizes_hold(size, maximum_bytes)) return -EBADMSG;
    if (size > bytes - SP_RING_HEADER_BYTES) return -EBADMSG;
    *ret = (struct sp_ring){.shared = h,
                            .data = (unsigned char *)memory + SP_RING_HEADER_BYTES,
                            .size = size,
                            .maximum_bytes = maximum_bytes};
    return 0;
}

/* ---- writer ---- */

static uint64_t copy_in(const struct sp_ring *r, uint64_t position, const void *from, size_t n) {
    size_t at = (size_t)(position & (r->size - 1)), first = (size_t)r->size - at;
    if (n <= first) {
        memcpy(r->data + at, from, n);
    } else {
        memcpy(r->data + at, from, first);
        memcpy(r->data, (const unsigned char *)from + first, n - first);
    }
    return position + n;
}

/* Tells readers what they must not believe any more, before it is overwritten. */
static void reserve(struct sp_ring_writer *w, uint64_t end) {
    uint64_t ahead = w->ring.size / LANDMARKS, to = end + MIN_OF(ahead, AHEAD_BYTES);
    w->reserved = to > w->limit ? end : to;
    atomic_store_explicit(&w->ring.shared->reserved, w->reserved, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
}

int sp_ring_put(struct sp_ring_writer *w, const struct iovec *part, size_t n) {
    const struct sp_ring *r = &w->ring;
    uint64_t length = 0;
    for (size_t i = 0; i < n; i++) {
        if (part[i].iov_len > r->maximum_bytes) return -EMSGSIZE;
        length += part[i].iov_len;
        if (length > r->maximum_bytes) return -EMSGSIZE;
    }
    uint64_t start = w->written, end = start + record_bytes(length);
    if (end > w->limit) return -EAGAIN;
    if (end > w->reserved) reserve(w, end);
    const struct message_head head = {.length = (uint32_t)length, .sequence = w->sequence};
    uint64_t at = copy_in(r, start, &head, sizeof(head));
    for (size_t i = 0; i < n; i++) at = copy_in(r, at, part[i].iov_base, part[i].iov_len);
    uint64_t part_bytes = r->size / LANDMARKS;
    if (start / part_bytes != end / part_bytes)
        atomic_store_explicit(&r->shared->landmark[end / part_bytes % LANDMARKS], end,
                              memory_order_relaxed);
    w->written = end;
    w->sequence++;
    return 0;
}

void sp_ring_publish(struct sp_ring_writer *w) {
    atomic_store_explicit(&w->ring.shared->sent, w->sequence, memory_order_relaxed);
    atomic_store_explicit(&w->ring.shared->written, w->written, memory_order_release);
    atomic_thread_fence(memory_order_seq_cst);
}

bool sp_ring_plausible(const struct sp_ring_writer *w, uint64_t position) {
    return position <= w->written && w->written - position <= w->ring.size;
}

void sp_ring_limit(struct sp_ring_writer *w, uint64_t position) {
    if (!sp_ring_plausible(w, position)) return;
    w->limit = position + w->ring.size;
}

void sp_ring_want(struct sp_ring_writer *w, uint64_t position) {
    atomic_store_explicit(&w->ring.shared->wanted, position, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
}

/* ---- reader ---- */

static void copy_out(const struct sp_ring *r, uint64_t position, void *to, size_t n) {
    size_t at = (size_t)(position & (r->size - 1)), first = (size_t)r->size - at;
    if (n <= first) {
        memcpy(to, r->data + at, n);
    } else {
        memcpy(to, r->data + at, first);
        memcpy((unsigned char *)to + first, r->data, n - first);
    }
}

static uint64_t written_of(const struct sp_ring *r) {
    return atomic_load_explicit(&r->shared->written, memory_order_acquire);
}

/* What was copied from `position` on was still the writer's last word on it. */
static bool still_there(const struct sp_ring *r, uint64_t position) {
    atomic_thread_fence(memory_order_acquire);
    uint64_t reserved = atomic_load_explicit(&r->shared->reserved, memory_order_relaxed);
    return reserved < position || reserved - position <= r->size;
}

/* The first message that starts in a sixteenth which the writer will not reach soon. */
static bool landmark_after(const struct sp_ring *r, uint64_t target, uint64_t written,
                           uint64_t *ret) {
    uint64_t part_bytes = r->size / LANDMARKS, part = (target + part_bytes - 1) / part_bytes;
    for (unsigned i = 0; i < LANDMARKS && part * part_bytes < written; i++, part++) {
        uint64_t mark =
            atomic_load_explicit(&r->shared->landmark[part % LANDMARKS], memory_order_relaxed);
        if (mark / part_bytes != part || mark % 16 || mark >= written) continue;
        *ret = mark;
        return true;
    }
    return false;
}

/* Lapped: goes on further ahead. The number of the message found there tells what was lost. */
static int skip_ahead(const struct sp_ring *r, struct sp_ring_cursor *c) {
    if (++c->laps > LAPS_MAX) return -EBADMSG;
    uint64_t written = written_of(r);
    uint64_t reserved = atomic_load_explicit(&r->shared->reserved, memory_order_relaxed);
    uint64_t oldest = reserved > r->size ? reserved - r->size : 0, mark;
    if (written < c->position || written % 16) return -EBADMSG;
    if (!landmark_after(r, oldest + r->size / 4, written, &mark) || mark < c->position)
        mark = written;
    c->position = mark;
    c->known = written;
    c->stage_from = c->stage_to = 0;
    c->gap = true;
    return 0;
}

/* The cursor stands before something, at most a ring away. 1 so it is, 0 nothing there, -EBADMSG.
 */
static int look(const struct sp_ring *r, struct sp_ring_cursor *c) {
    for (;;) {
        if (c->position == c->known) {
            uint64_t written = written_of(r);
            if (written < c->position || written % 16) return -EBADMSG;
            c->known = written;
            if (written == c->position) return 0;
        }
        if (c->known - c->position <= r->size) return 1;
        int rc = skip_ahead(r, c);
        if (rc < 0) return rc;
    }
}

/* Copies what lies at the cursor, at least `least` bytes of it (never more than a message may
 * have). 1 it was whole, 0 nothing there, -EBADMSG, -ENOMEM. */
static int fill_stage(const struct sp_ring *r, struct sp_ring_cursor *c, uint64_t least) {
    size_t bytes = least > STAGE_BYTES ? (size_t)least : STAGE_BYTES;
    if (c->stage_bytes < bytes) {
        unsigned char *more = realloc(c->stage, bytes);
        if (!more) return -ENOMEM;
        c->stage = more;
        c->stage_bytes = bytes;
    }
    for (;;) {
        int rc = look(r, c);
        if (rc <= 0) return rc;
        uint64_t n = MIN_OF(c->known - c->position, (uint64_t)bytes);
        copy_out(r, c->position, c->stage, (size_t)n);
        if (still_there(r, c->position)) {
            c->stage_from = c->position;
            c->stage_to = c->position + n;
            return 1;
        }
        rc = skip_ahead(r, c);
        if (rc < 0) return rc;
    }
}

static bool staged(const struct sp_ring_cursor *c, uint64_t n) {
    return c->position >= c->stage_from && c->position < c->stage_to &&
           c->stage_to - c->position >= n;
}

/* The head of the message at the cursor and all its bytes are in the stage. 1, 0 none, -errno. The
 * stage was whole when it was copied, so what is wrong in it was written so. */
static int stage_message(const struct sp_ring *r, struct sp_ring_cursor *c,
                         struct message_head *h) {
    for (uint64_t need = SP_RING_MESSAGE_BYTES;;) {
        if (!staged(c, need)) {
            int rc = fill_stage(r, c, need);
            if (rc <= 0) return rc;
            if (!staged(c, SP_RING_MESSAGE_BYTES)) return -EBADMSG;
        }
        memcpy(h, c->stage + (c->position - c->stage_from), sizeof(*h));
        bool bad = h->length > r->maximum_bytes || h->zero ||
                   record_bytes(h->length) > c->known - c->position ||
                   (c->gap ? h->sequence < c->sequence : h->sequence != c->sequence);
        if (bad) return -EBADMSG;
        need = record_bytes(h->length);
        if (staged(c, need)) return 1;
    }
}

static void advance(struct sp_ring_cursor *c, const struct message_head *h) {
    if (c->gap && !c->fresh) c->lost += h->sequence - c->sequence;
    c->gap = c->fresh = false;
    c->laps = 0;
    c->sequence = h->sequence + 1;
    c->position += record_bytes(h->length);
}

bool sp_ring_pending(const struct sp_ring *r, const struct sp_ring_cursor *c) {
    return c->position != c->known || written_of(r) != c->position;
}

int sp_ring_next(const struct sp_ring *r, struct sp_ring_cursor *c, sp_ring_wanted_fn *wanted,
                 void *user, uint32_t most, const unsigned char **ret_bytes, uint32_t *ret_length) {
    struct message_head h;
    for (uint32_t i = 0; i < most; i++) {
        int rc = stage_message(r, c, &h);
        if (rc <= 0) return rc;
        const unsigned char *bytes = c->stage + (c->position - c->stage_from) + sizeof(h);
        advance(c, &h);
        if (wanted && !wanted(user, bytes, h.length)) continue;
        *ret_bytes = bytes;
        *ret_length = h.length;
        return 1;
    }
    return 0;
}

void sp_ring_attach_first(struct sp_ring_cursor *c) { *c = (struct sp_ring_cursor){0}; }

void sp_ring_attach_at(struct sp_ring_cursor *c, uint64_t position, uint64_t sequence) {
    *c = (struct sp_ring_cursor){.position = position, .known = position, .sequence = sequence};
}

void sp_ring_detach(struct sp_ring_cursor *c) {
    free(c->stage);
    *c = (struct sp_ring_cursor){0};
}

void sp_ring_attach(const struct sp_ring *r, struct sp_ring_cursor *c) {
    uint64_t target = written_of(r), part_bytes = r->size / LANDMARKS;
    const unsigned char *bytes;
    uint32_t length;
    *c = (struct sp_ring_cursor){.position = target, .known = target};
    if (target == 0) return;
    /* From a landmark before it, message by message, for the number of the next one. None is longer
     * than a quarter of the ring. */
    uint64_t mark = target;
    for (uint64_t back = 2; back <= LANDMARKS / 2 && mark == target; back *= 4)
        if (!landmark_after(r, target > part_bytes * back ? target - part_bytes * back : 0, target,
                            &mark))
            mark = target;
    c->position = mark;
    c->gap = c->fresh = true;
    while (c->position < target && sp_ring_next(r, c, NULL, NULL, 1, &bytes, &length) == 1) {
    }
    c->lost = 0;
    c->laps = 0;
}

bool sp_ring_wanted(const struct sp_ring *r, uint64_t before, uint64_t now) {
    uint64_t wanted = atomic_load_explicit(&r->shared->wanted, memory_order_relaxed);
    return wanted > before && wanted <= now;
}

uint64_t sp_ring_written(const struct sp_ring *r) { return written_of(r); }

uint64_t sp_ring_sent(const struct sp_ring *r) {
    return atomic_load_explicit(&r->shared->sent, memory_order_relaxed);
}

uint64_t sp_ring_waits_for(const struct sp_ring *r) {
    return atomic_load_explicit(&r->shared->wanted, memory_order_relaxed);
}

/* ---- sides ---- */

void sp_side_show(struct sp_side *s, unsigned slot, uint64_t position) {
    assert(slot < SP_SIDE_SLOTS);
    atomic_store_explicit(&s->position[slot], position, memory_order_release);
    atomic_thread_fence(memory_order_seq_cst);
}

uint64_t sp_side_position(const struct sp_side *s, unsigned slot) {
    assert(slot < SP_SIDE_SLOTS);
    return atomic_load_explicit(&s->position[slot], memory_order_acquire);
}

void sp_side_arm(struct sp_side *s) {
    uint32_t n = atomic_load_explicit(&s->armed, memory_order_relaxed);
    atomic_store_explicit(&s->armed, (n + 2) | 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
}

bool sp_side_asks(const struct sp_side *s, uint32_t *rung) {
    uint32_t n = atomic_load_explicit(&s->armed, memory_order_relaxed);
    if (!(n & 1) || n == *rung) return false;
    *rung = n;
    return true;
}
