/* One suite for all backends. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/own.h"
#include "base/test.h"
#include "base/vec.h"
#include "store/backend.h"

static const struct store_backend_ops *const backends[] = {&store_memory, &store_sqlite};

struct fixture {
    const struct store_backend_ops *ops;
    struct store_backend *b;
    struct arena *a;
    char dir[64], path[96];
    struct store_result last;
};

static void fixture_open(struct fixture *f, const struct store_backend_ops *ops) {
    *f = (struct fixture){.ops = ops, .a = arena_new()};
    snprintf(f->dir, sizeof f->dir, "/tmp/atoll-store-test-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof f->path, "%s/store.db", f->dir);
    struct err err;
    if (ops->open(f->path, &f->b, &err) < 0) fail_msg("%s", err.text);
}

static void fixture_done(struct fixture *f) {
    f->ops->close(f->b);
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        char path[128];
        snprintf(path, sizeof path, "%s%s", f->path, suffixes[i]);
        unlink(path);
    }
    rmdir(f->dir);
    arena_free(f->a);
}

/* {"rv":"","v":"<v>"}: the smallest value with a place for the revision. */
static struct store_write write_of(struct fixture *f, uint8_t op, const char *key,
                                   uint64_t expected, const char *v) {
    char *value = arena_printf(f->a, "{\"rv\":\"\",\"v\":\"%s\"}", v);
    return (struct store_write){op, slice_of(arena_str(f->a, key)), expected, 7, slice_of(value)};
}

static enum err_reason put(struct fixture *f, uint8_t op, const char *key, uint64_t expected,
                           const char *v) {
    struct store_write w = write_of(f, op, key, expected, v);
    struct err err;
    if (f->ops->write(f->b, f->a, &w, 1, &f->last, &err) < 0) fail_msg("%s", err.text);
    return f->last.reason;
}

static int text_row(void *user, const struct store_event *e) {
    struct buf *b = user;
    buf_printf(b, "%u:%llu:%llu:%.*s=%.*s\n", e->op, (unsigned long long)e->revision,
               (unsigned long long)e->prev_revision, (int)e->key.n, e->key.p, (int)e->value.n,
               e->value.p);
    return 0;
}

/* Keys and values of a range: "k=v k=v". */
static int brief_row(void *user, const struct store_event *e) {
    struct buf *b = user;
    const char *v = strstr(e->value.p, "\"v\":\"") + 5;
    buf_printf(b, "%s%.*s=%.*s@%llu", b->n ? " " : "", (int)e->key.n, e->key.p,
               (int)strcspn(v, "\""), v, (unsigned long long)e->revision);
    return 0;
}

static void expect_range(struct fixture *f, const char *prefix, const char *after,
                         uint64_t revision, uint32_t limit, const char *want) {
    OWN(buf_done) struct buf b = {0};
    buf_str(&b, "");
    struct store_range r = {slice_of(prefix), slice_of(after), revision, limit};
    uint64_t at = 0;
    struct err err;
    if (f->ops->range(f->b, &r, brief_row, &b, &at, &err) != 0) fail_msg("%s", err.text);
    assert_string_equal(b.p ? b.p : "", want);
    if (revision) assert_int_equal(at, revision);
}

static void each_backend(void (*check)(struct fixture *f)) {
    for (size_t i = 0; i < ARRAY_LEN(backends); i++) {
        struct fixture f;
        fixture_open(&f, backends[i]);
        check(&f);
        fixture_done(&f);
    }
}

