#include "disk.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One change that is not synced yet; data NULL: a truncation to `at`. */
struct change {
    uint64_t at;
    size_t n;
    uint8_t *data;
    bool dropped; /* its sync failed: no later one makes it durable */
};

struct file {
    char name[40];        /* "" = free slot */
    bool here, kept;      /* in the directory now; in the directory on the platter */
    uint8_t *now, *safe;  /* contents as read now; as synced */
    size_t n_now, n_safe; /* bytes */
    size_t cap_now;
    struct change *changes; /* since the last sync, in order */
    size_t n_changes, cap_changes;
};

struct disk {
    char name[4];
    struct file files[DISK_FILES];
    uint64_t calls, fail_at;
    enum disk_fault fault;
    bool failed, lies;
    disk_hook_fn *hook;
    void *user;
    struct change running; /* the write under way, for images that cut it */
    struct file *running_file;
    struct disk *next;
};

struct handle {
    sqlite3_file base;
    struct disk *disk;
    struct file *file;
    bool delete_on_close;
};

static struct disk *disks;

uint64_t disk_random(struct disk_random *r) {
    r->state ^= r->state >> 12;
    r->state ^= r->state << 25;
    r->state ^= r->state >> 27;
    return r->state * UINT64_C(0x2545F4914F6CDD1D);
}

uint64_t disk_below(struct disk_random *r, uint64_t n) { return (disk_random(r) >> 11) % n; }

static void *grown(void *p, size_t n) {
    p = realloc(p, n ? n : 1);
    if (!p) abort();
    return p;
}

/* "a/store.db" is on disk "a". */
static struct disk *disk_of(const char *path) {
    for (struct disk *d = disks; d; d = d->next)
        if (strncmp(path, d->name, 1) == 0) return d;
    abort();
}

/* ---- a file ---- */

static void resize(struct file *f, size_t n) {
    if (n > f->cap_now) {
        f->cap_now = n * 2;
        f->now = grown(f->now, f->cap_now);
    }
    if (n > f->n_now) memset(f->now + f->n_now, 0, n - f->n_now);
    f->n_now = n;
}

static void resize_safe(struct file *f, size_t n) {
    f->safe = grown(f->safe, n);
    if (n > f->n_safe) memset(f->safe + f->n_safe, 0, n - f->n_safe);
    f->n_safe = n;
}

static void put(struct file *f, uint64_t at, const void *p, size_t n) {
    if (at + n > f->n_now) resize(f, (size_t)at + n);
    memcpy(f->now + at, p, n);
}

static void forget_changes(struct file *f) {
    for (size_t i = 0; i < f->n_changes; i++) free(f->changes[i].data);
    f->n_changes = 0;
}

static void note(struct file *f, uint64_t at, const void *p, size_t n) {
    if (f->n_changes == f->cap_changes) {
        f->cap_changes = f->cap_changes * 2 + 8;
        f->changes = grown(f->changes, f->cap_changes * sizeof *f->changes);
    }
    struct change *c = &f->changes[f->n_changes++];
    *c = (struct change){.at = at, .n = n};
    if (!p) return;
    c->data = grown(NULL, n);
    memcpy(c->data, p, n);
}

static void sync_file(struct file *f) {
    for (size_t i = 0; i < f->n_changes; i++) {
        const struct change *c = &f->changes[i];
        size_t end = (size_t)c->at + c->n;
        if (c->dropped) continue;
        if (!c->data || end > f->n_safe) resize_safe(f, end);
        if (c->data) memcpy(f->safe + c->at, c->data, c->n);
    }
    forget_changes(f);
}

/* As Linux does it: the pages are clean afterwards, readable as long as the machine runs, and
 * nothing writes them any more. */
static void drop_changes(struct file *f) {
    for (size_t i = 0; i < f->n_changes; i++) f->changes[i].dropped = true;
}

