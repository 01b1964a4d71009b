/*
 * A peer of the interoperability tests: one socket of a foreign library, moved by lines. Each line
 * of standard input is sent; each message that comes is printed as a line. A rep or respondent
 * answers "re:" and what it got by itself. Says "ready" first. Ends with its input.
 *
 *   PROGRAM ROLE listen|dial URL [CA CERTIFICATE-AND-KEY SERVER-NAME]
 */
#pragma once

#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PEER_BODY_MAX = 65536 };

struct peer_library {
    void (*send)(const char *body, size_t n);
    /* Without waiting; -1: nothing there. */
    int (*receive)(char *body, size_t size);
    int receive_fd; /* readable when something came; -1: the role receives nothing */
    bool answers;
};

static void peer_take(const struct peer_library *l) {
    static char body[3 + PEER_BODY_MAX];
    int n;
    memcpy(body, "re:", 3);
    while ((n = l->receive(body + 3, PEER_BODY_MAX)) >= 0) {
        fwrite(body + 3, 1, (size_t)n, stdout);
        putchar('\n');
        fflush(stdout);
        if (l->answers) l->send(body, (size_t)n + 3);
    }
}

static int peer_run(const struct peer_library *l) {
    static char line[PEER_BODY_MAX];
    size_t n = 0;
    puts("ready");
    fflush(stdout);
    for (;;) {
        struct pollfd fds[] = {{.fd = 0, .events = POLLIN},
                               {.fd = l->receive_fd, .events = POLLIN}};
        if (poll(fds, 2, -1) < 0) return 1;
        if (fds[1].revents) peer_take(l);
        if (!fds[0].revents) continue;
        ssize_t got = read(0, line + n, sizeof line - n);
        if (got <= 0) return 0;
        n += (size_t)got;
        for (char *end; (end = memchr(line, '\n', n));) {
            size_t used = (size_t)(end - line);
            l->send(line, used);
            n -= used + 1;
            memmove(line, end + 1, n);
        }
    }
}

static inline void peer_fail(const char *what, const char *why) {
    fprintf(stderr, "%s: %s\n", what, why);
    exit(2);
}
