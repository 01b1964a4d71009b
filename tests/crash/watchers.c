/*
 * Watch = commit log: many watchers, of which some read slowly and some come late, while the
 * services are killed and paused. Every one must see every event after the revision it began at,
 * once and in order; after a broken connection it goes on from the last revision it saw.
 *
 *   watchers --atoll PROGRAM --root DIR [--watchers N] [--events N] [--kills N] [--seed N]
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/own.h"
#include "base/slice.h"
#include "http.h"
#include "nemesis.h"

enum { LINE_MAX_BYTES = 64 * 1024, READ_BYTES = 16 * 1024, KEYS = 50, LAST_MS = 60 * 1000 };

/* Of a strictly increasing sequence of (revision, type) the sum and the number say which it was. */
struct seen {
    uint64_t first, last, sum, count; /* first: exclusive */
};

struct watcher {
    int fd;
    unsigned number;
    bool in_head, slow;
    size_t chunk; /* bytes left of the chunk; its line ends are counted too */
    char *line;
    size_t n;
    struct seen seen;
    uint64_t again_ms; /* connect or read again then */
};

static struct {
    struct nemesis nemesis;
    uint64_t watchers, events, kills, seed;
    char socket_path[108];
    volatile uint64_t written; /* events, by the writer */
    volatile uint64_t last_revision;
    volatile bool done;
    uint64_t reconnects;
    int poll;
    bool failed;
} all = {.watchers = 50, .events = 2000, .kills = 4, .seed = 1};

static uint64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static uint64_t mix(uint64_t revision, char type) {
    uint64_t h = (revision * 4 + (type == 'A'   ? 1
                                  : type == 'M' ? 2
                                                : 3)) *
                 UINT64_C(0x9E3779B97F4A7C15);
    return h ^ (h >> 31);
}

static void wrong(const struct watcher *w, const char *what, const char *line) {
    printf("watcher %u after revision %llu: %s: %.200s\n", w->number,
           (unsigned long long)w->seen.last, what, line);
    all.failed = true;
}

/* ---- one watcher ---- */

static void again(struct watcher *w, uint64_t ms) {
    if (w->fd >= 0) {
        close(w->fd);
        all.reconnects++;
    }
    w->fd = -1;
    w->again_ms = now_ms() + ms;
}

static void connect_watcher(struct watcher *w) {
    char path[128];
    snprintf(path, sizeof path,
             "/api/v1/configmaps?watch=1&allowWatchBookmarks=true&resourceVersion=%llu",
             (unsigned long long)w->seen.last);
    w->fd = http_open_stream(all.socket_path, path);
    w->in_head = true;
    w->n = w->chunk = 0;
    if (w->fd < 0) {
        again(w, 50);
        return;
    }
    fcntl(w->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = w};
    epoll_ctl(all.poll, EPOLL_CTL_ADD, w->fd, &e);
}

static void take_line(struct watcher *w, const char *line) {
    const char *type = strstr(line, "\"type\":\"");
    uint64_t revision = http_number(line, "\"resourceVersion\":\"");
    if (!type) {
        wrong(w, "no event", line);
        return;
    }
    if (type[8] == 'B') return; /* BOOKMARK */
    if (type[8] == 'E') {
        wrong(w, "an ERROR event", line);
        again(w, 1000);
        return;
    }
    if (revision <= w->seen.last) {
        wrong(w, "an event comes twice or too late", line);
        return;
    }
    w->seen.last = revision;
    w->seen.sum += mix(revision, type[8]);
    w->seen.count++;
}

/* One byte of the body, out of its chunks. */
static void take_byte(struct watcher *w, char b) {
    if (w->n + 1 >= LINE_MAX_BYTES) {
        wrong(w, "a line is too long", "");
        w->n = 0;
    }
    w->line[w->n++] = b;
    if (b != '\n') return;
    w->line[w->n] = 0;
    w->n = 0;
    if (w->in_head) {
        if (w->line[0] == '\r') w->in_head = false;
    } else if (!w->chunk) { /* the size of the next chunk, or the line end after one */
        w->chunk = strtoul(w->line, NULL, 16);
    } else {
        take_line(w, w->line);
    }
}

static void take(struct watcher *w, const char *p, size_t n) {
    for (size_t i = 0; i < n && w->fd >= 0; i++) {
        bool body = !w->in_head && w->chunk;
        take_byte(w, p[i]);
        if (body) w->chunk--;
    }
}

