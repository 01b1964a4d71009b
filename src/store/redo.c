#include "store/redo.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/own.h"
#include "store/durable.h"

enum {
    MAGIC_PACKED = 0x4f444552, /* "REDO": an older Atoll's */
    MAGIC = 0x32444552,        /* "RED2" */
    HEADER_BYTES = 32,
    CRC_AT = 4,
    BODY_BYTES_AT = 8,
    FROM_AT = 16,
    TO_AT = 24,
    SEAL_BYTES = 4,
    WRITE_BYTES_MIN = 25, /* of a body: the numbers of one write and the lengths of its slices */
    SIZE_MIN = 64 << 10,
    CALL_BYTES = 64 << 10, /* the unix VFS takes less than 128 KiB in one call */
    FDS_SEARCHED = 64,
};
static_assert(CALL_BYTES % REDO_ALIGN_BYTES == 0, "every piece of a record is aligned");

static void put_u32(char *p, uint32_t v) {
    for (int i = 0; i < 4; i++) p[i] = (char)(v >> 8 * i & 0xff);
}

static void put_u64(char *p, uint64_t v) {
    put_u32(p, (uint32_t)v);
    put_u32(p + 4, (uint32_t)(v >> 32));
}

static int failed(int rc, const char *doing, struct err *err) {
    if ((rc & 0xff) == SQLITE_FULL)
        return err_set(err, ERR_UNAVAILABLE, "disk full: nothing was stored; free some space");
    return err_set(err, ERR_INTERNAL, "store: %s the redo log: %s", doing, sqlite3_errstr(rc));
}

static size_t aligned(size_t n) {
    return (n + REDO_ALIGN_BYTES - 1) & ~((size_t)REDO_ALIGN_BYTES - 1);
}

/* What a record of n bytes takes, its seal included. */
static size_t sealed_bytes(size_t n) { return aligned(n + SEAL_BYTES); }

/* Past the page cache, or through it. */
static void set_direct(struct redo *r, bool on) {
    int flags = r->direct_fd >= 0 ? fcntl(r->direct_fd, F_GETFL) : -1;
    if (flags >= 0) flags = fcntl(r->direct_fd, F_SETFL, on ? flags | O_DIRECT : flags & ~O_DIRECT);
    if (flags < 0) r->direct_fd = -1; /* not on every file system */
}

/* SQLite does not tell its descriptor. A VFS that is not the usual one may want to see other calls.
 */
static void direct_begin(struct redo *r) {
    struct stat want, have;
    if (strcmp(r->vfs->zName, "unix") != 0 || stat(r->path, &want) < 0) return;
    for (int fd = 0; fd < FDS_SEARCHED && r->direct_fd < 0; fd++)
        if (fstat(fd, &have) == 0 && have.st_ino == want.st_ino && have.st_dev == want.st_dev)
            r->direct_fd = fd;
    set_direct(r, true);
}

static int blocks_write(struct redo *r, size_t n, int64_t at) {
    int rc = r->file->pMethods->xWrite(r->file, r->blocks, (int)n, at);
    if (rc == SQLITE_OK || (rc & 0xff) == SQLITE_FULL || r->direct_fd < 0) return rc;
    set_direct(r, false);
    r->direct_fd = -1;
    return r->file->pMethods->xWrite(r->file, r->blocks, (int)n, at);
}

/* Zeros up to the next block behind them. p NULL: nothing but zeros. */
static int file_write(struct redo *r, const char *p, size_t n, int64_t at) {
    int rc = SQLITE_OK;
    if (!r->blocks && posix_memalign((void **)&r->blocks, REDO_ALIGN_BYTES, CALL_BYTES) != 0)
        abort();
    for (size_t done = 0, now; rc == SQLITE_OK && done < n; done += now) {
        now = MIN_OF(n - done, (size_t)CALL_BYTES);
        size_t data = p ? now : 0;
        if (p) memcpy(r->blocks, p + done, data);
        memset(r->blocks + data, 0, aligned(now) - data);
        rc = blocks_write(r, aligned(now), at + (int64_t)done);
    }
    return rc;
}

static int file_read(struct redo *r, char *p, size_t n, int64_t at) {
    int rc = SQLITE_OK;
    for (size_t done = 0, now; rc == SQLITE_OK && done < n; done += now) {
        now = MIN_OF(n - done, (size_t)CALL_BYTES);
        rc = r->file->pMethods->xRead(r->file, p + done, (int)now, at + (int64_t)done);
    }
    return rc;
}

