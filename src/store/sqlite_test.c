/* What only a disk can do wrong: crashes, damage, full disks, failing fsync. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/own.h"
#include "base/test.h"
#include "store/backend.h"

static const char *const suffixes[] = {"", "-wal", "-shm", "-journal", "-redo"};

struct place {
    char dir[64], path[96];
};

static void place_make(struct place *p) {
    snprintf(p->dir, sizeof p->dir, "/tmp/atoll-store-test-XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    snprintf(p->path, sizeof p->path, "%s/store.db", p->dir);
}

static void place_remove(struct place *p) {
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        char path[128];
        snprintf(path, sizeof path, "%s%s", p->path, suffixes[i]);
        unlink(path);
    }
    rmdir(p->dir);
}

static struct store_backend *open_or_fail(const char *path) {
    struct store_backend *b;
    struct err err;
    if (store_sqlite.open(path, &b, &err) < 0) fail_msg("%s", err.text);
    return b;
}

static int put(struct store_backend *b, uint8_t op, const char *key, uint64_t expected,
               struct store_result *res, struct err *err) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct store_write w = {op, slice_of(key), expected, 7, SLICE("{\"rv\":\"\",\"v\":\"1\"}")};
    return b->ops->write(b, a, &w, 1, res, err);
}

TEST(the_revision_survives_restart_compaction_and_deletion) {
    struct place p;
    place_make(&p);
    struct store_backend *b = open_or_fail(p.path);
    struct store_result res;
    assert_int_equal(put(b, STORE_CREATE, "/a", 0, &res, NULL), 0);
    assert_int_equal(put(b, STORE_DELETE, "/a", 1, &res, NULL), 0);
    assert_int_equal(b->ops->compact(b, 0, 10, NULL), 0);
    b->ops->close(b);
    b = open_or_fail(p.path);
    struct store_stats st;
    b->ops->stats(b, &st);
    assert_int_equal(st.revision, 2);
    assert_int_equal(st.compacted, 2);
    assert_int_equal(st.objects, 0);
    assert_int_equal(put(b, STORE_CREATE, "/a", 0, &res, NULL), 0);
    assert_int_equal(res.revision, 3);
    b->ops->close(b);
    place_remove(&p);
}

/* ---- kill -9 ---- */

static _Noreturn void crash_writer(const char *path, int fd) {
    struct store_backend *b;
    struct store_stats st;
    if (store_sqlite.open(path, &b, NULL) < 0) _exit(2);
    b->ops->stats(b, &st);
    for (;;) {
        OWN(arena_free_p) struct arena *a = arena_new();
        struct store_write w[4];
        struct store_result res[4];
        for (uint64_t i = 0; i < 4; i++)
            w[i] = (struct store_write){
                STORE_CREATE,
                slice_of(arena_printf(a, "/k%llu", (unsigned long long)(st.revision + i + 1))), 0,
                7, SLICE("{\"rv\":\"\",\"v\":\"1\"}")};
        if (b->ops->write(b, a, w, 4, res, NULL) < 0) _exit(3);
        st.revision = res[3].revision;
        if (b->ops->maintain(b, NULL) < 0 || b->ops->compact(b, 50, 100, NULL) < 0) _exit(4);
        if (write(fd, &st.revision, sizeof st.revision) != sizeof st.revision) _exit(5);
    }
}

/* Lets a writer run for a while, kills it, returns the last revision it acknowledged. */
static uint64_t crash_once(const char *path, long run_us) {
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) crash_writer(path, fds[1]);
    close(fds[1]);
    uint64_t acknowledged = 0, v;
    assert_int_equal(read(fds[0], &acknowledged, sizeof acknowledged), sizeof acknowledged);
    nanosleep(&(struct timespec){0, run_us * 1000}, NULL);
    kill(pid, SIGKILL);
    while (read(fds[0], &v, sizeof v) == sizeof v) acknowledged = v;
    close(fds[0]);
    int status;
    waitpid(pid, &status, 0);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    return acknowledged;
}

