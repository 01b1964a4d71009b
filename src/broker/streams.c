/* Requests that are answered with a descriptor, and the list. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/own.h"
#include "broker/broker_internal.h"
#include "broker/check.h"
#include "wire/shim.h"

/* The frame SHIM_ATTACH makes the connection an attach stream before its descriptor leaves the
 * broker; the answer to it is the first frame that the receiver reads. */
static int attach_open(const struct pod *p, const char *id, struct err *err) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (snprintf(address.sun_path, sizeof address.sun_path, "pods/%s/shim.sock", p->uid) >=
        (int)sizeof address.sun_path)
        return err_set(err, ERR_INVALID, "pod uid too long");
    OWN(close_p) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        return err_errno(err, errno, "cannot connect to the pod's shim");
    OWN(buf_done) struct buf body = {0}, frame = {0};
    pack_str(&body, id);
    pack_u32(&frame, (uint32_t)body.n);
    pack_u16(&frame, SHIM_ATTACH);
    pack_u16(&frame, 0);
    pack_u32(&frame, 0); /* its answer has id 0 too: an event to an ipc */
    buf_slice(&frame, buf_view(&body));
    if (send(fd, frame.p, frame.n, MSG_NOSIGNAL) != (ssize_t)frame.n)
        return err_errno(err, errno, "cannot attach");
    return TAKE_FD(fd);
}

int request_attach(struct broker *b, struct call *call, struct slice body, struct arena *a,
                   struct err *err) {
    struct unpack u = unpack_init(body);
    const char *uid = unpack_str(&u, a), *id = unpack_str(&u, a);
    if (unpack_end(&u)) return err_set(err, ERR_BAD_REQUEST, "malformed attach request");
    struct pod *p = NULL;
    int r = check_container_id(id, err);
    if (!r) r = pod_get(b, uid, &p, err);
    if (r) return r;
    struct box *x = pod_box(p, id);
    if (!x || x->phase != PHASE_RUNNING)
        return err_set(err, ERR_BAD_REQUEST, "container %s is not running", id);
    OWN(close_p) int fd = attach_open(p, id, err);
    if (fd < 0) return fd;
    call_reply(call, BROKER_ATTACH_OK, SLICE(""), &fd, 1);
    return 0;
}

int request_net_socket(struct broker *b, struct call *call, struct slice body, struct arena *a,
                       struct err *err) {
    struct unpack u = unpack_init(body);
    const char *uid = unpack_str(&u, a), *kind = unpack_str(&u, a);
    if (unpack_end(&u)) return err_set(err, ERR_BAD_REQUEST, "malformed socket request");
    if (!str_eq(kind, "tcp") && !str_eq(kind, "tcp6"))
        return err_set(err, ERR_INVALID, "unknown kind of socket \"%.20s\"", kind);
    struct pod *p = NULL;
    int r = pod_get(b, uid, &p, err);
    if (r) return r;
    OWN(close_p)
    int fd = namespaces_socket(b, p->netns_fd, str_eq(kind, "tcp") ? AF_INET : AF_INET6,
                               SOCK_STREAM, 0, err);
    if (fd < 0) return fd;
    call_reply(call, BROKER_DONE, SLICE(""), &fd, 1);
    return 0;
}

int request_list(struct broker *b, struct call *call, struct slice body, struct arena *a,
                 struct err *err) {
    (void)a;
    if (body.n) return err_set(err, ERR_BAD_REQUEST, "malformed list request");
    OWN(buf_done) struct buf list = {0}, out = {0};
    uint32_t n = 0;
    size_t at = 0;
    for (struct map_entry *e; (e = map_next(&b->pods, &at));) {
        struct pod *p = e->value;
        for (size_t i = 0; !p->removing && i < p->boxes.n; i++) {
            struct broker_container_state s;
            if (p->boxes.v[i]->removing) continue;
            box_state(p->boxes.v[i], &s);
            broker_container_state_pack(&list, &s);
            n++;
        }
    }
    pack_u32(&out, n);
    buf_slice(&out, buf_view(&list));
    call_reply(call, BROKER_LIST_OK, buf_view(&out), NULL, 0);
    return 0;
}
