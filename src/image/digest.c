#include "image/digest.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct digest {
    EVP_MD_CTX *ctx;
};

struct digest *digest_new(void) {
    struct digest *d = calloc(1, sizeof *d);
    if (!d) abort();
    d->ctx = EVP_MD_CTX_new();
    if (!d->ctx || EVP_DigestInit_ex(d->ctx, EVP_sha256(), NULL) != 1) abort();
    return d;
}

void digest_add(struct digest *d, struct slice s) {
    if (s.n && EVP_DigestUpdate(d->ctx, s.p, s.n) != 1) abort();
}

void digest_free(struct digest *d) {
    if (!d) return;
    EVP_MD_CTX_free(d->ctx);
    free(d);
}

void digest_end(struct digest *d, char out[80]) {
    static const char hex[] = "0123456789abcdef";
    unsigned char md[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (EVP_DigestFinal_ex(d->ctx, md, &n) != 1 || n != 32) abort();
    memcpy(out, "sha256:", 7);
    for (unsigned i = 0; i < n; i++) {
        out[7 + 2 * i] = hex[md[i] >> 4];
        out[8 + 2 * i] = hex[md[i] & 15];
    }
    out[7 + 2 * n] = 0;
    digest_free(d);
}

void digest_of(struct slice s, char out[80]) {
    struct digest *d = digest_new();
    digest_add(d, s);
    digest_end(d, out);
}

int digest_of_fd(int fd, char out[80], struct err *err) {
    static char piece[65536];
    struct digest *d = digest_new();
    ssize_t n;
    off_t at = 0;
    while ((n = pread(fd, piece, sizeof piece, at)) > 0) {
        digest_add(d, slice_from(piece, (size_t)n));
        at += n;
    }
    int e = errno;
    digest_end(d, out);
    return n < 0 ? err_errno(err, e, "reading a blob") : 0;
}
