/*
 * libatoll-sp-preload.so: socket(AF_SP, …) and all that follows, for programs that know nothing but
 * POSIX. The descriptor of the program is a real one, a duplicate of what the library polls.
 */
#include "preload_includes.h"

#include "preload.h"

enum { FDS = 65536 };

struct real real;
static _Atomic(struct shim *) table[FDS];
static _Atomic(struct shim *) all;

static void *next(const char *name) { return dlsym(RTLD_NEXT, name); }

__attribute__((constructor)) void real_find(void) {
#define FIND(name) real.name = (__typeof__(real.name))next(#name)
    if (real.epoll_pwait) return;
    FIND(socket), FIND(connect), FIND(bind), FIND(send), FIND(sendto), FIND(sendmsg);
    FIND(sendmmsg), FIND(write), FIND(writev), FIND(recv), FIND(recvfrom), FIND(recvmsg);
    FIND(recvmmsg), FIND(read), FIND(readv), FIND(getsockopt), FIND(setsockopt);
    FIND(getsockname), FIND(getpeername), FIND(shutdown), FIND(fcntl), FIND(ioctl), FIND(dup);
    FIND(dup2), FIND(dup3), FIND(close), FIND(ppoll), FIND(pselect), FIND(epoll_ctl);
    FIND(epoll_pwait);
#undef FIND
}

/* ---- descriptors ---- */

struct shim *shim_of(int fd) {
    return fd >= 0 && fd < FDS ? atomic_load_explicit(&table[fd], memory_order_acquire) : NULL;
}

struct shim *shim_first(void) {
    return atomic_load(&all);
}

static void shim_enter(int fd, struct shim *h) {
    __atomic_add_fetch(&h->refs, 1, __ATOMIC_RELAXED);
    atomic_store_explicit(&table[fd], h, memory_order_release);
}

static void shim_leave(int fd) {
    struct shim *h = fd >= 0 && fd < FDS ? atomic_exchange(&table[fd], NULL) : NULL;
    if (!h || __atomic_sub_fetch(&h->refs, 1, __ATOMIC_ACQ_REL)) return;
    /* Stays in the list, empty, for the next socket: others may be walking it. */
    struct sp *s = h->s;
    h->s = NULL;
    h->epoll = -1;
    pending_done(&h->wanted);
    sp_close(s);
}

static struct shim *shim_new(void) {
    for (struct shim *h = shim_first(); h; h = h->next) {
        uint32_t none = 0;
        if (h->refs == 0 && __atomic_compare_exchange_n(&h->refs, &none, 1, false, __ATOMIC_ACQ_REL,
                                                        __ATOMIC_RELAXED))
            return h;
    }
    struct shim *h = calloc(1, sizeof(*h));
    if (!h) return NULL;
    h->refs = 1;
    h->next = atomic_load(&all);
    while (!atomic_compare_exchange_weak(&all, &h->next, h)) {
    }
    return h;
}

/* All descriptors of the program become duplicates of what the library polls. */
static void follow(struct shim *h) {
    int from = client_pollable(h->s);
    for (int fd = 0; fd < FDS; fd++) {
        if (atomic_load(&table[fd]) != h) continue;
        int flags = libc()->fcntl(fd, F_GETFD);
        libc()->dup3(from, fd, flags > 0 && flags & FD_CLOEXEC ? O_CLOEXEC : 0);
    }
    h->generation = h->s->generation;
}

void shim_sync(struct shim *h) {
    struct sp *s = h->s;
    if (!s) return;
    client_lock(s);
    client_mine(s);
    if (h->generation != s->generation) follow(h);
    client_unlock(s);
}

/* ---- socket, connect ---- */

EXPORT int socket(int domain, int type, int protocol) {
    if (domain != AF_SP) return libc()->socket(domain, type, protocol);
    int flags = type & (SOCK_CLOEXEC | SOCK_NONBLOCK);
    const struct sp_protocol *p =
        sp_protocol_of_type((uint16_t)(type & ~(SOCK_CLOEXEC | SOCK_NONBLOCK)));
    if (!p || p->type != (type & ~(SOCK_CLOEXEC | SOCK_NONBLOCK))) return fail(ESOCKTNOSUPPORT);
    if (protocol) return fail(EPROTONOSUPPORT);
    int fd = libc()->socket(AF_UNIX, SOCK_SEQPACKET | (flags & SOCK_CLOEXEC), 0);
    if (fd < 0) return -1;
    struct shim *h = fd < FDS ? shim_new() : NULL;
    if (!h) {
        libc()->close(fd);
        return fail(fd < FDS ? ENOMEM : EMFILE);
    }
    h->type = p->type;
    h->protocol = p;
    h->nonblocking = flags & SOCK_NONBLOCK;
    h->epoll = -1;
    h->send_ms = h->receive_ms = -1;
    h->address[0] = 0;
    atomic_store_explicit(&table[fd], h, memory_order_release); /* the reference is shim_new's */
    return fd;
}

