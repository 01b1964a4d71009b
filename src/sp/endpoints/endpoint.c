#include "sp/endpoints/endpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/own.h"
#include "sp/sp_service.h"

enum { ACCEPT_BATCH = 64, BACKLOG = 4096, EVENTS = 32, NAME_BYTES = 300 };
static const char fresh[] = ".fresh"; /* name of a socket file that is not ready yet */

extern const struct sp_door *const __start_atoll_sp_doors[] __attribute__((weak));
extern const struct sp_door *const __stop_atoll_sp_doors[] __attribute__((weak));

/* ---- who has connected ---- */

/* Descriptors have run out: the one in reserve lets us take the caller off the line and say no. */
static void refuse_one(struct sp_service *s, int listening) {
    close_p(&s->spare_fd);
    int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
    close_p(&fd);
    s->spare_fd = fcntl(s->run_dir, F_DUPFD_CLOEXEC, 0);
}

static void accepted(struct sp_endpoint *e, int fd) {
    struct sp_service *s = e->topology->service;
    struct ucred cred = {0};
    socklen_t n = sizeof cred;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) < 0) {
        close(fd);
        return;
    }
    struct sp_credentials who = {
        .pid = cred.pid, .uid = cred.uid, .gid = cred.gid, .fd = fd, .granted = e->granted};
    if (!sp_topology_admits(e->topology, e->role, &who, fd)) {
        e->refused++;
        sp_log(s, "client_refused", "file=%s/%s pid=%d uid=%u reason=\"access\"",
               e->topology->config->name, e->name, (int)who.pid, who.uid);
        close(fd);
        return;
    }
    if (!sp_service_user_has_room(s, sp_credentials_account(&who))) {
        e->refused++;
        sp_log(s, "client_refused", "file=%s/%s pid=%d uid=%u reason=\"too many connections\"",
               e->topology->config->name, e->name, (int)who.pid, who.uid);
        close(fd);
        return;
    }
    e->accepted++;
    e->door->accepted(e, fd, &who);
}

static void accept_all(struct sp_endpoint *e) {
    for (int i = 0; i < ACCEPT_BATCH; i++) {
        int fd = accept4(e->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            accepted(e, fd);
            continue;
        }
        if (errno != EMFILE && errno != ENFILE) return;
        e->refused++;
        sp_log(e->topology->service, "client_refused", "file=%s/%s reason=\"no descriptors left\"",
               e->topology->config->name, e->name);
        refuse_one(e->topology->service, e->fd);
    }
}

static void on_connect(void *user, unsigned events) {
    (void)events;
    accept_all(user);
}

void sp_endpoints_catch_up(struct sp_topology *t) {
    struct epoll_event events[EVENTS];
    if (t->accept_epoll < 0) return;
    for (;;) {
        int n = epoll_wait(t->accept_epoll, events, EVENTS, 0);
        for (int i = 0; i < n; i++) accept_all(events[i].data.ptr);
        if (n < EVENTS) return;
    }
}

static void on_filter_connect(void *user, unsigned events) {
    (void)events;
    sp_endpoints_catch_up(user);
}

/* ---- files ---- */

static int set_owner(int dir, const struct sp_role_config *role, struct err *err) {
    /* The mode first: the file is ours only until it has its owner. */
    if (fchmodat(dir, fresh, role->mode, 0) < 0) return err_errno(err, errno, "mode");
    if (role->owner == geteuid() && role->group == getegid()) return 0;
    if (fchownat(dir, fresh, role->owner, role->group, AT_SYMLINK_NOFOLLOW) == 0) return 0;
    if (errno != EPERM || geteuid() == 0 || geteuid() == service_uid("sp"))
        return err_errno(err, errno, "owner");
    return 0; /* run by an ordinary user: the files are his */
}

/* Paths of sockets hold 107 bytes; a name relative to the directory always fits. Afterwards
 * run/atoll is the working directory again, where the sockets of other services are. */
