#include "model.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/own.h"
#include "base/vec.h"

enum { KEYS = 12, BATCH_MAX = 4, VALUE_MAX = 3000, KEEP_ROWS = 30 };

struct model {
    struct arena *arena;
    struct disk_random random;
    VEC(struct store_event) log; /* every event, log.v[i].revision == i + 1 */
    uint64_t acknowledged;       /* revision */
    uint64_t started;            /* revision when the batch under way is stored */
    uint64_t compacted, compacting;
    char problem[400];
};

__attribute__((format(printf, 2, 3))) static bool wrong(struct model *m, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    if (!m->problem[0]) vsnprintf(m->problem, sizeof m->problem, format, ap);
    va_end(ap);
    return false;
}

struct model *model_new(uint64_t seed) {
    struct model *m = calloc(1, sizeof *m);
    if (!m) abort();
    m->arena = arena_new();
    m->random.state = seed * 2 + 1;
    for (int i = 0; i < 8; i++) disk_random(&m->random);
    return m;
}

void model_free(struct model *m) {
    if (!m) return;
    arena_free(m->arena);
    vec_done(&m->log);
    free(m);
}

const char *model_problem(const struct model *m) { return m->problem; }

/* The last event of a key at a revision; NULL = the key never was. */
static const struct store_event *last(const struct model *m, struct slice key, uint64_t revision) {
    for (uint64_t i = revision; i-- > 0;)
        if (slice_eq(m->log.v[i].key, key)) return &m->log.v[i];
    return NULL;
}

static const struct store_event *existing(const struct model *m, struct slice key,
                                          uint64_t revision) {
    const struct store_event *e = last(m, key, revision);
    return e && e->op != STORE_DELETE ? e : NULL;
}

/* ---- the workload ---- */

static struct slice random_value(struct model *m) {
    size_t n = 12 + (size_t)disk_below(&m->random, disk_below(&m->random, 4) ? 200 : VALUE_MAX);
    char *p = arena_alloc(m->arena, n);
    memcpy(p, "{\"rv\":\"\"", 8);
    for (size_t i = 8; i < n - 1; i++) p[i] = (char)('a' + disk_below(&m->random, 26));
    p[n - 1] = '}';
    return slice_from(p, n);
}

/* A write, and what the store has to answer: nothing, or the event it makes. */
static enum err_reason random_write(struct model *m, struct store_write *w) {
    const char *key = arena_printf(m->arena, "/things.test/ns/k%llu",
                                   (unsigned long long)disk_below(&m->random, KEYS));
    const struct store_event *now = existing(m, slice_of(key), m->log.n);
    *w = (struct store_write){.key = slice_of(key), .rv_offset = 7, .value = random_value(m)};
    w->op = STORE_CREATE;
    if (now && disk_below(&m->random, 10))
        w->op = disk_below(&m->random, 4) ? STORE_UPDATE : STORE_DELETE;
    if (w->op == STORE_CREATE) return now ? ERR_ALREADY_EXISTS : ERR_NONE;
    w->expected_revision = now->revision;
    if (disk_below(&m->random, 12)) return ERR_NONE;
    w->expected_revision++;
    return ERR_CONFLICT;
}

static void expect(struct model *m, const struct store_write *w) {
    const struct store_event *now = existing(m, w->key, m->log.n);
    struct store_event e = {.op = w->op,
                            .revision = m->log.n + 1,
                            .prev_revision = now ? now->revision : 0,
                            .key = w->key,
                            .value = store_splice(m->arena, w, m->log.n + 1)};
    vec_push(&m->log, e);
}

static int step_write(struct model *m, struct store_backend *b) {
    struct store_write w[BATCH_MAX];
    enum err_reason want[BATCH_MAX];
    struct store_result got[BATCH_MAX];
    size_t n = 1 + (size_t)disk_below(&m->random, BATCH_MAX);
    for (size_t i = 0; i < n; i++) {
        want[i] = random_write(m, &w[i]);
        if (want[i] == ERR_NONE) expect(m, &w[i]);
    }
    m->started = m->log.n;
    OWN(arena_free_p) struct arena *a = arena_new();
    struct err err;
    int rc = b->ops->write(b, a, w, n, got, &err);
    if (rc < 0) {
        /* Promised: nothing of it was applied and the store goes on. */
        if (rc == err_code(ERR_UNAVAILABLE)) {
            m->log.n = m->acknowledged;
            m->started = m->acknowledged;
        }
        return rc;
    }
    uint64_t revision = m->acknowledged;
    for (size_t i = 0; i < n; i++) {
        if (got[i].reason != want[i])
            wrong(m, "write %zu of a batch at revision %llu: reason %d, wanted %d", i,
                  (unsigned long long)revision, got[i].reason, want[i]);
        else if (want[i] == ERR_NONE && got[i].revision != ++revision)
            wrong(m, "revision %llu was given, wanted %llu", (unsigned long long)got[i].revision,
                  (unsigned long long)revision);
    }
    m->acknowledged = m->started;
    return 0;
}

