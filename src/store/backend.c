#include "store/backend.h"

#include <stdio.h>

#include "base/limits.h"

enum { REVISION_DIGITS = 20 };

static int key_check(struct slice key, struct err *err) {
    if (key.n > LIMIT_STORE_KEY_BYTES)
        return err_set(err, ERR_TOO_LARGE, "key has %zu bytes, at most %d are allowed", key.n,
                       LIMIT_STORE_KEY_BYTES);
    if (key.n < 2 || key.p[0] != '/')
        return err_set(err, ERR_BAD_REQUEST, "key must begin with / and name something");
    if (memchr(key.p, 0, key.n))
        return err_set(err, ERR_BAD_REQUEST, "key must not hold a zero byte");
    return 0;
}

int store_write_check(const struct store_write *w, struct err *err) {
    if (w->op < STORE_CREATE || w->op > STORE_DELETE)
        return err_set(err, ERR_BAD_REQUEST, "op %u is none of create, update, delete", w->op);
    int r = key_check(w->key, err);
    if (r < 0) return r;
    if (w->value.n > LIMIT_STORE_VALUE_BYTES)
        return err_set(err, ERR_TOO_LARGE, "object has %zu bytes, at most %d are allowed",
                       w->value.n, LIMIT_STORE_VALUE_BYTES);
    if (w->op == STORE_CREATE && w->expected_revision != 0)
        return err_set(err, ERR_BAD_REQUEST, "expected_revision must be 0 for create");
    if (w->op != STORE_CREATE && w->expected_revision == 0)
        return err_set(err, ERR_BAD_REQUEST, "expected_revision must be set for update and delete");
    if (w->rv_offset == 0 || w->rv_offset >= w->value.n || w->value.p[w->rv_offset] != '"' ||
        w->value.p[w->rv_offset - 1] != '"')
        return err_set(err, ERR_BAD_REQUEST, "rv_offset %u is not inside an empty string",
                       w->rv_offset);
    return 0;
}

struct slice store_splice(struct arena *a, const struct store_write *w, uint64_t revision) {
    char digits[REVISION_DIGITS + 1];
    int n = snprintf(digits, sizeof digits, "%llu", (unsigned long long)revision);
    char *out = arena_text(a, w->value.n + (size_t)n);
    memcpy(out, w->value.p, w->rv_offset);
    memcpy(out + w->rv_offset, digits, (size_t)n);
    memcpy(out + w->rv_offset + n, w->value.p + w->rv_offset, w->value.n - w->rv_offset);
    return slice_from(out, w->value.n + (size_t)n);
}

struct slice store_prefix_end(struct arena *a, struct slice prefix) {
    size_t n = prefix.n;
    while (n > 0 && (unsigned char)prefix.p[n - 1] == 0xff) n--;
    if (n == 0) return (struct slice){0};
    char *end = arena_copy(a, prefix.p, n);
    end[n - 1] = (char)((unsigned char)end[n - 1] + 1);
    return slice_from(end, n);
}
