/*
 * Watchers of the benchmarks: N connections that send one request each and then only read events.
 * An event ends with a newline that does not follow a carriage return, which holds for the JSON
 * lines of a watch in chunks and for what redis hands to a subscriber when the message ends so. One
 * watcher in SAMPLE looks into its events: "bench-t:" and sixteen digits are the microseconds of
 * the monotonic clock when the event was asked for. Prints "ready" when every connection has begun
 * to be answered; one JSON line when each has had its events or when nothing came for a while.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "load.h"

enum { SAMPLE = 16 };

struct watcher {
    struct client c;
    bool begun, looks;
    char before; /* the last byte of what was read before */
    uint64_t events;
};

struct watch_load {
    struct place place;
    const char *cert, *key, *path, *raw;
    long watchers_n, events, quiet_ms;
    bool tls;
    struct watcher *watchers;
    int epoll;
    uint64_t begun, delivered, dead, first_ns, last_ns, bytes;
    uint64_t *lag_us;
    size_t lag_n, lag_max;
};

/* An event that ends with the next read is one sample less. */
static void look(struct watch_load *l, const char *p, size_t n, uint64_t now) {
    const char *end = p + n;
    for (const char *at; (at = memmem(p, (size_t)(end - p), "bench-t:", 8)); p = at + 8) {
        uint64_t sent = 0;
        int i = 8;
        if (end - at < 24 || l->lag_n == l->lag_max) return;
        for (; i < 24 && at[i] >= '0' && at[i] <= '9'; i++)
            sent = sent * 10 + (uint64_t)(at[i] - '0');
        if (i == 24) l->lag_us[l->lag_n++] = now / 1000 - sent;
    }
}

static void take(struct watch_load *l, struct watcher *w, const char *p, size_t n) {
    uint64_t now = now_ns(), events = 0;
    if (!w->begun) { /* the head of the answer, or that the subscription stands */
        w->begun = true;
        l->begun++;
        const char *body = l->raw ? p + n : memmem(p, n, "\r\n\r\n", 4);
        if (!body || (!l->raw && memcmp(p, "HTTP/1.1 200", 12) != 0)) {
            w->c.dead = true;
            return;
        }
        if (!l->raw) body += 4;
        n -= (size_t)(body - p);
        p = body;
    }
    for (const char *at = p, *end = p + n; (at = memchr(at, '\n', (size_t)(end - at))); at++)
        events += (at > p ? at[-1] : w->before) != '\r';
    if (w->looks) look(l, p, n, now);
    if (n) w->before = p[n - 1];
    l->bytes += n;
    w->events += events;
    l->delivered += events;
    if (!events) return;
    if (!l->first_ns) l->first_ns = now;
    l->last_ns = now;
}

static void on_readable(struct watch_load *l, struct watcher *w) {
    static char part[256 * 1024];
    while (!w->c.dead) {
        long n = client_read(&w->c, part, sizeof part);
        if (n == 0) return;
        if (n < 0)
            w->c.dead = true;
        else
            take(l, w, part, (size_t)n);
        if (n > 0 && !client_has_more(&w->c, (size_t)n, sizeof part)) return;
    }
}

static void open_watcher(struct watch_load *l, struct watcher *w, const char *request, size_t n) {
    w->c.fd = dial(&l->place, &w->c.ssl);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = w};
    if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, w->c.fd, &e) < 0) die("epoll_ctl");
    if (client_write(&w->c, request, n) < 0) die("write");
}

static void turn(struct watch_load *l) {
    struct epoll_event ready[128];
    int n = epoll_wait(l->epoll, ready, 128, 20);
    for (int i = 0; i < n; i++) {
        struct watcher *w = ready[i].data.ptr;
        on_readable(l, w);
        if (!w->c.dead) continue;
        epoll_ctl(l->epoll, EPOLL_CTL_DEL, w->c.fd, NULL);
        l->dead++;
    }
}

