/* A redo log that damage or a client's bytes have made: what it has ends somewhere inside of it,
 * revisions only rise, each write stands inside its record, and what is appended is found again. */
#include <string.h>

#include "fuzz/fuzz.h"
#include "store/redo.h"

enum { HEADER_BYTES = 32, FILE_BYTES = 4 * REDO_ALIGN_BYTES, ROOM_BYTES = 128 << 10 };

static unsigned char bytes[ROOM_BYTES];
static sqlite3_int64 file_bytes;

static int file_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at) {
    FUZZ_ASSERT(at >= 0 && n >= 0 && at + n <= file_bytes);
    memcpy(p, bytes + at, (size_t)n);
    return SQLITE_OK;
}

static int file_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at) {
    FUZZ_ASSERT(at >= 0 && n >= 0 && at + n <= ROOM_BYTES);
    memcpy(bytes + at, p, (size_t)n);
    if (at + n > file_bytes) file_bytes = at + n;
    return SQLITE_OK;
}

static int file_sync(sqlite3_file *f, int flags) { return SQLITE_OK; }

static const sqlite3_io_methods methods = {
    .iVersion = 1, .xRead = file_read, .xWrite = file_write, .xSync = file_sync};

/* Else a checksum would end each run at the first record. Input: runs of place (2 bytes), length (1
 * byte), bytes that stand there; the records that they make get their checksums. */
static void fill(const uint8_t *data, size_t size) {
    memset(bytes, 0, sizeof bytes);
    file_bytes = FILE_BYTES;
    while (size > 3) {
        size_t at = ((size_t)data[0] << 8 | data[1]) % FILE_BYTES, n = data[2];
        if (n > size - 3) n = size - 3;
        if (n > FILE_BYTES - at) n = FILE_BYTES - at;
        memcpy(bytes + at, data + 3, n);
        data += 3 + n;
        size -= 3 + n;
    }
}

static void checksums(void) {
    for (size_t at = 0, n; at + HEADER_BYTES < FILE_BYTES; at += n) {
        uint32_t body;
        bool sealed = memcmp(bytes + at, "RED2", 4) == 0;
        memcpy(&body, bytes + at + 8, 4);
        n = REDO_ALIGN_BYTES - at % REDO_ALIGN_BYTES;
        if ((!sealed && memcmp(bytes + at, "REDO", 4) != 0) ||
            body > FILE_BYTES - at - HEADER_BYTES)
            continue;
        uint32_t crc = crc32c(0, bytes + at + 8, HEADER_BYTES - 8 + body);
        memcpy(bytes + at + 4, &crc, 4);
        n = HEADER_BYTES + body;
        if (!sealed) continue;
        n = (n + 4 + REDO_ALIGN_BYTES - 1) / REDO_ALIGN_BYTES * REDO_ALIGN_BYTES;
        if (at + n <= FILE_BYTES) memcpy(bytes + at + n - 4, &crc, 4);
    }
}

struct seen {
    uint64_t revision, records;
    size_t sum;
};

static int on_record(void *user, uint64_t from, uint64_t to, struct slice body, struct err *err) {
    struct seen *s = user;
    struct unpack u = unpack_init(body);
    struct store_write w;
    bool bad = false;
    FUZZ_ASSERT(from >= s->revision && to > from && to - from <= body.n);
    s->revision = to;
    s->records++;
    while (redo_next(&u, &w, &bad)) {
        FUZZ_ASSERT(w.key.n + w.value.n <= body.n);
        for (size_t i = 0; i < w.key.n; i++) s->sum += (unsigned char)w.key.p[i];
        for (size_t i = 0; i < w.value.n; i++) s->sum += (unsigned char)w.value.p[i];
    }
    return 0;
}

static void append_and_look(struct redo *r, const struct seen *before) {
    struct seen now = {0};
    redo_begin(r);
    redo_add(r, &(struct store_write){STORE_CREATE, SLICE("/k"), 0, 1, SLICE("\"\"")});
    FUZZ_ASSERT(redo_append(r, before->revision, before->revision + 1, NULL) == 0);
    FUZZ_ASSERT(redo_scan(r, r->end, on_record, &now, NULL) == 0);
    FUZZ_ASSERT(now.revision == before->revision + 1 && now.records == before->records + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    sqlite3_file file = {&methods};
    struct redo r = {.file = &file, .path = (char *)(uintptr_t) "redo", .direct_fd = -1};
    struct seen s = {0};
    struct err err;
    fill(data, size);
    checksums();
    r.size = file_bytes;
    FUZZ_ASSERT(redo_scan(&r, -1, on_record, &s, &err) == 0);
    FUZZ_ASSERT(r.end >= 0 && r.end <= r.size);
    if (redo_beyond(&r, s.revision, &err) != 0) FUZZ_ASSERT(err.reason == ERR_INTERNAL);
    if (r.end % REDO_ALIGN_BYTES == 0 && s.revision < UINT64_MAX) append_and_look(&r, &s);
    redo_rest(&r);
    return 0;
}
