/* A program that knows POSIX and four names of atoll/sp.h, and runs with libatoll-sp-preload.so.
 * The first argument says what it does; what is not as it should be ends it with the line. */
#include <atoll/sp.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s (errno %s)\n", __FILE__, __LINE__, #condition,              \
                    strerror(errno));                                                              \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)
#define FAILS(call, error)                                                                         \
    do {                                                                                           \
        errno = 0;                                                                                 \
        CHECK((call) == -1);                                                                       \
        CHECK(errno == (error));                                                                   \
    } while (0)

static int sp_connect(int fd, const char *topology) {
    struct sockaddr_sp a = {.ssp_family = AF_SP};
    snprintf(a.ssp_topology, sizeof(a.ssp_topology), "%s", topology);
    return connect(fd, (struct sockaddr *)&a, sizeof(a));
}

static int end_of(int type, const char *topology) {
    int fd = socket(AF_SP, type, 0);
    CHECK(fd >= 0);
    CHECK(sp_connect(fd, topology) == 0);
    return fd;
}

static int subscriber(const char *topology, const char *prefix) {
    int fd = end_of(SOCK_SUB, topology);
    CHECK(setsockopt(fd, SOL_SP, SP_SUBSCRIBE, prefix, (socklen_t)strlen(prefix)) == 0);
    return fd;
}

static void send_text(int fd, const char *text) {
    CHECK(send(fd, text, strlen(text), 0) == (ssize_t)strlen(text));
}

static void expect(int fd, const char *text) {
    char b[256];
    ssize_t n = recv(fd, b, sizeof(b), 0);
    CHECK(n == (ssize_t)strlen(text) && memcmp(b, text, (size_t)n) == 0);
}

static short events_of(int fd, short events, int ms) {
    struct pollfd p = {.fd = fd, .events = events};
    CHECK(poll(&p, 1, ms) >= 0);
    return p.revents;
}

static void errors(void) {
    char b[16];
    int fd = socket(AF_SP, SOCK_SUB, 0);
    int none;
    FAILS(none = socket(AF_SP, 0x22, 0), ESOCKTNOSUPPORT);
    FAILS(none = socket(AF_SP, SOCK_SUB, 17), EPROTONOSUPPORT);
    FAILS(recv(fd, b, sizeof(b), 0), ENOTCONN);
    FAILS(sp_connect(fd, "nowhere"), ENOENT);
    FAILS(sp_connect(fd, "sp://quotes/pub"), EPROTOTYPE);
    CHECK(sp_connect(fd, "sp://quotes/sub") == 0);
    FAILS(sp_connect(fd, "quotes"), EISCONN);
    FAILS(send(fd, "x", 1, 0), EOPNOTSUPP);
    FAILS(recv(fd, b, sizeof(b), MSG_DONTWAIT), EAGAIN);
    FAILS(setsockopt(fd, SOL_SP, 77, b, 1), ENOPROTOOPT);
    int pub = end_of(SOCK_PUB, "quotes");
    FAILS(recv(pub, b, sizeof(b), 0), EOPNOTSUPP);
    FAILS(setsockopt(pub, SOL_SP, SP_SUBSCRIBE, "a", 1), EOPNOTSUPP);
    uint64_t largest = 0;
    socklen_t n = sizeof(largest);
    CHECK(getsockopt(pub, SOL_SP, SP_LARGEST, &largest, &n) == 0 && largest > 65536);
    char *big = calloc(1, largest + 1);
    FAILS(send(pub, big, largest + 1, 0), EMSGSIZE);
    CHECK(send(pub, big, largest, 0) == (ssize_t)largest);
    int type = 0, ring = 0;
    n = sizeof(type);
    CHECK(getsockopt(pub, SOL_SOCKET, SO_TYPE, &type, &n) == 0 && type == SOCK_PUB);
    CHECK(getsockopt(pub, SOL_SP, SP_IS_RING, &ring, &n) == 0 && ring == 1);
    struct timeval t = {.tv_usec = 20000};
    CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t)) == 0);
    FAILS(recv(fd, b, sizeof(b), 0), EAGAIN);
    FAILS(shutdown(pub, 77), EINVAL);
    CHECK(shutdown(pub, SHUT_WR) == 0 && shutdown(fd, SHUT_RD) == 0);
    FAILS(send(pub, "x", 1, MSG_NOSIGNAL), EPIPE);
    CHECK(recv(fd, b, sizeof(b), 0) == 0);
    CHECK(close(fd) == 0 && close(pub) == 0);
    FAILS(recv(fd, b, sizeof(b), 0), EBADF);
    free(big);
}

