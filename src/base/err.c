#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    int http;
    int errnum;
} reasons[ERR_REASON_COUNT] = {
    [ERR_NONE] = {"", 200, 0},
    [ERR_BAD_REQUEST] = {"BadRequest", 400, EINVAL},
    [ERR_UNAUTHORIZED] = {"Unauthorized", 401, EACCES},
    [ERR_FORBIDDEN] = {"Forbidden", 403, EPERM},
    [ERR_NOT_FOUND] = {"NotFound", 404, ENOENT},
    [ERR_METHOD_NOT_ALLOWED] = {"MethodNotAllowed", 405, EOPNOTSUPP},
    [ERR_NOT_ACCEPTABLE] = {"NotAcceptable", 406, ENOTSUP},
    [ERR_ALREADY_EXISTS] = {"AlreadyExists", 409, EEXIST},
    [ERR_CONFLICT] = {"Conflict", 409, EBUSY},
    [ERR_GONE] = {"Gone", 410, ESTALE},
    [ERR_EXPIRED] = {"Expired", 410, ESTALE},
    [ERR_TOO_LARGE] = {"RequestEntityTooLarge", 413, E2BIG},
    [ERR_UNSUPPORTED_MEDIA_TYPE] = {"UnsupportedMediaType", 415, EPROTONOSUPPORT},
    [ERR_INVALID] = {"Invalid", 422, EINVAL},
    [ERR_TOO_MANY_REQUESTS] = {"TooManyRequests", 429, EAGAIN},
    [ERR_INTERNAL] = {"InternalError", 500, EIO},
    [ERR_UNAVAILABLE] = {"ServiceUnavailable", 503, EHOSTDOWN},
    [ERR_TIMEOUT] = {"Timeout", 504, ETIMEDOUT},
};

static enum err_reason reason_of_errno(int errnum) {
    switch (errnum) {
    case ENOENT: return ERR_NOT_FOUND;
    case EEXIST: return ERR_ALREADY_EXISTS;
    case EACCES:
    case EPERM: return ERR_FORBIDDEN;
    case EINVAL: return ERR_BAD_REQUEST;
    case ETIMEDOUT: return ERR_TIMEOUT;
    default: return ERR_INTERNAL;
    }
}

static void escape_controls(char *s) {
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f) *s = ' ';
}

__attribute__((format(printf, 2, 0))) static void set_text(struct err *err, const char *fmt,
                                                           va_list ap) {
    vsnprintf(err->text, sizeof err->text, fmt, ap);
    escape_controls(err->text);
}

int err_set(struct err *err, enum err_reason reason, const char *fmt, ...) {
    if (err) {
        va_list ap;
        va_start(ap, fmt);
        err->reason = reason;
        err->field[0] = 0;
        set_text(err, fmt, ap);
        va_end(ap);
    }
    return err_code(reason);
}

int err_field(struct err *err, enum err_reason reason, const char *field, const char *fmt, ...) {
    if (err) {
        va_list ap;
        va_start(ap, fmt);
        err->reason = reason;
        snprintf(err->field, sizeof err->field, "%s", field);
        set_text(err, fmt, ap);
        va_end(ap);
    }
    return err_code(reason);
}

int err_errno(struct err *err, int errnum, const char *fmt, ...) {
    if (err) {
        char cause[128];
        va_list ap;
        va_start(ap, fmt);
        err->reason = reason_of_errno(errnum);
        err->field[0] = 0;
        set_text(err, fmt, ap);
        va_end(ap);
        size_t n = strlen(err->text);
        snprintf(err->text + n, sizeof err->text - n, ": %s",
                 strerror_r(errnum, cause, sizeof cause));
    }
    return -errnum;
}

int err_wrap(struct err *err, const char *fmt, ...) {
    if (!err) return -EIO;
    char text[sizeof err->text];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n < 0) n = 0;
    if ((size_t)n + 3 < sizeof text) {
        size_t room = sizeof text - (size_t)n - 3, len = strnlen(err->text, room);
        memcpy(text + n, ": ", 2);
        memcpy(text + n + 2, err->text, len);
        text[(size_t)n + 2 + len] = 0;
    }
    escape_controls(text);
    memcpy(err->text, text, sizeof text);
    return err_code(err->reason);
}

int err_code(enum err_reason reason) {
    return reason < ERR_REASON_COUNT ? -reasons[reason].errnum : -EIO;
}

int err_http(enum err_reason reason) {
    return reason < ERR_REASON_COUNT ? reasons[reason].http : 500;
}

const char *err_reason_name(enum err_reason reason) {
    return reason < ERR_REASON_COUNT ? reasons[reason].name : "InternalError";
}

enum err_reason err_reason_parse(const char *name) {
    for (int i = 1; i < ERR_REASON_COUNT; i++)
        if (!strcmp(reasons[i].name, name)) return (enum err_reason)i;
    return ERR_INTERNAL;
}
