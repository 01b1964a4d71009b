#include "http.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { ANSWER_S = 5 };

void http_init(struct http *h, const char *socket_path) {
    *h = (struct http){.socket_path = socket_path, .fd = -1};
}

static void hang_up(struct http *h) {
    if (h->fd >= 0) close(h->fd);
    h->fd = -1;
}

void http_done(struct http *h) {
    hang_up(h);
    free(h->body);
}

static int dial(const char *path) {
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    snprintf(to.sun_path, sizeof to.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval limit = {.tv_sec = ANSWER_S};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0) return fd;
    close(fd);
    return -1;
}

static bool send_all(int fd, const char *p, size_t n) {
    while (n) {
        ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);
        if (sent <= 0) return false;
        p += sent;
        n -= (size_t)sent;
    }
    return true;
}

static bool send_request(int fd, const char *method, const char *path, const char *type,
                         const char *body) {
    char head[512];
    int n = snprintf(head, sizeof head,
                     "%s %s HTTP/1.1\r\nHost: atoll\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
                     "\r\n",
                     method, path, type ? type : "application/json", body ? strlen(body) : 0);
    return send_all(fd, head, (size_t)n) && (!body || send_all(fd, body, strlen(body)));
}

static bool more(struct http *h) {
    if (h->n + 4096 > h->cap) {
        h->cap = h->cap * 2 + 8192;
        h->body = realloc(h->body, h->cap + 1);
        if (!h->body) abort();
    }
    ssize_t n = recv(h->fd, h->body + h->n, h->cap - h->n, 0);
    if (n <= 0) return false;
    h->n += (size_t)n;
    h->body[h->n] = 0;
    return true;
}

/* Everything up to the end of the message; the head is cut off. Chunks stay in their framing, which
 * does no harm to a search for members. */
static int receive(struct http *h) {
    char *end, *head_end;
    int status;
    h->n = 0;
    do {
        if (!more(h)) return 0;
    } while (!(head_end = strstr(h->body, "\r\n\r\n")));
    if (sscanf(h->body, "HTTP/1.1 %d", &status) != 1) return 0;
    char *length = strcasestr(h->body, "\r\ncontent-length:");
    size_t skip = (size_t)(head_end + 4 - h->body);
    if (length && length < head_end) {
        size_t want = skip + strtoul(length + 17, &end, 10);
        while (h->n < want)
            if (!more(h)) return 0;
    } else {
        while (h->n < 5 || memcmp(h->body + h->n - 5, "0\r\n\r\n", 5) != 0)
            if (!more(h)) return 0;
    }
    memmove(h->body, h->body + skip, h->n - skip + 1);
    h->n -= skip;
    return status;
}

int http_call(struct http *h, const char *method, const char *path, const char *type,
              const char *body) {
    if (h->fd < 0) h->fd = dial(h->socket_path);
    int status = 0;
    if (h->fd >= 0 && send_request(h->fd, method, path, type, body)) status = receive(h);
    if (!status) hang_up(h);
    return status;
}

int http_open_stream(const char *socket_path, const char *path) {
    int fd = dial(socket_path);
    if (fd >= 0 && send_request(fd, "GET", path, NULL, NULL)) return fd;
    if (fd >= 0) close(fd);
    return -1;
}

unsigned long long http_number(const char *json, const char *before) {
    const char *at = strstr(json, before);
    return at ? strtoull(at + strlen(before), NULL, 10) : 0;
}
