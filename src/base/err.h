/*
 * Errors. Functions return 0 or a negative errno; the last parameter is a struct err * that says
 * why (NULL is allowed everywhere). Fixed size, so that error paths never allocate. Reasons map 1:1
 * to a Kubernetes Status reason and an HTTP code (k8s.io/apimachinery, meta/v1 StatusReason).
 */
#pragma once

#include <stdbool.h>

enum err_reason {
    ERR_NONE,
    ERR_BAD_REQUEST,
    ERR_UNAUTHORIZED,
    ERR_FORBIDDEN,
    ERR_NOT_FOUND,
    ERR_METHOD_NOT_ALLOWED,
    ERR_NOT_ACCEPTABLE,
    ERR_ALREADY_EXISTS,
    ERR_CONFLICT,
    ERR_GONE,
    ERR_EXPIRED,
    ERR_TOO_LARGE,
    ERR_UNSUPPORTED_MEDIA_TYPE,
    ERR_INVALID,
    ERR_TOO_MANY_REQUESTS,
    ERR_INTERNAL,
    ERR_UNAVAILABLE,
    ERR_TIMEOUT,
    ERR_REASON_COUNT
};

struct err {
    enum err_reason reason;
    char field[256]; /* field path, e.g. spec.containers[0].image; "" when none */
    char text[1024]; /* one sentence without a final full stop; never holds control bytes */
};

/* Sets reason and text (printf style) and clears the field. Returns the matching -errno, so: return
 * err_set(...). */
int err_set(struct err *err, enum err_reason reason, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* As err_set, with a field path. */
int err_field(struct err *err, enum err_reason reason, const char *field, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Sets the reason that fits errnum (> 0) and "text: strerror". Returns -errnum. */
int err_errno(struct err *err, int errnum, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "context: " before the text. Returns the -errno of the reason it holds. */
int err_wrap(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The -errno that a reason stands for (ERR_NONE: 0). */
int err_code(enum err_reason reason);

/* HTTP status code, 200 for ERR_NONE. */
int err_http(enum err_reason reason);

/* Kubernetes Status reason, e.g. "NotFound"; "" for ERR_NONE. */
const char *err_reason_name(enum err_reason reason);

/* The reason for a Status reason name; ERR_INTERNAL for one that is unknown. */
enum err_reason err_reason_parse(const char *name);
