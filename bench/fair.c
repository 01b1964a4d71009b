/*
 * Load generator of the fairness row: one request out of a file, sent
 *   steady  at a fixed rate, whatever became of those before (latency from when each was due)
 *   ask     by N connections, again as soon as it has been answered
 *   drop    by N connections, closed and opened again when the first bytes of the answer come
 *   hold    by N connections that never read
 *   drip    by N connections, byte by byte: the head, or of a request with a body, that
 *   idle    not at all, by N connections that are only there
 *   burn    not at all: the processor is kept busy, N is ignored
 * on a unix socket. In the request a run of eight # becomes its number. Prints one JSON line.
 */
#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum mode { STEADY, ASK, DROP, HOLD, DRIP, IDLE, BURN };
enum { STEADY_CLIENTS = 64, PART_BYTES = 256 * 1024 };
#define LATE_NS 5000000000u
#define PAUSE_NS 20000000u

struct caller {
    struct caller *next_idle;
    struct answer answer;
    uint64_t due_ns;
    size_t sent; /* of the request */
    char *request;
    int fd;
};

static struct fair {
    enum mode mode;
    const char *path;
    char *request;
    size_t request_n, number_at, drip_at; /* what comes before that is sent at once */
    bool numbered;
    int epoll;
    long callers_n;
    uint64_t begin_ns, end_ns, rate, sent, answered, refused, lost;
    struct caller *callers, *idle;
    uint64_t *took_ns;
    size_t took_n, took_max;
} f;

static void open_caller(struct caller *c) {
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    if (strlen(f.path) >= sizeof sun.sun_path) die("the path of the socket is too long");
    memcpy(sun.sun_path, f.path, strlen(f.path) + 1);
    c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&sun, sizeof sun) < 0) die("connect");
    if (fcntl(c->fd, F_SETFL, O_NONBLOCK) < 0) die("fcntl");
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(f.epoll, EPOLL_CTL_ADD, c->fd, &e) < 0) die("epoll_ctl");
}

static void want(struct caller *c, uint32_t events) {
    struct epoll_event e = {.events = events, .data.ptr = c};
    if (epoll_ctl(f.epoll, EPOLL_CTL_MOD, c->fd, &e) < 0) die("epoll_ctl");
}

static void begin(struct caller *c, uint64_t due_ns);

static void reopen(struct caller *c) {
    close(c->fd);
    open_caller(c);
    if (f.mode == STEADY) {
        c->next_idle = f.idle;
        f.idle = c;
    } else if (f.mode != IDLE) {
        begin(c, now_ns());
    }
}

static void go_on(struct caller *c) {
    if (f.mode == DRIP) return; /* drip() does */
    while (c->sent < f.request_n) {
        ssize_t n = send(c->fd, c->request + c->sent, f.request_n - c->sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) {
            want(c, EPOLLIN | EPOLLOUT);
            return;
        }
        if (n < 0) return; /* reading will tell */
        c->sent += (size_t)n;
    }
    want(c, f.mode == HOLD ? 0 : EPOLLIN);
}

static void begin(struct caller *c, uint64_t due_ns) {
    c->due_ns = due_ns;
    c->sent = 0;
    answer_begin(&c->answer);
    f.sent++;
    if (f.numbered) digits_put(c->request + f.number_at, 8, f.sent);
    size_t first = f.mode == DRIP ? f.drip_at : f.request_n;
    ssize_t n = send(c->fd, c->request, first, MSG_NOSIGNAL);
    if (n > 0) c->sent = (size_t)n;
    if (c->sent < f.request_n) go_on(c);
}

static void answered(struct caller *c) {
    uint64_t now = now_ns();
    if (c->answer.ok)
        f.answered++;
    else
        f.refused++;
    if (c->answer.ok && c->due_ns >= f.begin_ns && f.took_n < f.took_max)
        f.took_ns[f.took_n++] = now - c->due_ns;
    if (f.mode == ASK || f.mode == DRIP) {
        begin(c, now);
    } else {
        c->next_idle = f.idle;
        f.idle = c;
    }
}

static void on_readable(struct caller *c) {
    static char part[PART_BYTES];
    ssize_t n = recv(c->fd, part, sizeof part, 0);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) f.lost++;
    if (n > 0 && f.mode == DROP) f.answered++;
    if (n <= 0 || f.mode == DROP) {
        reopen(c);
        return;
    }
    int r = answer_feed(&c->answer, part, (size_t)n);
    if (r < 0) die("an answer that is not HTTP");
    if (r > 0) answered(c);
}

