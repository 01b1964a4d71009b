/* The service `image`: the catalog of this node's images, and a worker process for each long
 * request. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/own.h"
#include "image/catalog.h"
#include "image/jobs.h"
#include "image/reference.h"
#include "image/remove_tree.h"
#include "proc/authority.h"
#include "proc/child.h"
#include "proc/ipc.h"
#include "proc/service.h"

enum { WORKERS_MAX = 4, QUEUE_MAX = 512 };

struct task { /* one long request: queued, then in a worker */
    struct task *next;
    struct ipc *client; /* NULL when it went away */
    uint32_t id;
    uint16_t type;
    struct buf body;
    int fd; /* the archive, or -1 */
    pid_t pid;
    int out; /* the worker's answer */
    struct fd_watch *watch;
    struct buf answer;
};

static struct image_service {
    struct service_ctx *ctx;
    char *state; /* absolute path of the state directory */
    int dir;
    char *insecure_hosts;
    struct catalog catalog;
    struct ipc_listener *listener;
    struct task *queued, **queued_end, *running;
    size_t n_queued, n_running;
} svc = {.dir = -1};

/* ---- answers ---- */

static void answer_image(struct ipc *c, uint32_t id, const struct image_info *info) {
    OWN(buf_done) struct buf b = {0};
    image_info_pack(&b, info);
    ipc_send(c, IMAGE_INFO, id, buf_view(&b), NULL, 0);
}

static void answer_error(struct ipc *c, uint32_t id, const struct err *err) {
    if (c) ipc_send_error(c, id, err);
}

/* ---- the worker ---- */

static int work(struct job *j, const struct task *t, struct err *err) {
    struct unpack u = unpack_init(buf_view(&t->body));
    struct image_pull_request pull;
    struct image_from_dir from;
    if (t->type == IMAGE_PULL) {
        if (image_pull_request_unpack(buf_view(&t->body), j->arena, &pull) < 0)
            return err_set(err, ERR_BAD_REQUEST, "malformed message");
        return job_pull(j, &pull, err);
    }
    if (t->fd < 0) return err_set(err, ERR_BAD_REQUEST, "the archive's descriptor is missing");
    if (t->type == IMAGE_FROM_DIR) {
        if (image_from_dir_unpack(buf_view(&t->body), j->arena, &from) < 0)
            return err_set(err, ERR_BAD_REQUEST, "malformed message");
        return job_from_dir(j, &from, t->fd, err);
    }
    const char *name = unpack_str(&u, j->arena);
    if (unpack_end(&u) < 0) return err_set(err, ERR_BAD_REQUEST, "malformed message");
    return job_import(j, name, t->fd, err);
}

static void worker_main(const struct task *t, int out) {
    struct job j = {.arena = arena_new(),
                    .root = svc.ctx->settings->root,
                    .state = svc.state,
                    .insecure_hosts = svc.insecure_hosts};
    struct err err = {0};
    struct buf b = {0};
    int r = work(&j, t, &err);
    pack_u8(&b, r < 0);
    if (r < 0) {
        pack_u32(&b, err.reason);
        pack_str(&b, err.text);
    } else {
        pack_u32(&b, (uint32_t)j.images.n);
        for (size_t i = 0; i < j.images.n; i++) image_info_pack(&b, &j.images.v[i]);
    }
    for (size_t done = 0; done < b.n;) {
        ssize_t n = write(out, b.p + done, b.n - done);
        if (n <= 0) _exit(1);
        done += (size_t)n;
    }
    _exit(0);
}

static void start_tasks(void);

static void task_free(struct task *t) {
    fd_watch_free(t->watch);
    if (t->out >= 0) close(t->out);
    if (t->fd >= 0) close(t->fd);
    buf_done(&t->body);
    buf_done(&t->answer);
    free(t);
}

/* The catalog takes what the worker made; the client gets it. */
static void adopt_images(struct task *t, struct unpack *u, struct arena *a) {
    OWN(buf_done) struct buf list = {0};
    struct err err = {0};
    uint32_t n = unpack_u32(u);
    pack_u32(&list, n);
    for (uint32_t i = 0; i < n; i++) {
        struct image_info info;
        if (image_info_unpack(u, a, &info) < 0) {
            err_set(&err, ERR_INTERNAL, "the worker's answer is malformed");
            answer_error(t->client, t->id, &err);
            return;
        }
        if (catalog_put(&svc.catalog, &info, &err) < 0) {
            answer_error(t->client, t->id, &err);
            return;
        }
        log_info("image_added", "id=%s name=%s", info.id, info.n_names ? info.names[0] : "");
        image_info_pack(&list, &info);
        if (t->client && t->type != IMAGE_IMPORT) answer_image(t->client, t->id, &info);
    }
    if (t->client && t->type == IMAGE_IMPORT)
        ipc_send(t->client, IMAGE_LIST_OK, t->id, buf_view(&list), NULL, 0);
}