struct key_check {
    uint64_t count, max;
};

static int key_row(void *user, const struct store_event *e) {
    struct key_check *k = user;
    uint64_t n = 0;
    assert_int_equal(slice_u64(slice_from(e->key.p + 2, e->key.n - 2), &n), 0);
    assert_int_equal(n, e->revision);
    k->count++;
    k->max = n > k->max ? n : k->max;
    return 0;
}

TEST(acknowledged_writes_survive_kill_9) {
    struct place p;
    place_make(&p);
    uint64_t acknowledged = 0;
    for (int i = 0; i < 25; i++) {
        uint64_t now = crash_once(p.path, 200 + 731 * i % 9000);
        assert_true(now > acknowledged);
        acknowledged = now;
        struct store_backend *b = open_or_fail(p.path);
        struct key_check k = {0};
        uint64_t at;
        struct store_range all = {SLICE("/"), {0}, 0, 0};
        assert_int_equal(b->ops->range(b, &all, key_row, &k, &at, NULL), 0);
        assert_true(at >= acknowledged);
        assert_int_equal(k.count, at);
        assert_int_equal(k.max, at);
        assert_int_equal(at % 4, 0); /* no batch is half there */
        struct store_stats st;
        b->ops->stats(b, &st);
        assert_true(st.revision - st.compacted <= 58);
        acknowledged = at;
        b->ops->close(b);
    }
    place_remove(&p);
}

/* ---- damage ---- */

static uint64_t place_fingerprint(const struct place *p) {
    uint64_t sum = 0;
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        char path[128], bytes[65536];
        snprintf(path, sizeof path, "%s%s", p->path, suffixes[i]);
        OWN(close_p) int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n;
        while (fd >= 0 && (n = read(fd, bytes, sizeof bytes)) > 0)
            sum = sum * 31 + crc32c(0, bytes, (size_t)n);
    }
    return sum;
}

static void expect_refused(const struct place *p, const char *why) {
    uint64_t before = place_fingerprint(p);
    struct store_backend *b = NULL;
    struct err err;
    assert_true(store_sqlite.open(p->path, &b, &err) < 0);
    if (!strstr(err.text, why) || !strstr(err.text, p->path)) fail_msg("%s", err.text);
    assert_int_equal(place_fingerprint(p), before);
}

static void fill(const char *path) {
    struct store_backend *b = open_or_fail(path);
    struct store_result res;
    for (int i = 0; i < 50; i++) {
        char key[16];
        snprintf(key, sizeof key, "/key%d", i);
        assert_int_equal(put(b, STORE_CREATE, key, 0, &res, NULL), 0);
    }
    b->ops->close(b);
}

