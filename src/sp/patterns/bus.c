/* Everybody hears everybody else, but not himself. */
#include "sp/declare/topology.h"
#include "sp/pattern.h"
#include "sp/patterns/fan_out.h"

struct bus {
    VEC(struct sp_pipe *) to; /* of the message that has come in */
};

static int receive(struct sp_pipe *p, struct sp_message *m) {
    struct bus *s = p->topology->state;
    struct sp_pipe *q;
    s->to.n = 0;
    for (size_t i = 0; (q = sp_topology_next(p->topology, SP_BUS, &i));)
        if (q != p) vec_push(&s->to, q);
    int r = sp_fan_out(m, s->to.v, s->to.n);
    if (r == 0) sp_message_unref(m);
    return r;
}

static void stop(struct sp_topology *t) {
    struct bus *s = t->state;
    vec_done(&s->to);
}

static const struct sp_pattern_ops bus = {.name = "bus",
                                          .pattern = SP_BUSES,
                                          .state_bytes = sizeof(struct bus),
                                          .stop = stop,
                                          .detach = sp_pattern_resume,
                                          .receive = receive,
                                          .has_room = sp_pattern_resume};
SP_PATTERN(bus);