static void on_readable(struct watcher *w, struct disk_random *r) {
    static char buf[READ_BYTES];
    if (w->again_ms > now_ms()) return;
    ssize_t n = recv(w->fd, buf, w->slow ? 512 : sizeof buf, 0);
    if (n > 0) {
        take(w, buf, (size_t)n);
        if (w->slow) w->again_ms = now_ms() + disk_below(r, 40);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        again(w, 20);
    }
}

/* ---- the writer ---- */

static void *writer_main(void *user) {
    struct http h;
    struct disk_random r = {all.seed * 77 + 5};
    http_init(&h, all.socket_path);
    while (all.written < all.events) {
        char path[128], body[160];
        unsigned key = (unsigned)disk_below(&r, KEYS);
        snprintf(path, sizeof path, "/api/v1/namespaces/default/configmaps/w%u", key);
        snprintf(body, sizeof body, "{\"metadata\":{\"name\":\"w%u\"},\"data\":{\"v\":\"%llu\"}}",
                 key, (unsigned long long)disk_random(&r));
        uint64_t what = disk_below(&r, 10);
        int status =
            what < 3   ? http_call(&h, "POST", "/api/v1/namespaces/default/configmaps", NULL, body)
            : what < 9 ? http_call(&h, "PATCH", path, "application/merge-patch+json", body)
                       : http_call(&h, "DELETE", path, NULL, NULL);
        if (status == 200 || status == 201) all.written++;
        if (!status || status >= 500) nanosleep(&(struct timespec){0, 10000000}, NULL);
    }
    /* The last event of all. */
    while (!all.last_revision) {
        int status = http_call(&h, "POST", "/api/v1/namespaces/default/configmaps", NULL,
                               "{\"metadata\":{\"generateName\":\"last-\"}}");
        if (status == 201) all.last_revision = http_number(h.body, "\"resourceVersion\":\"");
    }
    http_done(&h);
    return NULL;
}

static void *nemesis_main(void *user) {
    while (!all.done && all.nemesis.kills < all.kills) {
        uint64_t ms = 500 + disk_below(&all.nemesis.random, 2000);
        nanosleep(&(struct timespec){(time_t)(ms / 1000), (long)(ms % 1000) * 1000000}, NULL);
        if (!all.done) nemesis_strike(&all.nemesis);
    }
    return NULL;
}

/* ---- all of it ---- */

static uint64_t revision_now(void) {
    struct http h;
    http_init(&h, all.socket_path);
    int status = http_call(&h, "GET", "/api/v1/configmaps?limit=1", NULL, NULL);
    uint64_t revision = status == 200 ? http_number(h.body, "\"resourceVersion\":\"") : 0;
    http_done(&h);
    return revision;
}

/* Until all of them saw the last event, or nothing more comes. */
static void watch_all(struct watcher *w, size_t n) {
    struct disk_random r = {all.seed + 99};
    uint64_t first = w[0].seen.last, told = now_ms(), progress_ms = now_ms(), progress = 0;
    for (size_t complete = 0; complete < n && !all.failed;) {
        struct epoll_event ready[256];
        int count = epoll_wait(all.poll, ready, 256, 5);
        for (int i = 0; i < count; i++) on_readable(ready[i].data.ptr, &r);
        complete = 0;
        uint64_t sum = 0;
        for (size_t i = 0; i < n; i++) {
            /* Late ones begin somewhere between the first revision and what was written so far. */
            if (w[i].fd < 0 && w[i].again_ms <= now_ms()) {
                if (!w[i].seen.count && i % 3 == 2 && !w[i].seen.first)
                    w[i].seen.first = w[i].seen.last = first + disk_below(&r, all.written + 1);
                if (!w[i].seen.first) w[i].seen.first = w[i].seen.last;
                connect_watcher(&w[i]);
            }
            complete += all.last_revision && w[i].seen.last == all.last_revision;
            sum += w[i].seen.count;
        }
        if (sum != progress) progress_ms = now_ms();
        progress = sum;
        if (now_ms() - progress_ms > LAST_MS) {
            printf("%zu of %zu watchers saw the last event, then nothing came for %d s\n", complete,
                   n, LAST_MS / 1000);
            all.failed = true;
        }
        if (now_ms() - told > 10000) {
            told = now_ms();
            fprintf(stderr, "  %llu events written, %llu delivered, %u kills\n",
                    (unsigned long long)all.written, (unsigned long long)sum, all.nemesis.kills);
        }
    }
}

