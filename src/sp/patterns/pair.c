/* Two ends, programs or a program and a peer; a third one is refused. What one end sends while
 * there is no other waits with its sender. */
#include <errno.h>

#include "sp/pattern.h"
#include "sp/topology.h"

struct pair {
    struct sp_pipe *ends[2];
};

static struct sp_pipe *other_end(const struct sp_pipe *p) {
    const struct pair *s = p->topology->state;
    return s->ends[s->ends[0] == p];
}

static int attach(struct sp_pipe *p, struct err *err) {
    struct pair *s = p->topology->state;
    unsigned at = s->ends[0] ? 1 : 0;
    if (s->ends[at]) {
        err_set(err, ERR_CONFLICT, "the pair has its two ends");
        return -EBUSY;
    }
    s->ends[at] = p;
    return 0;
}

static void detach(struct sp_pipe *p) {
    struct pair *s = p->topology->state;
    s->ends[s->ends[1] == p] = NULL;
    p->counters.dropped += p->out.n;
}

static int receive(struct sp_pipe *p, struct sp_message *m) {
    struct sp_pipe *other = other_end(p);
    if (!other || !sp_pipe_has_room(other)) return -EAGAIN;
    enum sp_put put = sp_pipe_send(other, m);
    if (put == SP_PUT_FULL) return -EAGAIN;
    sp_message_unref(m);
    return 0;
}

static const struct sp_pattern_ops pair = {.name = "pair",
                                           .pattern = SP_PAIRS,
                                           .state_bytes = sizeof(struct pair),
                                           .attach = attach,
                                           .detach = detach,
                                           .receive = receive,
                                           .has_room = sp_pattern_resume};
SP_PATTERN(pair);
