/* What is durable in the redo log only: found again after a crash, and never taken for more. */
#include "store/redo_test.h"

#include <fcntl.h>
#include <sys/stat.h>

static int row_count(void *user, const struct store_event *row) {
    ++*(uint64_t *)user;
    return 0;
}

/* 1 + 70 + 100 creates, of which two records are larger than one call of the VFS takes. */
static bool several_batches(struct store_backend *b) {
    return create_batch(b, 0, 1) && create_batch(b, 1, 70) && create_batch(b, 71, 100) &&
           change(b, STORE_UPDATE, "/k3", 3) && change(b, STORE_DELETE, "/k4", 4);
}

TEST(what_only_the_redo_log_holds_is_there_after_a_crash) {
    struct place p;
    place_make(&p);
    crash_after(p.path, several_batches);
    assert_int_equal(database_int(p.path, "SELECT revision FROM meta"), 0);
    struct store_backend *b = open_or_fail(p.path);
    struct store_stats st = stats_of(b);
    assert_int_equal(st.revision, 173);
    assert_int_equal(st.objects, 170);
    assert_int_equal(st.log_rows, 173);
    uint64_t rows = 0;
    assert_int_equal(b->ops->log(b, 0, 0, row_count, &rows, NULL), 0);
    assert_int_equal(rows, 173);
    assert_true(change(b, STORE_UPDATE, "/k3", 172));
    b->ops->close(b);
    place_remove(&p);
}

/* ---- a write that comes alone ---- */

static bool behind(struct store_backend *b) { return ((struct sqlite_backend *)b)->behind; }

static int sees_log(struct store_backend *b) {
    uint64_t rows = 0;
    assert_int_equal(b->ops->log(b, 0, 0, row_count, &rows, NULL), 0);
    return (int)rows;
}

static int sees_range(struct store_backend *b) {
    uint64_t rows = 0, revision;
    assert_int_equal(
        b->ops->range(b, &(struct store_range){SLICE("/")}, row_count, &rows, &revision, NULL), 0);
    assert_int_equal(revision, 1);
    return (int)rows;
}

static int sees_past(struct store_backend *b) {
    uint64_t rows = 0;
    assert_int_equal(b->ops->past(b, 1, row_count, &rows, NULL), 0);
    return 1;
}

static int sees_stats(struct store_backend *b) {
    struct store_stats st = stats_of(b);
    return st.revision == 1 && st.objects == 1 && st.log_rows == 1;
}

static int sees_write(struct store_backend *b) {
    return !create_batch(b, 0, 1) && change(b, STORE_UPDATE, "/k1", 1);
}

static int sees_batch(struct store_backend *b) { return create_batch(b, 1, 2); }

static int sees_compact(struct store_backend *b) {
    assert_int_equal(b->ops->compact(b, 0, 10, NULL), 0);
    return stats_of(b).compacted == 1;
}

static int sees_maintain(struct store_backend *b) { return b->ops->maintain(b, NULL) == 0; }
static int sees_idle(struct store_backend *b) { return b->ops->idle(b, NULL) == 0; }

TEST(whatever_is_asked_after_a_lone_write_sees_it) {
    static int (*const asked[])(struct store_backend *) = {sees_log,     sees_range,    sees_past,
                                                           sees_stats,   sees_write,    sees_batch,
                                                           sees_compact, sees_maintain, sees_idle};
    for (size_t i = 0; i < ARRAY_LEN(asked); i++) {
        struct place p;
        place_make(&p);
        struct store_backend *b = open_or_fail(p.path);
        assert_true(create_batch(b, 0, 1));
        assert_true(behind(b)); /* else this test shows nothing */
        if (asked[i](b) != 1) fail_msg("the operation %zu does not see it", i);
        uint64_t revision = stats_of(b).revision;
        assert_false(behind(b));
        b->ops->close(b);
        b = open_or_fail(p.path);
        assert_int_equal(stats_of(b).revision, revision);
        b->ops->close(b);
        place_remove(&p);
    }
}

TEST(a_lone_write_of_each_kind_is_judged_before_the_tables_have_it) {
    struct place p;
    place_make(&p);
    struct store_backend *b = open_or_fail(p.path);
    assert_true(create_batch(b, 0, 1));
    assert_false(create_batch(b, 0, 1));
    assert_false(change(b, STORE_UPDATE, "/k1", 7));
    assert_false(change(b, STORE_DELETE, "/none", 1));
    assert_int_equal(stats_of(b).revision, 1); /* what is refused leaves nothing */
    assert_true(change(b, STORE_UPDATE, "/k1", 1));
    assert_false(change(b, STORE_DELETE, "/k1", 1));
    assert_true(change(b, STORE_DELETE, "/k1", 2));
    b->ops->close(b); /* which puts the last one into the tables */
    assert_int_equal(database_int(p.path, "SELECT revision FROM meta"), 3);
    assert_int_equal(database_int(p.path, "SELECT count(*) FROM objects"), 0);
    place_remove(&p);
}

