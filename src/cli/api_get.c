#include "cli/api_get.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/own.h"
#include "client/path.h"
#include "client/skim.h"
#include "client/status.h"
#include "proc/init.h"
#include "proc/unix_socket.h"
#include "proto/http.h"

#define PAGE_ITEMS "2000"
enum { ANSWER_S = 60, READ_BYTES = 64 * 1024, PAGE_BYTES = 256 * 1024 * 1024 };

struct answer {
    int status;
    bool whole;
    struct buf body;
};

static int on_head(void *user, const struct http1_head *h) {
    ((struct answer *)user)->status = h->status;
    return 0;
}

static int on_body(void *user, struct slice data) {
    struct answer *r = user;
    if (r->body.n + data.n > PAGE_BYTES) return -EFBIG;
    buf_append(&r->body, data.p, data.n);
    return 0;
}

static int on_end(void *user) {
    ((struct answer *)user)->whole = true;
    return 0;
}

static int receive(int fd, struct answer *r, struct err *err) {
    static const struct http1_events events = {on_head, on_body, on_end};
    OWN(free_p) char *piece = malloc(READ_BYTES);
    struct http1 *parser = http1_new(HTTP1_RESPONSES, &events, r);
    int rc = piece ? 0 : -ENOMEM;
    while (rc == 0 && !r->whole) {
        ssize_t n = recv(fd, piece, READ_BYTES, 0);
        size_t used;
        if (n < 0 && errno == EINTR) continue;
        if (n < 0)
            rc = err_errno(err, errno, "no answer");
        else if (n == 0)
            break;
        else
            rc = http1_feed(parser, slice_from(piece, (size_t)n), &used, err);
    }
    if (rc == 0 && !r->whole && http1_eof(parser) < 0)
        rc = err_set(err, ERR_UNAVAILABLE, "the answer ended early");
    http1_free(parser);
    return rc;
}

int cli_api_send(const char *root, struct arena *a, const char *method, const char *path,
                 struct slice body, struct slice *ret, struct err *err) {
    OWN(buf_done) struct buf head = {0};
    struct answer r = {0};
    struct timeval limit = {.tv_sec = ANSWER_S};
    OWN(close_p) int fd = -1;
    int rc = unix_connect(arena_printf(a, "%s/run/atoll/api.sock", root), false, &fd, err);
    if (rc < 0 && !init_running(root))
        return err_set(err, ERR_UNAVAILABLE, "not running under %s; `atoll up` starts it",
                       *root ? root : "/");
    if (rc < 0) return rc;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    buf_printf(&head, "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n", method, path);
    if (body.n)
        buf_printf(&head, "Content-Type: application/json\r\nContent-Length: %zu\r\n", body.n);
    buf_str(&head, "\r\n");
    buf_slice(&head, body);
    rc = send(fd, head.p, head.n, MSG_NOSIGNAL) == (ssize_t)head.n
             ? receive(fd, &r, err)
             : err_errno(err, errno, "api.sock");
    if (rc == 0 && r.status != 200) rc = api_status_err(r.status, buf_view(&r.body), err);
    if (rc == 0) *ret = slice_of(arena_strn(a, buf_view(&r.body)));
    buf_done(&r.body);
    return rc;
}

int cli_api_get(const char *root, struct arena *a, const char *path, struct slice *ret,
                struct err *err) {
    return cli_api_send(root, a, "GET", path, (struct slice){0}, ret, err);
}

static int each_item(const struct api_kind *k, struct slice page,
                     int (*fn)(void *user, const struct api_object *o), void *user,
                     struct err *err) {
    struct slice item;
    struct skim walk = skim_init(skim_get(page, "items"));
    while (skim_element(&walk, &item)) {
        OWN(arena_free_p) struct arena *a = arena_new();
        struct api_object *o;
        int rc = api_object_decode(a, k, item, &o, err);
        if (rc == 0) rc = fn(user, o);
        if (rc) return rc;
    }
    return 0;
}

int cli_api_list(const char *root, const struct api_kind *k, const char *namespace,
                 const char *field_selector, int (*fn)(void *user, const struct api_object *o),
                 void *user, struct err *err) {
    OWN(arena_free_p) struct arena *next_arena = arena_new();
    const char *next = "";
    do {
        OWN(arena_free_p) struct arena *a = arena_new();
        OWN(buf_done) struct buf target = {0};
        struct slice page;
        api_path(&target, k, namespace, NULL, NULL);
        api_path_query(&target, "limit", PAGE_ITEMS);
        api_path_query(&target, "fieldSelector", field_selector);
        api_path_query(&target, "continue", next);
        int rc = cli_api_get(root, a, target.p, &page, err);
        if (rc == 0) rc = each_item(k, page, fn, user, err);
        if (rc) return rc;
        next =
            arena_strn(next_arena, skim_string(skim_get(skim_get(page, "metadata"), "continue")));
    } while (*next);
    return 0;
}