/* Calls of all forms, and the path of the plain socket file as the address. */
static void forms(const char *directory) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof(a.sun_path), "%s/quotes/pub", directory);
    int pub = socket(AF_SP, SOCK_PUB, 0);
    CHECK(bind(pub, (struct sockaddr *)&a, sizeof(a)) == 0);
    int sub = subscriber("quotes", "f");
    char x[4], y[4];
    struct iovec two[2] = {{x, 3}, {y, 4}};
    struct msghdr m = {.msg_iov = two, .msg_iovlen = 2};
    CHECK(write(pub, "f1", 2) == 2);
    CHECK(read(sub, x, 4) == 2 && memcmp(x, "f1", 2) == 0);
    CHECK(writev(pub, (struct iovec[]){{"fa", 2}, {"bcd", 3}}, 2) == 5);
    int waiting = 0;
    CHECK(ioctl(sub, FIONREAD, &waiting) == 0 && waiting == 5);
    CHECK(recv(sub, x, 2, MSG_PEEK) == 2);
    CHECK(recvmsg(sub, &m, 0) == 5 && memcmp(x, "fab", 3) == 0 && memcmp(y, "cd", 2) == 0);
    CHECK(sendmsg(pub, &(struct msghdr){.msg_iov = two, .msg_iovlen = 1}, 0) == 3);
    CHECK(recv(sub, y, 2, MSG_TRUNC) == 3);
    struct mmsghdr many[3] = {0};
    struct iovec v[3] = {{"f1", 2}, {"f22", 3}, {"f333", 4}};
    for (int i = 0; i < 3; i++)
        many[i].msg_hdr = (struct msghdr){.msg_iov = &v[i], .msg_iovlen = 1};
    CHECK(sendmmsg(pub, many, 3, 0) == 3 && many[2].msg_len == 4);
    char b[3][8] = {{0}};
    for (int i = 0; i < 3; i++) v[i] = (struct iovec){b[i], 8};
    CHECK(recvmmsg(sub, many, 3, MSG_WAITFORONE, NULL) == 3 && many[1].msg_len == 3);
    int copy = dup(sub), flags = fcntl(sub, F_GETFL);
    CHECK(copy >= 0 && fcntl(sub, F_SETFL, flags | O_NONBLOCK) == 0);
    CHECK(fcntl(copy, F_GETFL) & O_NONBLOCK);
    CHECK(close(sub) == 0);
    FAILS(read(copy, x, 4), EAGAIN);
    send_text(pub, "f!");
    CHECK(read(copy, x, 4) == 2);
    CHECK(dup2(copy, 200) == 200 && close(copy) == 0);
    send_text(pub, "f?");
    CHECK(read(200, x, 4) == 2 && x[1] == '?');
    CHECK(setsockopt(200, SOL_SP, SP_UNSUBSCRIBE, "f", 1) == 0);
    send_text(pub, "f-");
    FAILS(read(200, x, 4), EAGAIN);
}