TEST(tables_that_do_not_take_a_lone_write_are_made_anew) {
    struct place p;
    place_make(&p);
    struct store_backend *b = open_without_log_table(p.path);
    assert_int_equal(sees_log(b), 4);
    assert_true(change(b, STORE_UPDATE, "/k4", 4));
    b->ops->close(b);
    place_remove(&p);
}

TEST(tables_that_cannot_be_made_anew_end_the_use) {
    struct place p;
    place_make(&p);
    struct store_backend *b = open_or_fail(p.path);
    assert_true(create_batch(b, 0, 1));
    sqlite3 *db = ((struct sqlite_backend *)b)->db;
    assert_int_equal(sqlite3_exec(db, "DROP TABLE log; COMMIT", NULL, NULL, NULL), SQLITE_OK);
    struct err err;
    for (int i = 0; i < 2; i++) { /* the second time too */
        assert_int_equal(b->ops->maintain(b, &err), err_code(ERR_INTERNAL));
        assert_false(create_batch(b, 1, 1));
    }
    sqlite_close_damaged((struct sqlite_backend *)b);
    place_remove(&p);
}

static bool one_more(struct store_backend *b) {
    struct store_stats st = stats_of(b);
    return create_batch(b, st.revision, 1);
}

TEST(crash_after_crash_continues_the_redo_log) {
    struct place p;
    place_make(&p);
    for (uint64_t i = 1; i <= 5; i++) {
        crash_after(p.path, one_more);
        assert_int_equal(database_int(p.path, "SELECT revision FROM meta"), 0);
    }
    struct store_backend *b = open_or_fail(p.path);
    assert_int_equal(stats_of(b).revision, 5);
    b->ops->close(b);
    assert_int_equal(database_int(p.path, "SELECT revision FROM meta"), 5);
    b = open_or_fail(p.path);
    assert_int_equal(stats_of(b).objects, 5);
    b->ops->close(b);
    place_remove(&p);
}

static bool many_batches(struct store_backend *b) {
    for (uint64_t i = 0; i < 70; i++)
        if (!create_batch(b, i * 50, 50) || b->ops->maintain(b, NULL) < 0) return false;
    return true;
}

TEST(the_redo_log_begins_again_and_stays_small) {
    struct place p;
    place_make(&p);
    crash_after(p.path, many_batches);
    struct stat st;
    assert_int_equal(stat(p.redo, &st), 0);
    assert_true(st.st_size <= REDO_BYTES_MAX);
    int64_t settled = database_int(p.path, "SELECT revision FROM meta");
    if (settled <= 0 || settled >= 3500) fail_msg("settled at %lld", (long long)settled);
    struct store_backend *b = open_or_fail(p.path);
    assert_int_equal(stats_of(b).revision, 3500);
    assert_int_equal(stats_of(b).objects, 3500);
    b->ops->close(b);
    place_remove(&p);
}

static bool large_batch(struct store_backend *b) {
    return create_batch(b, 0, 3) && create_batch(b, 3, 600) && create_batch(b, 603, 2);
}

TEST(a_batch_too_large_for_the_redo_log_is_durable_too) {
    struct place p;
    place_make(&p);
    crash_after(p.path, large_batch);
    assert_int_equal(database_int(p.path, "SELECT revision FROM meta"), 603);
    struct store_backend *b = open_or_fail(p.path);
    assert_int_equal(stats_of(b).revision, 605);
    b->ops->close(b);
    place_remove(&p);
}

static bool two_batches(struct store_backend *b) {
    return create_batch(b, 0, 2) && create_batch(b, 2, 2);
}

TEST(a_torn_record_ends_the_redo_log) {
    struct place p;
    place_make(&p);
    crash_after(p.path, two_batches);
    OWN(close_p) int fd = open(p.redo, O_RDWR | O_CLOEXEC);
    off_t in_second = REDO_ALIGN_BYTES + 1000; /* each has less than that */
    assert_int_equal(pwrite(fd, "\0", 1, in_second), 1);
    struct store_backend *b = open_or_fail(p.path);
    assert_int_equal(stats_of(b).revision, 2);
    assert_true(create_batch(b, 2, 1));
    b->ops->close(b);
    place_remove(&p);
}