int redo_open(struct redo *r, sqlite3 *db, const char *db_path, struct err *err) {
    if (sqlite3_file_control(db, "main", SQLITE_FCNTL_VFS_POINTER, &r->vfs) != SQLITE_OK || !r->vfs)
        return err_set(err, ERR_INTERNAL, "store: the database has no VFS");
    r->file = calloc(1, (size_t)r->vfs->szOsFile);
    if (!r->file || asprintf(&r->path, "%s-redo", db_path) < 0) abort();
    /* As a write-ahead log: made with the database's mode, its name durable with the first sync. */
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_WAL;
    int rc = r->vfs->xOpen(r->vfs, r->path, r->file, flags, &flags);
    sqlite3_int64 size = 0;
    if (rc == SQLITE_OK) rc = r->file->pMethods->xFileSize(r->file, &size);
    r->size = size;
    r->direct_fd = -1;
    if (rc == SQLITE_OK && flags & SQLITE_OPEN_READONLY) rc = SQLITE_READONLY;
    if (rc == SQLITE_OK) {
        direct_begin(r);
        return 0;
    }
    return err_set(err, ERR_UNAVAILABLE, "%s cannot be opened: %s", r->path, sqlite3_errstr(rc));
}

void redo_close(struct redo *r) {
    if (r->file && r->file->pMethods) r->file->pMethods->xClose(r->file);
    free(r->file);
    free(r->path);
    redo_rest(r);
    *r = (struct redo){0};
}

void redo_rest(struct redo *r) {
    buf_done(&r->record);
    free(r->blocks);
    r->blocks = NULL;
}

/* ---- reading ---- */

struct header {
    uint32_t magic, crc, body_bytes, zero;
    uint64_t from, to;
};

static struct header header_read(struct slice s) {
    struct unpack u = unpack_init(s);
    struct header h = {.magic = unpack_u32(&u), .crc = unpack_u32(&u)};
    h.body_bytes = unpack_u32(&u);
    h.zero = unpack_u32(&u);
    h.from = unpack_u64(&u);
    h.to = unpack_u64(&u);
    return h;
}

/* Before the checksum: what a client has written into an object, and a block of an older round has
 * kept, is no header. Keys and values hold no zero byte, so it has neither these sizes nor two
 * revisions so close to each other. */
static bool header_good(const struct redo *r, const struct header *h, int64_t at) {
    return (h->magic == MAGIC || h->magic == MAGIC_PACKED) && h->zero == 0 &&
           h->body_bytes <= r->size - at - HEADER_BYTES && h->to > h->from &&
           h->to - h->from <= h->body_bytes / WRITE_BYTES_MIN;
}

static uint32_t u32_read(const char *p) {
    struct unpack u = unpack_init(slice_from(p, 4));
    return unpack_u32(&u);
}

/* The last bytes of its last block say that the record was written to its end. 0: it was not. */
static int seal_check(struct redo *r, int64_t at, size_t n, uint32_t crc, struct err *err) {
    char seal[SEAL_BYTES];
    int64_t end = at + (int64_t)sealed_bytes(n);
    if (end > r->size) return 0;
    int rc = file_read(r, seal, sizeof seal, end - SEAL_BYTES);
    if (rc != SQLITE_OK) return failed(rc, "reading", err);
    return u32_read(seal) == crc;
}

/* The record at `at`, into *record. 0: there is none; 1; negative: the disk failed. */
static int record_read(struct redo *r, int64_t at, struct buf *record, struct header *ret,
                       struct err *err) {
    if (at + HEADER_BYTES > r->size) return 0;
    buf_clear(record);
    buf_reserve(record, HEADER_BYTES);
    int rc = file_read(r, record->p, HEADER_BYTES, at);
    if (rc != SQLITE_OK) return failed(rc, "reading", err);
    *ret = header_read(slice_from(record->p, HEADER_BYTES));
    if (!header_good(r, ret, at)) return 0;
    record->n = HEADER_BYTES;
    buf_reserve(record, ret->body_bytes);
    rc = file_read(r, record->p + HEADER_BYTES, ret->body_bytes, at + HEADER_BYTES);
    if (rc != SQLITE_OK) return failed(rc, "reading", err);
    record->n += ret->body_bytes;
    if (ret->crc != crc32c(0, record->p + BODY_BYTES_AT, record->n - BODY_BYTES_AT)) return 0;
    return ret->magic == MAGIC ? seal_check(r, at, record->n, ret->crc, err) : 1;
}

static int scan(struct redo *r, int64_t end, redo_record_fn *fn, void *user, struct err *err) {
    OWN(buf_done) struct buf record = {0};
    struct header h = {0};
    uint64_t revision = 0;
    int result = 0;
    int64_t at = 0;
    while (result == 0 && (end < 0 || at < end)) {
        int there = record_read(r, at, &record, &h, err);
        if (there < 0) return there;
        if (!there || h.from < revision) break;
        struct slice body = slice_from(record.p + HEADER_BYTES, record.n - HEADER_BYTES);
        result = fn(user, h.from, h.to, body, err);
        revision = h.to;
        at += (int64_t)(h.magic == MAGIC ? sealed_bytes(record.n) : record.n);
    }
    if (result != 0) return result;
    if (end >= 0 && at != end)
        return err_set(err, ERR_INTERNAL, "store: a record of the redo log is gone");
    r->end = at;
    return 0;
}

