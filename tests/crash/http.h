/* The smallest HTTP/1.1 client that tests need: one request at a time on a unix socket, blocking.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct http {
    const char *socket_path;
    int fd; /* -1: not connected */
    char *body;
    size_t n, cap; /* of the last answer; body is NUL-terminated */
};

void http_init(struct http *h, const char *socket_path);
void http_done(struct http *h);
/* The status; 0: no answer came, and what the request did is not known. */
int http_call(struct http *h, const char *method, const char *path, const char *type,
              const char *body);
/* Sends the request of a stream (watch) and leaves reading to the caller. A socket, or -1. */
int http_open_stream(const char *socket_path, const char *path);
/* Between `before` and the next quote: `"resourceVersion":"` → number; 0 when it is not there. */
unsigned long long http_number(const char *json, const char *before);
