/*
 * Load generator of the benchmarks: N clients on kept connections, each with one request under way,
 * for a while or for a number of requests; prints one JSON line. GET of a path, POST of a file's
 * content, a gRPC call, or (raw) any request that is answered by one line. In what is posted a run
 * of eight # becomes the number of the request, a run of sixteen @ the microseconds of the
 * monotonic clock. The processor time of the server is read over the same span, so that a figure
 * per core does not depend on what else the machine does.
 */
#include "load.h"

#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

struct load {
    const char *cert, *key, *path, *post;
    struct place place;
    long clients_n, streams, ms, pid, count, rate, first;
    bool tls, h2, grpc, raw;
    char *request;       /* the whole of it; with HTTP/2 or raw its body */
    char *body;          /* in request; NULL: GET */
    char *number, *time; /* in body: where the digits go; NULL: nowhere */
    size_t request_n, body_n;
    int epoll;
    struct client *clients, *idle; /* idle: with a rate only */
    uint64_t begin_ns, end_ns, last_ns, errors, alive, sent, bytes;
    uint64_t *took_ns;
    size_t took_n, took_max;
};

/* Nanoseconds of processor time of all threads of a process. */
static uint64_t cpu_ns(long pid) {
    char path[64], line[128];
    uint64_t sum = 0;
    if (pid <= 0) return 0;
    snprintf(path, sizeof path, "/proc/%ld/task", pid);
    DIR *d = opendir(path);
    if (!d) {
        die(path);
        return 0; /* for cppcheck, which does not see that die() ends */
    }
    for (struct dirent *e; (e = readdir(d));) {
        char file[400];
        if (e->d_name[0] == '.') continue;
        snprintf(file, sizeof file, "%s/%s/schedstat", path, e->d_name);
        FILE *f = fopen(file, "re");
        if (f && fgets(line, sizeof line, f)) sum += strtoull(line, NULL, 10);
        if (f) fclose(f);
    }
    closedir(d);
    return sum;
}

/* ---- one client ---- */

void client_fill(const struct client *c) {
    digits_put(c->load->number, 8, c->number);
    digits_put(c->load->time, 16, c->sent_ns / 1000);
}

static void send_request(struct client *c) {
    struct load *l = c->load;
    c->sent_ns = now_ns();
    c->number = (uint64_t)l->first + l->sent++;
    answer_begin(&c->answer);
    if (c->h2) {
        h2_client_request(c);
        return;
    }
    client_fill(c);
    if (client_write(c, l->request, l->request_n) < 0) c->dead = true;
}

static bool more(const struct load *l, uint64_t now) {
    return now < l->end_ns && (!l->count || l->sent < (uint64_t)l->count);
}

/* With a rate: as many as are due by now, as long as connections are free. */
static void send_due(struct load *l) {
    uint64_t now = now_ns();
    uint64_t due = (now - l->begin_ns) * (uint64_t)l->rate / 1000000000u + 1;
    while (l->idle && l->sent < due && more(l, now)) {
        struct client *c = l->idle;
        l->idle = c->next_idle;
        send_request(c);
    }
}

void client_answered(struct client *c, bool ok, uint64_t bytes) {
    struct load *l = c->load;
    uint64_t now = l->last_ns = now_ns();
    if (!ok) l->errors++;
    if (now >= l->begin_ns && now < l->end_ns && ok && l->took_n < l->took_max) {
        l->took_ns[l->took_n++] = now - c->sent_ns;
        l->bytes += bytes;
    }
    if (l->rate) {
        c->next_idle = l->idle;
        l->idle = c;
    } else if (more(l, now)) {
        send_request(c);
    }
}

static void input(struct client *c, const char *p, size_t n) {
    if (c->h2) {
        c->dead = h2_client_input(c->h2, p, n) < 0 || c->dead;
    } else if (c->load->raw) {
        if (p[n - 1] == '\n') client_answered(c, *p != '-', n);
    } else {
        int r = answer_feed(&c->answer, p, n);
        if (r < 0) c->dead = true;
        if (r > 0) client_answered(c, c->answer.ok, c->answer.bytes);
    }
}

static void on_readable(struct client *c) {
    static char part[256 * 1024];
    while (!c->dead) {
        long n = client_read(c, part, sizeof part);
        if (n == 0) return;
        if (n < 0)
            c->dead = true;
        else
            input(c, part, (size_t)n);
        if (n > 0 && !client_has_more(c, (size_t)n, sizeof part)) return;
    }
}

/* ---- the run ---- */

/* One request before it counts: servers close who has sent nothing for a while, which on a busy
 * machine the first of many connections had to, until the last one has shaken hands. */
