/*
 * A disk in memory that forgets: an SQLite VFS whose files remember which bytes were synced. At any
 * persistent call (write, truncate, sync, create, delete) the disk can be stopped and images made
 * of what a machine would find after a crash:
 *
 *   killed process   everything that was written, the running write perhaps cut
 *   power failure    what was synced, and of the rest any subset of 512-byte sectors, truncations
 *                    and directory entries (ALICE, OSDI'14, calls these the intermediate states)
 *
 * One disk is the machine under test ("a"), another holds the image ("b"): a path is DISK/FILE.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DISK_SECTOR_BYTES = 512, DISK_FILES = 8 };

struct disk_random {
    uint64_t state;
};
uint64_t disk_random(struct disk_random *r); /* xorshift64*; state must not be 0 */
uint64_t disk_below(struct disk_random *r, uint64_t n);

enum disk_call { DISK_WRITE, DISK_TRUNCATE, DISK_SYNC, DISK_CREATE, DISK_DELETE, DISK_OPEN };

enum disk_fault {
    DISK_FAULT_NONE,
    DISK_FAULT_IO,    /* EIO; what a failed sync should have made durable is in doubt, and no later
                       * sync makes it durable */
    DISK_FAULT_FULL,  /* ENOSPC, half of the write done */
    DISK_FAULT_FILES, /* EMFILE, of opens */
};

struct disk;
/* Before and after each persistent call of this disk; n counts the calls from 0. */
typedef void disk_hook_fn(void *user, uint64_t n, bool after);

/* Registers the VFS (as default) at first use. name: one letter, "a". */
struct disk *disk_new(const char *name);
void disk_free(struct disk *d);
void disk_hook(struct disk *d, disk_hook_fn *fn, void *user); /* NULL: none */
/* Call number n fails. */
void disk_fail(struct disk *d, uint64_t n, enum disk_fault fault);
bool disk_failed(const struct disk *d); /* that call came */

/* A disk that lies: syncs do nothing. For testing the test. */
void disk_lie(struct disk *d);

/* What a restarted process finds. cut: the write under way is partly there. */
void disk_image_killed(const struct disk *from, struct disk *to, bool cut, struct disk_random *r);
/* What a restarted machine finds. */
void disk_image_power(const struct disk *from, struct disk *to, struct disk_random *r);
