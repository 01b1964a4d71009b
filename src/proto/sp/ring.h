/*
 * A ring in memory that processes share: one writes, any number read. Nothing here does I/O; the
 * memory is handed in (a memfd, mapped), and whoever must be woken is told to the caller, who
 * rings.
 *
 * Layout of the memory, native byte order: a page of header, then `size` bytes of messages (size is
 * a power of two). Positions count bytes since the beginning of time; position % size is the place.
 * A message is 16 bytes (length, zero, sequence number) and its bytes, rounded up to 16; it may run
 * over the end of the memory to its beginning.
 *
 * Trust. The writer keeps what it needs in memory of its own and only ever writes to the ring, so a
 * reader that could write to it harms itself. A reader believes nothing: it bounds every length
 * before it uses it, copies the message out and then looks whether the writer has meanwhile come
 * round (a seqlock: `reserved` is raised before bytes are overwritten, `written` after). Whatever a
 * hostile writer does, a reader reads inside the memory and ends with -EBADMSG or with bytes that
 * the writer might as well have sent honestly.
 *
 * Loss. A reader that is lapped goes on at the oldest message that is safe for a while, and since
 * every message bears its number, knows exactly how many it has lost.
 *
 * Sleeping. Each participant has a side: memory that only it writes. Before it sleeps it arms it
 * (sp_side_arm), looks once more, and sleeps. Who has published looks, behind a full fence, whether
 * the other is armed (sp_side_asks): one of both sees the other (Dekker). A side is armed with a
 * new odd number each time, so that a sleeper is rung for once.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum {
    SP_RING_HEADER_BYTES = 4096,
    SP_RING_MIN_BYTES = 4096,              /* of messages */
    SP_RING_MAX_BYTES = 256 * 1024 * 1024, /* more is never believed */
    SP_RING_MESSAGE_BYTES = 16,            /* before each message */
    SP_SIDE_BYTES = 4096,
    SP_SIDE_SLOTS = 64,
};

struct sp_ring_shared; /* the header page */

/* A participant's page; only its owner writes it. */
struct sp_side {
    _Atomic uint32_t armed; /* odd: ring the bell, once for this number */
    uint32_t unused[15];
    /* The service's side only. */
    _Atomic uint32_t news;  /* grows with each control message */
    _Atomic uint32_t helps; /* it reaches peers with whom no memory is shared: give it its share */
    uint32_t unused_too[14];
    _Atomic uint64_t position[SP_SIDE_SLOTS]; /* how far its owner has read which ring */
};

/* A ring as one process sees it; size and maximum were checked when it was opened. */
struct sp_ring {
    struct sp_ring_shared *shared;
    unsigned char *data;
    uint64_t size;
    uint32_t maximum_bytes;
};

struct sp_ring_writer {
    struct sp_ring ring;
    uint64_t written;  /* behind the last message, published or not */
    uint64_t reserved; /* what may be overwritten up to */
    uint64_t sequence; /* of the next message */
    uint64_t limit;    /* messages must end before: UINT64_MAX overwrites, see sp_ring_limit */
};

struct sp_ring_cursor {
    uint64_t position;
    uint64_t sequence; /* of the next message */
    uint64_t lost;     /* messages that were overwritten before they were read */
    uint64_t known;    /* written, as last seen */
    unsigned char
        *stage; /* copy of what lies in [stage_from, stage_to), found whole after copying */
    size_t stage_bytes;
    uint64_t stage_from, stage_to;
    uint32_t laps; /* one after the other, without a message between */
    bool gap;      /* the next message tells how many were lost */
    bool fresh;    /* … or only where counting begins */
};

/* Largest message of a ring of that size: a quarter. */
uint32_t sp_ring_largest(uint64_t size);

/* Makes zeroed memory a ring of `size` bytes (a power of two, SP_RING_MIN_BYTES or more), opened
 * for its writer. maximum_bytes is at most sp_ring_largest(size). -EINVAL. */