static void check_writes(struct fixture *f) {
    assert_int_equal(put(f, STORE_CREATE, "/a", 0, "1"), ERR_NONE);
    assert_int_equal(f->last.revision, 1);
    assert_string_equal(f->last.value.p, "{\"rv\":\"1\",\"v\":\"1\"}");
    assert_int_equal(put(f, STORE_CREATE, "/a", 0, "x"), ERR_ALREADY_EXISTS);
    assert_int_equal(put(f, STORE_UPDATE, "/a", 9, "x"), ERR_CONFLICT);
    assert_int_equal(f->last.revision, 1);
    assert_int_equal(put(f, STORE_UPDATE, "/b", 1, "x"), ERR_NOT_FOUND);
    assert_int_equal(put(f, STORE_DELETE, "/b", 1, "x"), ERR_NOT_FOUND);
    assert_int_equal(put(f, STORE_UPDATE, "/a", 1, "2"), ERR_NONE);
    assert_int_equal(f->last.revision, 2);
    assert_int_equal(f->last.prev_revision, 1);
    assert_int_equal(put(f, STORE_DELETE, "/a", 1, "3"), ERR_CONFLICT);
    assert_int_equal(put(f, STORE_DELETE, "/a", 2, "3"), ERR_NONE);
    assert_int_equal(put(f, STORE_CREATE, "/a", 0, "4"), ERR_NONE);
    assert_int_equal(f->last.prev_revision, 0);
    struct store_stats st;
    f->ops->stats(f->b, &st);
    assert_int_equal(st.revision, 4);
    assert_int_equal(st.objects, 1);
    assert_int_equal(st.log_rows, 4);
    OWN(buf_done) struct buf b = {0};
    assert_int_equal(f->ops->log(f->b, 1, 2, text_row, &b, NULL), 0);
    assert_string_equal(b.p, "2:2:1:/a={\"rv\":\"2\",\"v\":\"2\"}\n"
                             "3:3:2:/a={\"rv\":\"3\",\"v\":\"3\"}\n");
}

TEST(writes_get_gapless_revisions_and_preconditions_hold) { each_backend(check_writes); }

static void check_batch(struct fixture *f) {
    struct store_write w[] = {
        write_of(f, STORE_CREATE, "/a", 0, "1"), write_of(f, STORE_CREATE, "/a", 0, "2"),
        write_of(f, STORE_UPDATE, "/a", 1, "3"), write_of(f, STORE_UPDATE, "/a", 1, "4"),
        write_of(f, STORE_DELETE, "/a", 2, "5"), write_of(f, STORE_CREATE, "/a", 0, "6")};
    struct store_result res[ARRAY_LEN(w)];
    assert_int_equal(f->ops->write(f->b, f->a, w, ARRAY_LEN(w), res, NULL), 0);
    static const enum err_reason want[] = {ERR_NONE,     ERR_ALREADY_EXISTS, ERR_NONE,
                                           ERR_CONFLICT, ERR_NONE,           ERR_NONE};
    for (size_t i = 0; i < ARRAY_LEN(w); i++) assert_int_equal(res[i].reason, want[i]);
    assert_int_equal(res[5].revision, 4);
    expect_range(f, "/", "", 0, 0, "/a=6@4");
}

TEST(a_batch_sees_its_own_earlier_writes) { each_backend(check_batch); }

static void check_range(struct fixture *f) {
    static const char *const keys[] = {"/p/b", "/p/a", "/q/a", "/p/c", "/p", "/p/a/x"};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) put(f, STORE_CREATE, keys[i], 0, "1");
    expect_range(f, "/p/", "", 0, 0, "/p/a=1@2 /p/a/x=1@6 /p/b=1@1 /p/c=1@4");
    expect_range(f, "/p/", "/p/a", 0, 2, "/p/a/x=1@6 /p/b=1@1");
    expect_range(f, "/p/", "/p/c", 0, 0, "");
    put(f, STORE_UPDATE, "/p/b", 1, "2");
    put(f, STORE_DELETE, "/p/a", 2, "2");
    put(f, STORE_CREATE, "/p/a", 0, "3");
    put(f, STORE_UPDATE, "/p/b", 7, "3");
    expect_range(f, "/p/", "", 6, 0, "/p/a=1@2 /p/a/x=1@6 /p/b=1@1 /p/c=1@4");
    expect_range(f, "/p/", "", 7, 0, "/p/a=1@2 /p/a/x=1@6 /p/b=2@7 /p/c=1@4");
    expect_range(f, "/p/", "", 8, 2, "/p/a/x=1@6 /p/b=2@7");
    expect_range(f, "/p/", "/p/a/x", 9, 1, "/p/b=2@7");
    expect_range(f, "/p/", "", 10, 1, "/p/a=3@9");
    struct store_range future = {SLICE("/"), {0}, 11, 0};
    uint64_t at;
    struct err err;
    OWN(buf_done) struct buf b = {0};
    assert_true(f->ops->range(f->b, &future, brief_row, &b, &at, &err) < 0);
    assert_int_equal(err.reason, ERR_EXPIRED);
}

