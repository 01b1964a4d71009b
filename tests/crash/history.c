/*
 * Histories of create, get, list, update, patch and delete by many clients against a running Atoll
 * whose services are killed and paused meanwhile; each key's history must be linearizable.
 *
 *   history --atoll PROGRAM --root DIR [--histories N] [--seed N]
 */
#include "linear.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/own.h"
#include "base/slice.h"
#include "http.h"
#include "nemesis.h"

enum { CLIENTS = 8, SLOTS = 4, OPS = 40, STRIKE_MIN_MS = 1000, STRIKE_MS = 1500 };

/* A key in use. ops are handed out to the clients; when all of them are over, it is checked. */
struct slot {
    unsigned generation;
    size_t given, over;
    struct linear_op ops[OPS];
};

static struct {
    pthread_mutex_t lock;
    struct slot slots[SLOTS];
    unsigned generations;
    uint64_t value, histories, wanted, unknown;
    bool stop, failed;
    char socket_path[108];
    uint64_t seed;
} all = {.lock = PTHREAD_MUTEX_INITIALIZER, .wanted = 200, .seed = 1};

struct client {
    struct http http;
    struct disk_random random;
    uint64_t seen, seen_revision; /* what it last read of the key it works on */
    unsigned seen_generation;
};

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void print_history(const struct slot *s) {
    static const char *const names[] = {"create", "update", "patch", "delete", "read"};
    for (size_t i = 0; i < s->given; i++) {
        const struct linear_op *o = &s->ops[i];
        printf("  %-6s %s value %llu seen %llu revision %llu  %llu..%llu us\n", names[o->kind],
               o->unknown  ? "unknown"
               : o->failed ? "failed"
                           : "ok",
               (unsigned long long)o->value, (unsigned long long)o->seen,
               (unsigned long long)o->revision,
               (unsigned long long)(o->begin - s->ops[0].begin) / 1000,
               o->unknown ? 0 : (unsigned long long)(o->end - s->ops[0].begin) / 1000);
    }
}

/* With the lock. */
static void slot_over(struct slot *s) {
    all.histories++;
    for (size_t i = 0; i < s->given; i++) all.unknown += s->ops[i].unknown;
    if (!linear_check(s->ops, s->given, 0)) {
        printf("key k%u: not linearizable\n", s->generation);
        print_history(s);
        all.failed = all.stop = true;
    }
    if (all.histories >= all.wanted) all.stop = true;
    *s = (struct slot){.generation = ++all.generations};
}

/* ---- one operation ---- */

static void key_path(char *buf, size_t n, unsigned generation) {
    snprintf(buf, n, "/api/v1/namespaces/default/configmaps/k%u", generation);
}

static const char collection[] = "/api/v1/namespaces/default/configmaps";

/* data.v and the revision of the answer's object. */
static void take_object(struct linear_op *o, const char *json) {
    o->value = http_number(json, "\"v\":\"");
    o->revision = http_number(json, "\"resourceVersion\":\"");
}

static void judge(struct linear_op *o, int status, const char *json) {
    o->end = now_ns();
    if (status == 200 || status == 201) {
        if (o->kind == LINEAR_READ) take_object(o, json);
        if (o->kind != LINEAR_DELETE) o->revision = http_number(json, "\"resourceVersion\":\"");
    } else if (status == 404 && o->kind == LINEAR_READ) {
        o->value = o->revision = 0;
    } else if (status == 409 && (o->kind == LINEAR_PATCH || o->kind == LINEAR_DELETE)) {
        o->unknown = true; /* lost against others too often: it certainly did nothing */
        o->begin = o->end = UINT64_MAX;
    } else if (status == 404 || status == 409) {
        o->failed = true;
    } else { /* no answer, 503, 504 */
        o->unknown = true;
        o->end = UINT64_MAX;
    }
}

static void run_op(struct client *c, struct linear_op *o, unsigned generation) {
    char path[128], body[256];
    int status = 0;
    key_path(path, sizeof path, generation);
    o->begin = now_ns();
    switch (o->kind) {
    case LINEAR_CREATE:
        snprintf(body, sizeof body, "{\"metadata\":{\"name\":\"k%u\"},\"data\":{\"v\":\"%llu\"}}",
                 generation, (unsigned long long)o->value);
        status = http_call(&c->http, "POST", collection, NULL, body);
        break;
    case LINEAR_UPDATE:
        snprintf(body, sizeof body,
                 "{\"metadata\":{\"name\":\"k%u\",\"resourceVersion\":\"%llu\"},"
                 "\"data\":{\"v\":\"%llu\"}}",
                 generation, (unsigned long long)c->seen_revision, (unsigned long long)o->value);
        status = http_call(&c->http, "PUT", path, NULL, body);
        break;
    case LINEAR_PATCH:
        snprintf(body, sizeof body, "{\"data\":{\"v\":\"%llu\"}}", (unsigned long long)o->value);
        status = http_call(&c->http, "PATCH", path, "application/merge-patch+json", body);
        break;
    case LINEAR_DELETE: status = http_call(&c->http, "DELETE", path, NULL, NULL); break;
    case LINEAR_READ:
        if (disk_below(&c->random, 4)) {
            status = http_call(&c->http, "GET", path, NULL, NULL);
        } else { /* a list of one */
            snprintf(path, sizeof path, "%s?fieldSelector=metadata.name%%3Dk%u", collection,
                     generation);
            status = http_call(&c->http, "GET", path, NULL, NULL);
            const char *items = status == 200 ? strstr(c->http.body, "\"items\":[") : NULL;
            if (items && items[9] == ']') status = 404;
            if (items && status == 200) memmove(c->http.body, items, strlen(items) + 1);
        }
    }
    judge(o, status, c->http.body ? c->http.body : "");
    if (o->unknown || o->failed || !o->value) return;
    c->seen = o->value;
    c->seen_revision = o->revision;
    c->seen_generation = generation;
}

