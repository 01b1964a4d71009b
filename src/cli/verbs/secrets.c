/* atoll secrets rotate: a new key for secrets at rest, everything sealed anew, old keys destroyed.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/own.h"
#include "cli/verb.h"
#include "proc/init.h"
#include "wire/keys.h"

enum { RESTART_MS = 10 * 1000, STEP_MS = 20, ANSWER_S = 600, IDS_MAX = 64 };

struct rotation {
    const struct verb *v;
    struct arena *a;
    const char *root, *directory;
    uint32_t ids[IDS_MAX]; /* of the old keys */
    size_t n;
    uint32_t fresh;
};

static const char *key_path(const struct rotation *r, uint32_t id) {
    char name[KEYS_SEAL_NAME_MAX];
    keys_seal_name(name, id);
    return arena_printf(r->a, "%s/%s", r->directory, name);
}

static int find_keys(struct rotation *r, struct err *err) {
    DIR *d = opendir(r->directory);
    if (!d) return err_errno(err, errno, "%s", r->directory);
    for (struct dirent *e; (e = readdir(d)) && r->n < IDS_MAX;) {
        uint32_t id = keys_seal_id(e->d_name);
        if (!id) continue;
        r->ids[r->n++] = id;
        if (id >= r->fresh) r->fresh = id + 1;
    }
    closedir(d);
    if (!r->n)
        return err_set(err, ERR_NOT_FOUND, "%s holds no sealing key: start Atoll once",
                       r->directory);
    if (r->n >= KEYS_SEAL_MAX)
        return err_set(err, ERR_CONFLICT, "%s holds %zu sealing keys already", r->directory, r->n);
    return 0;
}

static int make_key(struct rotation *r, struct err *err) {
    unsigned char bytes[KEYS_SEAL_BYTES];
    const char *path = key_path(r, r->fresh);
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        return err_errno(err, errno, "no random numbers");
    OWN(close_p) int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    errno = fd < 0 ? errno : ENOSPC; /* what a short write means */
    bool good =
        fd >= 0 && write(fd, bytes, sizeof bytes) == (ssize_t)sizeof bytes && fsync(fd) == 0;
    int e = errno;
    explicit_bzero(bytes, sizeof bytes);
    if (good) {
        OWN(close_p) int dir = open(r->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir >= 0) fsync(dir);
        return 0;
    }
    if (fd >= 0) unlink(path);
    return err_errno(err, e, "cannot write %s", path);
}

static const struct init_service_status *keys_of(const struct init_status *s) {
    for (uint32_t i = 0; i < s->n_services; i++)
        if (str_eq(s->services[i].name, "keys")) return &s->services[i];
    return NULL;
}

/* The keys service reads its directory only before its sandbox closes: it has to start anew. */
static int restart_keys(struct rotation *r, struct err *err) {
    struct init_status s;
    int rc = cli_init_status(r->root, r->a, &s, err);
    if (rc < 0) return rc;
    const struct init_service_status *keys = keys_of(&s);
    uint32_t before = keys ? keys->pid : 0;
    if (before > 1) kill((pid_t)before, SIGTERM);
    for (int waited = 0; waited < RESTART_MS; waited += STEP_MS) {
        nanosleep(&(struct timespec){0, STEP_MS * 1000000L}, NULL);
        OWN(arena_free_p) struct arena *a = arena_new();
        if (cli_init_status(r->root, a, &s, err) < 0) return -EIO;
        keys = keys_of(&s);
        if (keys && keys->ready && keys->pid != before) return 0;
    }
    return err_set(err, ERR_TIMEOUT, "the keys service did not start anew within %d s",
                   RESTART_MS / 1000);
}