static void polling(void) {
    int sub = subscriber("quotes", "p"), pub = end_of(SOCK_PUB, "quotes"), pipes[2];
    CHECK(pipe(pipes) == 0);
    CHECK(events_of(sub, POLLIN | POLLOUT, 0) == 0);
    CHECK(events_of(pub, POLLIN | POLLOUT, 0) == POLLOUT);
    send_text(pub, "unwanted");
    CHECK(events_of(sub, POLLIN, 20) == 0);
    if (fork() == 0) {
        int other = end_of(SOCK_PUB, "quotes");
        poll(NULL, 0, 50);
        send_text(other, "p from a child");
        _exit(0);
    }
    struct pollfd p[2] = {{.fd = pipes[0], .events = POLLIN}, {.fd = sub, .events = POLLIN}};
    CHECK(poll(p, 2, 5000) == 1 && p[1].revents == POLLIN && p[0].revents == 0);
    CHECK(events_of(sub, POLLIN, 0) == POLLIN);
    expect(sub, "p from a child");
    CHECK(events_of(sub, POLLIN, 0) == 0);
    fd_set r;
    FD_ZERO(&r);
    FD_SET(sub, &r);
    FD_SET(pipes[0], &r);
    struct timeval t = {.tv_usec = 1000};
    CHECK(select(sub + 10, &r, NULL, NULL, &t) == 0);
    send_text(pub, "p2");
    FD_SET(sub, &r);
    FD_SET(pipes[0], &r);
    t = (struct timeval){.tv_sec = 5};
    CHECK(select((sub > pipes[0] ? sub : pipes[0]) + 1, &r, NULL, NULL, &t) == 1);
    CHECK(FD_ISSET(sub, &r) && !FD_ISSET(pipes[0], &r));
    expect(sub, "p2");
    CHECK(wait(NULL) > 0);
}

static void epolling(void) {
    int sub = subscriber("quotes", "e"), pub = end_of(SOCK_PUB, "quotes");
    for (int edge = 0; edge < 2; edge++) {
        int ep = epoll_create1(EPOLL_CLOEXEC);
        struct epoll_event e = {.events = EPOLLIN | (edge ? EPOLLET : 0u), .data.fd = sub};
        CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, sub, &e) == 0);
        CHECK(epoll_wait(ep, &e, 1, 0) == 0);
        if (fork() == 0) {
            int other = end_of(SOCK_PUB, "quotes");
            poll(NULL, 0, 30);
            for (int i = 0; i < 100; i++) send_text(other, "e!");
            _exit(0);
        }
        char b[8];
        for (int got = 0; got < 100;) {
            CHECK(epoll_wait(ep, &e, 1, 5000) == 1 && e.data.fd == sub);
            while (recv(sub, b, sizeof(b), MSG_DONTWAIT) == 2) got++;
            CHECK(errno == EAGAIN);
        }
        CHECK(epoll_wait(ep, &e, 1, 10) == 0);
        CHECK(wait(NULL) > 0);
        send_text(pub, "e?");
        CHECK(epoll_wait(ep, &e, 1, 5000) == 1);
        expect(sub, "e?");
        close(ep);
    }
}

/* A child has an endpoint of its own; the parent's is not disturbed. */
static void forking(void) {
    int sub = subscriber("quotes", "k"), pub = end_of(SOCK_PUB, "quotes"), ready[2], status;
    char c;
    CHECK(pipe(ready) == 0);
    pid_t child = fork();
    if (child == 0) {
        CHECK(events_of(sub, POLLIN, 0) == 0); /* the first call joins */
        CHECK(write(ready[1], "", 1) == 1);
        expect(sub, "k for both");
        int again = end_of(SOCK_PUB, "quotes");
        send_text(again, "k from below");
        send_text(pub, "k through what was inherited");
        close(sub);
        _exit(0);
    }
    CHECK(read(ready[0], &c, 1) == 1);
    send_text(pub, "k for both");
    expect(sub, "k for both");
    expect(sub, "k from below");
    expect(sub, "k through what was inherited");
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    send_text(pub, "k after");
    expect(sub, "k after");
}

/* Without room a push says EAGAIN, and is not writable until there is some. */
static void credit(void) {
    int push = end_of(SOCK_PUSH, "work"), pull = end_of(SOCK_PULL, "work");
    char m[1000] = {0};
    int sent = 0;
    while (send(push, m, sizeof(m), MSG_DONTWAIT) == (ssize_t)sizeof(m)) sent++;
    CHECK(errno == EAGAIN && sent > 100);
    CHECK(events_of(push, POLLOUT, 20) == 0);
    for (int i = 0; i < sent; i++) CHECK(recv(pull, m, sizeof(m), 0) == (ssize_t)sizeof(m));
    CHECK(events_of(push, POLLOUT, 5000) == POLLOUT);
    FAILS(recv(pull, m, sizeof(m), MSG_DONTWAIT), EAGAIN);
    send_text(push, "more");
    expect(pull, "more");
    CHECK(events_of(push, POLLOUT, 0) == POLLOUT);
}