/* What it holds now is all durable. */
static void make_safe(struct file *f) {
    resize_safe(f, f->n_now);
    if (f->n_now) memcpy(f->safe, f->now, f->n_now);
    forget_changes(f);
}

static void clear_file(struct file *f) {
    forget_changes(f);
    free(f->now);
    free(f->safe);
    free(f->changes);
    *f = (struct file){0};
}

static struct file *find(struct disk *d, const char *name) {
    for (size_t i = 0; i < DISK_FILES; i++)
        if (d->files[i].name[0] && strcmp(d->files[i].name, name) == 0) return &d->files[i];
    return NULL;
}

static struct file *add(struct disk *d, const char *name) {
    for (size_t i = 0; i < DISK_FILES; i++) {
        struct file *f = &d->files[i];
        if (f->name[0]) continue;
        snprintf(f->name, sizeof f->name, "%s", name);
        return f;
    }
    abort();
}

/* fsync of the directory: names are as they are now. */
static void sync_names(struct disk *d) {
    for (size_t i = 0; i < DISK_FILES; i++) d->files[i].kept = d->files[i].here;
}

/* ---- persistent calls ---- */

static enum disk_fault begin(struct disk *d) {
    if (d->hook) d->hook(d->user, d->calls, false);
    if (d->fault == DISK_FAULT_NONE || d->calls != d->fail_at) return DISK_FAULT_NONE;
    d->failed = true;
    return d->fault;
}

static void finish(struct disk *d) {
    d->running_file = NULL;
    if (d->hook) d->hook(d->user, d->calls, true);
    d->calls++;
}

static int x_write(sqlite3_file *base, const void *p, int n, sqlite3_int64 at) {
    struct handle *h = (struct handle *)base;
    struct disk *d = h->disk;
    d->running = (struct change){(uint64_t)at, (size_t)n, (uint8_t *)(uintptr_t)p, false};
    d->running_file = h->file;
    enum disk_fault fault = begin(d);
    if (fault == DISK_FAULT_FULL) n /= 2;
    if (fault != DISK_FAULT_IO && n) {
        put(h->file, (uint64_t)at, p, (size_t)n);
        note(h->file, (uint64_t)at, p, (size_t)n);
    }
    finish(d);
    return fault == DISK_FAULT_NONE   ? SQLITE_OK
           : fault == DISK_FAULT_FULL ? SQLITE_FULL
                                      : SQLITE_IOERR_WRITE;
}

static int x_truncate(sqlite3_file *base, sqlite3_int64 n) {
    struct handle *h = (struct handle *)base;
    bool failed = begin(h->disk) != DISK_FAULT_NONE;
    if (!failed) {
        resize(h->file, (size_t)n);
        note(h->file, (uint64_t)n, NULL, 0);
    }
    finish(h->disk);
    return failed ? SQLITE_IOERR_TRUNCATE : SQLITE_OK;
}

/* The first sync of a new journal or log syncs its directory too, as the unix VFS does. */
static int x_sync(sqlite3_file *base, int flags) {
    struct handle *h = (struct handle *)base;
    bool failed = begin(h->disk) != DISK_FAULT_NONE;
    if (failed) drop_changes(h->file);
    if (!failed && !h->disk->lies) {
        sync_file(h->file);
        if (!h->file->kept) sync_names(h->disk);
    }
    finish(h->disk);
    return failed ? SQLITE_IOERR_FSYNC : SQLITE_OK;
}

/* ---- the VFS ---- */

static int x_delete(sqlite3_vfs *v, const char *path, int sync_directory) {
    struct disk *d = disk_of(path);
    struct file *f = find(d, path + 2);
    if (!f || !f->here) return SQLITE_IOERR_DELETE_NOENT;
    bool failed = begin(d) != DISK_FAULT_NONE;
    if (!failed) {
        f->here = false;
        if (sync_directory) sync_names(d);
    }
    finish(d);
    return failed ? SQLITE_IOERR_DELETE : SQLITE_OK;
}

