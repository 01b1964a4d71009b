/*
 * A transport gives links their bytes: how to listen and dial, and what stands between messages and
 * the descriptor. One struct of functions, registered by one line. Everything is non-blocking.
 *
 *   tcp, ipc   plain descriptor, SP handshake and frames (link.c has both)
 *   tls+tcp    the same over `stream` (TLS)
 *   ws, wss    over plain or TLS, with a `codec` of their own: HTTP upgrade, WebSocket frames
 */
#pragma once

#include <sys/uio.h>

#include "base/buf.h"
#include "sp/declare/config.h"
#include "sp/message.h"

struct sp_link;
struct sp_edge;

/* Bytes on a connected descriptor; NULL in a transport: read(2) and writev(2). `state` is what open
 * has made. */
struct sp_stream {
    /* link->fd is connected. Returns the state, or NULL and err. */
    void *(*open)(struct sp_link *l, bool dialled, struct err *err);
    /* 1: done (and the peer has been checked; fills in link->pipe.who.name), 0: call again when
     * sp_link_want has been told what the descriptor must do; < 0: refused. */
    int (*handshake)(void *state, struct err *err);
    /* As read and writev with -errno; -EAGAIN: later, nothing was taken (a retry may bring other
     * bytes: what was taken must be kept inside); 0 of read: end. */
    ssize_t (*read)(void *state, void *p, size_t n);
    ssize_t (*writev)(void *state, const struct iovec *v, int n);
    size_t (*pending)(void *state); /* bytes that can be read although the descriptor is silent */
    void (*close)(void *state);     /* says good-bye if that does not block; not the descriptor */
};

enum { SP_HEAD_MAX = 32 };

/* Messages in bytes. Its state, if it has any, is link->codec_state. */
struct sp_codec {
    int (*open)(struct sp_link *l, bool dialled,
                struct err *err); /* what to say first: link->out */
    /* Eats bytes from the front of *in, calls sp_link_opened once the peer has greeted and
     * sp_link_payload for each message. 0: more is needed, or the link does not want more
     * (sp_link_may_read); < 0: close. */
    int (*input)(struct sp_link *l, struct slice *in, struct err *err);
    /* The bytes before a payload (extra and body are its two parts); returns how many. When the
     * payload itself changes (masks), it appends all of it to copy, which is then sent instead. */
    size_t (*head)(struct sp_link *l, struct slice extra, struct slice body,
                   unsigned char ret[SP_HEAD_MAX], struct buf *copy);
    void (*close)(struct sp_link *l);
};
extern const struct sp_codec sp_codec_tcp, sp_codec_ipc; /* link_codec.c */

struct sp_transport {
    enum sp_scheme scheme;
    const struct sp_stream *stream; /* NULL: plain */
    const struct sp_codec *codec;
    /* A listening socket. */
    int (*listen)(const struct sp_address *address, int *ret_fd, struct err *err);
    /* A connecting socket: 0, connected or on the way (writable tells). host is an IP address. */
    int (*dial)(const struct sp_address *address, const char *ip, int *ret_fd, struct err *err);
    bool resolves; /* address.host may be a name when dialling */
};
#define SP_TRANSPORT(sym)                                                                          \
    __attribute__((used, retain, section("atoll_sp_transports"))) static const struct sp_transport \
        *const sp_transport_p_##sym = &sym
const struct sp_transport *sp_transport_find(enum sp_scheme scheme); /* NULL: not linked in */

/* listen and dial of everything that runs on TCP (transports/tcp.c); no delay, keep-alive. */
int sp_tcp_listen(const struct sp_address *address, int *ret_fd, struct err *err);
int sp_tcp_dial(const struct sp_address *address, const char *ip, int *ret_fd, struct err *err);