int redo_scan(struct redo *r, int64_t end, redo_record_fn *fn, void *user, struct err *err) {
    set_direct(r, false); /* it reads what it needs */
    int result = scan(r, end, fn, user, err);
    set_direct(r, true);
    return result;
}

/* Each record is durable before the next one is begun, and those of earlier rounds are of earlier
 * revisions. */
static int beyond(struct redo *r, uint64_t revision, struct err *err) {
    OWN(buf_done) struct buf record = {0};
    struct header h;
    int64_t at = (int64_t)aligned((size_t)r->end);
    for (; at + HEADER_BYTES <= r->size; at += REDO_ALIGN_BYTES) {
        int there = record_read(r, at, &record, &h, err);
        if (there < 0) return there;
        if (there && h.to > revision)
            return err_set(err, ERR_INTERNAL,
                           "the redo log %s is damaged (what it has after revision %llu cannot be "
                           "read, but revision %llu is there); nothing was changed. Move its "
                           "directory away and put a backup in its place, or start with none",
                           r->path, (unsigned long long)revision, (unsigned long long)h.to);
    }
    return 0;
}

int redo_beyond(struct redo *r, uint64_t revision, struct err *err) {
    set_direct(r, false);
    int result = beyond(r, revision, err);
    set_direct(r, true);
    return result;
}

int redo_again(struct redo *r, struct err *err) {
    set_direct(r, false); /* it reads and writes what it needs */
    int result = durable_again(r->file, r->end, err);
    set_direct(r, true);
    return result;
}

bool redo_next(struct unpack *body, struct store_write *ret, bool *bad) {
    if (!body->left.n) return false;
    struct slice s = unpack_slice(body);
    *bad = body->bad || store_write_unpack(s, ret) < 0;
    return !*bad;
}

/* ---- writing ---- */

void redo_begin(struct redo *r) {
    static const char header[HEADER_BYTES];
    buf_clear(&r->record);
    buf_append(&r->record, header, sizeof header);
}

void redo_add(struct redo *r, const struct store_write *w) {
    size_t at = r->record.n;
    pack_u32(&r->record, 0);
    store_write_pack(&r->record, w);
    put_u32(r->record.p + at, (uint32_t)(r->record.n - at - 4));
}

bool redo_fits(const struct redo *r) {
    return r->record.n <= REDO_RECORD_BYTES_MAX &&
           r->end + (int64_t)sealed_bytes(r->record.n) <= REDO_BYTES_MAX;
}

/* The file is written over, never made longer by a record: a sync then moves its data only. */
static int make_room(struct redo *r) {
    int64_t size = MAX_OF(r->size, SIZE_MIN);
    while (size < r->end + (int64_t)r->record.n) size *= 2;
    if (size == r->size) return SQLITE_OK;
    int rc = file_write(r, NULL, (size_t)(size - r->size), r->size);
    if (rc == SQLITE_OK) r->size = size;
    return rc;
}

/* Zeros up to the seal. A write that a full disk has cut short leaves no seal: the batch was
 * refused, so it must not be found later, even if all its bytes are there. */
static void seal(struct buf *record, uint32_t crc) {
    size_t n = sealed_bytes(record->n);
    buf_reserve(record, n - record->n);
    memset(record->p + record->n, 0, n - record->n);
    put_u32(record->p + n - SEAL_BYTES, crc);
    record->n = n;
}

static int sync_file(struct redo *r, struct err *err) {
    int rc = r->file->pMethods->xSync(r->file, SQLITE_SYNC_NORMAL | SQLITE_SYNC_DATAONLY);
    /* Never ERR_UNAVAILABLE: what a failed sync has left on the disk is not known. */
    return rc == SQLITE_OK ? 0 : failed(SQLITE_IOERR_FSYNC, "syncing", err);
}

int redo_append(struct redo *r, uint64_t from, uint64_t to, struct err *err) {
    char *p = r->record.p;
    put_u32(p, MAGIC);
    put_u32(p + BODY_BYTES_AT, (uint32_t)(r->record.n - HEADER_BYTES));
    put_u64(p + FROM_AT, from);
    put_u64(p + TO_AT, to);
    uint32_t crc = crc32c(0, p + BODY_BYTES_AT, r->record.n - BODY_BYTES_AT);
    put_u32(p + CRC_AT, crc);
    seal(&r->record, crc);
    int rc = make_room(r);
    if (rc == SQLITE_OK) rc = file_write(r, r->record.p, r->record.n, r->end);
    if (rc != SQLITE_OK) return failed(rc, "writing", err);
    int result = sync_file(r, err);
    if (result == 0) r->end += (int64_t)r->record.n;
    return result;
}

struct slice redo_last(const struct redo *r) {
    return slice_from(r->record.p + HEADER_BYTES, u32_read(r->record.p + BODY_BYTES_AT));
}

void redo_reset(struct redo *r) { r->end = 0; }

void redo_clear(struct redo *r) {
    if (r->file && r->size && r->end == 0 && r->file->pMethods->xTruncate(r->file, 0) == SQLITE_OK)
        r->size = 0;
}
