#include "proc/unix_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/own.h"

/* Fills *sa; *ret_dir is a directory descriptor that must stay open while *sa is used, or -1. */
static int address_of(const char *path, struct sockaddr_un *sa, int *ret_dir, struct err *err) {
    *sa = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) < sizeof sa->sun_path) {
        memcpy(sa->sun_path, path, strlen(path) + 1);
        return 0;
    }
    const char *slash = strrchr(path, '/');
    if (!slash || strlen(slash + 1) > 64)
        return err_set(err, ERR_BAD_REQUEST, "%s: socket name too long", path);
    OWN(free_p) char *dir = strndup(path, (size_t)(slash - path));
    if (!dir) abort();
    OWN(close_p) int fd = open(*dir ? dir : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return err_errno(err, errno, "%s", dir);
    int n = snprintf(sa->sun_path, sizeof sa->sun_path, "/proc/self/fd/%d/%s", fd, slash + 1);
    if (n < 0 || (size_t)n >= sizeof sa->sun_path) return err_errno(err, ENAMETOOLONG, "%s", path);
    *ret_dir = TAKE_FD(fd);
    return 0;
}

int unix_connect(const char *path, bool nonblocking, int *ret_fd, struct err *err) {
    struct sockaddr_un sa;
    OWN(close_p) int dir = -1;
    int r = address_of(path, &sa, &dir, err);
    if (r < 0) return r;
    OWN(close_p) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return err_errno(err, errno, "socket");
    do r = connect(fd, (struct sockaddr *)&sa, sizeof sa);
    while (r < 0 && errno == EINTR);
    if (r < 0) return err_errno(err, errno, "%s", path);
    if (nonblocking && fcntl(fd, F_SETFL, O_NONBLOCK) < 0) return err_errno(err, errno, "fcntl");
    *ret_fd = TAKE_FD(fd);
    return 0;
}

int unix_listen(const char *path, unsigned mode, int *ret_fd, struct err *err) {
    struct sockaddr_un sa;
    OWN(close_p) int dir = -1;
    int r = address_of(path, &sa, &dir, err);
    if (r < 0) return r;
    OWN(close_p) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return err_errno(err, errno, "socket");
    if (unlink(sa.sun_path) < 0 && errno != ENOENT) return err_errno(err, errno, "%s", path);
    if (bind(fd, (struct sockaddr *)&sa, sizeof sa) < 0) return err_errno(err, errno, "%s", path);
    if (chmod(sa.sun_path, mode) < 0 || listen(fd, 512) < 0)
        return err_errno(err, errno, "%s", path);
    *ret_fd = TAKE_FD(fd);
    return 0;
}