static void asking(void) {
    int rep = end_of(SOCK_REP, "ask"), req = end_of(SOCK_REQ, "ask");
    char b[16];
    FAILS(recv(req, b, sizeof(b), 0), EPROTO);
    FAILS(send(rep, "x", 1, 0), EPROTO);
    for (int i = 0; i < 1000; i++) {
        snprintf(b, sizeof(b), "q%d", i);
        send_text(req, b);
        CHECK(events_of(rep, POLLIN, 5000) == POLLIN);
        expect(rep, b);
        b[0] = 'a';
        send_text(rep, b);
        expect(req, b);
    }
    send_text(req, "old");
    send_text(req, "new");
    expect(rep, "old");
    send_text(rep, "to old");
    expect(rep, "new");
    send_text(rep, "to new");
    expect(req, "to new");
}

/* Both sleep and wake each other, some ten thousand times: nobody may sleep for ever. */
static void hurrying(void) {
    enum { MESSAGES = 1000000 };
    uint64_t m[8] = {0}, b[8];
    int sub = subscriber("patient", ""), status;
    pid_t child = fork();
    if (child == 0) {
        int pub = end_of(SOCK_PUB, "patient");
        close(sub);
        for (; m[0] < MESSAGES; m[0]++) {
            CHECK(send(pub, m, sizeof(m), 0) == sizeof(m));
            if (m[0] % 5000 == 0) sched_yield();
        }
        _exit(0);
    }
    for (uint64_t i = 0; i < MESSAGES; i++) {
        CHECK(recv(sub, b, sizeof(b), 0) == sizeof(b) && b[0] == i);
        if (i % 200000 == 0) (void)!poll(NULL, 0, 20);
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0);
}

/* The service goes while we sleep in each of the calls. */
static void ending(void) {
    int sub = subscriber("quotes", "");
    char b[8];
    CHECK(write(1, "ready\n", 6) == 6);
    CHECK(events_of(sub, POLLIN, 10000) & POLLIN);
    FAILS(recv(sub, b, sizeof(b), 0), ECONNRESET);
    FAILS(recv(sub, b, sizeof(b), MSG_DONTWAIT), ECONNRESET);
}

/* Roles without rings go through the socket file, by the same calls. */
static void plain(void) {
    int a = end_of(SOCK_SP_PAIR, "two"), b = end_of(SOCK_SP_PAIR, "two"), ring = 1;
    socklen_t n = sizeof(ring);
    CHECK(getsockopt(a, SOL_SP, SP_IS_RING, &ring, &n) == 0 && ring == 0);
    send_text(a, "ping");
    CHECK(events_of(b, POLLIN, 5000) == POLLIN);
    expect(b, "ping");
    send_text(b, "pong");
    expect(a, "pong");
    int sub = subscriber("first", "x"), pub = end_of(SOCK_PUB, "first");
    send_text(pub, "y");
    send_text(pub, "x1");
    expect(sub, "x1");
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    alarm(30);
    if (strcmp(what, "forms") == 0 && argc > 2)
        forms(argv[2]);
    else if (strcmp(what, "errors") == 0)
        errors();
    else if (strcmp(what, "polling") == 0)
        polling();
    else if (strcmp(what, "epolling") == 0)
        epolling();
    else if (strcmp(what, "forking") == 0)
        forking();
    else if (strcmp(what, "credit") == 0)
        credit();
    else if (strcmp(what, "asking") == 0)
        asking();
    else if (strcmp(what, "ending") == 0)
        ending();
    else if (strcmp(what, "hurrying") == 0)
        hurrying();
    else if (strcmp(what, "plain") == 0)
        plain();
    else
        return 2;
    return 0;
}
