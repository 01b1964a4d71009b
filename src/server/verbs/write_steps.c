/*
 * Writes of large objects, cut. Each of decoding, patching, comparing, encoding reads every byte
 * of the object, and together they take milliseconds for one of 1 MB, for which whoever sends a
 * request would wait. So each is a step, and one step is done in a turn of the loop.
 */
#include "base/clock.h"
#include "base/own.h"
#include "base/vec.h"
#include "server/verbs/write_impl.h"

enum { LARGE_BYTES = 64 * 1024 }; /* smaller ones are over within a slice */

struct step {
    struct write *w;
    void (*fn)(struct write *w);
};

static VEC(struct step) steps; /* of all objects, in the order of their coming */
static bool scheduled, put_off;

static void run(void *user) {
    struct loop *l = user;
    /* Not upon what others have made of this turn already, but in the next one in any case, of
     * which they have the least. */
    put_off = !put_off && clock_span_ns() >= loop_turn_began_ns(l) + loop_slice_ns(l);
    if (put_off) {
        loop_reserve(l);
        loop_after_events(l, run, l);
        return;
    }
    struct step s = steps.v[0];
    vec_remove(&steps, 0);
    s.fn(s.w);
    scheduled = steps.n > 0;
    if (scheduled)
        loop_after_events(l, run, l);
    else
        vec_done(&steps);
}

void write_cut(struct write *w) {
    size_t now = w->current ? object_json(w->current).n : 0;
    w->cut = now + w->c->r->body.n >= LARGE_BYTES;
    /* Between two steps nobody else may begin with the same object. */
    if (w->cut && w->current) write_order_begin(w);
}

void write_next(struct write *w, void (*fn)(struct write *w)) {
    if (!w->cut) {
        fn(w);
        return;
    }
    vec_push(&steps, (struct step){w, fn});
    if (scheduled) return;
    scheduled = true;
    loop_after_events(w->api->loop, run, w->api->loop);
}
