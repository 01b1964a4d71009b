#include "broker/logs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/own.h"
#include "broker/broker_internal.h"
#include "broker/check.h"
#include "broker/paths.h"

static char *pod_dir(struct arena *a, const char *ns, const char *pod, const char *uid) {
    return arena_printf(a, "%s_%s_%s", ns, pod, uid);
}

int logs_prepare(struct broker *b, const struct broker_container *c, struct arena *a,
                 const char **ret_path, struct err *err) {
    const char *pod = pod_dir(a, c->pod_namespace, c->pod_name, c->uid);
    if (strlen(pod) > NAME_MAX)
        return err_set(err, ERR_INVALID, "the pod's name is too long for a log directory");
    OWN(close_p) int dir = path_open_dir(b->log_fd, pod, 0755);
    OWN(close_p) int own = dir < 0 ? dir : path_open_dir(dir, c->name, 0755);
    if (own < 0) return err_errno(err, -own, "cannot make the container's log directory");
    *ret_path = arena_printf(a, "%s/%s/%s/%u.log", b->log_path, pod, c->name, c->attempt);
    return 0;
}

int request_log_open(struct broker *b, struct call *call, struct slice body, struct arena *a,
                     struct err *err) {
    struct unpack u = unpack_init(body);
    const char *uid = unpack_str(&u, a), *ns = unpack_str(&u, a), *pod = unpack_str(&u, a);
    const char *container = unpack_str(&u, a);
    uint32_t attempt = unpack_u32(&u);
    if (unpack_end(&u)) return err_set(err, ERR_BAD_REQUEST, "malformed log request");
    int r = check_uid(uid, err);
    if (!r) r = check_label("namespace", ns, err);
    if (!r) r = check_subdomain("pod", pod, err);
    if (!r) r = check_label("container", container, err);
    if (r) return r;
    const char *path =
        arena_printf(a, "%s/%s/%u.log", pod_dir(a, ns, pod, uid), container, attempt);
    OWN(close_p) int fd = path_open_beneath(b->log_fd, path, O_RDONLY | O_NOFOLLOW, 0);
    if (fd < 0)
        return err_errno(err, -fd, "cannot open the log of container \"%s\", attempt %u", container,
                         attempt);
    call_reply(call, BROKER_DONE, SLICE(""), &fd, 1);
    return 0;
}

int request_log_remove(struct broker *b, struct call *call, struct slice body, struct arena *a,
                       struct err *err) {
    struct unpack u = unpack_init(body);
    const char *uid = unpack_str(&u, a), *ns = unpack_str(&u, a), *pod = unpack_str(&u, a);
    if (unpack_end(&u)) return err_set(err, ERR_BAD_REQUEST, "malformed log request");
    int r = check_uid(uid, err);
    if (!r) r = check_label("namespace", ns, err);
    if (!r) r = check_subdomain("pod", pod, err);
    if (r) return r;
    size_t budget = (size_t)LIMIT_CONTAINERS_PER_POD * 1000;
    r = path_remove(b->log_fd, pod_dir(a, ns, pod, uid), &budget);
    if (r) return err_errno(err, -r, "cannot remove the pod's logs");
    call_done(call);
    return 0;
}
