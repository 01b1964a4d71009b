/*
 * Who gets the next piece of work: of those who can take it the ones with the lowest priority
 * number (local clients have 0), and among these one after the other.
 */
#pragma once

#include "sp/pipe.h"

enum { SP_PRIORITIES = 17 };

struct sp_chooser {
    struct {
        struct sp_pipe **v;
        size_t n, cap;
        size_t next; /* whose turn it is */
    } by[SP_PRIORITIES];
};

void sp_chooser_done(struct sp_chooser *c);
void sp_chooser_add(struct sp_chooser *c, struct sp_pipe *p);
void sp_chooser_remove(struct sp_chooser *c, struct sp_pipe *p);
/* NULL: nobody can. can_take is asked once per candidate at most. */
struct sp_pipe *sp_chooser_next(struct sp_chooser *c, bool (*can_take)(struct sp_pipe *p));
