#include "node/pods/orphans.h"

#include <dirent.h>
#include <fcntl.h>

#include "base/log.h"
#include "base/own.h"
#include "wire/network.h"

/* Requests of a former life of the agent may still be at work: hence the second look. */
enum { SECOND_LOOK_MS = 3 * 1000, LOOK_MS = 60 * 1000, UID_MAX_BYTES = 64 };

static struct timer *again;

static void ignore(void *user, struct ipc_msg *m, const struct err *err) {}

static bool is_wanted(const struct agent *g, struct slice uid) {
    return map_get(&g->workers, uid) != NULL;
}

static void remove_link(struct agent *g, struct slice uid) {
    OWN(buf_done) struct buf b = {0};
    pack_slice(&b, uid);
    link_call(g->network, NETWORK_LINK_DEL, buf_view(&b), NULL, 0, ignore, NULL);
}

static void check_sandbox(struct agent *g, const char *name) {
    struct slice uid = slice_of(name);
    if (name[0] == '.' || uid.n > UID_MAX_BYTES || is_wanted(g, uid)) return;
    OWN(buf_done) struct buf b = {0};
    log_info("orphan_removed", "uid=%s", name);
    pack_slice(&b, uid);
    remove_link(g, uid);
    link_call(g->broker, BROKER_POD_REMOVE, buf_view(&b), NULL, 0, ignore, NULL);
}

static void check_logs(struct agent *g, const char *name) {
    struct slice ns, pod, uid;
    if (!orphans_log_name(name, &ns, &pod, &uid) || is_wanted(g, uid)) return;
    OWN(buf_done) struct buf b = {0};
    log_info("orphaned_logs_removed", "directory=%s", name);
    pack_slice(&b, uid);
    pack_slice(&b, ns);
    pack_slice(&b, pod);
    link_call(g->broker, BROKER_LOG_REMOVE, buf_view(&b), NULL, 0, ignore, NULL);
}

static void each_entry(struct agent *g, int fd, void (*check)(struct agent *, const char *)) {
    int copy = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
    DIR *d = copy < 0 ? NULL : fdopendir(copy);
    struct dirent *e;
    if (!d) return;
    rewinddir(d); /* the position is shared with fd */
    while ((e = readdir(d))) check(g, e->d_name);
    closedir(d);
}

static void on_links(void *user, struct ipc_msg *m, const struct err *err) {
    struct agent *g = user;
    if (err || m->type != NETWORK_LINKS_OK) return;
    OWN(arena_free_p) struct arena *a = arena_new();
    struct unpack u = unpack_init(m->body);
    uint32_t n = unpack_u32(&u);
    for (uint32_t i = 0; i < n && !u.bad; i++) {
        const char *uid = unpack_str(&u, a);
        unpack_str(&u, a);
        if (!u.bad && !is_wanted(g, slice_of(uid))) remove_link(g, slice_of(uid));
    }
}

void orphans_look(struct agent *g) {
    if (!g->started) return;
    each_entry(g, g->host.pods_fd, check_sandbox);
    each_entry(g, g->host.logs_fd, check_logs);
    link_call(g->network, NETWORK_LINKS, slice_from("", 0), NULL, 0, on_links, g);
}

static void on_again(void *user) {
    orphans_look(user);
    timer_start(again, LOOK_MS, 0);
}

void orphans_start(struct agent *g) {
    orphans_look(g);
    again = timer_new(g->loop, on_again, g);
    timer_start(again, SECOND_LOOK_MS, 0);
}
