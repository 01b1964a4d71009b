/* The broker without init, for tests: broker_alone ROOT serves ROOT/run/atoll/broker.sock and
 * prints a line when it is ready. Its service functions stand here instead of proc/service.c. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "proc/service.h"

static const char *root;

char *service_path(const struct service_ctx *ctx, const char *below_root) {
    struct buf b = {0};
    buf_printf(&b, "%s%s", ctx->settings->root, below_root);
    return buf_steal(&b);
}

uid_t service_uid(const char *name) {
    (void)name;
    return 0;
}

int service_fd(const struct service_ctx *ctx, const char *name) {
    (void)ctx, (void)name;
    struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "broker.sock"};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    unlink(a.sun_path);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) < 0 || listen(fd, 64) < 0) {
        perror("broker.sock");
        exit(1);
    }
    return fd;
}

void service_ready(struct service_ctx *ctx) {
    (void)ctx;
    puts("ready");
    fflush(stdout);
}

extern const struct service *const __start_atoll_services[];

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: broker_alone ROOT INSTANCE\n");
        return 2;
    }
    root = argv[1];
    log_setup("broker", LOG_LEVEL_INFO);
    struct settings settings = {.root = root, .instance = argv[2], .node_name = "test"};
    struct service_ctx ctx = {__start_atoll_services[0], &settings, loop_new(NULL)};
    struct err err;
    if (ctx.service->prepare(&ctx, &err) < 0 || ctx.service->start(&ctx, &err) < 0) {
        fprintf(stderr, "broker_alone: %s\n", err.text);
        return 1;
    }
    loop_run(ctx.loop);
    return 0;
}