static void sql(const char *path, const char *text) {
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

TEST(a_changed_row_is_found_at_start) {
    static const char *const damages[] = {
        "UPDATE objects SET revision = 9 WHERE key = CAST('/key7' AS BLOB)",
        "DELETE FROM log WHERE revision = 1",
        "UPDATE log SET value = x'00' WHERE revision = 9",
        "UPDATE meta SET revision = revision - 1",
        "DELETE FROM log WHERE revision = 20",
        "UPDATE meta SET revision = 10, crc = 0",
    };
    for (size_t i = 0; i < ARRAY_LEN(damages); i++) {
        struct place p;
        place_make(&p);
        fill(p.path);
        sql(p.path, damages[i]);
        expect_refused(&p, "is damaged");
        place_remove(&p);
    }
}

TEST(a_file_that_is_no_database_is_refused) {
    struct place p;
    place_make(&p);
    OWN(fclose_p) FILE *f = fopen(p.path, "we");
    for (int i = 0; i < 3000; i++) fputs("not a database ", f);
    fflush(f);
    expect_refused(&p, "is damaged");
    place_remove(&p);
}

TEST(overwritten_pages_are_found_at_start) {
    struct place p;
    place_make(&p);
    fill(p.path);
    struct stat st;
    assert_int_equal(stat(p.path, &st), 0);
    enum { PAGE = 16384 };
    int found = 0;
    for (off_t page = 1; page < st.st_size / PAGE; page++) {
        char good[PAGE], bad[PAGE];
        OWN(close_p) int fd = open(p.path, O_RDWR | O_CLOEXEC);
        assert_int_equal(pread(fd, good, PAGE, page * PAGE), PAGE);
        memset(bad, 0xa5, sizeof bad);
        assert_int_equal(pwrite(fd, bad, PAGE, page * PAGE), PAGE);
        struct store_backend *b = NULL;
        struct err err;
        if (store_sqlite.open(p.path, &b, &err) < 0)
            found++;
        else
            b->ops->close(b);
        assert_int_equal(pwrite(fd, good, PAGE, page * PAGE), PAGE);
    }
    assert_int_equal(found, st.st_size / PAGE - 1);
    struct store_backend *b = open_or_fail(p.path);
    b->ops->close(b);
    place_remove(&p);
}

TEST(a_log_without_its_database_is_refused) {
    struct place p;
    place_make(&p);
    char wal[128];
    snprintf(wal, sizeof wal, "%s-wal", p.path);
    OWN(fclose_p) FILE *f = fopen(wal, "we");
    fputs("frames", f);
    fflush(f);
    expect_refused(&p, "is damaged");
    place_remove(&p);
}

TEST(a_second_store_on_the_same_file_is_refused) {
    struct place p;
    place_make(&p);
    fill(p.path);
    struct store_backend *b = open_or_fail(p.path);
    pid_t pid = fork(); /* locks belong to processes */
    if (pid == 0) {
        struct store_backend *other;
        struct err err;
        _exit(store_sqlite.open(p.path, &other, &err) < 0 && strstr(err.text, "in use") ? 0 : 1);
    }
    int status;
    waitpid(pid, &status, 0);
    assert_int_equal(status, 0);
    b->ops->close(b);
    place_remove(&p);
}

/* ---- failing I/O: a VFS that passes everything on until told otherwise ---- */

static int fault_writes = -1; /* writes until the disk is full; −1 = never */
static bool fault_sync;

/* Unix files have one table of methods with locks and one without; the writing is the same. */
static struct fault_methods {
    const struct sqlite3_io_methods *real;
    struct sqlite3_io_methods methods;
} fault_methods[4];

static int fault_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at) {
    if (fault_writes == 0) return SQLITE_FULL;
    if (fault_writes > 0) fault_writes--;
    return fault_methods[0].real->xWrite(f, p, n, at);
}

static int fault_sync_call(sqlite3_file *f, int flags) {
    return fault_sync ? SQLITE_IOERR_FSYNC : fault_methods[0].real->xSync(f, flags);
}

static sqlite3_vfs *real_vfs;
static sqlite3_vfs fault_vfs;

static int fault_open(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags, int *out) {
    int rc = real_vfs->xOpen(real_vfs, name, f, flags, out);
    for (size_t i = 0; rc == SQLITE_OK && i < ARRAY_LEN(fault_methods); i++) {
        struct fault_methods *m = &fault_methods[i];
        if (m->real && m->real != f->pMethods) continue;
        m->real = f->pMethods;
        m->methods = *f->pMethods;
        m->methods.xWrite = fault_write;
        m->methods.xSync = fault_sync_call;
        f->pMethods = &m->methods;
        break;
    }
    return rc;
}

static void faults_begin(void) {
    real_vfs = sqlite3_vfs_find(NULL);
    fault_vfs = *real_vfs;
    fault_vfs.zName = "fault";
    fault_vfs.pNext = NULL;
    fault_vfs.xOpen = fault_open;
    sqlite3_vfs_register(&fault_vfs, 1);
    fault_writes = -1;
    fault_sync = false;
}

static void faults_end(void) { sqlite3_vfs_unregister(&fault_vfs); }

