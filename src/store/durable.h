/*
 * A sync that failed leaves pages that can be read as long as the machine runs, and that no later
 * sync writes: the kernel takes them for clean (Linux drops the mark with the error). A process
 * that ends because of it and is started again would show what the next power failure takes back.
 */
#pragma once

#include <sqlite3.h>
#include <stdint.h>

#include "base/err.h"

/* Writes the first n bytes over themselves and syncs them. A full disk is no failure. */
int durable_again(sqlite3_file *file, int64_t n, struct err *err);
/* Likewise a whole file that is there; what others have open of it stays as it is. */
int durable_again_path(sqlite3_vfs *vfs, const char *path, struct err *err);
