/* Bytes that many watchers send: kept for one pass over those that a change concerns. */
#include "server/verbs/watch_impl.h"

static struct {
    bool open;
    const struct resource *resource; /* NULL: nothing is kept */
    const struct api_kind *kind;
    struct buf ns;
    uint64_t from, upto; /* revisions */
    struct buf frames;
} kept;

void watch_shared_begin(void) { kept.open = true; }

void watch_shared_end(void) {
    kept.open = false;
    kept.resource = NULL;
    buf_done(&kept.ns);
    buf_done(&kept.frames);
}

/* Sees the objects as they are stored, all of them or all of a namespace. */
static bool sees_all(const struct watch *w) {
    return w->c->form == ANSWER_OBJECT && w->c->media == MEDIA_JSON && !w->select.narrow &&
           !*w->select.name && !w->initial.left && !w->held && !w->end_of_initial;
}

bool watch_shared_take(struct watch *w, struct slice *ret) {
    if (kept.resource != w->c->resource || kept.from != w->sent_revision ||
        kept.kind != w->c->kind || !sees_all(w) || !slice_is(buf_view(&kept.ns), w->select.ns))
        return false;
    w->sent_revision = kept.upto;
    *ret = buf_view(&kept.frames);
    return true;
}

struct slice watch_shared_keep(const struct watch *w, uint64_t from, struct buf *b) {
    if (!kept.open || !b->n || !sees_all(w)) return buf_view(b);
    struct buf before = kept.frames;
    kept.frames = *b;
    *b = before;
    kept.resource = w->c->resource;
    kept.kind = w->c->kind;
    kept.from = from;
    kept.upto = w->sent_revision;
    buf_clear(&kept.ns);
    buf_str(&kept.ns, w->select.ns);
    return buf_view(&kept.frames);
}