TEST(a_record_without_its_seal_was_never_written) {
    struct place p;
    place_make(&p);
    crash_after(p.path, two_batches);
    OWN(close_p) int fd = open(p.redo, O_RDWR | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "\0\0\0\0", 4, 2 * REDO_ALIGN_BYTES - 4), 4);
    struct store_backend *b = open_or_fail(p.path);
    assert_int_equal(stats_of(b).revision, 2);
    b->ops->close(b);
    place_remove(&p);
}

/* Moves the records together, as they were before they began at blocks. */
static void make_packed(const char *redo) {
    static const char magic[4] = "REDO";
    OWN(close_p) int fd = open(redo, O_RDWR | O_CLOEXEC);
    off_t from = 0, to = 0;
    char record[3 * REDO_ALIGN_BYTES];
    for (;;) {
        uint32_t body_bytes;
        assert_int_equal(pread(fd, record, sizeof record, from), sizeof record);
        if (memcmp(record, "RED2", 4) != 0) break;
        memcpy(&body_bytes, record + 8, 4);
        memcpy(record, magic, sizeof magic);
        size_t n = 32 + body_bytes;
        assert_int_equal(pwrite(fd, record, n, to), n);
        from += (off_t)((n + REDO_ALIGN_BYTES - 1) / REDO_ALIGN_BYTES * REDO_ALIGN_BYTES);
        to += (off_t)n;
    }
    assert_int_equal(pwrite(fd, "\0\0\0\0", 4, to), 4);
}

TEST(the_redo_log_of_an_older_atoll_is_applied_and_begins_again) {
    struct place p;
    place_make(&p);
    crash_after(p.path, two_batches);
    make_packed(p.redo);
    struct store_backend *b = open_or_fail(p.path);
    assert_int_equal(stats_of(b).revision, 4);
    b->ops->close(b);
    crash_after(p.path, one_more);
    b = open_or_fail(p.path);
    assert_int_equal(stats_of(b).revision, 5);
    b->ops->close(b);
    place_remove(&p);
}

TEST(a_crash_after_an_older_redo_log_loses_nothing) {
    struct place p;
    place_make(&p);
    crash_after(p.path, two_batches);
    make_packed(p.redo);
    crash_after(p.path, one_more);
    crash_after(p.path, one_more);
    struct store_backend *b = open_or_fail(p.path);
    assert_int_equal(stats_of(b).revision, 6);
    assert_int_equal(stats_of(b).objects, 6);
    b->ops->close(b);
    place_remove(&p);
}

static bool settled_then_two(struct store_backend *b) {
    return create_batch(b, 0, 5) && b->ops->idle(b, NULL) == 0 && create_batch(b, 5, 2);
}

TEST(the_redo_log_of_another_database_is_refused) {
    struct place p, other;
    place_make(&p);
    place_make(&other);
    crash_after(p.path, settled_then_two);
    assert_int_equal(rename(p.redo, other.redo), 0);
    struct store_backend *b;
    struct err err;
    assert_true(store_sqlite.open(other.path, &b, &err) < 0);
    if (!strstr(err.text, other.redo) || !strstr(err.text, "damaged")) fail_msg("%s", err.text);
    place_remove(&p);
    place_remove(&other);
}

/* A database as Atoll made it before values were kept in the log alone: two objects, the older
 * one's row of the log compacted. */
