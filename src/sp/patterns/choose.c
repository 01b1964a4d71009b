#include "sp/patterns/choose.h"

#include "base/own.h"

void sp_chooser_done(struct sp_chooser *c) {
    for (size_t i = 0; i < SP_PRIORITIES; i++) vec_done(&c->by[i]);
}

static size_t place(const struct sp_pipe *p) {
    return MIN_OF(p->priority, (unsigned)SP_PRIORITIES - 1);
}

void sp_chooser_add(struct sp_chooser *c, struct sp_pipe *p) { vec_push(&c->by[place(p)], p); }

void sp_chooser_remove(struct sp_chooser *c, struct sp_pipe *p) {
    __auto_type list = &c->by[place(p)];
    for (size_t i = 0; i < list->n; i++) {
        if (list->v[i] != p) continue;
        vec_remove(list, i);
        if (list->next > i) list->next--;
        return;
    }
}

struct sp_pipe *sp_chooser_next(struct sp_chooser *c, bool (*can_take)(struct sp_pipe *p)) {
    for (size_t k = 0; k < SP_PRIORITIES; k++) {
        __auto_type list = &c->by[k];
        for (size_t i = 0; i < list->n; i++) {
            size_t at = (list->next + i) % list->n;
            if (!can_take(list->v[at])) continue;
            list->next = at + 1;
            return list->v[at];
        }
    }
    return NULL;
}
