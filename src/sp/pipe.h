/*
 * A pipe is one peer of a topology as its pattern sees it: a program at a socket file, or a
 * connection of an edge. It has a role (the peer's!), a queue of messages that go to it, and a
 * small backlog of messages that came from it and could not be passed on yet. How its bytes move is
 * the business of its ops (endpoint.c: SEQPACKET; link.c: streams; ring_door.c).
 *
 * Life: the owner embeds struct sp_pipe, sp_pipe_open (the pattern may refuse), any traffic,
 * sp_pipe_close (may be called from any callback; tears down at the end of the turn, then
 * ops->freed). Single-threaded.
 */
#pragma once

#include "base/err.h"
#include "base/vec.h"
#include "sp/message.h"
#include "sp/queue.h"

struct sp_topology;
struct sp_edge;
struct sp_pipe;

struct sp_pipe_ops {
    const char *door; /* "seqpacket", "ipc", "tcp", "ring", … as `peers` shows it */
    /* Something waits: send what can be sent now (sp_pipe_peek, sp_pipe_sent); the rest when the
     * descriptor takes more, by sp_pipe_flush. Called once per pass. */
    void (*flush)(struct sp_pipe *p);
    /* Stop (true) or go on reading from the peer. A paused door must notice when the peer hangs up,
     * and then calls sp_pipe_hung_up. */
    void (*pause)(struct sp_pipe *p, bool paused);
    /* Closed: free the descriptor and the memory. Called once, from the loop. */
    void (*freed)(struct sp_pipe *p);
    /* May be NULL: has `receiver` got the message of this source by another way (shared memory), so
     * that it need not go into its queue? */
    bool (*has_already)(const struct sp_pipe *receiver, const struct sp_pipe *source);
    /* May be NULL: if the peer has gone and the loop has not come to that yet, what it had sent is
     * read now, and the pipe closes after it. Not while a pipe of the same door is read. */
    void (*notice_end)(struct sp_pipe *p);
};

/* What SO_PEERCRED told, or the certificate of a peer. */
struct sp_credentials {
    pid_t pid; /* 0: no local process */
    uid_t uid;
    gid_t gid;
    int fd;         /* to ask for more; 0: none */
    bool granted;   /* came by a file that only pods can reach to which the role is granted */
    char name[128]; /* address, and identity of its certificate, of a remote peer */
};

/* Whose connections are counted together. Users of pods are not those of the host, so that root in
 * a pod has a limit. */
static inline uid_t sp_credentials_account(const struct sp_credentials *who) {
    return who->granted ? who->uid | UINT32_C(0x80000000) : who->uid;
}

struct sp_counters {
    uint64_t messages_in, bytes_in, messages_out, bytes_out;
    uint64_t dropped;  /* messages to it or from it that are lost (queue, size, rate, wrong role) */
    uint64_t filtered; /* that it had no business with; no loss */
    uint64_t gaps;     /* messages the peer says it sent and that did not arrive */
    uint64_t errors;   /* broken messages, wrong controls */
};

void sp_counters_add(struct sp_counters *sum, const struct sp_counters *c);

struct sp_pipe {
    struct sp_topology *topology;
    const struct sp_pipe_ops *ops;
    enum sp_role role;    /* the peer's */
    bool raw;             /* messages carry the protocol's header (streams); else bodies only */
    bool forwarded;       /* an Atoll that subscribes itself (forward.c); no default subscription */
    unsigned priority;    /* 0 = local */
    struct sp_edge *edge; /* NULL: a local client */
    struct sp_credentials who;
    /* filled in by sp_pipe_open */
    uint32_t id;   /* 1 … 2^31-1: hop word of tag stacks; not used again for long */
    uint32_t slot; /* index in topology->pipes; subscriber number of the trie */
    struct sp_queue out;
    struct sp_queue controls;      /* answers to controls: sent first, never dropped */
    VEC(struct sp_message *) held; /* came in, but the pattern had no room for them; in order */
    struct sp_counters counters;
    uint64_t holding; /* bytes of a message that is not whole yet */
    uint64_t opened_ms;
    uint64_t blocks_since_ms; /* its full queue holds up others; 0 = it does not */
    uint64_t hung_up_ms;      /* the peer sends no more; 0 = it may */
    void *state;              /* the pattern's, pattern->pipe_bytes zeroed */
    struct sp_pipe *next_dirty, *next_waiting, *next_closing;
    bool dirty, waiting, paused, full, closing;
    bool resting;                      /* held because of its edge's rate: not in line */
    const char *why_closed, *why_lost; /* as the log has been told */
};