static void make_second_format(const char *path) {
    sqlite3 *db;
    OWN(buf_done) struct buf sql = {0};
    const struct slice a = SLICE("/a"), b = SLICE("/b"), v1 = SLICE("{\"rv\":\"1\"}"),
                       v3 = SLICE("{\"rv\":\"3\"}");
    uint64_t n[] = {1, 3, 2, 2, v1.n, v3.n};
    uint32_t crc[2] = {0, 0};
    const struct slice keys[2] = {a, b}, values[2] = {v1, v3};
    for (int i = 0; i < 2;
         i++) { /* revision, create revision, key, value; each text with a length */
        crc[i] = crc32c(crc32c(0, &n[i], 8), i ? &n[1] : &n[0], 8);
        crc[i] = crc32c(crc32c(crc[i], &n[2], 8), keys[i].p, keys[i].n);
        crc[i] = crc32c(crc32c(crc[i], &n[4 + i], 8), values[i].p, values[i].n);
    }
    uint8_t op = STORE_CREATE;
    uint64_t zero = 0;
    uint32_t log = crc32c(crc32c(crc32c(0, &op, 1), &n[1], 8), &zero, 8);
    log = crc32c(crc32c(crc32c(crc32c(log, &n[2], 8), b.p, b.n), &n[5], 8), v3.p, v3.n);
    op = STORE_DELETE;
    uint64_t two = 2;
    uint32_t gone = crc32c(crc32c(crc32c(0, &op, 1), &two, 8), &zero, 8);
    gone = crc32c(crc32c(crc32c(crc32c(gone, &n[2], 8), "/x", 2), &n[4], 8), v1.p, v1.n);
    uint64_t revision = 3, compacted = 1;
    uint32_t meta = crc32c(crc32c(0, &revision, 8), &compacted, 8);
    buf_printf(
        &sql,
        "CREATE TABLE meta(id INTEGER PRIMARY KEY CHECK(id = 1), revision INTEGER NOT NULL,"
        " compacted INTEGER NOT NULL, crc INTEGER NOT NULL) STRICT;"
        "CREATE TABLE objects(id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE,"
        " revision INTEGER NOT NULL, create_revision INTEGER NOT NULL, value BLOB NOT NULL,"
        " crc INTEGER NOT NULL) STRICT;"
        "CREATE TABLE log(revision INTEGER PRIMARY KEY, op INTEGER NOT NULL,"
        " prev_revision INTEGER NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL,"
        " crc INTEGER NOT NULL) STRICT;"
        "PRAGMA application_id = 1096044364; PRAGMA user_version = 2; PRAGMA journal_mode = WAL;"
        "INSERT INTO meta VALUES(1, 3, 1, %u);"
        "INSERT INTO objects VALUES(1, CAST('/a' AS BLOB), 1, 1, CAST('%s' AS BLOB), %u);"
        "INSERT INTO objects VALUES(2, CAST('/b' AS BLOB), 3, 3, CAST('%s' AS BLOB), %u);"
        "INSERT INTO log VALUES(2, 3, 0, CAST('/x' AS BLOB), CAST('%s' AS BLOB), %u);"
        "INSERT INTO log VALUES(3, 1, 0, CAST('/b' AS BLOB), CAST('%s' AS BLOB), %u);",
        meta, v1.p, crc[0], v3.p, crc[1], v1.p, gone, v3.p, log);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    char *why = NULL;
    if (sqlite3_exec(db, sql.p, NULL, NULL, &why) != SQLITE_OK) fail_msg("%s", why);
    sqlite3_close(db);
}

static int row_text(void *user, const struct store_event *e) {
    buf_printf(user, "%llu %.*s %.*s\n", (unsigned long long)e->revision, (int)e->key.n, e->key.p,
               (int)e->value.n, e->value.p);
    return 0;
}

static void expect_rows(struct store_backend *b, uint64_t revision, const char *want) {
    OWN(buf_done) struct buf text = {0};
    struct store_range all = {SLICE("/"), {0}, revision, 0};
    uint64_t at;
    assert_int_equal(b->ops->range(b, &all, row_text, &text, &at, NULL), 0);
    assert_string_equal(text.p, want);
}

TEST(a_database_of_an_older_format_is_taken_over_and_a_newer_one_refused) {
    for (int version = 1; version <= 2; version++) {
        struct place p;
        place_make(&p);
        make_second_format(p.path);
        if (version == 1) database_int(p.path, "PRAGMA user_version = 1");
        struct store_backend *b = open_or_fail(p.path);
        assert_int_equal(stats_of(b).objects, 2);
        assert_int_equal(stats_of(b).log_rows, 2);
        expect_rows(b, 0, "1 /a {\"rv\":\"1\"}\n3 /b {\"rv\":\"3\"}\n");
        assert_true(change(b, STORE_UPDATE, "/a", 1));
        expect_rows(b, 3, "1 /a {\"rv\":\"1\"}\n3 /b {\"rv\":\"3\"}\n");
        assert_int_equal(b->ops->compact(b, 0, 100, NULL), 0);
        b->ops->close(b);
        assert_int_equal(database_int(p.path, "SELECT count(*) FROM log"), 2);
        assert_int_equal(database_int(p.path, "PRAGMA user_version"), 3);
        b = open_or_fail(p.path);
        assert_int_equal(stats_of(b).objects, 2);
        b->ops->close(b);
        database_int(p.path, "PRAGMA user_version = 4");
        struct err err;
        assert_true(store_sqlite.open(p.path, &b, &err) < 0);
        assert_non_null(strstr(err.text, "newer"));
        place_remove(&p);
    }
}

TEST(an_older_database_that_is_damaged_is_left_as_it_is) {
    struct place p;
    place_make(&p);
    make_second_format(p.path);
    database_int(p.path, "UPDATE objects SET value = x'00' WHERE id = 1");
    struct store_backend *b;
    struct err err;
    assert_true(store_sqlite.open(p.path, &b, &err) < 0);
    if (!strstr(err.text, "wrong checksum of /a")) fail_msg("%s", err.text);
    assert_int_equal(database_int(p.path, "PRAGMA user_version"), 2);
    assert_int_equal(database_int(p.path, "SELECT count(*) FROM log"), 2);
    place_remove(&p);
}
