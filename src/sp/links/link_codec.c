/* The SP handshake and frames, of tcp and ipc; and the door for programs that use a library: a
 * stream socket ROLE.ipc beside the plain one. */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"
#include "sp/endpoints/endpoint.h"
#include "sp/links/link_private.h"
#include "sp/sp_service.h"

static void greet(struct sp_link *l) {
    unsigned char hello[SP_HANDSHAKE_BYTES];
    sp_handshake_write(hello, l->own_type);
    buf_append(&l->out, hello, sizeof hello);
}

static int tcp_open(struct sp_link *l, bool dialled, struct err *err) {
    if (!sp_link_waits_for_greeting(l)) greet(l);
    return 0;
}

static int ipc_open(struct sp_link *l, bool dialled, struct err *err) {
    l->frames.framing = SP_FRAMING_IPC;
    return tcp_open(l, dialled, err);
}

static int read_greeting(struct sp_link *l, struct slice *in, struct err *err) {
    uint16_t type = 0;
    int r = sp_handshake_read(*in, &type, err);
    if (r <= 0) return r;
    *in = slice_from(in->p + SP_HANDSHAKE_BYTES, in->n - SP_HANDSHAKE_BYTES);
    bool waits = sp_link_waits_for_greeting(l);
    r = sp_link_opened(l, type, err);
    if (r < 0) return r;
    if (waits) {
        greet(l);
        sp_link_flush(l);
    }
    return 0;
}

static int input(struct sp_link *l, struct slice *in, struct err *err) {
    if (!l->greeted) {
        int r = read_greeting(l, in, err);
        if (r < 0 || !l->greeted) return r;
    }
    while (sp_link_may_read(l)) {
        struct slice payload;
        int r = sp_frames_next(&l->frames, in, &payload, err);
        if (r <= 0) return r;
        r = sp_link_payload(l, payload, err);
        if (r < 0) return r;
    }
    return 0;
}

static size_t head(struct sp_link *l, struct slice extra, struct slice body,
                   unsigned char ret[SP_HEAD_MAX], struct buf *copy) {
    return sp_frame_head(ret, l->frames.framing, (uint64_t)extra.n + body.n);
}

const struct sp_codec sp_codec_tcp = {.open = tcp_open, .input = input, .head = head};
const struct sp_codec sp_codec_ipc = {.open = ipc_open, .input = input, .head = head};

/* ---- the door ---- */

static const struct sp_transport door_transport = {.scheme = SP_SCHEME_IPC, .codec = &sp_codec_ipc};

static void door_accepted(struct sp_endpoint *e, int fd, const struct sp_credentials *who) {
    if (e->topology->handshakes.n >= LIMIT_SP_HANDSHAKES) {
        e->refused++;
        sp_log(e->topology->service, "client_refused",
               "file=%s/%s pid=%d reason=\"too many greetings\"", e->topology->config->name,
               e->name, (int)who->pid);
        close(fd);
        return;
    }
    sp_link_new(e->topology, NULL, &door_transport, fd, false, e->role, who);
}

static const struct sp_door ipc_door = {.name = "ipc",
                                        .directory = "",
                                        .suffix = ".ipc",
                                        .socket_type = SOCK_STREAM,
                                        .accepted = door_accepted};
SP_DOOR(ipc_door);
