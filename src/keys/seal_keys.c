#include "keys/seal_keys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/own.h"
#include "base/slice.h"

enum { PATH_BYTES = 4300 };

static void key_path(char ret[PATH_BYTES], const char *directory, uint32_t id) {
    char name[KEYS_SEAL_NAME_MAX];
    keys_seal_name(name, id);
    snprintf(ret, PATH_BYTES, "%s/%s", directory, name);
}

static int key_read(const char *directory, uint32_t id, struct keys_seal_key *ret,
                    struct err *err) {
    char path[PATH_BYTES];
    key_path(path, directory, id);
    OWN(close_p) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return err_errno(err, errno, "%s", path);
    char extra;
    ret->id = id;
    if (read(fd, ret->bytes, sizeof ret->bytes) == (ssize_t)sizeof ret->bytes &&
        read(fd, &extra, 1) == 0)
        return 0;
    return err_set(err, ERR_INTERNAL,
                   "%s is damaged: restore it from a backup; secrets sealed with it cannot be read "
                   "without it",
                   path);
}

static int key_make(const char *directory, struct keys_seal_key *ret, struct err *err) {
    char path[PATH_BYTES];
    ret->id = 1;
    if (RAND_bytes(ret->bytes, sizeof ret->bytes) != 1)
        return err_set(err, ERR_INTERNAL, "no random numbers for a key");
    key_path(path, directory, ret->id);
    OWN(close_p) int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    errno = fd < 0 ? errno : ENOSPC; /* what a short write means */
    if (fd >= 0 && write(fd, ret->bytes, sizeof ret->bytes) == (ssize_t)sizeof ret->bytes &&
        fsync(fd) == 0)
        return 0;
    int e = errno;
    if (fd >= 0) unlink(path);
    return err_errno(err, e, "cannot write %s", path);
}

static int by_id(const void *x, const void *y) {
    uint32_t a = ((const struct keys_seal_key *)x)->id, b = ((const struct keys_seal_key *)y)->id;
    return a < b ? -1 : a > b;
}

int seal_keys_open(const char *directory, struct keys_seal *ret, struct err *err) {
    OWN(closedir_p) DIR *d = opendir(directory);
    if (!d) return err_errno(err, errno, "%s", directory);
    struct keys_seal keys = {0};
    int r = 0;
    for (struct dirent *e; r == 0 && (e = readdir(d));) {
        uint32_t id = keys_seal_id(e->d_name);
        if (!id) continue;
        if (keys.n == KEYS_SEAL_MAX)
            r = err_set(err, ERR_INTERNAL, "%s holds more than %d sealing keys", directory,
                        KEYS_SEAL_MAX);
        else
            r = key_read(directory, id, &keys.v[keys.n++], err);
    }
    if (r == 0 && !keys.n) r = key_make(directory, &keys.v[keys.n++], err);
    if (r == 0) {
        qsort(keys.v, keys.n, sizeof *keys.v, by_id);
        *ret = keys;
    }
    OPENSSL_cleanse(&keys, sizeof keys);
    return r;
}
