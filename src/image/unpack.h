/*
 * Unpacks one archive below one directory, in a throw-away child that can do nothing else: it sees
 * that directory (Landlock), has no sockets, no new programs, and dies with its work. The archive
 * is hostile: names are resolved beneath the directory, sizes, counts and depths are limited,
 * device nodes are left out.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"

enum unpack_mode {
    UNPACK_LAYER, /* owners, modes, xattrs, whiteouts in overlayfs form (userxattr) */
    UNPACK_PLAIN, /* regular files and directories only, for image archives */
};

struct unpack_result {
    char diff_id[80]; /* digest of the uncompressed tar */
    uint64_t bytes;   /* of file content */
};

/* dir: an existing absolute directory; root as in settings (for the sandbox). archive_fd is read
 * from its start. */
int unpack_run(const char *root, const char *dir, int archive_fd, enum unpack_mode mode,
               struct unpack_result *ret, struct err *err);