static int bind_in(struct sp_service *s, int dir, int fd, struct err *err) {
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int r = 0;
    memcpy(sa.sun_path, fresh, sizeof fresh);
    if (unlinkat(dir, fresh, 0) < 0 && errno != ENOENT) return err_errno(err, errno, "%s", fresh);
    if (fchdir(dir) < 0) return err_errno(err, errno, "directory");
    if (bind(fd, (struct sockaddr *)&sa, sizeof sa) < 0) r = err_errno(err, errno, "bind");
    if (fchdir(s->run_dir) < 0 || chdir("..") < 0) return err_errno(err, errno, "directory");
    return r;
}

static int socket_file(struct sp_topology *t, const char *name, int type,
                       const struct sp_role_config *role, int *ret_fd, struct err *err) {
    const char *base;
    OWN(close_p) int dir = sp_endpoint_directory(t->dir_fd, name, &base, err);
    if (dir < 0) return dir;
    OWN(close_p) int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return err_errno(err, errno, "socket");
    int r = bind_in(t->service, dir, fd, err);
    if (r == 0) r = set_owner(dir, role, err);
    if (r < 0) return r;
    if (listen(fd, BACKLOG) < 0) return err_errno(err, errno, "listen");
    if (renameat(dir, fresh, dir, base) < 0) return err_errno(err, errno, "%s", name);
    *ret_fd = TAKE_FD(fd);
    return 0;
}

/* ---- endpoints ---- */

static void stop_listening(struct sp_endpoint *e) {
    fd_watch_free(e->watch);
    e->watch = NULL;
    close_p(&e->fd); /* leaves the epoll set by itself */
    e->fd = -1;
}

static void endpoint_free(struct sp_endpoint *e, bool remove_file) {
    if (remove_file) unlinkat(e->topology->dir_fd, e->name, 0);
    stop_listening(e);
    free((char *)e->name);
    free(e);
}

static int filter_listen(struct sp_endpoint *e, struct err *err) {
    struct sp_topology *t = e->topology;
    if (t->accept_epoll < 0) {
        t->accept_epoll = epoll_create1(EPOLL_CLOEXEC);
        if (t->accept_epoll < 0) return err_errno(err, errno, "epoll");
        t->accept_watch = fd_watch_new(t->loop, t->accept_epoll, FD_READ, on_filter_connect, t);
    }
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = e};
    if (epoll_ctl(t->accept_epoll, EPOLL_CTL_ADD, e->fd, &event) < 0)
        return err_errno(err, errno, "epoll");
    return 0;
}

/* What the file of an endpoint is like: those for pods are behind a closed door. */
static const struct sp_role_config *file_config(const struct sp_topology *t, enum sp_role role,
                                                bool granted) {
    static struct sp_role_config open_to_all = {.mode = 0666};
    open_to_all.owner = geteuid();
    open_to_all.group = getegid();
    return granted ? &open_to_all : &t->config->roles[role];
}

static int endpoint_open(struct sp_endpoint *e, struct err *err) {
    const struct sp_role_config *role = file_config(e->topology, e->role, e->granted);
    int fd = -1;
    int r = socket_file(e->topology, e->name, e->door->socket_type, role, &fd, err);
    if (r < 0) return err_wrap(err, "%s/%s", e->topology->config->name, e->name);
    stop_listening(e);
    e->fd = fd;
    e->owner = role->owner;
    e->group = role->group;
    e->mode = role->mode;
    if (e->filter) return filter_listen(e, err);
    e->watch = fd_watch_new(e->topology->loop, e->fd, FD_READ, on_connect, e);
    return 0;
}

static struct sp_endpoint *find(struct sp_topology *t, const char *name) {
    for (size_t i = 0; i < t->endpoints.n; i++)
        if (str_eq(t->endpoints.v[i]->name, name)) return t->endpoints.v[i];
    return NULL;
}

