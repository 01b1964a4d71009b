#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static const char *log_service = "atoll";
static enum log_level log_min = LOG_LEVEL_INFO;
static const char *const level_names[] = {"debug", "info", "warn", "error"};

void log_setup(const char *service, enum log_level min) {
    log_service = service;
    log_min = min;
}

void log_line(enum log_level level, const char *event, const char *fmt, ...) {
    if (level < log_min) return;
    char text[2048], line[4096];
    struct timespec ts;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &ts);
    gmtime_r(&ts.tv_sec, &tm);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    int n = snprintf(line, sizeof line,
                     "time=%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ level=%s service=%s event=%s ",
                     tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
                     ts.tv_nsec / 1000000, level_names[level], log_service, event);
    size_t at = n > 0 ? (size_t)n : 0;
    for (const char *s = text; *s && at + 6 < sizeof line; s++) {
        unsigned char c = (unsigned char)*s;
        if (c >= 0x20 && c != 0x7f)
            line[at++] = (char)c;
        else
            at += (size_t)snprintf(line + at, sizeof line - at, "\\x%02x", c);
    }
    line[at++] = '\n';
    /* A log that cannot be written must not stop the service. */
    ssize_t written = write(STDERR_FILENO, line, at);
    (void)written;
}