static int x_close(sqlite3_file *base) {
    struct handle *h = (struct handle *)base;
    if (h->delete_on_close) h->file->here = false;
    return SQLITE_OK;
}

static int x_read(sqlite3_file *base, void *p, int n, sqlite3_int64 at) {
    const struct file *f = ((struct handle *)base)->file;
    size_t have = (size_t)at < f->n_now ? f->n_now - (size_t)at : 0;
    size_t take = have < (size_t)n ? have : (size_t)n;
    if (take) memcpy(p, f->now + at, take);
    memset((char *)p + take, 0, (size_t)n - take);
    return take == (size_t)n ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
}

static int x_file_size(sqlite3_file *base, sqlite3_int64 *ret) {
    *ret = (sqlite3_int64)((struct handle *)base)->file->n_now;
    return SQLITE_OK;
}

static int x_lock(sqlite3_file *base, int level) { return SQLITE_OK; }
static int x_reserved(sqlite3_file *base, int *ret) {
    *ret = 0;
    return SQLITE_OK;
}
static int x_control(sqlite3_file *base, int op, void *arg) { return SQLITE_NOTFOUND; }
static int x_sector_size(sqlite3_file *base) { return 4096; }
/* What the unix VFS promises by default. */
static int x_characteristics(sqlite3_file *base) { return SQLITE_IOCAP_POWERSAFE_OVERWRITE; }

static const sqlite3_io_methods methods = {.iVersion = 1,
                                           .xClose = x_close,
                                           .xRead = x_read,
                                           .xWrite = x_write,
                                           .xTruncate = x_truncate,
                                           .xSync = x_sync,
                                           .xFileSize = x_file_size,
                                           .xLock = x_lock,
                                           .xUnlock = x_lock,
                                           .xCheckReservedLock = x_reserved,
                                           .xFileControl = x_control,
                                           .xSectorSize = x_sector_size,
                                           .xDeviceCharacteristics = x_characteristics};

/* A new file; what a former one of that name held is gone. */
static bool create_file(struct disk *d, struct file **f, const char *name) {
    if (begin(d) != DISK_FAULT_NONE) {
        finish(d);
        return false;
    }
    if (*f) clear_file(*f);
    *f = add(d, name);
    (*f)->here = true;
    finish(d);
    return true;
}

static int x_open(sqlite3_vfs *v, const char *path, sqlite3_file *base, int flags, int *out) {
    struct handle *h = (struct handle *)base;
    *h = (struct handle){0};
    if (!path) return SQLITE_CANTOPEN; /* temporary files are in memory (temp_store) */
    struct disk *d = disk_of(path);
    struct file *f = find(d, path + 2);
    if (d->fault == DISK_FAULT_FILES && d->calls >= d->fail_at && !d->failed) {
        d->failed = true;
        return SQLITE_CANTOPEN;
    }
    if (!f || !f->here) {
        if (!(flags & SQLITE_OPEN_CREATE)) return SQLITE_CANTOPEN;
        if (!create_file(d, &f, path + 2)) return SQLITE_IOERR;
    }
    *h = (struct handle){{&methods}, d, f, flags & SQLITE_OPEN_DELETEONCLOSE};
    if (out) *out = flags;
    return SQLITE_OK;
}

static int x_access(sqlite3_vfs *v, const char *path, int flags, int *ret) {
    const struct file *f = find(disk_of(path), path + 2);
    *ret = f && f->here && (flags != SQLITE_ACCESS_EXISTS || f->n_now > 0);
    return SQLITE_OK;
}

static int x_full_path(sqlite3_vfs *v, const char *path, int n, char *ret) {
    snprintf(ret, (size_t)n, "%s", path);
    return SQLITE_OK;
}