/* Returns how long to wait for events, in ns. */
static uint64_t send_due(void) {
    uint64_t now = now_ns(), step = 1000000000 / f.rate;
    if (now >= f.end_ns) return PAUSE_NS;
    for (; f.idle && f.begin_ns + f.sent * step <= now; now = now_ns()) {
        struct caller *c = f.idle;
        f.idle = c->next_idle;
        begin(c, f.begin_ns + f.sent * step);
    }
    uint64_t next = f.begin_ns + f.sent * step;
    return next <= now ? 0 : next - now;
}

/* The next byte of each. */
static void drip(void) {
    for (long i = 0; i < f.callers_n; i++) {
        struct caller *c = &f.callers[i];
        if (c->sent < f.request_n && send(c->fd, c->request + c->sent, 1, MSG_NOSIGNAL) == 1)
            c->sent++;
    }
}

static void burn(void) {
    while (now_ns() < f.end_ns) continue;
}

static uint64_t outstanding(void) { return f.sent - f.answered - f.refused - f.lost; }

static void run(void) {
    struct epoll_event ready[128];
    if (f.mode != STEADY && f.mode != IDLE)
        for (long i = 0; i < f.callers_n; i++) begin(&f.callers[i], now_ns());
    /* Who has been asked by the end is waited for: the slowest answers count most. */
    while (now_ns() < f.end_ns ||
           (f.mode == STEADY && outstanding() && now_ns() < f.end_ns + LATE_NS)) {
        uint64_t wait_ns = f.mode == STEADY ? send_due() : PAUSE_NS;
        if (f.mode == DRIP) drip();
        struct timespec wait = {0, (long)wait_ns};
        int n = epoll_pwait2(f.epoll, ready, 128, &wait, NULL);
        for (int i = 0; i < n; i++) {
            struct caller *c = ready[i].data.ptr;
            if (ready[i].events & EPOLLOUT) go_on(c);
            if (ready[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) on_readable(c);
        }
    }
}

static int compare(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static double percentile_us(double part) {
    return f.took_n ? (double)f.took_ns[(size_t)(part * (double)(f.took_n - 1))] / 1000.0 : 0;
}

static void prepare(char **argv) {
    static const char *const modes[] = {"steady", "ask", "drop", "hold", "drip", "idle", "burn"};
    for (f.mode = STEADY; f.mode <= BURN && strcmp(modes[f.mode], argv[1]); f.mode++) continue;
    if (f.mode > BURN) die("mode");
    prctl(PR_SET_TIMERSLACK, 1); /* the neighbour must not measure his own clock */
    f.path = argv[2];
    f.request = file_read(argv[3], &f.request_n);
    const char *number = memmem(f.request, f.request_n, "########", 8);
    f.numbered = number;
    if (number) f.number_at = (size_t)(number - f.request);
    const char *body = memmem(f.request, f.request_n, "\r\n\r\n", 4);
    if (body && body + 4 < f.request + f.request_n) f.drip_at = (size_t)(body + 4 - f.request);
    long n = strtol(argv[4], NULL, 10), ms = strtol(argv[5], NULL, 10);
    if (n < 1 || n > 100000 || ms < 1 || ms > 600000) die("numbers");
    f.rate = (uint64_t)n;
    f.callers_n = f.mode == STEADY ? STEADY_CLIENTS : f.mode == BURN ? 0 : n;
    f.callers = calloc((size_t)f.callers_n + 1, sizeof *f.callers);
    f.took_max = 4000000;
    f.took_ns = malloc(f.took_max * sizeof *f.took_ns);
    f.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!f.callers || !f.took_ns || f.epoll < 0) die("memory");
    for (long i = 0; i < f.callers_n; i++) {
        struct caller *c = &f.callers[i];
        c->request = f.numbered ? malloc(f.request_n) : f.request;
        if (!c->request) die("memory");
        if (f.numbered) memcpy(c->request, f.request, f.request_n);
        open_caller(c);
        c->next_idle = f.idle;
        f.idle = c;
    }
    f.begin_ns = now_ns();
    f.end_ns = f.begin_ns + (uint64_t)ms * 1000000;
}

int main(int argc, char **argv) {
    if (argc != 6) {
        fprintf(stderr,
                "usage: bench_fair steady|ask|drop|hold|drip|idle|burn SOCKET REQUEST-FILE N MS\n"
                "N: requests per second (steady) or connections\n");
        return 2;
    }
    prepare(argv);
    if (f.mode == BURN)
        burn();
    else
        run();
    qsort(f.took_ns, f.took_n, sizeof *f.took_ns, compare);
    printf("{\"sent\":%llu,\"answered\":%llu,\"refused\":%llu,\"lost\":%llu,\"p50_us\":%.1f,"
           "\"p99_us\":%.1f,\"max_us\":%.1f}\n",
           (unsigned long long)f.sent, (unsigned long long)f.answered,
           (unsigned long long)f.refused, (unsigned long long)f.lost, percentile_us(0.50),
           percentile_us(0.99), percentile_us(1));
    return 0;
}
