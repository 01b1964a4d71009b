/* The redo log after damage, in hostile hands, and when a sync has failed. */
#include <fcntl.h>
#include <sys/stat.h>

#include "store/durable.h"
#include "store/redo_test.h"

static bool two_records(struct store_backend *b) {
    return create_batch(b, 0, 2) && create_batch(b, 2, 2);
}

/* Changes a byte of the first record. */
static void turn_over(const char *redo) {
    OWN(close_p) int fd = open(redo, O_RDWR | O_CLOEXEC);
    char c;
    assert_int_equal(pread(fd, &c, 1, 1000), 1);
    c ^= 1;
    assert_int_equal(pwrite(fd, &c, 1, 1000), 1);
}

TEST(a_damaged_record_before_a_whole_one_is_refused) {
    struct place p;
    place_make(&p);
    crash_after(p.path, two_records);
    turn_over(p.redo);
    struct store_backend *b;
    struct err err;
    assert_true(store_sqlite.open(p.path, &b, &err) < 0);
    if (!strstr(err.text, p.redo) || !strstr(err.text, "revision 4 is there"))
        fail_msg("%s", err.text);
    turn_over(p.redo); /* nothing was changed */
    b = open_or_fail(p.path);
    assert_int_equal(stats_of(b).revision, 4);
    b->ops->close(b);
    place_remove(&p);
}

static bool round_after_round(struct store_backend *b) {
    return two_records(b) && b->ops->idle(b, NULL) == 0 && create_batch(b, 4, 1);
}

TEST(records_of_an_earlier_round_are_no_damage) {
    struct place p;
    place_make(&p);
    crash_after(p.path, round_after_round);
    struct store_backend *b = open_or_fail(p.path);
    assert_int_equal(stats_of(b).revision, 5);
    b->ops->close(b);
    struct stat st;
    assert_int_equal(stat(p.redo, &st), 0);
    assert_int_equal(st.st_size, 0); /* an older copy of the database may be put in its place */
    place_remove(&p);
}

/* ---- a record inside an object ---- */

enum {
    VALUE_AT = 60, /* of the first write, whose key has three bytes, in its record */
    FORGED_AT = REDO_ALIGN_BYTES - VALUE_AT,
    LARGE_BYTES = 3 * REDO_ALIGN_BYTES,
};

/* What the end of a key, the revision 0 that a create expects and a value could make at the
 * beginning of a block: a record without writes, far ahead. */
static bool forged(struct store_backend *b) {
    OWN(arena_free_p) struct arena *a = arena_new();
    char *value = arena_alloc(a, LARGE_BYTES), *p = value + FORGED_AT;
    memset(value, 'x', LARGE_BYTES);
    memcpy(value, "{\"rv\":\"\",\"v\":\"", 14);
    uint32_t numbers[] = {0, 0, 7, 2000};
    memcpy(p, "RED2", 4);
    memcpy(p + 8, numbers, sizeof numbers);
    memcpy(p + 24, "{\"kind\":", 8);
    uint32_t crc = crc32c(0, p + 8, 24);
    memcpy(p + 4, &crc, 4);
    memcpy(p + REDO_ALIGN_BYTES - 4, &crc, 4);
    struct store_write w = {STORE_CREATE, SLICE("/k1"), 0, 7, slice_from(value, LARGE_BYTES)};
    struct store_result res;
    return b->ops->write(b, a, &w, 1, &res, NULL) == 0 && b->ops->idle(b, NULL) == 0 &&
           create_batch(b, 1, 1);
}

TEST(a_record_inside_an_object_is_none) {
    struct place p;
    place_make(&p);
    crash_after(p.path, forged);
    char at_block[4];
    OWN(close_p) int fd = open(p.redo, O_RDONLY | O_CLOEXEC);
    assert_int_equal(pread(fd, at_block, 4, REDO_ALIGN_BYTES), 4);
    assert_memory_equal(at_block, "RED2", 4); /* else this test shows nothing */
    struct store_backend *b = open_or_fail(p.path);
    assert_int_equal(stats_of(b).revision, 2);
    b->ops->close(b);
    place_remove(&p);
}

/* ---- failures ---- */

TEST(a_store_that_cannot_be_made_anew_never_answers_again) {
    struct place p;
    place_make(&p);
    struct store_backend *b = open_without_log_table(p.path);
    turn_over(p.redo);
    stats_of(b); /* which can tell of no failure */
    turn_over(p.redo);
    /* The tables are well again, but of revision 0; the last write must not become revision 1. */
    struct err err;
    assert_int_equal(b->ops->maintain(b, &err), err_code(ERR_INTERNAL));
    assert_false(create_batch(b, 1, 1));
    sqlite_close_damaged((struct sqlite_backend *)b);
    b = open_or_fail(p.path);
    assert_int_equal(stats_of(b).revision, 4);
    b->ops->close(b);
    place_remove(&p);
}

/* A file that counts. */
static struct {
    int64_t written;
    int synced, write_result, sync_result;
} calls;

static int count_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at) { return SQLITE_OK; }

static int count_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at) {
    assert_int_equal(at, calls.written);
    calls.written += n;
    return calls.write_result;
}

static int count_sync(sqlite3_file *f, int flags) {
    calls.synced++;
    return calls.sync_result;
}

TEST(what_was_found_is_written_again_and_synced) {
    static const sqlite3_io_methods methods = {
        .iVersion = 1, .xRead = count_read, .xWrite = count_write, .xSync = count_sync};
    sqlite3_file file = {&methods};
    const struct {
        int64_t n;
        int write_result, sync_result, want;
    } cases[] = {{200000, SQLITE_OK, SQLITE_OK, 0},
                 {10, SQLITE_OK, SQLITE_IOERR_FSYNC, err_code(ERR_INTERNAL)},
                 {10, SQLITE_IOERR_WRITE, SQLITE_OK, err_code(ERR_INTERNAL)},
                 {10, SQLITE_FULL, SQLITE_OK, 0}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        calls.written = calls.synced = 0;
        calls.write_result = cases[i].write_result;
        calls.sync_result = cases[i].sync_result;
        struct err err;
        assert_int_equal(durable_again(&file, cases[i].n, &err), cases[i].want);
        assert_int_equal(calls.written, cases[i].n);
        assert_int_equal(calls.synced, cases[i].write_result != SQLITE_IOERR_WRITE);
    }
}