TEST(ranges_show_any_retained_revision) { each_backend(check_range); }

static void check_compaction(struct fixture *f) {
    put(f, STORE_CREATE, "/a", 0, "1");
    put(f, STORE_CREATE, "/b", 0, "1");
    put(f, STORE_UPDATE, "/a", 1, "2");
    put(f, STORE_DELETE, "/b", 2, "2"); /* 4 */
    put(f, STORE_CREATE, "/c", 0, "1");
    put(f, STORE_UPDATE, "/a", 3, "3"); /* 6 */
    assert_int_equal(f->ops->compact(f->b, 1, 3, NULL), 0);
    struct store_stats st;
    f->ops->stats(f->b, &st);
    assert_int_equal(st.compacted, 3);
    expect_range(f, "/", "", 3, 0, "/a=2@3 /b=1@2");
    expect_range(f, "/", "", 5, 0, "/a=2@3 /c=1@5");
    struct err err;
    OWN(buf_done) struct buf b = {0};
    assert_true(f->ops->log(f->b, 2, 0, text_row, &b, &err) < 0);
    assert_int_equal(err.reason, ERR_EXPIRED);
    assert_int_equal(b.n, 0);
    assert_int_equal(f->ops->compact(f->b, 0, 100, NULL), 0);
    f->ops->stats(f->b, &st);
    assert_int_equal(st.compacted, 6);
    assert_int_equal(st.log_rows, 0);
    assert_int_equal(f->ops->log(f->b, 6, 0, text_row, &b, NULL), 0);
    /* What was compacted as current can still be listed after it changes. */
    put(f, STORE_UPDATE, "/c", 5, "2");
    put(f, STORE_DELETE, "/a", 6, "4");
    expect_range(f, "/", "", 6, 0, "/a=3@6 /c=1@5");
    expect_range(f, "/", "", 7, 0, "/a=3@6 /c=2@7");
    expect_range(f, "/", "", 8, 0, "/c=2@7");
    assert_int_equal(f->ops->compact(f->b, 0, 100, NULL), 0);
    f->ops->stats(f->b, &st);
    assert_int_equal(st.log_rows, 0);
    assert_int_equal(st.revision, 8);
    assert_int_equal(put(f, STORE_CREATE, "/a", 0, "5"), ERR_NONE);
    assert_int_equal(f->last.revision, 9);
}

TEST(compaction_keeps_what_retained_revisions_show) { each_backend(check_compaction); }

static void check_bounded(struct fixture *f) {
    put(f, STORE_CREATE, "/lease", 0, "0");
    for (int i = 0; i < 3000; i++) {
        assert_int_equal(put(f, STORE_UPDATE, "/lease", f->last.revision, "x"), ERR_NONE);
        if (i % 64 == 0) assert_int_equal(f->ops->compact(f->b, 100, 256, NULL), 0);
        arena_reset(f->a);
    }
    struct store_stats st;
    f->ops->stats(f->b, &st);
    assert_true(st.log_rows <= 100 + 64 + 1);
    assert_int_equal(st.revision, 3001);
    assert_true(st.database_bytes < 256 * 1024);
}

TEST(the_log_does_not_grow_with_renewals) { each_backend(check_bounded); }

/* All backends against the model, with random writes, compactions and old ranges. */
static void compare(struct fixture *model, struct fixture *f, uint64_t revision) {
    OWN(buf_done) struct buf x = {0}, y = {0};
    struct store_range r = {SLICE("/"), {0}, revision, 0};
    uint64_t at;
    assert_int_equal(model->ops->range(model->b, &r, text_row, &x, &at, NULL),
                     f->ops->range(f->b, &r, text_row, &y, &at, NULL));
    assert_int_equal(model->ops->log(model->b, revision, 0, text_row, &x, NULL),
                     f->ops->log(f->b, revision, 0, text_row, &y, NULL));
    assert_true(slice_eq(buf_view(&x), buf_view(&y)));
}

