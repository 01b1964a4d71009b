/* Local volumes: directories of the node that outlive pods, made when they are first mounted and
 * removed, with all that is in them, when the node says so. */
#include "broker/local_volume.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/own.h"
#include "broker/broker_internal.h"
#include "broker/check.h"
#include "broker/cleanup.h"
#include "broker/paths.h"

int local_volume_make(struct broker *b, const char *name, struct err *err) {
    if (faccessat(b->volumes_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0) return 0;
    OWN(close_p) int fd = path_open_dir(b->volumes_fd, name, 0777);
    if (fd < 0 || fchmod(fd, 0777) < 0)
        return err_errno(err, fd < 0 ? -fd : errno, "cannot make local volume \"%s\"", name);
    return 0;
}

static void removed(void *user, const struct err *err) {
    struct call *call = user;
    if (err)
        call_fail(call, err);
    else
        call_done(call);
    free(call);
}

int request_local_remove(struct broker *b, struct call *call, struct slice body, struct arena *a,
                         struct err *err) {
    struct unpack u = unpack_init(body);
    const char *name = unpack_str(&u, a);
    if (unpack_end(&u)) return err_set(err, ERR_BAD_REQUEST, "malformed volume request");
    int r = check_subdomain("name", name, err);
    if (r) return r;
    struct call *waiting = malloc(sizeof *waiting);
    struct cleanup job = {.done = removed, .user = waiting};
    job.dirs[0] = (struct cleanup_dir){strdup(b->volumes_path), strdup(name)};
    if (!waiting || !job.dirs[0].parent || !job.dirs[0].name) abort();
    *waiting = *call;
    cleanup_start(b, &job);
    return 0;
}
