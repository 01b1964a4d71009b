#include "server/auth/auth.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/own.h"

enum { FILE_MAX_BYTES = 1024 * 1024 };

int auth_read_file(const char *option, const char *path, struct buf *ret, struct err *err) {
    OWN(close_p) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return err_errno(err, errno, "%s %s", option, path);
    for (;;) {
        buf_reserve(ret, 64 * 1024);
        ssize_t n = read(fd, ret->p + ret->n, 64 * 1024);
        if (n < 0) return err_errno(err, errno, "%s %s", option, path);
        ret->n += (size_t)n;
        ret->p[ret->n] = 0;
        if (!n) return 0;
        if (ret->n > FILE_MAX_BYTES)
            return err_set(err, ERR_TOO_LARGE, "%s %s: more than %d bytes", option, path,
                           FILE_MAX_BYTES);
    }
}

int auth_prepare(const struct settings *s, struct err *err) {
    int rc = oidc_prepare(s, err);
    if (rc == 0) rc = token_webhook_prepare(s, err);
    if (rc == 0) rc = audit_prepare(s, err);
    return rc;
}

void auth_start(struct api *api) {
    audit_start(api);
    csr_signer_start(api);
    legacy_tokens_start(api);
    token_cleaner_start(api);
}