TEST(a_full_disk_stores_nothing_and_later_writes_work) {
    for (int until = 0; until < 12; until++) {
        struct place p;
        place_make(&p);
        faults_begin();
        struct store_backend *b = open_or_fail(p.path);
        struct store_result res;
        struct err err;
        assert_int_equal(put(b, STORE_CREATE, "/a", 0, &res, NULL), 0);
        fault_writes = until;
        int r = put(b, STORE_CREATE, "/b", 0, &res, &err);
        if (r < 0) {
            assert_int_equal(r, err_code(ERR_UNAVAILABLE));
            assert_int_equal(err.reason, ERR_UNAVAILABLE);
            assert_non_null(strstr(err.text, "disk full"));
        }
        struct store_stats st;
        b->ops->stats(b, &st);
        assert_int_equal(st.revision, r < 0 ? 1 : 2);
        assert_int_equal(st.objects, r < 0 ? 1 : 2);
        fault_writes = -1;
        assert_int_equal(put(b, STORE_CREATE, "/c", 0, &res, &err), 0);
        assert_int_equal(res.revision, r < 0 ? 2 : 3);
        b->ops->close(b);
        faults_end();
        b = open_or_fail(p.path);
        b->ops->stats(b, &st);
        assert_int_equal(st.objects, r < 0 ? 2 : 3);
        b->ops->close(b);
        place_remove(&p);
    }
}

TEST(a_disk_too_full_to_end_the_transaction_loses_nothing) {
    struct place p;
    place_make(&p);
    faults_begin();
    struct store_backend *b = open_or_fail(p.path);
    struct store_result res;
    struct store_stats st;
    for (int i = 0; i < 3; i++) {
        char key[2][8] = {{'/', (char)('a' + i)}, {'/', (char)('p' + i)}};
        assert_int_equal(put(b, STORE_CREATE, key[0], 0, &res, NULL), 0);
        fault_writes = i;
        assert_int_equal(b->ops->idle(b, NULL), err_code(ERR_UNAVAILABLE));
        fault_writes = -1;
        b->ops->stats(b, &st);
        assert_int_equal(st.revision, 2 * i + 1);
        assert_int_equal(st.objects, 2 * i + 1);
        assert_int_equal(put(b, STORE_CREATE, key[0], 0, &res, NULL), 0);
        assert_int_equal(res.reason, ERR_ALREADY_EXISTS);
        assert_int_equal(put(b, STORE_CREATE, key[1], 0, &res, NULL), 0);
        assert_int_equal(b->ops->idle(b, NULL), 0);
    }
    b->ops->close(b);
    faults_end();
    b = open_or_fail(p.path);
    b->ops->stats(b, &st);
    assert_int_equal(st.revision, 6);
    assert_int_equal(st.objects, 6);
    b->ops->close(b);
    place_remove(&p);
}

TEST(a_failed_fsync_is_never_acknowledged) {
    struct place p;
    place_make(&p);
    faults_begin();
    struct store_backend *b = open_or_fail(p.path);
    struct store_result res;
    struct err err;
    assert_int_equal(put(b, STORE_CREATE, "/a", 0, &res, NULL), 0);
    fault_sync = true;
    int r = put(b, STORE_CREATE, "/b", 0, &res, &err);
    assert_true(r < 0);
    assert_int_not_equal(r, err_code(ERR_UNAVAILABLE)); /* the server ends the process */
    fault_sync = false;
    b->ops->close(b);
    faults_end();
    b = open_or_fail(p.path);
    struct store_stats st;
    b->ops->stats(b, &st);
    assert_true(st.revision >= 1);
    b->ops->close(b);
    place_remove(&p);
}

TEST(a_first_start_that_ended_early_does_no_harm) {
    struct place p;
    place_make(&p);
    FILE *f = fopen(p.path, "we"); /* created, nothing written */
    assert_non_null(f);
    fclose(f);
    struct store_backend *b = open_or_fail(p.path);
    struct store_result res;
    assert_int_equal(put(b, STORE_CREATE, "/a", 0, &res, NULL), 0);
    b->ops->close(b);
    place_remove(&p);
}
