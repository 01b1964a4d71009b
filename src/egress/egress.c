/*
 * The service `egress`: the only process through which api reaches addresses that users choose
 * (webhooks, aggregated APIs, proxied pods and services). It speaks no HTTP and holds no secret.
 */
#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/own.h"
#include "egress/pipe.h"
#include "proc/service.h"

enum { ACCEPTS_PER_TURN = 16 };

static struct {
    struct service_ctx *ctx;
    int fd;
    uid_t peers[12];
    size_t n_peers, n_pipes;
} egress = {.fd = -1};

static bool permitted(int fd) {
    struct ucred who;
    socklen_t n = sizeof who;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) < 0) return false;
    bool ok = who.uid == 0;
    for (size_t i = 0; i < egress.n_peers; i++) ok |= egress.peers[i] == who.uid;
    if (!ok) log_warn("egress_peer_refused", "uid=%u", (unsigned)who.uid);
    return ok;
}

static void on_accept(void *user, unsigned events) {
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        OWN(close_p) int fd = accept4(egress.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) return;
        if (!permitted(fd)) continue;
        if (egress.n_pipes >= LIMIT_EGRESS_CONNECTIONS) {
            log_warn("egress_full", "connections=%zu", egress.n_pipes);
            continue;
        }
        pipe_new(egress.ctx->loop, TAKE_FD(fd), &egress.n_pipes);
    }
}

static int start(struct service_ctx *ctx, struct err *err) {
    egress.ctx = ctx;
    egress.n_peers = service_peers(ctx, egress.peers);
    egress.fd = service_fd(ctx, "listen");
    if (egress.fd < 0) return err_set(err, ERR_INTERNAL, "no socket was handed over");
    fd_watch_new(ctx->loop, egress.fd, FD_READ, on_accept, NULL);
    service_ready(ctx);
    return 0;
}

static const struct service egress_service = {.name = "egress", .start = start};
SERVICE(egress_service);