TEST(every_backend_does_as_the_model) {
    struct fixture model, f;
    fixture_open(&model, &store_memory);
    fixture_open(&f, &store_sqlite);
    uint64_t seed = 12345, revisions[10] = {0};
    for (int i = 0; i < 2000; i++) {
        seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
        unsigned key = (unsigned)(seed >> 40) % 10;
        uint8_t op = (uint8_t)(1 + (seed >> 50) % 3);
        char name[8];
        snprintf(name, sizeof name, "/%u", key);
        uint64_t expected = op == STORE_CREATE ? 0 : (revisions[key] ? revisions[key] : 1);
        assert_int_equal(put(&model, op, name, expected, "v"), put(&f, op, name, expected, "v"));
        if (f.last.reason == ERR_NONE) revisions[key] = f.last.revision;
        if (f.last.reason != ERR_ALREADY_EXISTS)
            assert_int_equal(model.last.revision, f.last.revision);
        if ((seed >> 45) % 16 == 0) {
            model.ops->compact(model.b, 30, 20, NULL);
            f.ops->compact(f.b, 30, 20, NULL);
        }
        struct store_stats st;
        f.ops->stats(f.b, &st);
        uint64_t span = st.revision - st.compacted + 1;
        if (i % 8 == 0) compare(&model, &f, st.compacted + (seed >> 33) % span);
    }
    fixture_done(&model);
    fixture_done(&f);
}

static struct store_write good_write(void) {
    return (struct store_write){STORE_CREATE, SLICE("/a"), 0, 7, SLICE("{\"rv\":\"\"}")};
}

TEST(malformed_writes_are_refused) {
    static const char zeros[LIMIT_STORE_VALUE_BYTES + 1];
    struct {
        struct store_write w;
        enum err_reason want;
    } cases[] = {
        {good_write(), ERR_NONE},        {good_write(), ERR_BAD_REQUEST},
        {good_write(), ERR_BAD_REQUEST}, {good_write(), ERR_BAD_REQUEST},
        {good_write(), ERR_BAD_REQUEST}, {good_write(), ERR_BAD_REQUEST},
        {good_write(), ERR_BAD_REQUEST}, {good_write(), ERR_BAD_REQUEST},
        {good_write(), ERR_BAD_REQUEST}, {good_write(), ERR_TOO_LARGE},
        {good_write(), ERR_TOO_LARGE},
    };
    cases[1].w.rv_offset = 6;
    cases[2].w.rv_offset = 100;
    cases[3].w.rv_offset = 0;
    cases[4].w.op = 4;
    cases[5].w.expected_revision = 1;
    cases[6].w.op = STORE_UPDATE;
    cases[7].w.key = SLICE("a");
    cases[8].w.key = SLICE("/a\0b");
    cases[9].w.key = slice_from(zeros, LIMIT_STORE_KEY_BYTES + 1);
    cases[10].w.value = slice_from(zeros, sizeof zeros);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err err = {0};
        store_write_check(&cases[i].w, &err);
        assert_int_equal(err.reason, cases[i].want);
    }
}

TEST(crc32c_matches_the_published_check_value) {
    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
    assert_int_equal(crc32c(crc32c(0, "1234", 4), "56789", 5), 0xe3069283);
    char zeros[32] = {0};
    assert_int_equal(crc32c(0, zeros, sizeof zeros), 0x8a9136aa);
}

TEST(a_prefix_ends_before_the_next_key) {
    OWN(arena_free_p) struct arena *a = arena_new();
    assert_true(slice_is(store_prefix_end(a, SLICE("/pods/")), "/pods0"));
    assert_int_equal(store_prefix_end(a, SLICE("\xff\xff")).n, 0);
    assert_true(slice_is(store_prefix_end(a, SLICE("a\xff")), "b"));
}
