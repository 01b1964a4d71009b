#include "store/durable.h"

#include <stdlib.h>

#include "base/own.h"
#include "base/slice.h"

enum { PIECE_BYTES = 64 << 10 }; /* the unix VFS takes less than 128 KiB in one call */

static int failed(int rc, struct err *err) {
    return err_set(err, ERR_INTERNAL, "store: making sure that what was found is durable: %s",
                   sqlite3_errstr(rc));
}

int durable_again(sqlite3_file *file, int64_t n, struct err *err) {
    OWN(free_p) char *p = malloc(PIECE_BYTES);
    if (!p) abort();
    int rc = SQLITE_OK;
    for (int64_t at = 0; rc == SQLITE_OK && at < n; at += PIECE_BYTES) {
        int now = (int)MIN_OF(n - at, (int64_t)PIECE_BYTES);
        rc = file->pMethods->xRead(file, p, now, at);
        if (rc == SQLITE_OK) rc = file->pMethods->xWrite(file, p, now, at);
    }
    if (rc == SQLITE_OK || (rc & 0xff) == SQLITE_FULL)
        rc = file->pMethods->xSync(file, SQLITE_SYNC_NORMAL | SQLITE_SYNC_DATAONLY);
    return rc == SQLITE_OK ? 0 : failed(rc, err);
}

static int whole(sqlite3_file *file, struct err *err) {
    sqlite3_int64 n = 0;
    int rc = file->pMethods->xFileSize(file, &n);
    if (rc != SQLITE_OK) return failed(rc, err);
    return n ? durable_again(file, n, err) : 0;
}

int durable_again_path(sqlite3_vfs *vfs, const char *path, struct err *err) {
    int there = 0;
    int rc = vfs->xAccess(vfs, path, SQLITE_ACCESS_EXISTS, &there);
    if (rc != SQLITE_OK) return failed(rc, err);
    if (!there) return 0;
    OWN(free_p) sqlite3_file *file = calloc(1, (size_t)vfs->szOsFile);
    if (!file) abort();
    rc = vfs->xOpen(vfs, path, file, SQLITE_OPEN_READWRITE | SQLITE_OPEN_WAL, NULL);
    if (rc != SQLITE_OK) return failed(rc, err);
    int r = whole(file, err);
    file->pMethods->xClose(file);
    return r;
}