static void greet(struct client *c) {
    static const char hello[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    static char part[64 * 1024];
    struct answer answer = {0};
    struct pollfd ready = {.fd = c->fd, .events = POLLIN};
    int done = client_write(c, hello, sizeof hello - 1) < 0 ? -1 : 0;
    while (done == 0) {
        long n = client_read(c, part, sizeof part);
        if (n == 0) poll(&ready, 1, -1);
        done = n < 0 ? -1 : n > 0 ? answer_feed(&answer, part, (size_t)n) : 0;
    }
    if (done < 0) die("the first request of a connection");
}

static void open_client(struct load *l, long i) {
    struct client *c = &l->clients[i], *first = &l->clients[i - i % l->streams];
    c->load = l;
    c->h2 = first->h2;
    c->fd = -1;
    if (c != first) return;
    c->fd = dial(&l->place, &c->ssl);
    /* Told once of what comes: on_readable leaves nothing behind. */
    struct epoll_event e = {.events = EPOLLIN | EPOLLET, .data.ptr = c};
    if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &e) < 0) die("epoll_ctl");
    if (!l->h2 && !l->raw) greet(c);
    const struct h2_request request = {l->path, l->body, l->body_n, l->grpc};
    if (l->h2) c->h2 = h2_client_new(c, &request);
}

static void close_client(struct client *c) {
    if (c->fd < 0) return;
    h2_client_free(c->h2);
    SSL_free(c->ssl);
    close(c->fd);
}

static bool finished(const struct load *l) {
    return !l->alive || (l->count && l->took_n + l->errors >= (uint64_t)l->count);
}

static void turn(struct load *l, uint64_t until_ns) {
    struct epoll_event ready[64];
    for (uint64_t now; (now = now_ns()) < until_ns && !finished(l);) {
        if (l->rate) send_due(l);
        int wait_ms = l->rate ? 1 : (int)((until_ns - now) / 1000000) + 1;
        int n = epoll_wait(l->epoll, ready, 64, wait_ms);
        for (int i = 0; i < n; i++) {
            struct client *c = ready[i].data.ptr;
            on_readable(c);
            if (!c->dead) continue;
            epoll_ctl(l->epoll, EPOLL_CTL_DEL, c->fd, NULL);
            l->errors++;
            l->alive--;
        }
    }
}