static struct linear_op choose(struct client *c, unsigned generation) {
    static const enum linear_kind kinds[] = {
        LINEAR_CREATE, LINEAR_CREATE, LINEAR_UPDATE, LINEAR_UPDATE, LINEAR_UPDATE,
        LINEAR_PATCH,  LINEAR_DELETE, LINEAR_READ,   LINEAR_READ,   LINEAR_READ};
    struct linear_op o = {.kind = kinds[disk_below(&c->random, ARRAY_LEN(kinds))]};
    if (o.kind == LINEAR_UPDATE && (c->seen_generation != generation || !c->seen_revision))
        o.kind = LINEAR_READ;
    if (o.kind == LINEAR_UPDATE) o.seen = c->seen;
    if (o.kind != LINEAR_READ && o.kind != LINEAR_DELETE) o.value = ++all.value;
    return o;
}

static void *client_main(void *user) {
    struct client c = {.random.state = all.seed * 100 + (uint64_t)(uintptr_t)user + 1};
    http_init(&c.http, all.socket_path);
    pthread_mutex_lock(&all.lock);
    while (!all.stop) {
        struct slot *s = &all.slots[disk_below(&c.random, SLOTS)];
        if (s->given == OPS) { /* its last operations are under way */
            pthread_mutex_unlock(&all.lock);
            nanosleep(&(struct timespec){0, 200000}, NULL);
            pthread_mutex_lock(&all.lock);
            continue;
        }
        size_t i = s->given++;
        unsigned generation = s->generation;
        s->ops[i] = choose(&c, generation);
        struct linear_op o = s->ops[i];
        pthread_mutex_unlock(&all.lock);
        run_op(&c, &o, generation);
        if (o.unknown) nanosleep(&(struct timespec){0, 20000000}, NULL);
        pthread_mutex_lock(&all.lock);
        s->ops[i] = o;
        if (o.unknown && o.kind == LINEAR_READ) s->ops[i].begin = UINT64_MAX; /* it told nothing */
        if (++s->over == OPS) slot_over(s);
    }
    pthread_mutex_unlock(&all.lock);
    http_done(&c.http);
    return NULL;
}

static void strike_until_done(struct nemesis *n) {
    time_t told = time(NULL);
    for (bool done = false; !done;) {
        uint64_t ms = STRIKE_MIN_MS + disk_below(&n->random, STRIKE_MS);
        nanosleep(&(struct timespec){(time_t)(ms / 1000), (long)(ms % 1000) * 1000000}, NULL);
        nemesis_strike(n);
        pthread_mutex_lock(&all.lock);
        done = all.stop;
        if (time(NULL) - told >= 10) {
            told = time(NULL);
            fprintf(stderr, "  %llu of %llu histories, %u kills, %u pauses\n",
                    (unsigned long long)all.histories, (unsigned long long)all.wanted, n->kills,
                    n->pauses);
        }
        pthread_mutex_unlock(&all.lock);
    }
}

int main(int argc, char **argv) {
    struct nemesis n = {0};
    for (int i = 1; i + 1 < argc; i += 2) {
        uint64_t v = 0;
        bool number = slice_u64(slice_of(argv[i + 1]), &v) == 0;
        if (strcmp(argv[i], "--atoll") == 0)
            n.atoll = argv[i + 1];
        else if (strcmp(argv[i], "--root") == 0)
            n.root = argv[i + 1];
        else if (strcmp(argv[i], "--histories") == 0 && number)
            all.wanted = v;
        else if (strcmp(argv[i], "--seed") == 0 && number)
            all.seed = v;
        else
            n.root = NULL, argc = 0;
    }
    if (!n.atoll || !n.root || argc % 2 == 0) {
        fprintf(stderr, "usage: history --atoll PROGRAM --root DIR [--histories N] [--seed N]\n");
        return 2;
    }
    n.random.state = all.seed * 31 + 7;
    snprintf(all.socket_path, sizeof all.socket_path, "%s/run/atoll/api.sock", n.root);
    for (size_t i = 0; i < SLOTS; i++) all.slots[i].generation = ++all.generations;
    pthread_t clients[CLIENTS];
    for (size_t i = 0; i < CLIENTS; i++) pthread_create(&clients[i], NULL, client_main, (void *)i);
    strike_until_done(&n);
    for (size_t i = 0; i < CLIENTS; i++) pthread_join(clients[i], NULL);
    printf("%llu histories of %d operations by %d clients, %llu answers lost, %u kills, %u pauses, "
           "seed %llu: %s\n",
           (unsigned long long)all.histories, OPS, CLIENTS, (unsigned long long)all.unknown,
           n.kills, n.pauses, (unsigned long long)all.seed, all.failed ? "FAILED" : "ok");
    return all.failed;
}
