/* Failures of a DaemonSet's pods by node, as a note: the uid, then "node count milliseconds". */
#include "base/own.h"
#include "controllers/daemon_pods.h"

enum { DELAY_MIN_MS = 1000, DELAY_MAX_MS = 15 * 60 * 1000, DOUBLINGS_MAX = 20 };

static const char *note_name(struct arena *a, const char *ns, const char *name) {
    return arena_printf(a, "daemonset-failures/%s/%s", ns, name);
}

static bool number(struct slice *line, int64_t *ret) {
    struct slice word;
    uint64_t n;
    if (!slice_cut(line, ' ', &word) || slice_u64(word, &n) < 0 || n > INT64_MAX) return false;
    *ret = (int64_t)n;
    return true;
}

void daemon_failures_read(struct daemon_failures *f, const struct world *w, const daemon_set *d,
                          struct arena *a) {
    *f = (struct daemon_failures){.note = note_name(a, d->metadata.namespace, d->metadata.name),
                                  .uid = str_or(d->metadata.uid, ""),
                                  .now_ms = world_now_ns(w) / 1000000,
                                  .a = a};
    const struct fact *fact = world_fact(w, f->note);
    if (!fact || fact->error) return;
    struct slice left = fact->body, line, node;
    if (!slice_cut(&left, '\n', &line) || !slice_is(line, f->uid)) return; /* of another one */
    while (slice_cut(&left, '\n', &line)) {
        struct daemon_failure x;
        if (!slice_cut(&line, ' ', &node) || !number(&line, &x.n) || !number(&line, &x.last_ms))
            continue;
        x.node = arena_strn(a, node);
        *ARENA_PUSH(a, f) = x;
    }
}

static bool forgotten(const struct daemon_failures *f, const struct daemon_failure *x) {
    return f->now_ms - x->last_ms > 2 * DELAY_MAX_MS;
}

uint64_t daemon_failure_wait_ms(struct daemon_failures *f, const char *node) {
    struct daemon_failure *x = NULL;
    for (size_t i = 0; i < f->n && !x; i++)
        if (str_eq(f->v[i].node, node)) x = &f->v[i];
    if (!x) {
        x = ARENA_PUSH(f->a, f);
        x->node = node;
    }
    if (x->n && !forgotten(f, x)) {
        int64_t delay_ms = DELAY_MIN_MS * (INT64_C(1) << MIN_OF(x->n - 1, (int64_t)DOUBLINGS_MAX));
        int64_t left_ms = x->last_ms + MIN_OF(delay_ms, (int64_t)DELAY_MAX_MS) - f->now_ms;
        if (left_ms > 0) return (uint64_t)left_ms;
    } else {
        x->n = 0;
    }
    x->n++;
    x->last_ms = f->now_ms;
    f->changed = true;
    return 0;
}

void daemon_failures_write(const struct daemon_failures *f, struct plan *p) {
    if (!f->changed) return;
    OWN(buf_done) struct buf b = {0};
    buf_printf(&b, "%s\n", f->uid);
    for (size_t i = 0; i < f->n; i++)
        if (!forgotten(f, &f->v[i]))
            buf_printf(&b, "%s %lld %lld\n", f->v[i].node, (long long)f->v[i].n,
                       (long long)f->v[i].last_ms);
    plan_note(p, f->note, buf_view(&b));
}

void daemon_failures_drop(const struct world *w, const char *ns, const char *name, struct plan *p) {
    const char *note = note_name(plan_arena(p), ns, name);
    if (world_fact(w, note)) plan_note(p, note, SLICE(""));
}