/* -EBUSY (pair: taken), -ENFILE (limits), -EOPNOTSUPP (role is not of the pattern): not opened; the
 * caller frees it. The members above the line are set by the caller. */
int sp_pipe_open(struct sp_pipe *p, struct err *err);
/* Ends it at the end of the turn; what waits for it is given back to the pattern. `why` is a
 * literal; idempotent. */
void sp_pipe_close(struct sp_pipe *p, const char *why);
void sp_pipe_close_now(struct sp_pipe *p,
                       const char *why); /* at once: only when its topology goes */

/* pipe_trouble.c: messages from it or to it are lost: counted, and a line of the log for each new
 * cause. `why` is a literal. */
void sp_pipe_lost(struct sp_pipe *p, uint64_t n, const char *why);
/* It has broken a rule: counted, logged, closed. */
void sp_pipe_fault(struct sp_pipe *p, const char *why);

/* ---- for doors and links ---- */

/* False: paused or closing, do not read. */
bool sp_pipe_may_read(const struct sp_pipe *p);
/* A message came in: takes over the reference, counts, checks size and rate, gives it to the
 * pattern. False: do not read on now, ops->pause(p, false) will be called (or the pipe closes). */
bool sp_pipe_received(struct sp_pipe *p, struct sp_message *m);
/* The descriptor takes more again: calls ops->flush, and tells the pattern of the room. */
void sp_pipe_flush(struct sp_pipe *p);
/* Stops reading from the peer until sp_topology_resume comes to it. */
void sp_pipe_hold(struct sp_pipe *p);
/* The peer will send no more (EOF or hang-up): the pipe lives until what it had sent is passed on,
 * linger_ms at most, then closes. */
void sp_pipe_hung_up(struct sp_pipe *p, const char *why);
/* Its edge's rate lets more pass: it stands in line again, or takes more. */
void sp_pipe_rested(struct sp_pipe *p);
/* End of a pass over a descriptor: flushes all pipes that have got something. Doors call it when
 * they have read a batch; timers too. */
void sp_pipes_flush(void);

/* ---- for patterns ---- */

/* Puts a message into the pipe's queue by its policy; the caller keeps its reference. FULL: nothing
 * happened, sp_pattern_ops.has_room will be called. Closes the pipe on DISCONNECT. */
enum sp_put sp_pipe_send(struct sp_pipe *p, struct sp_message *m);
/* An answer to a control: goes before all messages, whatever the limits. Takes over the reference.
 * Closes a peer that does not read its answers. */
void sp_pipe_control(struct sp_pipe *p, struct sp_message *m);
/* What stands next in the queues, borrowed: controls first. NULL: fewer than i + 1 wait. */
struct sp_message *sp_pipe_peek(const struct sp_pipe *p, uint32_t i);
/* The first n are in the kernel: dropped from the queues and counted. */
void sp_pipe_sent(struct sp_pipe *p, uint32_t n);
/* The first one can not be sent (too large): counted as lost. */
void sp_pipe_unsendable(struct sp_pipe *p);
static inline uint32_t sp_pipe_waiting(const struct sp_pipe *p) { return p->controls.n + p->out.n; }
/* Would sp_pipe_send take it? */
bool sp_pipe_has_room(struct sp_pipe *p);
/* There is room again: pipes whose messages are held (receive had said -EAGAIN) get their turn, the
 * one that has waited longest first, until one has to be held again. */
void sp_topology_resume(struct sp_topology *t);
/* Is its peer gone, as far as can be told now? What it had sent has been passed on then. For who
 * would refuse another one for its sake: who came after it left must not find it still there. */
bool sp_pipe_is_over(struct sp_pipe *p);
/* Its full queue holds up others: its time runs (blockTimeoutMs), until the queue is low again. */
void sp_pipe_blocks(struct sp_pipe *p);
