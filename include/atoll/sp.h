/*
 * Messaging through Atoll's scalability service, by memory shared with the peers. Without this
 * library, a program does the same with connect, send and recv on the socket file
 * /run/atoll/sp/TOPOLOGY/ROLE; with it, more than ten million messages a second.
 *
 *     struct sp *s = sp_open("quotes", "sub");
 *     sp_subscribe(s, "NASDAQ", 6);
 *     ssize_t n = sp_recv(s, buffer, sizeof(buffer), 0);
 *
 * All functions may be called from several threads. What fails returns -1 (or NULL) and sets errno:
 *   ENOENT      no such topology or role             EACCES      not for this user
 *   EAGAIN      SP_DONTWAIT, and it would wait       ETIMEDOUT   the time of sp_timeout is over
 *   EMSGSIZE    longer than sp_largest               EOPNOTSUPP  not for this role
 *   ECONNRESET  the service, or it has cut us off    EPROTO      reply without a request, or
 *                                                                recv of a req without a request
 *   EBADMSG     a peer's memory is broken: it alone is left out; told once
 *
 * After a fork the parent keeps what was opened; the child has, from its first call on, an endpoint
 * of its own with the same topology, role and subscriptions.
 */
#ifndef ATOLL_SP_H
#define ATOLL_SP_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sp;

enum { SP_DONTWAIT = 0x40 /* MSG_DONTWAIT */ };

/* topology: a name, looked for in /run/atoll/sp (or where ATOLL_SP_DIR says), the path of its
 * directory, or sp://TOPOLOGY. role: pub, sub, push, pull, req, rep, surveyor, respondent, bus,
 * pair. Those that the service offers no rings for work through its socket. */
struct sp *sp_open(const char *topology, const char *role);
void sp_close(struct sp *s); /* what was sent is still delivered; NULL is allowed */

/* Returns 0, or -1. A message is delivered whole or not at all. */
int sp_send(struct sp *s, const void *message, size_t n, int flags);
/* One message per element; returns how many were sent, at least one, or -1. Peers are woken once.
 */
ssize_t sp_sendv(struct sp *s, const struct iovec *messages, size_t n, int flags);

/* Returns the length of the message, of which at most n bytes were copied; or -1. */
ssize_t sp_recv(struct sp *s, void *buffer, size_t n, int flags);
/* One message per element, whose iov_len becomes the message's length. Waits for the first one
 * only. Returns how many, or -1. */
ssize_t sp_recvv(struct sp *s, struct iovec *messages, size_t n, int flags);

/* sub: messages that begin with these bytes. Returns when the subscription is active. */
int sp_subscribe(struct sp *s, const void *prefix, size_t n);
int sp_unsubscribe(struct sp *s, const void *prefix, size_t n);

/* How long sends and receives wait, in milliseconds; -1 (as at first): for ever. */
int sp_timeout(struct sp *s, int send_ms, int receive_ms);

/* A descriptor for poll, select, epoll. Roles that receive: readable when there may be messages;
 * call sp_recv with SP_DONTWAIT until EAGAIN before each wait. push and pub: writable unless the
 * last send said EAGAIN. It belongs to the library. */
int sp_fd(struct sp *s);

uint64_t sp_lost(struct sp *s);  /* messages that were overwritten before this reader got to them */
size_t sp_largest(struct sp *s); /* of one message */
int sp_is_ring(struct sp *s);    /* 1: shared memory, 0: through the service's socket */

/*
 * With libatoll-sp-preload.so (LD_PRELOAD) the same by plain POSIX calls:
 *
 *     int s = socket(AF_SP, SOCK_SUB, 0);
 *     struct sockaddr_sp a = {.ssp_family = AF_SP, .ssp_topology = "quotes"};
 *     connect(s, (struct sockaddr *)&a, sizeof(a));          // bind does the same
 *     setsockopt(s, SOL_SP, SP_SUBSCRIBE, "NASDAQ", 6);
 *     recv(s, buffer, sizeof(buffer), 0);
 *
 * and read, write, send, sendto, sendmsg, sendmmsg, recv, recvfrom, recvmsg, recvmmsg, readv,
 * writev, poll, ppoll, select, pselect, epoll, fcntl, ioctl(FIONBIO, FIONREAD), dup, dup2, dup3,
 * shutdown, close, fork. ssp_topology may also be a path or sp://TOPOLOGY[/ROLE], and the address a
 * sockaddr_un with the path of the topology or of its socket file. The descriptor is one of the
 * kernel's; it does not survive execve.
 */
#define AF_SP 21328 /* "SP"; above all families of Linux */
#define PF_SP AF_SP
#define SOL_SP 21328

enum { /* the type argument of socket(); numbers of the scalability protocols */
       SOCK_SP_PAIR = 0x10,
       SOCK_PUB = 0x20,
       SOCK_SUB = 0x21,
       SOCK_REQ = 0x30,
       SOCK_REP = 0x31,
       SOCK_PUSH = 0x50,
       SOCK_PULL = 0x51,
       SOCK_SURVEYOR = 0x62,
       SOCK_RESPONDENT = 0x63,
       SOCK_BUS = 0x70
};

enum { /* options of SOL_SP */
       SP_SUBSCRIBE = 1,
       SP_UNSUBSCRIBE = 2,
       SP_LOST = 3,    /* get: uint64_t */
       SP_LARGEST = 4, /* get: uint64_t */
       SP_IS_RING = 5  /* get: int */
};

struct sockaddr_sp {
    sa_family_t ssp_family;
    char ssp_topology[254];
};

#ifdef __cplusplus
}
#endif
#endif
