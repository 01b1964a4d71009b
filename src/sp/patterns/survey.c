/*
 * Surveys: a question to all respondents, answers until a deadline. A program at `surveyor` opens a
 * survey by sending, which ends the one before; a message without bytes tells it that the time is
 * over. A program at `respondent` is asked one question at a time: the next one comes when it has
 * answered, or when the time of the last one is over.
 */
#include <errno.h>
#include <stdlib.h>

#include "sp/declare/topology.h"
#include "sp/pattern.h"

struct survey {
    uint32_t last_id;
};

struct member { /* of each pipe */
    struct sp_pipe *pipe;
    struct timer *deadline;
    uint32_t id;                /* surveyor: of the survey that runs; 0: none */
    struct sp_message *current; /* respondent: what it has been asked */
    struct sp_queue waiting;    /* respondent: further questions */
};

/* ---- respondents ---- */

static void ask(struct member *r, struct sp_message *m) {
    sp_message_unref(r->current);
    r->current = m;
    sp_pipe_send(r->pipe, m);
    timer_start(r->deadline, r->pipe->topology->config->survey_deadline_ms, 0);
}

static void ask_next(struct member *r) {
    sp_message_unref(r->current);
    r->current = NULL;
    timer_stop(r->deadline);
    struct sp_message *m = sp_queue_take(&r->waiting);
    if (m) ask(r, m);
}

static void put_question(struct sp_pipe *q, struct sp_message *m) {
    struct member *r = q->state;
    if (q->raw) {
        if (sp_pipe_send(q, m) == SP_PUT_FULL) sp_pipe_lost(q, 1, "its queue is full");
        return;
    }
    if (!r->current) {
        ask(r, sp_message_ref(m));
        return;
    }
    uint64_t dropped = r->waiting.dropped;
    enum sp_put put = sp_queue_put(&r->waiting, sp_message_ref(m));
    if (put == SP_PUT_FULL || put == SP_PUT_DISCONNECT) sp_message_unref(m);
    sp_pipe_lost(q, r->waiting.dropped - dropped + (put >= SP_PUT_FULL), "its queue is full");
}

/* ---- the end of a survey, or of the time to answer a question ---- */

static void on_deadline(void *user) {
    struct member *s = user;
    struct sp_pipe *p = s->pipe;
    if (p->role == SP_RESPONDENT) {
        ask_next(s);
    } else if (s->id) {
        struct sp_message *end = sp_message_new(0, (struct slice){0});
        s->id = 0;
        sp_pipe_control(p, end);
    }
    sp_pipes_flush();
}

/* ---- messages ---- */

static int open_survey(struct sp_pipe *p, struct sp_message *m) {
    struct sp_topology *t = p->topology;
    struct survey *s = t->state;
    struct member *surveyor = p->state;
    if (!p->raw) {
        s->last_id = (s->last_id + 1) & ~SP_TAG_END;
        surveyor->id = s->last_id | SP_TAG_END;
        sp_message_push(m, surveyor->id);
        timer_start(surveyor->deadline, t->config->survey_deadline_ms, 0);
    }
    if (!sp_message_push(m, p->id)) return -ELOOP;
    struct sp_pipe *q;
    for (size_t i = 0; (q = sp_topology_next(t, SP_RESPONDENT, &i));) put_question(q, m);
    sp_message_unref(m);
    return 0;
}

static int answer(struct sp_pipe *p, struct sp_message *m) {
    struct member *respondent = p->state;
    uint32_t to, id;
    if (!p->raw) {
        if (!respondent->current) return -ELOOP; /* nobody has asked, or it is too late */
        m = sp_message_copy_header(m, respondent->current);
        ask_next(respondent);
    }
    sp_message_pop(m, &to);
    struct sp_pipe *surveyor = sp_topology_pipe(p->topology, to);
    struct member *s = surveyor && surveyor->role == SP_SURVEYOR ? surveyor->state : NULL;
    bool fits = s && sp_message_peek(m, &id) && (surveyor->raw || id == s->id);
    if (!fits || sp_pipe_send(surveyor, m) == SP_PUT_FULL) p->counters.dropped++;
    sp_message_unref(m);
    return 0;
}

static int receive(struct sp_pipe *p, struct sp_message *m) {
    return p->role == SP_SURVEYOR ? open_survey(p, m) : answer(p, m);
}

static int attach(struct sp_pipe *p, struct err *err) {
    struct member *s = p->state;
    s->pipe = p;
    s->deadline = timer_new(p->topology->loop, on_deadline, s);
    sp_queue_init(&s->waiting, p->out.limits);
    return 0;
}

static void detach(struct sp_pipe *p) {
    struct member *s = p->state;
    timer_free(s->deadline);
    sp_message_unref(s->current);
    sp_queue_done(&s->waiting);
}

static void configured(struct sp_topology *t) {
    for (size_t i = 0; i < t->pipes.n; i++)
        if (t->pipes.v[i]) {
            struct member *s = t->pipes.v[i]->state;
            s->waiting.limits = t->pipes.v[i]->out.limits;
        }
}

static const struct sp_pattern_ops survey = {.name = "survey",
                                             .pattern = SP_SURVEY,
                                             .state_bytes = sizeof(struct survey),
                                             .pipe_bytes = sizeof(struct member),
                                             .attach = attach,
                                             .detach = detach,
                                             .receive = receive,
                                             .configured = configured};
SP_PATTERN(survey);
