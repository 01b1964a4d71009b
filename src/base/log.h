/*
 * Logs: one line of key=value pairs on standard error with a stable event name; control bytes are
 * escaped. Only service entry points and life-cycle code log; libraries return errors. Secrets are
 * never passed here.
 *
 *   log_info("pod_started", "pod=%s/%s uid=%s took_ms=%" PRIu64, ...);
 */
#pragma once

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };

/* The name that every line carries (service=NAME); borrowed, must stay valid. Level below `min` is
 * dropped. */
void log_setup(const char *service, enum log_level min);
void log_line(enum log_level level, const char *event, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#define log_debug(event, ...) log_line(LOG_LEVEL_DEBUG, event, __VA_ARGS__)
#define log_info(event, ...) log_line(LOG_LEVEL_INFO, event, __VA_ARGS__)
#define log_warn(event, ...) log_line(LOG_LEVEL_WARN, event, __VA_ARGS__)
#define log_error(event, ...) log_line(LOG_LEVEL_ERROR, event, __VA_ARGS__)