/* "quotes", "sp://quotes", "sp://quotes/sub", "/dir/quotes", "/dir/quotes/sub" → directory. */
static int directory_of(const char *text, const char *role, char ret[108]) {
    const char *base = getenv("ATOLL_SP_DIR");
    bool path = *text == '/' || *text == '.';
    if (strncmp(text, "sp://", 5) == 0) text += 5;
    size_t n = strlen(text), role_n = strlen(role);
    if (n > role_n + 1 && text[n - role_n - 1] == '/' && strcmp(text + n - role_n, role) == 0)
        n -= role_n + 1;
    if (n == 0) return -EINVAL;
    if (!path && memchr(text, '/', n)) return -EPROTOTYPE; /* another role than the socket's */
    int used = path ? snprintf(ret, 108, "%.*s", (int)n, text)
                    : snprintf(ret, 108, "%s/%.*s", base ? base : "/run/atoll/sp", (int)n, text);
    return used >= 108 ? -ENAMETOOLONG : 0;
}

static int text_of(const struct sockaddr *a, socklen_t n, char *ret, size_t room) {
    if (n < sizeof(sa_family_t) || (a->sa_family != AF_SP && a->sa_family != AF_UNIX))
        return -EAFNOSUPPORT;
    size_t offset = a->sa_family == AF_UNIX ? offsetof(struct sockaddr_un, sun_path)
                                            : offsetof(struct sockaddr_sp, ssp_topology);
    if (n <= offset || n - offset > room) return -EINVAL;
    size_t length = strnlen((const char *)a + offset, n - offset);
    if (length >= room) return -EINVAL;
    memcpy(ret, (const char *)a + offset, length);
    ret[length] = 0;
    return 0;
}

static int attach(struct shim *h, const struct sockaddr *a, socklen_t n) {
    char directory[108];
    if (h->s) return fail(EISCONN);
    int rc = text_of(a, n, h->address, sizeof(h->address));
    if (rc == 0) rc = directory_of(h->address, h->protocol->name, directory);
    if (rc == 0) rc = client_open(directory, h->protocol, &h->s);
    if (rc < 0) return fail(-rc);
    sp_timeout(h->s, h->send_ms, h->receive_ms);
    follow(h);
    for (const struct pending *p = h->wanted.first; p; p = p->next)
        sp_subscribe(h->s, p->bytes, p->n);
    pending_done(&h->wanted);
    return 0;
}

EXPORT int connect(int fd, const struct sockaddr *a, socklen_t n) {
    struct shim *h = shim_of(fd);
    return h ? attach(h, a, n) : libc()->connect(fd, a, n);
}

EXPORT int bind(int fd, const struct sockaddr *a, socklen_t n) {
    struct shim *h = shim_of(fd);
    return h ? attach(h, a, n) : libc()->bind(fd, a, n);
}

/* ---- descriptors of the program ---- */

static int also(int old, int fd) {
    struct shim *h = shim_of(old);
    if (fd < 0 || fd == old) return fd;
    shim_leave(fd);
    if (!h) return fd;
    if (fd >= FDS) {
        libc()->close(fd);
        return fail(EMFILE);
    }
    shim_enter(fd, h);
    return fd;
}

EXPORT int dup(int old) { return also(old, libc()->dup(old)); }

EXPORT int dup2(int old, int fd) { return also(old, libc()->dup2(old, fd)); }

EXPORT int dup3(int old, int fd, int flags) { return also(old, libc()->dup3(old, fd, flags)); }

EXPORT int close(int fd) {
    int rc = libc()->close(fd), e = errno;
    shim_leave(fd);
    errno = e;
    return rc;
}

EXPORT int shutdown(int fd, int how) {
    struct shim *h = shim_of(fd);
    if (!h) return libc()->shutdown(fd, how);
    if (how != SHUT_RD && how != SHUT_WR && how != SHUT_RDWR) return fail(EINVAL);
    if (!end_of(h)) return -1;
    h->sends_no_more |= how != SHUT_RD; /* what was sent is delivered; nobody waits for the end */
    h->receives_no_more |= how != SHUT_WR;
    return 0;
}

static int control(struct shim *h, int fd, int command, long argument) {
    switch (command) {
    case F_GETFL: return O_RDWR | (h->nonblocking ? O_NONBLOCK : 0);
    case F_SETFL: h->nonblocking = argument & O_NONBLOCK; return 0;
    case F_DUPFD:
    case F_DUPFD_CLOEXEC: return also(fd, libc()->fcntl(fd, command, argument));
    default: return libc()->fcntl(fd, command, argument);
    }
}

EXPORT int fcntl(int fd, int command, ...) {
    struct shim *h = shim_of(fd);
    va_list ap;
    va_start(ap, command);
    long argument = va_arg(ap, long);
    va_end(ap);
    return h ? control(h, fd, command, argument) : libc()->fcntl(fd, command, argument);
}

EXPORT int fcntl64(int fd, int command, ...);
EXPORT int fcntl64(int fd, int command, ...) {
    va_list ap;
    va_start(ap, command);
    long argument = va_arg(ap, long);
    va_end(ap);
    return fcntl(fd, command, argument);
}

