#include "node/streams/spdy_channels.h"

#include <stdlib.h>

#include "base/own.h"
#include "proto/spdy.h"

enum { LINE_BYTES_MAX = 1024, EARLY_BYTES_MAX = 64 * 1024 };

static const char *const stream_types[CHANNELS] = {
    [CHANNEL_STDIN] = "stdin", [CHANNEL_STDOUT] = "stdout", [CHANNEL_STDERR] = "stderr",
    [CHANNEL_ERROR] = "error", [CHANNEL_RESIZE] = "resize",
};

struct channel_stream {
    uint32_t id; /* 0: not there yet, or taken back */
    bool opened, ended;
    struct buf early; /* came before all streams were there */
};

struct spdy_channels {
    struct spdy *spdy;
    struct buf *out;
    struct spdy_channels_events ev;
    void *user;
    unsigned expected, opened;
    uint32_t last_id;
    bool ready;
    struct buf line; /* of the resize stream */
    struct channel_stream streams[CHANNELS];
};

bool spdy_channels_ready(const struct spdy_channels *c) { return c->ready; }

static struct channel_stream *find(struct spdy_channels *c, uint32_t id) {
    for (size_t i = 0; id && i < CHANNELS; i++)
        if (c->streams[i].id == id) return &c->streams[i];
    return NULL;
}

static enum channel channel_of(const struct spdy_channels *c, const struct channel_stream *s) {
    return (enum channel)(s - c->streams);
}

/* ---- to the session ---- */

static int resize_lines(struct spdy_channels *c, struct slice data) {
    for (size_t i = 0; i < data.n; i++) {
        buf_char(&c->line, data.p[i]);
        if (data.p[i] == '\n') {
            c->ev.data(c->user, CHANNEL_RESIZE, slice_trim(buf_view(&c->line)));
            buf_clear(&c->line);
        }
        if (c->line.n > LINE_BYTES_MAX) return -1;
    }
    return 0;
}

static int deliver(struct spdy_channels *c, struct channel_stream *s, struct slice data) {
    enum channel channel = channel_of(c, s);
    if (!data.n) return 0;
    if (channel == CHANNEL_RESIZE) return resize_lines(c, data);
    if (channel == CHANNEL_STDIN) c->ev.data(c->user, channel, data);
    return 0; /* the other streams carry nothing from the client */
}

static int begin(struct spdy_channels *c) {
    int rc = 0;
    c->ready = true;
    c->ev.ready(c->user);
    for (size_t i = 0; i < CHANNELS; i++) {
        struct channel_stream *s = &c->streams[i];
        OWN(buf_done) struct buf early = s->early;
        s->early = (struct buf){0};
        if (deliver(c, s, buf_view(&early)) < 0) rc = -1;
        if (s->ended) c->ev.end(c->user, channel_of(c, s));
    }
    return rc;
}

static void ended(struct spdy_channels *c, struct channel_stream *s) {
    if (s->ended) return;
    s->ended = true;
    if (c->ready) c->ev.end(c->user, channel_of(c, s));
}

/* ---- frames ---- */

static int on_syn(void *user, uint32_t id, const struct http_headers *h, bool fin) {
    struct spdy_channels *c = user;
    const char *type = str_or(http_header(h, "streamtype"), "");
    size_t i = 0;
    while (i < CHANNELS && !str_eq(type, stream_types[i])) i++;
    if (i == CHANNELS || c->streams[i].opened || id % 2 == 0 || id <= c->last_id) {
        spdy_write_rst(c->out, id, i == CHANNELS ? SPDY_REFUSED_STREAM : SPDY_PROTOCOL_ERROR);
        return 0;
    }
    c->last_id = id;
    c->streams[i].id = id;
    c->streams[i].opened = true;
    c->opened |= 1u << i;
    spdy_write_syn_reply(c->spdy, c->out, id, &(struct http_headers){0}, false);
    if (fin) ended(c, &c->streams[i]);
    if (!c->ready && (c->opened & c->expected) == c->expected) return begin(c);
    return 0;
}

static int on_data(void *user, uint32_t id, struct slice data, bool fin) {
    struct spdy_channels *c = user;
    struct channel_stream *s = find(c, id);
    if (!s || s->ended) return 0;
    if (!c->ready) {
        if (s->early.n + data.n > EARLY_BYTES_MAX) return -1;
        buf_slice(&s->early, data);
    } else if (deliver(c, s, data) < 0) {
        return -1;
    }
    if (fin) ended(c, s);
    return 0;
}

static int on_rst(void *user, uint32_t id, uint32_t status) {
    struct spdy_channels *c = user;
    struct channel_stream *s = find(c, id);
    if (!s) return 0;
    s->id = 0;
    ended(c, s);
    return 0;
}

static int on_ping(void *user, uint32_t id) {
    struct spdy_channels *c = user;
    if (id % 2) spdy_write_ping(c->out, id);
    return 0;
}

static const struct spdy_events spdy_events = {
    .syn_stream = on_syn, .data = on_data, .rst = on_rst, .ping = on_ping};

struct spdy_channels *spdy_channels_new(unsigned expected, struct buf *out,
                                        const struct spdy_channels_events *ev, void *user) {
    struct spdy_channels *c = calloc(1, sizeof *c);
    if (!c) abort();
    *c = (struct spdy_channels){.expected = expected, .out = out, .ev = *ev, .user = user};
    c->spdy = spdy_new(&spdy_events, c);
    return c;
}

void spdy_channels_free(struct spdy_channels *c) {
    if (!c) return;
    for (size_t i = 0; i < CHANNELS; i++) buf_done(&c->streams[i].early);
    buf_done(&c->line);
    spdy_free(c->spdy);
    free(c);
}

int spdy_channels_feed(struct spdy_channels *c, struct slice bytes, struct err *err) {
    int rc = spdy_feed(c->spdy, bytes, err);
    if (rc == -1) /* ours: the parser's errors are errno values */
        return err_set(err, ERR_TOO_LARGE,
                       c->ready ? "SPDY: a line of the resize stream"
                                : "SPDY: data before all streams are open");
    return rc;
}

void spdy_channels_write(struct spdy_channels *c, enum channel channel, struct slice data) {
    uint32_t id = c->streams[channel].id;
    if (id && data.n) spdy_write_data(c->out, id, data, false);
}

void spdy_channels_end(struct spdy_channels *c) {
    for (size_t i = 0; i < CHANNELS; i++) {
        if (c->streams[i].id) spdy_write_data(c->out, c->streams[i].id, slice_from("", 0), true);
        c->streams[i].id = 0;
    }
}
