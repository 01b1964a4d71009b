#include "node/streams/log_tail.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "base/own.h"
#include "node/streams/cri_log.h"

enum { TAIL_READ = 16 * 1024, TAIL_LINES = 80, TAIL_BYTES = 2048 };

struct tail_op {
    void (*fn)(void *user, const char *text);
    void *user;
};

/* Messages of the last lines, cut from the front. */
static void last_lines(struct slice text, struct buf *out) {
    OWN(buf_done) struct buf all = {0};
    struct slice line;
    size_t starts[TAIL_LINES], n = 0;
    while (slice_cut(&text, '\n', &line)) {
        struct cri_line l;
        if (cri_line_parse(line, &l) < 0) continue;
        starts[n++ % TAIL_LINES] = all.n;
        buf_slice(&all, l.message);
        if (!l.partial) buf_char(&all, '\n');
    }
    size_t from = n > TAIL_LINES ? starts[n % TAIL_LINES] : 0;
    if (all.n - from > TAIL_BYTES) from = all.n - TAIL_BYTES;
    buf_append(out, all.p + from, all.n - from);
}

static void on_opened(void *user, struct ipc_msg *m, const struct err *err) {
    struct tail_op *op = user;
    OWN(buf_done) struct buf out = {0};
    struct stat st;
    if (!err && m->n_fds == 1 && fstat(m->fds[0], &st) == 0) {
        char tmp[TAIL_READ];
        off_t at = st.st_size > TAIL_READ ? st.st_size - TAIL_READ : 0;
        ssize_t n = pread(m->fds[0], tmp, sizeof tmp, at);
        if (n > 0) last_lines(slice_from(tmp, (size_t)n), &out);
    }
    op->fn(op->user, out.p ? out.p : "");
    free(op);
}

void log_tail(struct container *c, void (*fn)(void *user, const char *text), void *user) {
    struct pod *p = c->pod;
    struct tail_op *op = calloc(1, sizeof *op);
    if (!op) abort();
    *op = (struct tail_op){fn, user};
    OWN(buf_done) struct buf b = {0};
    pack_str(&b, p->uid);
    pack_str(&b, p->ns);
    pack_str(&b, p->name);
    pack_str(&b, c->name);
    pack_u32(&b, c->attempt);
    link_call(p->agent->broker, BROKER_LOG_OPEN, buf_view(&b), NULL, 0, on_opened, op);
}
