/* Frames that many watchers send: those of the latest events, until there are none for a while. */
#include "base/own.h"
#include "server/verbs/watch_impl.h"

enum { PIECES = 8, REST_MS = 250 };

static struct {
    struct watch_frames v[PIECES];
    size_t next; /* to be replaced */
    struct timer *timer;
} shared;

static void clear(struct watch_frames *f) {
    buf_done(&f->ns);
    buf_done(&f->bytes);
    vec_done(&f->marks);
    *f = (struct watch_frames){0};
}

void watch_shared_forget(void) {
    for (size_t i = 0; i < PIECES; i++) clear(&shared.v[i]);
    timer_free(shared.timer);
    shared.timer = NULL;
}

static void on_rest(void *user) { watch_shared_forget(); }

/* Sees the objects in a form that is the same for all, all of them or all of a namespace. */
bool watch_shares(const struct watch *w) {
    return w->c->form == ANSWER_OBJECT && !w->select.narrow && !*w->select.name &&
           !w->initial.left && !w->held && !w->end_of_initial;
}

/* The last event that it has seen, whatever else has changed since. */
static uint64_t last_seen(const struct watch *w) {
    const struct resource *res = w->c->resource;
    size_t i = resource_event_after(res, w->sent_revision);
    return i ? resource_event(res, i - 1)->revision : w->sent_revision;
}

struct watch_frames *watch_shared_at(struct watch *w) {
    const struct call *c = w->c;
    uint64_t at = last_seen(w);
    for (size_t i = 0; i < PIECES; i++) {
        struct watch_frames *f = &shared.v[i];
        if (f->resource == c->resource && f->from <= at &&
            (f->full ? at < f->upto : at <= f->upto) && f->kind == c->kind &&
            f->media == c->media && slice_is(buf_view(&f->ns), w->select.ns))
            return f;
    }
    if (!shared.timer) {
        shared.timer = timer_new(c->api->loop, on_rest, NULL);
        timer_start(shared.timer, REST_MS, 0);
    }
    struct watch_frames *f = &shared.v[shared.next++ % PIECES];
    f->resource = c->resource;
    f->kind = c->kind;
    f->media = c->media;
    f->from = f->upto = at;
    f->full = false;
    buf_clear(&f->ns);
    buf_str(&f->ns, w->select.ns);
    buf_clear(&f->bytes);
    f->marks.n = 0;
    return f;
}

void watch_shared_add(struct watch_frames *f, uint64_t revision) {
    f->upto = revision;
    struct watch_mark mark = {revision, f->bytes.n};
    vec_push(&f->marks, mark);
}

struct slice watch_shared_after(const struct watch_frames *f, uint64_t revision) {
    if (!f->bytes.n) return (struct slice){0};
    size_t low = 0, high = f->marks.n; /* the first mark after it */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (f->marks.v[middle].revision <= revision)
            low = middle + 1;
        else
            high = middle;
    }
    size_t start = low ? f->marks.v[low - 1].end : 0;
    return slice_from(f->bytes.p + start, f->bytes.n - start);
}