/* One more watcher, undisturbed, reads the log from the first revision: the truth. */
static void compare(struct watcher *w, size_t n, struct watcher *truth) {
    struct seen *prefix = calloc((size_t)all.last_revision + 2, sizeof *prefix);
    if (!prefix) abort();
    uint64_t first = truth->seen.last;
    truth->seen.first = first;
    connect_watcher(truth);
    for (uint64_t at = first; truth->seen.last < all.last_revision && !all.failed;) {
        struct epoll_event ready[1];
        if (truth->fd < 0) connect_watcher(truth);
        epoll_wait(all.poll, ready, 1, 100);
        static char buf[256]; /* small, so that hardly two events come at once */
        ssize_t got = recv(truth->fd, buf, sizeof buf, 0);
        for (ssize_t i = 0; i < got; i++) {
            const struct seen before = truth->seen;
            take(truth, buf + i, 1);
            /* Revisions between two events belong to objects that nobody watches here. */
            for (; at < truth->seen.last; at++)
                prefix[at + 1] = at + 1 < truth->seen.last ? before : truth->seen;
        }
    }
    for (size_t i = 0; i < n && !all.failed; i++) {
        const struct seen *s = &w[i].seen, *before = &prefix[s->first];
        uint64_t sum = truth->seen.sum - (s->first > first ? before->sum : 0);
        uint64_t count = truth->seen.count - (s->first > first ? before->count : 0);
        if (s->sum == sum && s->count == count) continue;
        printf("watcher %zu from revision %llu saw %llu events, the log has %llu\n", i,
               (unsigned long long)s->first, (unsigned long long)s->count,
               (unsigned long long)count);
        all.failed = true;
    }
    free(prefix);
}

static void parse(int argc, char **argv) {
    const struct {
        const char *name;
        uint64_t *to;
    } numbers[] = {{"--watchers", &all.watchers},
                   {"--events", &all.events},
                   {"--kills", &all.kills},
                   {"--seed", &all.seed}};
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--atoll") == 0) all.nemesis.atoll = argv[i + 1];
        if (strcmp(argv[i], "--root") == 0) all.nemesis.root = argv[i + 1];
        for (size_t j = 0; j < ARRAY_LEN(numbers); j++)
            if (strcmp(argv[i], numbers[j].name) == 0 &&
                slice_u64(slice_of(argv[i + 1]), numbers[j].to) < 0)
                all.nemesis.root = NULL;
    }
    if (all.nemesis.atoll && all.nemesis.root && argc % 2) return;
    fprintf(stderr, "usage: watchers --atoll PROGRAM --root DIR [--watchers N] [--events N] "
                    "[--kills N] [--seed N]\n");
    exit(2);
}

int main(int argc, char **argv) {
    parse(argc, argv);
    all.nemesis.random.state = all.seed * 31 + 3;
    snprintf(all.socket_path, sizeof all.socket_path, "%s/run/atoll/api.sock", all.nemesis.root);
    all.poll = epoll_create1(EPOLL_CLOEXEC);
    uint64_t first = revision_now();
    struct watcher *w = calloc(all.watchers + 1, sizeof *w);
    for (size_t i = 0; w && i <= all.watchers; i++) {
        w[i] = (struct watcher){.fd = -1, .number = (unsigned)i, .slow = i % 20 == 7};
        w[i].seen.last = first;
        w[i].line = malloc(LINE_MAX_BYTES);
        w[i].again_ms = i % 3 == 2 ? now_ms() + 200 * (i % 40) : 0;
    }
    if (!w || !first) {
        fprintf(stderr, "watchers: no API at %s\n", all.socket_path);
        return 2;
    }
    pthread_t writer, nemesis;
    pthread_create(&writer, NULL, writer_main, NULL);
    pthread_create(&nemesis, NULL, nemesis_main, NULL);
    watch_all(w, all.watchers);
    all.done = true;
    pthread_join(nemesis, NULL);
    if (!all.failed) {
        pthread_join(writer, NULL);
        compare(w, all.watchers, &w[all.watchers]);
    }
    printf(
        "%llu watchers, %llu events, %u kills, %u pauses, %llu connections lost, seed %llu: %s\n",
        (unsigned long long)all.watchers, (unsigned long long)all.events, all.nemesis.kills,
        all.nemesis.pauses, (unsigned long long)all.reconnects, (unsigned long long)all.seed,
        all.failed ? "FAILED" : "ok");
    return all.failed;
}
