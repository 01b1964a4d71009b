/* Two ends, programs or a program and a peer; a third one is refused. What one end sends while
 * there is no other waits with its sender. */
#include <errno.h>

#include "base/own.h"
#include "sp/declare/topology.h"
#include "sp/pattern.h"

struct pair {
    struct sp_pipe *ends[2];
};

static struct sp_pipe *other_end(const struct sp_pipe *p) {
    const struct pair *s = p->topology->state;
    return s->ends[s->ends[0] == p];
}

/* NULL: both places are taken. An end that is over gives its place away at once, though it is torn
 * down later: a program that closes and opens again must not meet itself. */
static struct sp_pipe **free_place(struct pair *s) {
    for (size_t i = 0; i < ARRAY_LEN(s->ends); i++)
        if (!s->ends[i]) return &s->ends[i];
    for (size_t i = 0; i < ARRAY_LEN(s->ends); i++)
        if (sp_pipe_is_over(s->ends[i])) return &s->ends[i];
    return NULL;
}

static int attach(struct sp_pipe *p, struct err *err) {
    struct sp_pipe **place = free_place(p->topology->state);
    if (!place) {
        err_set(err, ERR_CONFLICT, "the pair has its two ends");
        return -EBUSY;
    }
    *place = p;
    return 0;
}

static void detach(struct sp_pipe *p) {
    struct pair *s = p->topology->state;
    for (size_t i = 0; i < ARRAY_LEN(s->ends); i++)
        if (s->ends[i] == p) s->ends[i] = NULL; /* else another one has its place */
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
