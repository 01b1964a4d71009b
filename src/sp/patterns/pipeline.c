/*
 * Push and pull: each message goes to one puller that has room; when none has, pushers wait. What
 * was meant for a puller that has gone is given to another one.
 */
#include <errno.h>

#include "sp/declare/topology.h"
#include "sp/pattern.h"
#include "sp/patterns/choose.h"

enum { SHORT = 32 }; /* a puller with less than this waiting is as good as idle */

struct pipeline {
    struct sp_chooser pullers;
    struct sp_queue_limits keep; /* of orphans: no limits, they have been counted once */
    struct sp_queue orphans;     /* of pullers that have gone */
};

static bool is_idle(struct sp_pipe *p) { return p->out.n < SHORT && sp_pipe_has_room(p); }

static bool hand_out(struct pipeline *s, struct sp_message *m) {
    struct sp_pipe *p = sp_chooser_next(&s->pullers, is_idle);
    if (!p) p = sp_chooser_next(&s->pullers, sp_pipe_has_room);
    if (!p) return false;
    enum sp_put put = sp_pipe_send(p, m);
    return put == SP_PUT_OK || put == SP_PUT_DROPPED;
}

/* True: none is left. */
static bool hand_out_orphans(struct pipeline *s) {
    for (struct sp_message *m; (m = sp_queue_take(&s->orphans)); sp_message_unref(m)) {
        if (hand_out(s, m)) continue;
        sp_queue_put_back(&s->orphans, m);
        return false;
    }
    return true;
}

static void go_on(struct sp_topology *t) {
    if (hand_out_orphans(t->state)) sp_topology_resume(t);
}

static int receive(struct sp_pipe *p, struct sp_message *m) {
    struct pipeline *s = p->topology->state;
    if (p->role != SP_PUSH) return -EOPNOTSUPP;
    if (!hand_out_orphans(s) || !hand_out(s, m)) return -EAGAIN;
    sp_message_unref(m);
    return 0;
}

static void start(struct sp_topology *t) {
    struct pipeline *s = t->state;
    s->keep = (struct sp_queue_limits){UINT32_MAX, UINT64_MAX, SP_DROP_OLDEST, 0};
    sp_queue_init(&s->orphans, &s->keep);
}

static void stop(struct sp_topology *t) {
    struct pipeline *s = t->state;
    sp_chooser_done(&s->pullers);
    sp_queue_done(&s->orphans);
}

static int attach(struct sp_pipe *p, struct err *err) {
    struct pipeline *s = p->topology->state;
    if (p->role == SP_PULL) sp_chooser_add(&s->pullers, p);
    return 0;
}

static void detach(struct sp_pipe *p) {
    struct pipeline *s = p->topology->state;
    if (p->role != SP_PULL) return;
    sp_chooser_remove(&s->pullers, p);
    if (p->topology->stopping) return;
    for (struct sp_message *m; (m = sp_queue_take(&p->out));) sp_queue_put(&s->orphans, m);
    go_on(p->topology);
}

static void has_room(struct sp_pipe *p) { go_on(p->topology); }

static void describe(const struct sp_topology *t, struct buf *out) {
    const struct pipeline *s = t->state;
    buf_printf(out, "without_puller %u\n", s->orphans.n);
}

static const struct sp_pattern_ops pipeline = {.name = "pipeline",
                                               .pattern = SP_PIPELINE,
                                               .state_bytes = sizeof(struct pipeline),
                                               .start = start,
                                               .stop = stop,
                                               .attach = attach,
                                               .detach = detach,
                                               .receive = receive,
                                               .has_room = has_room,
                                               .describe = describe};
SP_PATTERN(pipeline);