int sp_ring_format(void *memory, uint64_t size, uint32_t maximum_bytes, struct sp_ring_writer *ret);

/* Opens memory of `bytes` bytes that somebody else has formatted. -EBADMSG when it is no ring. */
int sp_ring_open(void *memory, size_t bytes, struct sp_ring *ret);

/* ---- writer ---- */

/* Appends a message of n parts, together at most maximum_bytes (else -EMSGSIZE), without showing it
 * yet. -EAGAIN when it would pass the limit. */
int sp_ring_put(struct sp_ring_writer *w, const struct iovec *part, size_t n);

/* Shows what was put. A full fence is behind it: armed sides may be looked at. */
void sp_ring_publish(struct sp_ring_writer *w);

/* Readers have read up to at least `position`: what lies before may be overwritten, no more. A
 * position that cannot be (ahead of what was written, or behind what was allowed) is ignored. */
void sp_ring_limit(struct sp_ring_writer *w, uint64_t position);

/* The reader's position is one that an honest reader may have. */
bool sp_ring_plausible(const struct sp_ring_writer *w, uint64_t position);

/* Asks to be woken by the reader that passes `position` (0 withdraws it). A full fence is behind
 * it: look at the positions once more before sleeping. */
void sp_ring_want(struct sp_ring_writer *w, uint64_t position);

/* ---- reader ---- */

/* Starts at what is written from now on. The cursor's memory is given back by sp_ring_detach. */
void sp_ring_attach(const struct sp_ring *r, struct sp_ring_cursor *c);

/* Starts at the first message there ever was: for rings whose writer waits for this reader. */
void sp_ring_attach_first(struct sp_ring_cursor *c);
/* Starts where another cursor once stood; what was overwritten since then is lost and counted. */
void sp_ring_attach_at(struct sp_ring_cursor *c, uint64_t position, uint64_t sequence);
void sp_ring_detach(struct sp_ring_cursor *c);

/* There is something that this cursor has not read, or would find broken. */
bool sp_ring_pending(const struct sp_ring *r, const struct sp_ring_cursor *c);

/* Says whether a message is wanted. */
typedef bool sp_ring_wanted_fn(void *user, const unsigned char *bytes, size_t n);

/* The next message that `wanted` says yes to (NULL: any), as a private copy that lives until the
 * next call. At most `most` are looked at. Returns 1; 0 when there is none, or none among those
 * (sp_ring_pending tells); -EBADMSG when the writer is broken or hostile and the cursor of no use
 * any more; -ENOMEM. Many small messages are copied and checked at once. */
int sp_ring_next(const struct sp_ring *r, struct sp_ring_cursor *c, sp_ring_wanted_fn *wanted,
                 void *user, uint32_t most, const unsigned char **ret_bytes, uint32_t *ret_length);

/* The writer waits for a position that lies in (before, now]: ring its bell. Call it, with a fence
 * of its own, after the position was shown. */
bool sp_ring_wanted(const struct sp_ring *r, uint64_t before, uint64_t now);

/* Without believing it: how far the writer has come, how many messages it says it has sent, and
 * the position it waits for (0: none). For figures and for finding out who stalls. */
uint64_t sp_ring_written(const struct sp_ring *r);
uint64_t sp_ring_sent(const struct sp_ring *r);
uint64_t sp_ring_waits_for(const struct sp_ring *r);

/* ---- sides ---- */

/* Shows how far the owner has read the ring of a slot. */
void sp_side_show(struct sp_side *s, unsigned slot, uint64_t position);
uint64_t sp_side_position(const struct sp_side *s, unsigned slot);

/* Arms with a new number, behind a full fence; look for news once more, then sleep. */
void sp_side_arm(struct sp_side *s);

/* The owner is armed and was not rung for this number yet, which *rung remembers. Call it behind a
 * full fence. */
bool sp_side_asks(const struct sp_side *s, uint32_t *rung);
