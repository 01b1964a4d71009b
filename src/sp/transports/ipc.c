/*
 * ipc:///FILE: unix stream sockets, to be dialled anywhere and listened on below run/atoll/sp (the
 * sandbox lets the service write nowhere else). inproc://NAME: the same between topologies of one
 * service; the file stands in run/atoll/sp/.inproc, where nobody else gets.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/own.h"
#include "sp/sp_service.h"
#include "sp/transport.h"

enum { BACKLOG = 512 };
static const char inproc_dir[] = ".inproc";

static int unix_socket(const char *path, struct sockaddr_un *sa, struct err *err) {
    *sa = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof sa->sun_path)
        return err_set(err, ERR_INVALID, "%s: longer than %zu bytes", path,
                       sizeof sa->sun_path - 1);
    memcpy(sa->sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return fd < 0 ? err_errno(err, errno, "socket") : fd;
}

static int listen_at(const char *path, mode_t mode, int *ret_fd, struct err *err) {
    struct sockaddr_un sa;
    OWN(close_p) int fd = unix_socket(path, &sa, err);
    if (fd < 0) return fd;
    if (unlink(path) < 0 && errno != ENOENT) return err_errno(err, errno, "%s", path);
    if (bind(fd, (struct sockaddr *)&sa, sizeof sa) < 0 || chmod(path, mode) < 0 ||
        listen(fd, BACKLOG) < 0)
        return err_errno(err, errno, "%s", path);
    *ret_fd = TAKE_FD(fd);
    return 0;
}

static int dial_at(const char *path, int *ret_fd, struct err *err) {
    struct sockaddr_un sa;
    OWN(close_p) int fd = unix_socket(path, &sa, err);
    if (fd < 0) return fd;
    if (connect(fd, (struct sockaddr *)&sa, sizeof sa) < 0)
        return err_errno(err, errno, "%s", path);
    *ret_fd = TAKE_FD(fd);
    return 0;
}

static int ipc_listen_file(const struct sp_address *address, int *ret_fd, struct err *err) {
    return listen_at(address->path, 0666, ret_fd, err);
}

static int ipc_dial_file(const struct sp_address *address, const char *ip, int *ret_fd,
                         struct err *err) {
    return dial_at(address->path, ret_fd, err);
}

static const struct sp_transport ipc = {.scheme = SP_SCHEME_IPC,
                                        .codec = &sp_codec_ipc,
                                        .listen = ipc_listen_file,
                                        .dial = ipc_dial_file};
SP_TRANSPORT(ipc);

/* ---- inproc ---- */

/* The name is a hash: any text is a name, and short. */
static int inproc_path(const struct sp_address *address, char ret[64], struct err *err) {
    int run = sp_service_run_dir();
    if (mkdirat(run, inproc_dir, 0700) < 0 && errno != EEXIST)
        return err_errno(err, errno, "%s", inproc_dir);
    if (fchdir(run) < 0) return err_errno(err, errno, "directory");
    snprintf(ret, 64, "%s/%016llx", inproc_dir,
             (unsigned long long)map_hash(slice_of(address->path)));
    return 0;
}

static int inproc_listen(const struct sp_address *address, int *ret_fd, struct err *err) {
    char path[64];
    int r = inproc_path(address, path, err);
    return r < 0 ? r : listen_at(path, 0600, ret_fd, err);
}

static int inproc_dial(const struct sp_address *address, const char *ip, int *ret_fd,
                       struct err *err) {
    char path[64];
    int r = inproc_path(address, path, err);
    return r < 0 ? r : dial_at(path, ret_fd, err);
}

static const struct sp_transport inproc = {.scheme = SP_SCHEME_INPROC,
                                           .codec = &sp_codec_ipc,
                                           .listen = inproc_listen,
                                           .dial = inproc_dial};
SP_TRANSPORT(inproc);
