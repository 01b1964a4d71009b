/*
 * A messaging pattern: what happens to a message that comes in, as one struct of functions that is
 * registered by one line. Patterns see pipes only: no descriptor, no address, and time by the
 * topology's loop. All functions are called from the loop.
 */
#pragma once

#include "base/buf.h"
#include "sp/pipe.h"

struct sp_pattern_ops {
    const char *name; /* as a Topology names it */
    enum sp_pattern pattern;
    size_t state_bytes;                   /* of topology->state, zeroed */
    size_t pipe_bytes;                    /* of pipe->state, zeroed */
    void (*start)(struct sp_topology *t); /* may be NULL, as all below but receive */
    void (*stop)(struct sp_topology *t);  /* all pipes are gone */
    /* The pipe is in topology->pipes. An error refuses it. */
    int (*attach)(struct sp_pipe *p, struct err *err);
    /* The pipe goes; what waits in p->out can be given to others. */
    void (*detach)(struct sp_pipe *p);
    /* A message or control of the peer. Takes the reference when it returns 0. -EAGAIN: no room,
     * the pipe holds it; sp_topology_resume gives it another chance. -EBADMSG and -EOPNOTSUPP: the
     * pipe is closed and it counts; -ELOOP: dropped and counted. */
    int (*receive)(struct sp_pipe *p, struct sp_message *m);
    /* The pipe takes messages: it has just been attached, or its queue has room again. */
    void (*has_room)(struct sp_pipe *p);
    void (*shed)(struct sp_topology *t); /* memory is short: what it keeps for itself, by half */
    void (*configured)(struct sp_topology *t); /* topology->config is another one */
    /* Lines for `status` and `stats`. */
    void (*describe)(const struct sp_topology *t, struct buf *out);
};

#define SP_PATTERN(sym)                                                                            \
    __attribute__((used, retain, section("atoll_sp_patterns"))) static const struct sp_pattern_ops \
        *const sp_pattern_p_##sym = &sym
/* For `has_room` of patterns that keep nothing themselves: whoever waits goes on. */
void sp_pattern_resume(struct sp_pipe *p);
