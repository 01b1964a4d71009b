/* What the kubelet's server tells of figures: /stats/summary, /metrics…, and what is small. */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/own.h"
#include "node/status/usage.h"
#include "node/streams/stream.h"

static const struct {
    const char *path, *type;
    void (*write)(struct buf *b, const struct usage_report *r);
} reports[] = {
    {"/stats/summary", "application/json", usage_summary},
    {"/metrics", "text/plain; version=0.0.4; charset=utf-8", usage_agent},
    {"/metrics/resource", "text/plain; version=0.0.4; charset=utf-8", usage_resource},
    {"/metrics/cadvisor", "text/plain; version=0.0.4; charset=utf-8", usage_cadvisor},
};

struct report {
    struct stream *s;
    size_t which;
    struct usage_wish *wish;
};

static void on_report(void *user, const struct usage_report *r) {
    struct report *p = user;
    OWN(buf_done) struct buf b = {0};
    p->wish = NULL;
    reports[p->which].write(&b, r);
    stream_begin(p->s, 200, reports[p->which].type);
    stream_write(p->s, buf_view(&b));
    stream_end(p->s);
}

static void on_closed(void *user) {
    struct report *p = user;
    usage_cancel(p->wish);
    free(p);
}

static const struct stream_ops report_ops = {.closed = on_closed};

bool stream_is_report(const char *path) {
    for (size_t i = 0; i < ARRAY_LEN(reports); i++)
        if (str_eq(reports[i].path, path)) return true;
    return false;
}

void stream_report(struct agent *g, struct stream *s, const struct stream_request *r) {
    struct report *p = calloc(1, sizeof *p);
    if (!p) abort();
    p->s = s;
    while (!str_eq(reports[p->which].path, r->path)) p->which++;
    stream_set(s, &report_ops, p);
    p->wish = usage_ask(g, on_report, p);
}

static void on_plain_closed(void *user) {}

static const struct stream_ops plain_ops = {.closed = on_plain_closed};

static void plain(struct stream *s, const char *type, struct slice text) {
    stream_set(s, &plain_ops, NULL);
    stream_begin(s, 200, type);
    stream_write(s, text);
    stream_end(s);
}

void stream_health(struct agent *g, struct stream *s, const struct stream_request *r) {
    plain(s, "text/plain; charset=utf-8", SLICE("ok"));
}

/* The directory of the pods' logs, as a page of links. */
void stream_log_index(struct agent *g, struct stream *s, const struct stream_request *r) {
    OWN(buf_done) struct buf page = {0};
    int fd = openat(g->host.logs_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir && fd >= 0) close(fd);
    buf_str(&page, "<pre>\n");
    for (struct dirent *e; dir && (e = readdir(dir));)
        if (e->d_name[0] != '.')
            buf_printf(&page, "<a href=\"%s/\">%s/</a>\n", e->d_name, e->d_name);
    buf_str(&page, "</pre>\n");
    if (dir) closedir(dir);
    plain(s, "text/html; charset=utf-8", buf_view(&page));
}