static void finish(struct task *t, int status) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct unpack u = unpack_init(buf_view(&t->answer));
    struct err err = {0};
    bool failed = unpack_u8(&u);
    if (u.bad) {
        err_set(&err, ERR_INTERNAL, "the image worker died (status %d)", status);
        answer_error(t->client, t->id, &err);
    } else if (failed) {
        uint32_t reason = unpack_u32(&u);
        err_set(&err, reason < ERR_REASON_COUNT ? (enum err_reason)reason : ERR_INTERNAL, "%s",
                unpack_str(&u, a));
        answer_error(t->client, t->id, &err);
    } else
        adopt_images(t, &u, a);
}

static void worker_output(void *user, unsigned events) {
    struct task *t = user;
    char piece[65536];
    (void)events;
    ssize_t n = read(t->out, piece, sizeof piece);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n > 0 && t->answer.n + (size_t)n <= LIMIT_IPC_BYTES) {
        buf_append(&t->answer, piece, (size_t)n);
        return;
    }
    int status = 0;
    while (waitpid(t->pid, &status, 0) < 0 && errno == EINTR) {
    }
    for (struct task **at = &svc.running; *at; at = &(*at)->next)
        if (*at == t) {
            *at = t->next;
            break;
        }
    svc.n_running--;
    finish(t, status);
    task_free(t);
    start_tasks();
}

static void start_one(struct task *t) {
    int fds[2];
    struct err err = {0};
    if (pipe2(fds, O_CLOEXEC) == 0) {
        t->pid = child_fork();
        if (t->pid == 0) worker_main(t, fds[1]);
        close(fds[1]);
        t->out = fds[0];
    } else
        t->pid = -1;
    if (t->pid < 0) {
        err_errno(&err, errno, "starting an image worker");
        answer_error(t->client, t->id, &err);
        task_free(t);
        return;
    }
    t->next = svc.running;
    svc.running = t;
    svc.n_running++;
    t->watch = fd_watch_new(svc.ctx->loop, t->out, FD_READ, worker_output, t);
}

static void start_tasks(void) {
    while (svc.queued && svc.n_running < WORKERS_MAX) {
        struct task *t = svc.queued;
        svc.queued = t->next;
        if (!svc.queued) svc.queued_end = &svc.queued;
        svc.n_queued--;
        start_one(t);
    }
}

/* ---- requests ---- */

static void enqueue(struct ipc *c, struct ipc_msg *m) {
    struct err err = {0};
    if (svc.n_queued >= QUEUE_MAX) {
        err_set(&err, ERR_TOO_MANY_REQUESTS, "too many image requests are waiting");
        ipc_send_error(c, m->id, &err);
        return;
    }
    struct task *t = calloc(1, sizeof *t);
    if (!t) abort();
    *t = (struct task){.client = c, .id = m->id, .type = m->type, .fd = -1, .out = -1};
    buf_slice(&t->body, m->body);
    if (m->n_fds) {
        t->fd = m->fds[0];
        m->fds[0] = -1;
    }
    *svc.queued_end = t;
    svc.queued_end = &t->next;
    svc.n_queued++;
    start_tasks();
}

static const struct image_info *find(struct arena *a, const char *name) {
    struct image_reference ref;
    const struct image_info *info = catalog_find(&svc.catalog, name);
    if (info || image_reference_parse(a, name, &ref, NULL) < 0) return info;
    if (ref.digest)
        return catalog_find(&svc.catalog,
                            arena_printf(a, "%s/%s@%s", ref.host, ref.repository, ref.digest));
    return catalog_find(&svc.catalog, image_reference_name(a, &ref));
}

static void inspect(struct ipc *c, struct ipc_msg *m) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct unpack u = unpack_init(m->body);
    struct err err = {0};
    const char *name = unpack_str(&u, a);
    const struct image_info *info = unpack_end(&u) == 0 ? find(a, name) : NULL;
    if (info)
        answer_image(c, m->id, info);
    else {
        err_set(&err, ERR_NOT_FOUND, "image \"%s\" is not on this node", name);
        ipc_send_error(c, m->id, &err);
    }
}

static void list(struct ipc *c, struct ipc_msg *m) {
    OWN(buf_done) struct buf b = {0};
    pack_u32(&b, (uint32_t)svc.catalog.entries.n);
    for (size_t i = 0; i < svc.catalog.entries.n; i++)
        image_info_pack(&b, &svc.catalog.entries.v[i].info);
    ipc_send(c, IMAGE_LIST_OK, m->id, buf_view(&b), NULL, 0);
}