static int waiting_bytes(struct sp *s) {
    client_lock(s);
    int n = s->ring && client_mine(s) == 0 && ring_fetch(s) == 1 ? (int)s->ahead_n : 0;
    client_unlock(s);
    return n;
}

EXPORT int ioctl(int fd, unsigned long request, ...) {
    struct shim *h = shim_of(fd);
    va_list ap;
    va_start(ap, request);
    void *argument = va_arg(ap, void *);
    va_end(ap);
    if (!h || (request != FIONBIO && request != FIONREAD))
        return libc()->ioctl(fd, request, argument);
    if (request == FIONBIO)
        h->nonblocking = *(int *)argument;
    else
        *(int *)argument = h->s ? waiting_bytes(h->s) : 0;
    return 0;
}

/* ---- options ---- */

static int want(struct shim *h, const void *p, size_t n) {
    int rc = pending_add(&h->wanted, p, n);
    return rc < 0 ? fail(-rc) : 0;
}

static int set_time(struct shim *h, int option, const void *p, socklen_t n) {
    struct timeval t;
    if (n < sizeof(t)) return fail(EINVAL);
    memcpy(&t, p, sizeof(t));
    int64_t ms = (int64_t)t.tv_sec * 1000 + (t.tv_usec + 999) / 1000;
    int value = ms <= 0 ? -1 : ms > INT_MAX ? INT_MAX : (int)ms;
    if (option == SO_SNDTIMEO)
        h->send_ms = value;
    else
        h->receive_ms = value;
    return h->s ? sp_timeout(h->s, h->send_ms, h->receive_ms) : 0;
}

EXPORT int setsockopt(int fd, int level, int option, const void *p, socklen_t n) {
    struct shim *h = shim_of(fd);
    if (!h) return libc()->setsockopt(fd, level, option, p, n);
    if (level == SOL_SOCKET && (option == SO_SNDTIMEO || option == SO_RCVTIMEO))
        return set_time(h, option, p, n);
    if (level == SOL_SOCKET) return 0; /* buffers and the like have no meaning here */
    if (level != SOL_SP || (option != SP_SUBSCRIBE && option != SP_UNSUBSCRIBE))
        return fail(ENOPROTOOPT);
    if (h->protocol->role != SP_SUB) return fail(EOPNOTSUPP);
    if (!h->s) return option == SP_SUBSCRIBE ? want(h, p, n) : fail(ENOTCONN);
    return option == SP_SUBSCRIBE ? sp_subscribe(h->s, p, n) : sp_unsubscribe(h->s, p, n);
}

static int answer(void *p, socklen_t *n, uint64_t value) {
    int small = (int)value;
    if (*n >= sizeof(value))
        memcpy(p, &value, *n = sizeof(value));
    else if (*n >= sizeof(small))
        memcpy(p, &small, *n = sizeof(small));
    else
        return fail(EINVAL);
    return 0;
}

EXPORT int getsockopt(int fd, int level, int option, void *p, socklen_t *n) {
    struct shim *h = shim_of(fd);
    if (!h) return libc()->getsockopt(fd, level, option, p, n);
    if (level == SOL_SOCKET && *n > sizeof(int)) *n = sizeof(int);
    if (level == SOL_SOCKET && option == SO_TYPE) return answer(p, n, (uint64_t)h->type);
    if (level == SOL_SOCKET && option == SO_DOMAIN) return answer(p, n, AF_SP);
    if (level == SOL_SOCKET && option == SO_ERROR) return answer(p, n, 0);
    if (level == SOL_SOCKET) return libc()->getsockopt(fd, level, option, p, n);
    if (level != SOL_SP || option < SP_LOST || option > SP_IS_RING) return fail(ENOPROTOOPT);
    if (!h->s) return fail(ENOTCONN);
    return answer(p, n,
                  option == SP_LOST      ? sp_lost(h->s)
                  : option == SP_LARGEST ? sp_largest(h->s)
                                         : (uint64_t)sp_is_ring(h->s));
}

static int name_of(const struct shim *h, struct sockaddr *a, socklen_t *n) {
    struct sockaddr_sp name = {.ssp_family = AF_SP};
    memcpy(name.ssp_topology, h->address, sizeof(name.ssp_topology));
    memcpy(a, &name, *n < sizeof(name) ? *n : sizeof(name));
    *n = (socklen_t)(offsetof(struct sockaddr_sp, ssp_topology) + strlen(h->address) + 1);
    return 0;
}

EXPORT int getsockname(int fd, struct sockaddr *a, socklen_t *n) {
    struct shim *h = shim_of(fd);
    return h ? name_of(h, a, n) : libc()->getsockname(fd, a, n);
}

EXPORT int getpeername(int fd, struct sockaddr *a, socklen_t *n) {
    struct shim *h = shim_of(fd);
    if (!h) return libc()->getpeername(fd, a, n);
    return end_of(h) ? name_of(h, a, n) : -1;
}
