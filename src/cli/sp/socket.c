/* Connections to socket files, as any program would make them. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/own.h"
#include "cli/sp/sp_cli.h"
#include "proc/settings.h"

enum { BUFFER_BYTES = 8 << 20 };

const char *sp_cli_role(const char *pattern, bool sends) {
    static const char *const roles[][3] = {
        {"bus", "bus", "bus"},    {"pair", "pair", "pair"}, {"pipeline", "pull", "push"},
        {"pubsub", "sub", "pub"}, {"reqrep", "rep", "req"}, {"survey", "respondent", "surveyor"},
    };
    for (size_t i = 0; i < ARRAY_LEN(roles); i++)
        if (str_eq(roles[i][0], pattern)) return roles[i][1 + sends];
    return NULL;
}

/* The directory is opened first: its path may be longer than an address of a socket. */
int sp_cli_connect(const char *root, const char *topology, const char *file, int *ret_fd,
                   struct err *err) {
    OWN(free_p) char *path = NULL;
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    if (asprintf(&path, "%s/run/atoll/sp/%s", root, topology) < 0) return -ENOMEM;
    OWN(close_p) int dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0 && errno == ENOENT)
        return err_set(err, ERR_NOT_FOUND, "no topology \"%s\" (%s)", topology, path);
    if (dir < 0) return err_errno(err, errno, "%s", path);
    int n = snprintf(sa.sun_path, sizeof sa.sun_path, "/proc/self/fd/%d/%s", dir, file);
    if (n >= (int)sizeof sa.sun_path)
        return err_set(err, ERR_INVALID, "the name \"%s\" is too long", file);
    OWN(close_p) int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0) return err_errno(err, errno, "socket");
    int size = BUFFER_BYTES;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    if (connect(fd, (struct sockaddr *)&sa, sizeof sa) < 0) {
        if (errno == ENOENT)
            return err_set(err, ERR_NOT_FOUND, "topology \"%s\" has no file %s", topology, file);
        return err_errno(err, errno, "%s/%s", path, file);
    }
    *ret_fd = TAKE_FD(fd);
    return 0;
}

int sp_cli_receive(int fd, int timeout_ms, struct buf *buffer, struct err *err) {
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int ready = poll(&p, 1, timeout_ms);
    if (ready < 0) return err_errno(err, errno, "poll");
    if (!ready) return -EAGAIN;
    char none;
    ssize_t size = recv(fd, &none, 0, MSG_PEEK | MSG_TRUNC);
    if (size < 0) return errno == ECONNRESET ? 0 : err_errno(err, errno, "receive");
    buf_clear(buffer);
    buf_reserve(buffer, (size_t)size + 1);
    ssize_t n = recv(fd, buffer->p, (size_t)size + 1, 0);
    if (n < 0) return errno == ECONNRESET ? 0 : err_errno(err, errno, "receive");
    buffer->n = (size_t)n;
    if (buffer->p) buffer->p[n] = 0;
    if (n) return 1;
    return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLRDHUP)) ? 0 : 1;
}

/* Length of the UTF-8 sequence that s begins with; 0: none. */
static size_t utf8_bytes(struct slice s) {
    unsigned char c = (unsigned char)s.p[0];
    size_t n = c < 0x80 ? 1 : c >= 0xc2 && c < 0xe0 ? 2 : c >= 0xe0 && c < 0xf0 ? 3 : 0;
    if (c >= 0xf0 && c < 0xf5) n = 4;
    if (!n || n > s.n) return 0;
    for (size_t i = 1; i < n; i++)
        if (((unsigned char)s.p[i] & 0xc0) != 0x80) return 0;
    if (c == 0xe0 && (unsigned char)s.p[1] < 0xa0) return 0;
    if (c == 0xf0 && (unsigned char)s.p[1] < 0x90) return 0;
    return n == 2 && c == 0xc2 && (unsigned char)s.p[1] < 0xa0 ? 0 : n; /* C1 controls */
}

void sp_cli_escape(struct buf *out, struct slice bytes) {
    for (size_t i = 0; i < bytes.n;) {
        unsigned char c = (unsigned char)bytes.p[i];
        size_t n = utf8_bytes(slice_from(bytes.p + i, bytes.n - i));
        if (!n || c < ' ' || c == 0x7f) {
            buf_printf(out, "\\x%02x", (unsigned)c);
            i++;
        } else {
            buf_append(out, bytes.p + i, n);
            i += n;
        }
    }
}

int sp_cli_root(const struct verb *v, const struct cli_args *args, struct arena *a,
                const char **ret) {
    struct err err;
    if (settings_root(args->root, false, a, ret, &err) < 0) return cli_err(v, &err);
    return CLI_CONTINUE;
}

int sp_cli_topology(const struct verb *v, const struct cli_args *args, struct arena *a,
                    const char **ret_root, struct sp_view *ret) {
    struct err err = {0};
    if (!args->n_words) return cli_usage(v, "needs the name of a topology");
    int status = sp_cli_root(v, args, a, ret_root);
    if (status != CLI_CONTINUE) return status;
    if (sp_view_read(*ret_root, args->words[0], a, ret, &err) < 0) return cli_err(v, &err);
    return CLI_CONTINUE;
}

int sp_cli_timeout(const struct verb *v, const char *text, int *ret_ms) {
    enum { SECONDS_MAX = 1000000 };
    uint64_t seconds;
    if (!text) return CLI_CONTINUE;
    if (slice_u64(slice_of(text), &seconds) < 0 || seconds > SECONDS_MAX)
        return cli_usage(v, "--timeout: not a number of seconds");
    *ret_ms = (int)seconds * 1000;
    return CLI_CONTINUE;
}
