/*
 * What the servers have in common that stand for the limit: they listen, shake hands and answer
 * with constants. Their sockets block.
 */
#pragma once

#include <openssl/ssl.h>
#include <stdbool.h>

struct peer {
    int fd;
    SSL *ssl; /* NULL: plain */
    bool gone;
};

_Noreturn void die(const char *what);
/* The cipher that both sides of the rows agree on. */
SSL_CTX *tls_server(const char *cert, const char *key);
/* kind "unix": a path; else a port of loopback. */
int listen_at(const char *kind, const char *where);
/* The next one that asks; ctx NULL: plain. NULL: somebody only looked whether it listens. */
struct peer *peer_take(int listener, SSL_CTX *ctx);
void peer_drop(struct peer *p);
