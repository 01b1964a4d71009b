/*
 * TLS on a connected, non-blocking socket, for probes and hooks with scheme HTTPS. The peer is not
 * verified: a probe asks whether something answers (upstream does the same).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct tls_client;

struct tls_client *tls_client_new(int fd); /* fd stays the caller's */
void tls_client_free(struct tls_client *t);
/* 0 when it is over, -EAGAIN with the FD_* events to wait for, else a failure. */
int tls_client_handshake(struct tls_client *t, unsigned *ret_want);
/* As read() and write(): −1 with errno EAGAIN when the socket is not ready. */
ssize_t tls_client_read(struct tls_client *t, void *p, size_t n);
ssize_t tls_client_write(struct tls_client *t, const void *p, size_t n);
bool tls_client_pending(const struct tls_client *t); /* decrypted bytes wait to be read */
