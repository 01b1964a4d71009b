/*
 * Accepts connections on the sockets that init handed over and gives each one its protocol. The
 * public face is server_… in request.h; this header has what the rest of the transport needs.
 */
#pragma once

#include "server/transport/conn.h"

enum { LISTENER_PEERS = 1024 };

struct listener {
    struct listener *next;
    struct server *server;
    int fd;
    struct server_tls *tls; /* NULL: unix socket */
    struct fd_watch *watch;
    struct conn *conns; /* newest first */
    size_t n_conns;
    uint16_t peers[LISTENER_PEERS]; /* connections by who is at their other end (a hash of it) */
};

size_t server_connections(const struct server *s);