static void register_vfs(void) {
    static sqlite3_vfs vfs;
    if (vfs.zName) return;
    vfs = *sqlite3_vfs_find(NULL); /* its clock and randomness */
    vfs.iVersion = 1;
    vfs.zName = "disk";
    vfs.pNext = NULL;
    vfs.szOsFile = sizeof(struct handle);
    vfs.xOpen = x_open;
    vfs.xDelete = x_delete;
    vfs.xAccess = x_access;
    vfs.xFullPathname = x_full_path;
    sqlite3_vfs_register(&vfs, 1);
}

struct disk *disk_new(const char *name) {
    register_vfs();
    struct disk *d = calloc(1, sizeof *d);
    if (!d) abort();
    snprintf(d->name, sizeof d->name, "%s", name);
    d->next = disks;
    disks = d;
    return d;
}

void disk_free(struct disk *d) {
    for (struct disk **p = &disks; *p; p = &(*p)->next)
        if (*p == d) {
            *p = d->next;
            break;
        }
    for (size_t i = 0; i < DISK_FILES; i++) clear_file(&d->files[i]);
    free(d);
}

void disk_hook(struct disk *d, disk_hook_fn *fn, void *user) {
    d->hook = fn;
    d->user = user;
}

void disk_fail(struct disk *d, uint64_t n, enum disk_fault fault) {
    d->fail_at = n;
    d->fault = fault;
    d->failed = false;
}

void disk_lie(struct disk *d) { d->lies = true; }
bool disk_failed(const struct disk *d) { return d->failed; }
/* ---- images ---- */

static void erase(struct disk *d) {
    for (size_t i = 0; i < DISK_FILES; i++) clear_file(&d->files[i]);
    d->fault = DISK_FAULT_NONE;
}

static struct file *image_file(struct disk *to, const struct file *from, const uint8_t *p,
                               size_t n) {
    struct file *f = add(to, from->name);
    f->here = f->kept = true;
    resize(f, n);
    if (n) memcpy(f->now, p, n);
    return f;
}

void disk_image_killed(const struct disk *from, struct disk *to, bool cut, struct disk_random *r) {
    erase(to);
    for (size_t i = 0; i < DISK_FILES; i++) {
        const struct file *f = &from->files[i];
        if (!f->name[0] || !f->here) continue;
        struct file *image = image_file(to, f, f->now, f->n_now);
        if (cut && from->running_file == f && from->running.n)
            put(image, from->running.at, from->running.data,
                (size_t)disk_below(r, from->running.n));
        make_safe(image);
    }
}

/* The sectors of a write that reached the platter. per_mille: how likely each is. */
static void put_some(struct file *f, const struct change *c, uint64_t per_mille,
                     struct disk_random *r) {
    for (size_t done = 0; done < c->n;) {
        size_t in_sector = DISK_SECTOR_BYTES - (size_t)((c->at + done) % DISK_SECTOR_BYTES);
        size_t n = c->n - done < in_sector ? c->n - done : in_sector;
        if (disk_below(r, 1000) < per_mille) put(f, c->at + done, c->data + done, n);
        done += n;
    }
}

void disk_image_power(const struct disk *from, struct disk *to, struct disk_random *r) {
    erase(to);
    static const uint64_t odds[] = {0, 20, 200, 500, 800, 980, 1000};
    uint64_t per_mille = odds[disk_below(r, sizeof odds / sizeof *odds)];
    for (size_t i = 0; i < DISK_FILES; i++) {
        const struct file *f = &from->files[i];
        if (!f->name[0]) continue;
        bool there = f->here == f->kept ? f->here : disk_below(r, 2);
        if (!there) continue;
        struct file *image = image_file(to, f, f->safe, f->n_safe);
        for (size_t j = 0; j < f->n_changes; j++) {
            const struct change *c = &f->changes[j];
            if (c->data)
                put_some(image, c, per_mille, r);
            else if (disk_below(r, 1000) < per_mille)
                resize(image, (size_t)c->at);
        }
        if (from->running_file == f) put_some(image, &from->running, per_mille, r);
        make_safe(image);
    }
}