static void drop_layers(const char **layers, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        char path[160];
        if (catalog_uses_layer(&svc.catalog, layers[i])) continue;
        snprintf(path, sizeof path, "layers/%s", layers[i]);
        remove_tree_at(svc.dir, path);
    }
}

static void remove_image(struct ipc *c, struct ipc_msg *m) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct unpack u = unpack_init(m->body);
    struct err err = {0};
    const char *name = unpack_str(&u, a);
    const struct image_info *info = unpack_end(&u) == 0 ? find(a, name) : NULL;
    int r;
    if (!info)
        r = err_set(&err, ERR_NOT_FOUND, "image \"%s\" is not on this node", name);
    else {
        uint32_t n = info->n_layers;
        const char **layers = ARENA_ARRAY(a, const char *, n);
        for (uint32_t i = 0; i < n; i++) layers[i] = arena_str(a, info->layers[i]);
        struct image_reference ref;
        const char *entry =
            catalog_find(&svc.catalog, name) || image_reference_parse(a, name, &ref, NULL) < 0
                ? name
                : image_reference_name(a, &ref);
        r = catalog_remove(&svc.catalog, entry, &err);
        if (r == 0) drop_layers(layers, n);
    }
    if (r < 0)
        ipc_send_error(c, m->id, &err);
    else
        ipc_send(c, IMAGE_REMOVE_OK, m->id, (struct slice){0}, NULL, 0);
}

static void on_message(struct ipc *c, struct ipc_msg *m, void *user) {
    static void (*const handlers[])(struct ipc *, struct ipc_msg *) = {
        [IMAGE_PULL] = enqueue,        [IMAGE_INSPECT] = inspect, [IMAGE_LIST] = list,
        [IMAGE_REMOVE] = remove_image, [IMAGE_IMPORT] = enqueue,  [IMAGE_FROM_DIR] = enqueue};
    struct err err = {0};
    (void)user;
    if (m->type < ARRAY_LEN(handlers) && handlers[m->type]) {
        handlers[m->type](c, m);
        return;
    }
    err_set(&err, ERR_BAD_REQUEST, "unknown message type %u", m->type);
    ipc_send_error(c, m->id, &err);
}

static void on_closed(struct ipc *c, void *user) {
    (void)user;
    for (struct task *t = svc.queued; t; t = t->next)
        if (t->client == c) t->client = NULL;
    for (struct task *t = svc.running; t; t = t->next)
        if (t->client == c) t->client = NULL;
}

static void accepted(struct ipc *c, void *user) {
    static const struct ipc_handler handler = {.message = on_message, .closed = on_closed};
    (void)user;
    ipc_set_handler(c, &handler);
}

/* ---- life ---- */

/* What a killed worker left half-made. */
static void clean_leftovers(const char *below, const char *prefix) {
    int fd = openat(svc.dir, below, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    OWN(closedir_p) DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    for (struct dirent *e; d && (e = readdir(d));)
        if (str_starts(e->d_name, prefix)) remove_tree_at(fd, e->d_name);
}

static int prepare(struct service_ctx *ctx, struct err *err) {
    OWN(buf_done) struct buf hosts = {0};
    OWN(free_p) char *list_path = service_path(ctx, "/etc/atoll/insecure-registries");
    char piece[512];
    OWN(fclose_p) FILE *f = fopen(list_path, "re");
    (void)err;
    for (size_t n; f && hosts.n < 65536 && (n = fread(piece, 1, sizeof piece, f)) > 0;)
        buf_append(&hosts, piece, n);
    svc.insecure_hosts = buf_steal(&hosts);
    return 0;
}

static int start(struct service_ctx *ctx, struct err *err) {
    svc.ctx = ctx;
    svc.queued_end = &svc.queued;
    svc.state = service_path(ctx, "/var/lib/atoll/image");
    svc.dir = open(svc.state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (svc.dir < 0) return err_errno(err, errno, "%s", svc.state);
    if ((mkdirat(svc.dir, "layers", 0755) < 0 && errno != EEXIST) ||
        (mkdirat(svc.dir, "spool", 0700) < 0 && errno != EEXIST))
        return err_errno(err, errno, "%s", svc.state);
    if (fchmodat(svc.dir, "layers", 0755, 0) < 0) /* the service's umask is stricter */
        return err_errno(err, errno, "%s/layers", svc.state);
    clean_leftovers("layers", ".new-");
    clean_leftovers("spool", "import-");
    int r = catalog_load(&svc.catalog, svc.dir, err);
    if (r < 0) return r;
    uid_t allowed[AUTHORITY_LIST_MAX];
    size_t n = authority_peers("image", allowed);
    svc.listener = ipc_listen(ctx->loop, service_fd(ctx, "listen"), allowed, n, accepted, NULL);
    service_ready(ctx);
    return 0;
}

static const struct service image_service = {.name = "image", .prepare = prepare, .start = start};
SERVICE(image_service);
