/* What write.c (the pipeline, and creation) and write_change.c share. */
#pragma once

#include "server/verbs/write.h"

enum { WRITE_ATTEMPTS_MAX = 8 };

extern const char write_modified[]; /* the message of a conflict */

/* A copy of from that lives as long as the request. */
struct write *write_begin(struct call *c, const struct write *from);
void write_over(struct write *w, bool stored); /* settles admission, lets go of w->current */
void write_fail(struct write *w, const struct err *err);
void write_answer(struct write *w, struct slice json, bool stored);
/* w->object and w->old are there: defaults, admission, validation, store, answer. */
void write_run(struct write *w);
void write_submit(struct write *w, enum store_op op);
/* obj is what the client wants, in the form of its request. */
void write_fresh(struct write *w, struct api_object *obj);

/* write_order.c: changes of the same object, one after the other. */
/* True: another one is on its way to the store; write_attempt is called when that is over. */
bool write_waits(struct write *w);
void write_order_begin(
    struct write *w); /* goes to the store, or is large; more than once does no harm */
void write_order_end(struct write *w); /* it is over; without a beginning, too */

/* write_steps.c: writes of large objects take several turns of the loop. */
void write_cut(struct write *w); /* finds out whether it is one; w->current is there, or none is */
/* Calls fn, at once or as a later step. The request stays, even without its client. */
void write_next(struct write *w, void (*fn)(struct write *w));

/* write_change.c */
void write_attempt(struct write *w);      /* from the current object on, or from none */
void write_store_change(struct write *w); /* validated: asks the store unless nothing changes */
void write_changed(void *user, struct slice json, const struct err *err); /* a commit_fn */
