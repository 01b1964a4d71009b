/* The note: the owner's uid, then lines of "key count milliseconds seen". */
#include "controllers/workloads/failures.h"

#include "base/own.h"

enum { DELAY_MIN_MS = 1000, DELAY_MAX_MS = 15 * 60 * 1000, DOUBLINGS_MAX = 20 };

static const char *note_name(struct arena *a, const char *kind, const char *ns, const char *name) {
    return arena_printf(a, "failures/%s/%s/%s", kind, ns, name);
}

static bool number(struct slice *line, int64_t *ret) {
    struct slice word;
    uint64_t n;
    if (!slice_cut(line, ' ', &word) || slice_u64(word, &n) < 0 || n > INT64_MAX / 2) return false;
    *ret = (int64_t)n;
    return true;
}

void failures_read(struct failures *f, const struct world *w, const struct api_object *owner,
                   struct arena *a) {
    const struct meta_v1_object_meta *m = &owner->metadata;
    *f = (struct failures){.note = note_name(a, owner->kind, m->namespace, m->name),
                           .uid = str_or(m->uid, ""),
                           .now_ms = world_now_ns(w) / 1000000,
                           .a = a};
    const struct fact *fact = world_fact(w, f->note);
    if (!fact || fact->error) return;
    struct slice left = fact->body, line, key;
    if (!slice_cut(&left, '\n', &line) || !slice_is(line, f->uid)) return; /* of another one */
    while (slice_cut(&left, '\n', &line)) {
        struct failure x;
        if (!slice_cut(&line, ' ', &key) || !number(&line, &x.n) || !number(&line, &x.last_ms) ||
            !number(&line, &x.seen))
            continue;
        x.key = arena_strn(a, key);
        *ARENA_PUSH(a, f) = x;
    }
}

static struct failure *of(struct failures *f, const char *key) {
    for (size_t i = 0; i < f->n; i++)
        if (str_eq(f->v[i].key, key)) return &f->v[i];
    struct failure *x = ARENA_PUSH(f->a, f);
    x->key = key;
    return x;
}

static bool forgotten(const struct failures *f, const struct failure *x) {
    return f->now_ms - x->last_ms > 2 * DELAY_MAX_MS;
}

static void count(struct failures *f, struct failure *x) {
    x->n = forgotten(f, x) ? 1 : x->n + 1;
    x->last_ms = f->now_ms;
    f->changed = true;
}

/* After the nth failure, the first of which costs nothing. */
static uint64_t left_ms(const struct failures *f, const struct failure *x, int64_t n) {
    if (n <= 0 || forgotten(f, x)) return 0;
    int64_t delay_ms = DELAY_MIN_MS * (INT64_C(1) << MIN_OF(n - 1, (int64_t)DOUBLINGS_MAX));
    int64_t left = x->last_ms + MIN_OF(delay_ms, (int64_t)DELAY_MAX_MS) - f->now_ms;
    return left > 0 ? (uint64_t)left : 0;
}

uint64_t failures_wait_ms(struct failures *f, const char *key) {
    struct failure *x = of(f, key);
    uint64_t wait_ms = left_ms(f, x, x->n);
    if (!wait_ms) count(f, x);
    return wait_ms;
}

uint64_t failures_pause_ms(struct failures *f, const char *key, size_t seen) {
    struct failure *x = of(f, key);
    if ((int64_t)seen > x->seen) count(f, x);
    f->changed |= (int64_t)seen != x->seen;
    x->seen = (int64_t)seen;
    return left_ms(f, x, x->n - 1);
}

void failures_write(const struct failures *f, struct plan *p) {
    if (!f->changed) return;
    OWN(buf_done) struct buf b = {0};
    buf_printf(&b, "%s\n", f->uid);
    for (size_t i = 0; i < f->n; i++)
        if (!forgotten(f, &f->v[i]))
            buf_printf(&b, "%s %lld %lld %lld\n", f->v[i].key, (long long)f->v[i].n,
                       (long long)f->v[i].last_ms, (long long)f->v[i].seen);
    plan_note(p, f->note, buf_view(&b));
}

void failures_drop(const struct world *w, const char *kind, const char *ns, const char *name,
                   struct plan *p) {
    const char *note = note_name(plan_arena(p), kind, ns, name);
    if (world_fact(w, note)) plan_note(p, note, SLICE(""));
}
