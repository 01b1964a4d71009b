/*
 * Addresses of the scalability service: tcp://HOST:PORT, tls+tcp://HOST:PORT, ws://HOST:PORT/PATH,
 * wss://HOST:PORT/PATH, ipc:///FILE, inproc://NAME. To listen, HOST is an IP address or `*`; to
 * dial, an IP address or a DNS name. IPv6 stands in brackets.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum sp_scheme {
    SP_SCHEME_TCP,
    SP_SCHEME_TLS,
    SP_SCHEME_WS,
    SP_SCHEME_WSS,
    SP_SCHEME_IPC,
    SP_SCHEME_INPROC,
    SP_SCHEME_COUNT
};
struct sp_address {
    enum sp_scheme scheme;
    char host[254]; /* without brackets, "*": any; "" for ipc and inproc */
    uint16_t port;
    char path[256]; /* ws, wss: at least "/"; ipc: the absolute file name; inproc: the name */
};

const char *sp_scheme_name(enum sp_scheme scheme); /* "tls+tcp" */
static inline bool sp_scheme_is_tls(enum sp_scheme s) {
    return s == SP_SCHEME_TLS || s == SP_SCHEME_WSS;
}
/* 0 or -EINVAL: err says what is wrong, without repeating the text. */
int sp_address_parse(const char *text, bool listen, struct sp_address *ret, struct err *err);
/* Canonical text. */
void sp_address_text(const struct sp_address *a, char *ret, size_t size);
/* Whether dialling reaches that listener, both being of this machine, as far as the texts tell. */
bool sp_address_reaches(const struct sp_address *dial, const struct sp_address *listen);
