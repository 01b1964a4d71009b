/* Everybody hears everybody else, but not himself. */
#include <errno.h>

#include "sp/pattern.h"
#include "sp/topology.h"

static int receive(struct sp_pipe *p, struct sp_message *m) {
    struct sp_topology *t = p->topology;
    struct sp_pipe *q;
    bool held_up = false;
    for (size_t i = 0; (q = sp_topology_next(t, SP_BUS, &i));) {
        if (q == p || q->out.limits->policy != SP_BLOCK || sp_pipe_has_room(q)) continue;
        sp_pipe_blocks(q);
        held_up = true;
    }
    if (held_up) return -EAGAIN;
    for (size_t i = 0; (q = sp_topology_next(t, SP_BUS, &i));)
        if (q != p && sp_pipe_send(q, m) == SP_PUT_FULL) q->counters.dropped++;
    sp_message_unref(m);
    return 0;
}

static int attach(struct sp_pipe *p, struct err *err) { return 0; }

static void drained(struct sp_pipe *p) { sp_topology_resume(p->topology); }

static const struct sp_pattern_ops bus = {.name = "bus",
                                          .pattern = SP_BUSES,
                                          .attach = attach,
                                          .detach = drained,
                                          .receive = receive,
                                          .drained = drained};
SP_PATTERN(bus);
