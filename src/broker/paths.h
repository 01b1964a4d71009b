/* Path work by descriptor: what a tenant can touch is never resolved twice and never leaves its
 * directory (openat2, Linux 5.6). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/slice.h"

/* Opens a relative path beneath dir; symlinks are followed as long as they stay beneath, magic
 * links never. Returns a descriptor or -errno. */
int path_open_beneath(int dir, const char *path, int flags, mode_t mode);
/* As above, but absolute symlinks and ".." end at dir, as in a chroot (files of an image). */
int path_open_in_root(int dir, const char *path, int flags);
/* One name in dir, no symlink. Returns a descriptor or -errno. */
int path_open_child(int dir, const char *name, int flags, mode_t mode);
/* Makes the directory (one component) when it is absent and opens it, O_PATH-free. */
int path_open_dir(int dir, const char *name, mode_t mode);
/* Opens "a/b/c" beneath dir, making directories that are absent. fd or -errno. */
int path_make_dirs(int dir, const char *path, mode_t mode);
/* mkdir -p of an absolute host path. 0 or -errno. */
int path_make_host_dirs(const char *path, mode_t mode);

/* A whole small file; replaces what is there (beside + rename). 0 or -errno. */
int path_write(int dir, const char *name, struct slice data, mode_t mode);
/* Reads a regular file of at most max bytes; *ret is malloc'd, NUL-terminated. 0 or -errno
 * (-EFBIG). */
int path_read(int fd, size_t max, char **ret, size_t *ret_n);

/* Removes name in dir with everything below, never following links or crossing mounts. Counts
 * *budget down per entry; -EAGAIN when it is used up (call again), -EBUSY at a mount point, 0 also
 * when absent. */
int path_remove(int dir, const char *name, size_t *budget);

/* A relative path without empty, "." and ".." components, at most PATH_MAX − 1 bytes. */
bool path_is_relative(const char *path);
/* Absolute, no "..", at most PATH_MAX − 1 bytes. */
bool path_is_absolute(const char *path);
