/*
 * What waits for one receiver: a ring of messages bounded by number and by bytes, and what happens
 * when it is full. No I/O and no clock; the owner acts on what sp_queue_put says.
 */
#pragma once

#include "sp/declare/config.h"
#include "sp/message.h"

struct sp_queue {
    const struct sp_queue_limits *limits; /* borrowed */
    struct sp_message **ring;
    uint32_t head, n, cap;
    uint64_t bytes;
    uint64_t put,
        dropped; /* since the queue was made: taken in; of these or instead of these lost */
};

enum sp_put {
    SP_PUT_OK,        /* it waits */
    SP_PUT_DROPPED,   /* it, or others in favour of it, are lost: counted in queue.dropped */
    SP_PUT_FULL,      /* policy block: nothing happened, the reference stays with the caller */
    SP_PUT_DISCONNECT /* policy disconnect: nothing happened, the receiver has to go */
};

void sp_queue_init(struct sp_queue *q, const struct sp_queue_limits *limits);
void sp_queue_done(struct sp_queue *q); /* drops what waits, uncounted */
/* Takes over the reference but for FULL and DISCONNECT. One message always fits into an empty
 * queue. */
enum sp_put sp_queue_put(struct sp_queue *q, struct sp_message *m);
/* Back to the front, whatever the limits: what was taken and could not be sent. */
void sp_queue_put_back(struct sp_queue *q, struct sp_message *m);
struct sp_message *
sp_queue_take(struct sp_queue *q); /* NULL: empty; the reference is the caller's */
struct sp_message *sp_queue_at(const struct sp_queue *q, uint32_t i); /* borrowed, i < n */
/* Would a message be taken without any loss? */
bool sp_queue_has_room(const struct sp_queue *q);
/* Less than three quarters of both limits are used: the mark at which blocked senders go on. */
bool sp_queue_is_low(const struct sp_queue *q);
