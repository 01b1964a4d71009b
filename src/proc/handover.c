#include "proc/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/own.h"

int handover_make(const struct handover *h, struct err *err) {
    OWN(buf_done) struct buf b = {0};
    settings_write(&b, &h->settings);
    buf_printf(&b, "init_pid=%d\nreport_forbidden=%d\n", (int)h->init_pid, h->report_forbidden);
    for (size_t i = 0; i < h->n_fds; i++) buf_printf(&b, "fd%zu=%s\n", i, h->fds[i].name);
    OWN(close_p) int fd = memfd_create("handover", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || write(fd, b.p, b.n) != (ssize_t)b.n ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
        return err_errno(err, errno, "handover");
    return TAKE_FD(fd);
}

static int number(struct slice text, const char *key, struct arena *a, uint64_t *ret,
                  struct err *err) {
    const char *value = settings_line(text, key, a);
    if (!value || slice_u64(slice_of(value), ret) < 0)
        return err_set(err, ERR_INTERNAL, "handover lacks %s", key);
    return 0;
}

int handover_read(int fd, struct arena *a, struct handover *ret, struct err *err) {
    char bytes[16 * 1024];
    ssize_t n = pread(fd, bytes, sizeof bytes, 0);
    if (n <= 0)
        return err_set(err, ERR_BAD_REQUEST, "no handover: services are started by `atoll up`");
    struct slice text = {arena_copy(a, bytes, (size_t)n), (size_t)n};
    struct handover h = {0};
    uint64_t init_pid = 0, report = 0;
    int r = settings_read(text, a, &h.settings, err);
    if (r == 0) r = number(text, "init_pid", a, &init_pid, err);
    if (r == 0) r = number(text, "report_forbidden", a, &report, err);
    if (r < 0) return r;
    h.init_pid = (pid_t)init_pid;
    h.report_forbidden = report;
    for (size_t i = 0; i < HANDOVER_FDS_MAX; i++) {
        const char *name = settings_line(text, arena_printf(a, "fd%zu", i), a);
        if (!name) break;
        h.fds[h.n_fds++] = (struct handover_fd){name, HANDOVER_FIRST_FD + (int)i};
    }
    *ret = h;
    return 0;
}