int model_step(struct model *m, struct store_backend *b) {
    uint64_t what = disk_below(&m->random, 20);
    struct err err;
    if (what > 3) return step_write(m, b);
    if (what == 3) return b->ops->idle(b, &err); /* ends the transaction of many batches */
    if (what == 2) return b->ops->maintain(b, &err);
    if (m->acknowledged - m->compacted <= KEEP_ROWS) return 0;
    m->compacting = m->acknowledged - KEEP_ROWS;
    if (m->compacting > m->compacted + 16) m->compacting = m->compacted + 16;
    int rc = b->ops->compact(b, KEEP_ROWS, 16, &err);
    if (rc == 0) m->compacted = m->compacting;
    return rc;
}

/* ---- the check ---- */

struct walk {
    struct model *m;
    uint64_t revision, rows;
    bool objects;
};

static int check_row(void *user, const struct store_event *e) {
    struct walk *w = user;
    struct model *m = w->m;
    const struct store_event *want = NULL;
    if (w->objects) {
        want = existing(m, e->key, w->revision);
    } else if (w->revision < m->log.n) {
        want = &m->log.v[w->revision];
        w->revision++;
    }
    w->rows++;
    if (want && want->revision == e->revision && slice_eq(want->key, e->key) &&
        slice_eq(want->value, e->value) && (w->objects || want->op == e->op))
        return 0;
    wrong(m, "%s at %llu: row %.*s of revision %llu (%zu bytes), wanted %llu (%zu bytes)",
          w->objects ? "list" : "log", (unsigned long long)w->revision, (int)e->key.n, e->key.p,
          (unsigned long long)e->revision, e->value.n,
          (unsigned long long)(want ? want->revision : 0), want ? want->value.n : 0);
    return 1;
}

/* split: in the two parts that a restarted api asks for. */
static bool check_objects(struct model *m, struct store_backend *b, uint64_t revision, bool split) {
    struct walk w = {m, revision, 0, true};
    struct err err;
    uint64_t shown, want = 0;
    struct store_range range = {.prefix = SLICE("/"), .revision = revision, .unchanged = split};
    int rc = b->ops->range(b, &range, check_row, &w, &shown, &err);
    if (rc == 0 && split) rc = b->ops->past(b, revision, check_row, &w, &err);
    if (rc < 0)
        return wrong(m, "list at revision %llu: %s", (unsigned long long)revision, err.text);
    for (int i = 0; i < KEYS; i++) {
        char key[40];
        snprintf(key, sizeof key, "/things.test/ns/k%d", i);
        want += existing(m, slice_of(key), revision) != NULL;
    }
    if (rc == 0 && w.rows != want)
        return wrong(m, "%llu objects at revision %llu, wanted %llu", (unsigned long long)w.rows,
                     (unsigned long long)revision, (unsigned long long)want);
    return rc == 0;
}

static bool check_log(struct model *m, struct store_backend *b, uint64_t from, uint64_t to) {
    struct walk w = {m, from, 0, false};
    struct err err;
    int rc = b->ops->log(b, from, 0, check_row, &w, &err);
    if (rc < 0) return wrong(m, "log from %llu: %s", (unsigned long long)from, err.text);
    if (rc == 0 && w.revision != to)
        return wrong(m, "the log ends at %llu, wanted %llu", (unsigned long long)w.revision,
                     (unsigned long long)to);
    return rc == 0;
}

static bool check_goes_on(struct model *m, struct store_backend *b, uint64_t revision) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct store_write w = {STORE_CREATE, SLICE("/things.test/ns/after"), 0, 7,
                            SLICE("{\"rv\":\"\"}")};
    struct store_result res;
    struct err err;
    if (b->ops->write(b, a, &w, 1, &res, &err) < 0) return wrong(m, "the next write: %s", err.text);
    if (res.reason == ERR_NONE && res.revision == revision + 1) return true;
    return wrong(m, "the next write got revision %llu after %llu", (unsigned long long)res.revision,
                 (unsigned long long)revision);
}

static bool check_store(struct model *m, struct store_backend *b, struct disk_random *r) {
    struct store_stats st;
    b->ops->stats(b, &st);
    if (st.revision != m->acknowledged && st.revision != m->started)
        return wrong(m, "revision %llu after the crash: %llu was acknowledged, %llu under way",
                     (unsigned long long)st.revision, (unsigned long long)m->acknowledged,
                     (unsigned long long)m->started);
    if (st.compacted != m->compacted && st.compacted != m->compacting)
        return wrong(m, "compacted %llu after the crash: %llu was, %llu under way",
                     (unsigned long long)st.compacted, (unsigned long long)m->compacted,
                     (unsigned long long)m->compacting);
    uint64_t old = st.compacted + disk_below(r, st.revision - st.compacted + 1);
    return check_objects(m, b, st.revision, false) &&
           (!old || (check_objects(m, b, old, false) &&
                     check_objects(m, b, old, true))) && /* 0 asks for now */
           check_log(m, b, st.compacted, st.revision) &&
           check_log(m, b, old, st.revision) && check_goes_on(m, b, st.revision);
}

bool model_check(struct model *m, const char *path, struct disk_random *r) {
    struct store_backend *b;
    struct err err;
    if (store_sqlite.open(path, &b, &err) < 0) {
        return wrong(m, "after the crash: %s", err.text);
    }
    bool good = check_store(m, b, r);
    b->ops->close(b);
    return good;
}