static int compare(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static double lag_ms(const struct watch_load *l, double part) {
    return l->lag_n ? (double)l->lag_us[(size_t)(part * (double)(l->lag_n - 1))] / 1000.0 : 0;
}

static void run(struct watch_load *l) {
    uint64_t all = (uint64_t)l->watchers_n * (uint64_t)l->events, began = now_ns();
    while (l->begun < (uint64_t)l->watchers_n && now_ns() < began + 60000000000u) turn(l);
    if (l->dead || l->begun < (uint64_t)l->watchers_n) die("watchers are refused");
    puts("ready");
    fflush(stdout);
    uint64_t quiet_ns = (uint64_t)l->quiet_ms * 1000000u, seen = 0, seen_ns = now_ns();
    while (l->delivered < all && l->dead < (uint64_t)l->watchers_n &&
           now_ns() < seen_ns + quiet_ns) {
        turn(l);
        if (l->delivered != seen) {
            seen = l->delivered;
            seen_ns = now_ns();
        }
    }
    qsort(l->lag_us, l->lag_n, sizeof *l->lag_us, compare);
    printf("{\"deliveries\":%llu,\"expected\":%llu,\"lost_watchers\":%llu,\"seconds\":%.4f,"
           "\"bytes\":%llu,\"lag_p50_ms\":%.3f,\"lag_p99_ms\":%.3f}\n",
           (unsigned long long)l->delivered, (unsigned long long)all, (unsigned long long)l->dead,
           (double)(l->last_ns - l->first_ns) / 1e9, (unsigned long long)l->bytes, lag_ms(l, 0.5),
           lag_ms(l, 0.99));
}

static void options(struct watch_load *l, int argc, char **argv) {
    static const struct option names[] = {
        {"unix", 1, NULL, 'u'},     {"port", 1, NULL, 'p'},     {"tls", 0, NULL, 't'},
        {"cert", 1, NULL, 'c'},     {"key", 1, NULL, 'k'},      {"path", 1, NULL, 'g'},
        {"raw", 1, NULL, 'w'},      {"watchers", 1, NULL, 'n'}, {"events", 1, NULL, 'e'},
        {"quiet-ms", 1, NULL, 'q'}, {NULL, 0, NULL, 0}};
    for (int o; (o = getopt_long(argc, argv, "", names, NULL)) >= 0;) {
        if (o == '?') exit(2);
        if (o == 'u') l->place.unix_path = optarg;
        if (o == 'p') l->place.port = strtol(optarg, NULL, 10);
        if (o == 't') l->tls = true;
        if (o == 'c') l->cert = optarg;
        if (o == 'k') l->key = optarg;
        if (o == 'g') l->path = optarg;
        if (o == 'w') l->raw = optarg;
        if (o == 'n') l->watchers_n = strtol(optarg, NULL, 10);
        if (o == 'e') l->events = strtol(optarg, NULL, 10);
        if (o == 'q') l->quiet_ms = strtol(optarg, NULL, 10);
    }
    bool numbers = l->watchers_n > 0 && l->watchers_n <= 100000 && l->events > 0 &&
                   l->events <= 1000000 && l->quiet_ms > 0 && l->quiet_ms <= 600000;
    if (numbers && (l->place.unix_path || l->place.port > 0) && (l->path || l->raw)) return;
    fputs(
        "usage: bench_watch --unix PATH | --port N [--tls --cert F --key F] --path P | --raw FILE\n"
        "                   [--watchers N] [--events N] [--quiet-ms N]\n",
        stderr);
    exit(2);
}

int main(int argc, char **argv) {
    struct watch_load l = {.watchers_n = 1, .events = 1, .quiet_ms = 5000};
    options(&l, argc, argv);
    size_t request_n = 0;
    char *request = l.raw ? file_read(l.raw, &request_n) : NULL;
    if (!request) {
        int n = asprintf(&request,
                         "GET %s HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n\r\n",
                         l.path);
        if (n < 0) die("memory");
        request_n = (size_t)n;
    }
    l.epoll = epoll_create1(EPOLL_CLOEXEC);
    l.watchers = calloc((size_t)l.watchers_n, sizeof *l.watchers);
    l.lag_max = ((size_t)l.watchers_n / SAMPLE + 1) * (size_t)l.events;
    l.lag_us = calloc(l.lag_max, sizeof *l.lag_us);
    if (l.epoll < 0 || !l.watchers || !l.lag_us) die("memory");
    if (l.tls) l.place.tls = tls_client(false, l.cert, l.key);
    for (long i = 0; i < l.watchers_n; i++) {
        l.watchers[i].looks = i % SAMPLE == 0;
        open_watcher(&l, &l.watchers[i], request, request_n);
    }
    run(&l);
    for (long i = 0; i < l.watchers_n; i++) {
        SSL_free(l.watchers[i].c.ssl);
        close(l.watchers[i].c.fd);
    }
    SSL_CTX_free(l.place.tls);
    free(l.watchers);
    free(l.lag_us);
    free(request);
    close(l.epoll);
    return 0;
}