/* One POST to api.sock. The status, the body behind the head in b; 0: no answer. */
static int post(const struct rotation *r, const char *path, struct buf *b, struct err *err) {
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    const char *socket_path = arena_printf(r->a, "%s/run/atoll/api.sock", r->root);
    OWN(close_p) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    OWN(close_p)
    int dir = open(arena_printf(r->a, "%s/run/atoll", r->root), O_PATH | O_DIRECTORY | O_CLOEXEC);
    snprintf(to.sun_path, sizeof to.sun_path, "/proc/self/fd/%d/api.sock", dir);
    struct timeval limit = {.tv_sec = ANSWER_S};
    if (fd >= 0) setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0)
        return err_errno(err, errno, "%s", socket_path);
    const char *head = arena_printf(r->a,
                                    "POST %s HTTP/1.1\r\nHost: atoll\r\nConnection: close\r\n"
                                    "Content-Length: 0\r\n\r\n",
                                    path);
    if (send(fd, head, strlen(head), MSG_NOSIGNAL) != (ssize_t)strlen(head))
        return err_errno(err, errno, "%s", socket_path);
    for (ssize_t n = 1; n > 0;) {
        buf_reserve(b, 4096);
        n = recv(fd, b->p + b->n, 4096, 0);
        if (n > 0) b->n += (size_t)n;
        b->p[b->n] = 0;
    }
    int status = 0;
    if (!b->p || sscanf(b->p, "HTTP/1.1 %d", &status) != 1)
        return err_set(err, ERR_UNAVAILABLE, "%s: no answer", socket_path);
    const char *body = strstr(b->p, "\r\n\r\n");
    if (body) buf_consume(b, (size_t)(body + 4 - b->p));
    return status;
}

/* The number behind "name": in a flat JSON object; 0 when there is none. */
static uint64_t number_of(const char *json, const char *name) {
    const char *at = json ? strstr(json, name) : NULL;
    return at ? strtoull(at + strlen(name), NULL, 10) : 0;
}

static int reseal(struct rotation *r, uint64_t *ret_rewritten, struct err *err) {
    const char *path = arena_printf(r->a, "/atoll/secrets/reseal?key=%u", r->fresh);
    for (int waited = 0;; waited += STEP_MS) {
        OWN(buf_done) struct buf b = {0};
        int status = post(r, path, &b, err);
        if (status < 0) return status;
        if (status == 200) {
            *ret_rewritten = number_of(b.p, "\"rewritten\":");
            return 0;
        }
        /* api may just be connecting to keys again. */
        if (status != 503 || waited >= RESTART_MS)
            return err_set(err, ERR_INTERNAL, "api answered %d: %.300s", status, str_or(b.p, ""));
        nanosleep(&(struct timespec){0, STEP_MS * 1000000L}, NULL);
    }
}

static int rotate(struct rotation *r, struct err *err) {
    uint64_t rewritten = 0;
    int rc = find_keys(r, err);
    if (rc == 0) rc = make_key(r, err);
    if (rc == 0) rc = restart_keys(r, err);
    if (rc == 0) rc = reseal(r, &rewritten, err);
    if (rc < 0) return rc;
    for (size_t i = 0; i < r->n; i++)
        if (unlink(key_path(r, r->ids[i])) < 0 && errno != ENOENT)
            return err_errno(err, errno, "cannot remove %s", key_path(r, r->ids[i]));
    rc = restart_keys(r, err); /* it forgets them too */
    if (rc < 0) return rc;
    printf("%llu secrets are sealed with key %u; %zu older %s destroyed\n",
           (unsigned long long)rewritten, r->fresh, r->n, r->n == 1 ? "key is" : "keys are");
    return 0;
}

static int secrets_run(const struct verb *v, int argc, char **argv) {
    struct cli_args args;
    struct err err;
    OWN(arena_free_p) struct arena *a = arena_new();
    struct rotation r = {.v = v, .a = a};
    int status = cli_parse(v, argc, argv, NULL, 0, 1, &args);
    if (status != CLI_CONTINUE) return status;
    if (args.n_words != 1 || !str_eq(args.words[0], "rotate"))
        return cli_usage(v, "want: atoll secrets rotate");
    status = cli_root(v, &args, a, &r.root);
    if (status != CLI_CONTINUE) return status;
    r.directory = arena_printf(a, "%s/var/lib/atoll/keys", r.root);
    struct init_status running;
    if (cli_init_status(r.root, a, &running, &err) < 0) return cli_err(v, &err);
    return rotate(&r, &err) < 0 ? cli_err(v, &err) : 0;
}

static const struct verb secrets_verb = {
    "secrets", "rotate", "seal secrets at rest with a new key and destroy the old one", secrets_run,
    "  rotate                      makes a new key, seals every Secret with it, then destroys the "
    "old key\n"};
VERB(secrets_verb);
