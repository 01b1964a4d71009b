#include "sp/fixture.h"

#include <stdlib.h>

#include "base/buf.h"

static uint64_t now_ms = 1000;
static struct fake *fakes[64];
static size_t n_fakes, n_topologies;

static uint64_t clock_ms(void *user) { return now_ms; }

struct loop *fixture_loop(void) {
    static const struct loop_env env = {.mono_ms = clock_ms};
    static struct loop *loop;
    if (!loop) loop = loop_new(&env);
    return loop;
}

static void turn(void) {
    sp_pipes_flush();
    loop_run_once(fixture_loop(), 0);
    loop_run_once(fixture_loop(), 0);
    sp_pipes_flush();
}

void fixture_pass_ms(uint64_t ms) {
    uint64_t end = now_ms + ms, next;
    while (loop_next_ms(fixture_loop(), &next) && next <= end) {
        if (next > now_ms) now_ms = next;
        loop_run_due(fixture_loop());
        turn();
    }
    now_ms = end;
    turn();
}

/* ---- a door to nowhere ---- */

static void fake_flush(struct sp_pipe *p) {
    struct fake *f = (struct fake *)p;
    for (struct sp_message *m; !f->blocked && (m = sp_pipe_peek(p, 0)); sp_pipe_sent(p, 1))
        if (f->n < FAKE_MAX) f->got[f->n++] = sp_message_ref(m);
}

static void fake_pause(struct sp_pipe *p, bool paused) { ((struct fake *)p)->paused = paused; }

static void fake_freed(struct sp_pipe *p) { ((struct fake *)p)->freed = true; }

static void fake_notice_end(struct sp_pipe *p) {
    if (((struct fake *)p)->gone) sp_pipe_hung_up(p, "left");
}

static const struct sp_pipe_ops fake_ops = {.door = "fake",
                                            .flush = fake_flush,
                                            .pause = fake_pause,
                                            .freed = fake_freed,
                                            .notice_end = fake_notice_end};

struct fake *fixture_join_raw(struct sp_topology *t, enum sp_role role, unsigned priority) {
    struct fake *f = calloc(1, sizeof *f);
    struct err err;
    if (!f) abort();
    f->pipe = (struct sp_pipe){
        .topology = t, .ops = &fake_ops, .role = role, .raw = priority > 0, .priority = priority};
    if (sp_pipe_open(&f->pipe, &err) < 0) {
        free(f);
        return NULL;
    }
    assert_true(n_fakes < 64);
    fakes[n_fakes++] = f;
    turn();
    return f;
}

struct fake *fixture_join(struct sp_topology *t, enum sp_role role) {
    return fixture_join_raw(t, role, 0);
}

void fixture_leave(struct fake *f) {
    sp_pipe_hung_up(&f->pipe, "left");
    turn();
}

static bool say(struct fake *f, struct sp_message *m) {
    bool on = sp_pipe_received(&f->pipe, m);
    turn();
    return on;
}

bool fixture_say(struct fake *f, const char *body) {
    return say(f, sp_message_new(SP_TAGS_BYTES_MAX, slice_of(body)));
}

size_t fixture_say_each(struct fake *f, const char *bodies) {
    size_t taken = 0;
    for (; *bodies; bodies++) taken += fixture_say(f, (char[]){*bodies, 0});
    return taken;
}

bool fixture_say_tagged(struct fake *f, const uint32_t *words, unsigned n, const char *body) {
    struct sp_message *m = sp_message_new(SP_TAGS_BYTES_MAX, slice_of(body));
    for (unsigned i = n; i-- > 0;) sp_message_push(m, words[i]);
    return say(f, m);
}

const char *fixture_heard(struct fake *f) {
    static struct buf text;
    buf_clear(&text);
    buf_str(&text, "");
    for (uint32_t i = 0; i < f->n; i++) {
        if (i) buf_char(&text, '|');
        buf_slice(&text, sp_message_body(f->got[i]));
        sp_message_unref(f->got[i]);
    }
    f->n = 0;
    return text.p ? text.p : "";
}

void fixture_block(struct fake *f, bool blocked) {
    f->blocked = blocked;
    if (!blocked) sp_pipe_flush(&f->pipe);
    turn();
}

/* ---- topologies ---- */

struct sp_topology *fixture_topology(enum sp_pattern pattern,
                                     void (*change)(struct sp_config *config)) {
    struct sp_config *c = sp_config_new("test", pattern);
    struct err err = {0};
    if (change) change(c);
    struct sp_topology *t = sp_topology_new(NULL, fixture_loop(), c, &err);
    assert_non_null(t);
    n_topologies++;
    return t;
}

void fixture_end(struct sp_topology *t) {
    sp_topology_free(t);
    if (--n_topologies) return;
    for (size_t i = 0; i < n_fakes; i++) {
        fixture_heard(fakes[i]);
        free(fakes[i]);
    }
    n_fakes = 0;
    assert_int_equal(sp_message_total_bytes(), 0); /* nobody holds on to anything */
}