static int want(struct sp_topology *t, const struct sp_door *door, enum sp_role role,
                const char *place, const char *file, const struct sp_filter_config *filter,
                struct err *err) {
    char name[NAME_BYTES];
    snprintf(name, sizeof name, "%s%s%s%s%s", place, door->directory, *door->directory ? "/" : "",
             file, door->suffix);
    struct sp_endpoint *e = find(t, name);
    const struct sp_role_config *c = file_config(t, role, *place);
    if (e) {
        e->filter = filter;
        e->wanted = true;
        if (e->owner == c->owner && e->group == c->group && e->mode == c->mode) return 0;
        return endpoint_open(e, err);
    }
    e = calloc(1, sizeof *e);
    if (!e) abort();
    *e = (struct sp_endpoint){.topology = t,
                              .door = door,
                              .role = role,
                              .filter = filter,
                              .granted = *place,
                              .fd = -1,
                              .wanted = true};
    e->name = strdup(name);
    if (!e->name) abort();
    int r = endpoint_open(e, err);
    if (r < 0) {
        endpoint_free(e, false);
        return r;
    }
    vec_push(&t->endpoints, e);
    return 0;
}

static const struct sp_filter_config everything = {"", {"", 0}};

static int want_filters(struct sp_topology *t, const struct sp_door *door, const char *place,
                        struct err *err) {
    int r = want(t, door, SP_SUB, place, "sub@", &everything, err);
    for (size_t i = 0; r == 0 && i < t->config->n_filters; i++) {
        const struct sp_filter_config *f = &t->config->filters[i];
        char file[256];
        if (snprintf(file, sizeof file, "sub@%s", f->name) < (int)sizeof file)
            r = want(t, door, SP_SUB, place, file, f, err);
    }
    return r;
}

/* All files of one role behind one door. */
static int want_role(struct sp_topology *t, const struct sp_door *door, enum sp_role role,
                     struct err *err) {
    char places[SP_PLACES_MAX][SP_PLACE_BYTES];
    size_t n = sp_endpoint_places(t->config, role, places);
    int r = 0;
    if (door->wanted && !door->wanted(t->config, role)) return 0;
    for (size_t i = 0; r == 0 && i < n; i++) {
        r = want(t, door, role, places[i], sp_protocol_of_role(role)->name, NULL, err);
        if (r == 0 && door->filters && role == SP_SUB) r = want_filters(t, door, places[i], err);
    }
    return r;
}

int sp_endpoints_apply(struct sp_topology *t, struct err *err) {
    int r = 0;
    for (size_t i = 0; i < t->endpoints.n; i++) t->endpoints.v[i]->wanted = false;
    for (const struct sp_door *const *d = __start_atoll_sp_doors;
         r == 0 && d < __stop_atoll_sp_doors; d++)
        for (unsigned role = 0; r == 0 && role < SP_ROLE_COUNT; role++)
            if (sp_role_in((enum sp_role)role, t->config->pattern))
                r = want_role(t, *d, (enum sp_role)role, err);
    for (size_t i = 0; r == 0 && i < t->endpoints.n;) {
        if (t->endpoints.v[i]->wanted) {
            i++;
            continue;
        }
        endpoint_free(t->endpoints.v[i], true);
        vec_swap_remove(&t->endpoints, i);
    }
    sp_endpoint_directories_tidy(t);
    return r;
}

static void files_remove(struct sp_topology *t) {
    static const char *const texts[] = {"status", "stats", "peers", "graph"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) unlinkat(t->dir_fd, texts[i], 0);
    sp_endpoint_directories_tidy(t);
    unlinkat(t->service->run_dir, t->config->name, AT_REMOVEDIR);
}

void sp_endpoints_close(struct sp_topology *t, bool remove_files) {
    for (size_t i = 0; i < t->endpoints.n; i++) endpoint_free(t->endpoints.v[i], remove_files);
    t->endpoints.n = 0;
    fd_watch_free(t->accept_watch);
    t->accept_watch = NULL;
    close_p(&t->accept_epoll);
    t->accept_epoll = -1;
    if (remove_files) files_remove(t);
}
