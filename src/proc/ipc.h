/*
 * Messages between services: length-prefixed frames over unix stream sockets, with descriptors.
 * Frame: u32 body length, u16 type, u16 descriptor count, u32 id, body (base/pack.h codecs, one
 * pair of functions per message in src/wire/). A peer that breaks the framing is cut off. Requests
 * carry an id chosen by the caller; the answer repeats it; id 0 marks events that no one asked for.
 *
 * Servers listen on the socket that init made and handed over; a listener accepts only the peers
 * that the authority table names for its service (SO_PEERCRED uid), plus root. Sockets of all
 * services lie in the run directory, which is every service's working directory, so clients connect
 * to "store.sock".
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "proc/loop.h"

struct ipc;

struct ipc_msg {
    uint16_t type;
    uint32_t id;
    struct slice body;
    int *fds; /* owned by the ipc layer: closed after the callback unless the callee sets the entry
                 to -1 */
    size_t n_fds;
};

typedef void ipc_msg_fn(struct ipc *c, struct ipc_msg *m, void *user);
typedef void ipc_closed_fn(struct ipc *c,
                           void *user); /* after this the ipc is freed by the layer */
typedef void ipc_reply_fn(struct ipc *c, struct ipc_msg *m,
                          void *user); /* m == NULL: connection lost */

struct ipc_handler {
    ipc_msg_fn *message;   /* every message that is not the reply to an ipc_call */
    ipc_closed_fn *closed; /* may be NULL */
    void *user;
};

/* Server: calls accepted(c, user) for each new permitted peer; it sets the handler with
 * ipc_set_handler. fd stays owned by the caller. */
struct ipc_listener;
struct ipc_listener *ipc_listen(struct loop *l, int fd, const uid_t *allowed, size_t n_allowed,
                                void (*accepted)(struct ipc *c, void *user), void *user);
void ipc_listener_free(struct ipc_listener *l);

/* Client: connects to a unix socket path. Fails at once when nobody listens. */
int ipc_connect(struct loop *l, const char *path, const struct ipc_handler *h, struct ipc **ret,
                struct err *err);
void ipc_set_handler(struct ipc *c, const struct ipc_handler *h);
uid_t ipc_peer_uid(const struct ipc *c); /* as the kernel says; (uid_t)-1 when it does not */
void ipc_close(struct ipc *c); /* no callback afterwards, but pending calls get m == NULL; frees */

/* Queues a message; descriptors are duplicated. Never blocks; a queue past LIMIT_IPC_QUEUE_BYTES
 * cuts the peer off. */
void ipc_send(struct ipc *c, uint16_t type, uint32_t id, struct slice body, const int *fds,
              size_t n_fds);
/* Bytes queued and not yet taken by the kernel: long streams send in pieces that wait for it to
 * shrink. */
size_t ipc_queued_bytes(const struct ipc *c);
/* A client that sends requests with ipc_send and ids of its own (below 2^31, never together with
 * ipc_call on one connection) gets the answers, which may then be several, through its handler. */
/* Sends a request with a fresh id and calls fn with the answer. */
void ipc_call(struct ipc *c, uint16_t type, struct slice body, const int *fds, size_t n_fds,
              ipc_reply_fn *fn, void *user);

/* Blocking request on a connected socket, for code that cannot yield (a TLS handshake's signature,
 * CLI verbs). Timeout in ms. The answer's body goes to ret_body; received descriptors to ret_fds
 * (up to max_fds, count in *ret_n_fds; may be NULL). */
int ipc_call_blocking(int fd, uint16_t type, struct slice body, const int *fds, size_t n_fds,
                      uint64_t timeout_ms, uint16_t *ret_type, struct buf *ret_body, int *ret_fds,
                      size_t max_fds, size_t *ret_n_fds, struct err *err);
int ipc_connect_blocking(const char *path, int *ret_fd, struct err *err);
/* One question on a connection that is kept in *fd (-1: none yet) and made anew once when the
 * service at the other end was restarted. Appends the body of the answer of type `want`. */
int ipc_ask_blocking(int *fd, const char *path, uint16_t type, uint16_t want, struct slice body,
                     unsigned timeout_ms, struct buf *ret, struct err *err);

/* Every service answers a request with either its own reply type or IPC_ERROR. */
enum { IPC_ERROR = 0xffff };
void ipc_send_error(struct ipc *c, uint32_t id, const struct err *err);
/* Decodes an IPC_ERROR body; returns the -errno it stands for. */
int ipc_decode_error(struct slice body, struct err *err);