static int compare(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static double percentile_us(const struct load *l, double part) {
    if (!l->took_n) return 0;
    return (double)l->took_ns[(size_t)(part * (double)(l->took_n - 1))] / 1000.0;
}

/* For a while: warmed up first. For a number of requests: all of them count. */
static void run(struct load *l) {
    uint64_t warm_ms = l->count ? 0 : 200;
    l->begin_ns = now_ns() + warm_ms * 1000000u;
    l->end_ns = l->begin_ns + (uint64_t)l->ms * 1000000u;
    uint64_t cpu = cpu_ns(l->pid), from = now_ns();
    for (long i = 0; i < l->clients_n; i++) {
        struct client *c = &l->clients[i];
        c->next_idle = l->idle;
        if (l->rate)
            l->idle = c;
        else if (more(l, 0))
            send_request(c);
    }
    if (warm_ms) {
        turn(l, l->begin_ns);
        cpu = cpu_ns(l->pid);
        from = now_ns();
    }
    turn(l, l->end_ns);
    uint64_t until = l->count ? l->last_ns : now_ns();
    double seconds = (double)(until - from) / 1e9, busy = (double)(cpu_ns(l->pid) - cpu) / 1e9;
    qsort(l->took_ns, l->took_n, sizeof *l->took_ns, compare);
    printf("{\"requests\":%zu,\"errors\":%llu,\"seconds\":%.4f,\"server_cpu_s\":%.4f,"
           "\"p50_us\":%.1f,\"p99_us\":%.1f,\"sent\":%llu,\"bytes\":%llu}\n",
           l->took_n, (unsigned long long)l->errors, seconds, busy, percentile_us(l, 0.50),
           percentile_us(l, 0.99), (unsigned long long)l->sent, (unsigned long long)l->bytes);
}

/* ---- set-up ---- */

static void build_request(struct load *l) {
    enum { HEAD_MAX = 1024 };
    char head[HEAD_MAX], *body = NULL;
    if (l->post) body = file_read(l->post, &l->body_n);
    int n = snprintf(head, sizeof head,
                     "%s %s HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n",
                     body ? "POST" : "GET", l->path);
    if (n > 0 && n < HEAD_MAX && body)
        n += snprintf(head + n, HEAD_MAX - (size_t)n,
                      "Content-Type: application/json\r\nContent-Length: %zu\r\n", l->body_n);
    if (n <= 0 || n + 2 >= HEAD_MAX) die("the path is too long");
    memcpy(head + n, "\r\n", 2);
    size_t head_n = l->h2 || l->raw ? 0 : (size_t)n + 2;
    l->request_n = head_n + l->body_n;
    l->request = calloc(1, l->request_n + 1);
    if (!l->request) die("memory");
    memcpy(l->request, head, head_n);
    if (!body) return;
    l->body = memcpy(l->request + head_n, body, l->body_n);
    l->number = memmem(l->body, l->body_n, "########", 8);
    l->time = memmem(l->body, l->body_n, "@@@@@@@@@@@@@@@@", 16);
    free(body);
}

static const char usage[] =
    "usage: bench_load --unix PATH | --port N [--tls] [--h2 [--streams N]] [--cert F --key F]\n"
    "                  [--path P] [--post FILE] [--grpc | --raw] [--clients N] [--ms N] [--count "
    "N]\n"
    "                  [--rate PER_SECOND] [--first N] [--pid SERVER]\n";

static void options(struct load *l, int argc, char **argv) {
    static const struct option names[] = {
        {"unix", 1, NULL, 'u'},  {"port", 1, NULL, 'p'},    {"tls", 0, NULL, 't'},
        {"h2", 0, NULL, '2'},    {"cert", 1, NULL, 'c'},    {"key", 1, NULL, 'k'},
        {"path", 1, NULL, 'g'},  {"ms", 1, NULL, 'm'},      {"clients", 1, NULL, 'n'},
        {"pid", 1, NULL, 'i'},   {"post", 1, NULL, 'b'},    {"grpc", 0, NULL, 'G'},
        {"raw", 0, NULL, 'w'},   {"count", 1, NULL, 'C'},   {"rate", 1, NULL, 'r'},
        {"first", 1, NULL, 'f'}, {"streams", 1, NULL, 's'}, {NULL, 0, NULL, 0}};
    struct {
        int option;
        const char **text;
        bool *flag;
        long *number;
    } const table[] = {{'u', &l->place.unix_path, NULL, NULL},
                       {'c', &l->cert, NULL, NULL},
                       {'k', &l->key, NULL, NULL},
                       {'g', &l->path, NULL, NULL},
                       {'b', &l->post, NULL, NULL},
                       {'t', NULL, &l->tls, NULL},
                       {'2', NULL, &l->h2, NULL},
                       {'G', NULL, &l->grpc, NULL},
                       {'w', NULL, &l->raw, NULL},
                       {'p', NULL, NULL, &l->place.port},
                       {'m', NULL, NULL, &l->ms},
                       {'n', NULL, NULL, &l->clients_n},
                       {'i', NULL, NULL, &l->pid},
                       {'C', NULL, NULL, &l->count},
                       {'r', NULL, NULL, &l->rate},
                       {'f', NULL, NULL, &l->first},
                       {'s', NULL, NULL, &l->streams}};
    for (int o; (o = getopt_long(argc, argv, "", names, NULL)) >= 0;) {
        if (o == '?') exit(2);
        size_t i = 0;
        while (table[i].option != o) i++;
        if (table[i].text) *table[i].text = optarg;
        if (table[i].flag) *table[i].flag = true;
        char *end = NULL;
        if (!table[i].number) continue;
        long v = *table[i].number = strtol(optarg, &end, 10);
        if (*end || v < 0 || v > 99999999) {
            fprintf(stderr, "bench_load: not a number that makes sense: %s\n", optarg);
            exit(2);
        }
    }
}

int main(int argc, char **argv) {
    struct load l = {.path = "/", .ms = 1000, .clients_n = 1, .streams = 1};
    options(&l, argc, argv);
    signal(SIGPIPE, SIG_IGN); /* a connection that is lost counts as an error */
    if ((!l.place.unix_path && !l.place.port) || (l.cert && !l.key) || l.clients_n < 1 ||
        l.streams < 1 || (l.streams > 1 && !l.h2)) {
        fputs(usage, stderr);
        return 2;
    }
    build_request(&l);
    l.epoll = epoll_create1(EPOLL_CLOEXEC);
    l.clients = calloc((size_t)l.clients_n, sizeof *l.clients);
    l.took_max = l.count ? (size_t)l.count : (size_t)l.ms * 400;
    l.took_ns = malloc(l.took_max * sizeof *l.took_ns);
    if (l.epoll < 0 || !l.clients || !l.took_ns) die("memory");
    memset(l.took_ns, 0, l.took_max * sizeof *l.took_ns); /* touched before, not while measuring */
    if (l.tls) l.place.tls = tls_client(l.h2, l.cert, l.key);
    for (long i = 0; i < l.clients_n; i++) open_client(&l, i);
    l.alive = (uint64_t)((l.clients_n + l.streams - 1) / l.streams);
    run(&l);
    for (long i = 0; i < l.clients_n; i++) close_client(&l.clients[i]);
    SSL_CTX_free(l.place.tls);
    free(l.clients);
    free(l.took_ns);
    free(l.request);
    close(l.epoll);
    return 0;
}
