/* What the preloaded calls share: which descriptors of the program are ends of a topology. */
#pragma once

#include <errno.h>
#include <sys/epoll.h>

#include "client.h"

struct shim {
    uint32_t refs; /* descriptors */
    int type;      /* SOCK_SUB, … */
    const struct sp_protocol *protocol;
    struct sp *s; /* NULL: not connected yet */
    uint32_t generation;
    bool nonblocking;
    bool sends_no_more, receives_no_more; /* shutdown */
    int epoll;                            /* it is in, -1 none */
    uint64_t epoll_data;
    int send_ms, receive_ms;
    char address[sizeof(((struct sockaddr_sp *)0)->ssp_topology)];
    struct pending_list wanted; /* subscriptions before connect */
    struct shim *next;          /* all of them */
};

/* The kernel's, or libc's own. */
extern struct real {
    int (*socket)(int, int, int);
    int (*connect)(int, const struct sockaddr *, socklen_t);
    int (*bind)(int, const struct sockaddr *, socklen_t);
    ssize_t (*send)(int, const void *, size_t, int);
    ssize_t (*sendto)(int, const void *, size_t, int, const struct sockaddr *, socklen_t);
    ssize_t (*sendmsg)(int, const struct msghdr *, int);
    int (*sendmmsg)(int, struct mmsghdr *, unsigned, int);
    ssize_t (*write)(int, const void *, size_t);
    ssize_t (*writev)(int, const struct iovec *, int);
    ssize_t (*recv)(int, void *, size_t, int);
    ssize_t (*recvfrom)(int, void *, size_t, int, struct sockaddr *, socklen_t *);
    ssize_t (*recvmsg)(int, struct msghdr *, int);
    int (*recvmmsg)(int, struct mmsghdr *, unsigned, int, struct timespec *);
    ssize_t (*read)(int, void *, size_t);
    ssize_t (*readv)(int, const struct iovec *, int);
    int (*getsockopt)(int, int, int, void *, socklen_t *);
    int (*setsockopt)(int, int, int, const void *, socklen_t);
    int (*getsockname)(int, struct sockaddr *, socklen_t *);
    int (*getpeername)(int, struct sockaddr *, socklen_t *);
    int (*shutdown)(int, int);
    int (*fcntl)(int, int, ...);
    int (*ioctl)(int, unsigned long, ...);
    int (*dup)(int);
    int (*dup2)(int, int);
    int (*dup3)(int, int, int);
    int (*close)(int);
    int (*ppoll)(struct pollfd *, nfds_t, const struct timespec *, const sigset_t *);
    int (*pselect)(int, fd_set *, fd_set *, fd_set *, const struct timespec *, const sigset_t *);
    int (*epoll_ctl)(int, int, int, struct epoll_event *);
    int (*epoll_pwait)(int, struct epoll_event *, int, int, const sigset_t *);
} real;
void real_find(void);
/* Constructors of other libraries may come before ours. */
static inline struct real *libc(void) {
    if (__builtin_expect(!real.epoll_pwait, 0)) real_find();
    return &real;
}

static inline int fail(int e) {
    errno = e;
    return -1;
}

/* The connected end behind a descriptor; NULL and errno: it is not connected. */
static inline struct sp *end_of(const struct shim *h) {
    if (!h->s) errno = ENOTCONN;
    return h->s;
}

struct shim *shim_of(int fd); /* NULL: none of ours */
struct shim *shim_first(void);
/* In a child of fork: its descriptors become those of its own endpoint. Before each use. */
void shim_sync(struct shim *h);
