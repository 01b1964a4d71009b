/* The service `store`: owns the state, on SQLite. Only `api` may connect. */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/own.h"
#include "proc/service.h"
#include "store/server.h"

enum { KEEP_BYTES = 8 << 20 }; /* of memory that is free, while there is work */

static struct {
    struct store_backend *backend;
    struct store_server *server;
    struct ipc_listener *listener;
} store;

/* The names on the way have to outlive a power failure as what will be in the database does. */
static int names_sync(struct service_ctx *ctx, struct err *err) {
    static const char *const way[] = {"/var/lib/atoll", "/var/lib", "/var", "/"};
    for (size_t i = 0; i < ARRAY_LEN(way); i++) {
        OWN(free_p) char *path = service_path(ctx, way[i]);
        OWN(close_p) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 || fsync(fd) < 0) return err_errno(err, errno, "%s cannot be synced", path);
    }
    return 0;
}

/* Opens and checks the database while its whole path is still reachable. */
static int store_prepare(struct service_ctx *ctx, struct err *err) {
    OWN(free_p) char *dir = service_path(ctx, "/var/lib/atoll/store");
    if (mkdir(dir, 0700) < 0 && errno != EEXIST)
        return err_errno(err, errno, "the directory %s cannot be made", dir);
    int r = names_sync(ctx, err);
    if (r < 0) return r;
    OWN(free_p) char *path = service_path(ctx, "/var/lib/atoll/store/store.db");
    return store_sqlite.open(path, &store.backend, err);
}

static int store_start(struct service_ctx *ctx, struct err *err) {
    int fd = service_fd(ctx, "listen");
    if (fd < 0) return err_set(err, ERR_INTERNAL, "no socket was handed over");
    mallopt(M_TRIM_THRESHOLD, KEEP_BYTES); /* quiet moments give it back */
    mallopt(M_TOP_PAD, KEEP_BYTES / 32);
    loop_look(ctx->loop, LOOP_LOOK_NS);
    uid_t api = service_uid("api");
    store.server = store_server_new(ctx->loop, store.backend);
    store.listener = ipc_listen(ctx->loop, fd, &api, 1, store_server_accept, store.server);
    struct store_stats st;
    store.backend->ops->stats(store.backend, &st);
    log_info("store_ready", "revision=%llu objects=%llu log_rows=%llu",
             (unsigned long long)st.revision, (unsigned long long)st.objects,
             (unsigned long long)st.log_rows);
    service_ready(ctx);
    return 0;
}

static bool store_stop(struct service_ctx *ctx) {
    ipc_listener_free(store.listener);
    store_server_flush(store.server);
    store_server_free(store.server);
    store.backend->ops->close(store.backend);
    return false;
}

static const struct service store_service = {
    .name = "store", .prepare = store_prepare, .start = store_start, .stop = store_stop};
SERVICE(store_service);
