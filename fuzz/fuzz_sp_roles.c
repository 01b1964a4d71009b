/* A whole topology: programs join, speak, stall and leave in any order, peers of libraries say any
 * bytes at the ipc door. Nothing leaks, queues keep their limits, replies find only those who
 * asked. First byte: pattern and policy; then operations of one byte, an operand, and text. */
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz/fuzz.h"
#include "sp/endpoints/endpoint.h"
#include "sp/fixture.h"
#include "sp/links/link.h"

enum { FAKES = 8, MESSAGES = 4, TEXT_MAX = 40 };

static const struct sp_transport door = {.scheme = SP_SCHEME_IPC, .codec = &sp_codec_ipc};
static uint8_t choice;

static void change(struct sp_config *c) {
    c->queue.messages = MESSAGES;
    c->queue.bytes = 1000;
    c->queue.policy = (enum sp_policy)(choice / SP_PATTERN_COUNT % 5);
    c->message_max_bytes = 64;
    c->retain = choice & 3;
    c->request_timeout_ms = choice & 4 ? 500 : 0;
    c->request_resend_ms = 300;
}

static enum sp_role role_of(enum sp_pattern pattern, uint8_t n) {
    for (unsigned i = 0; i < 2 * SP_ROLE_COUNT; i++) {
        enum sp_role role = (enum sp_role)((n + i) % SP_ROLE_COUNT);
        if (sp_role_in(role, pattern)) return role;
    }
    abort();
}

/* What a peer of a library says at once. */
static void stream(struct sp_topology *t, enum sp_role role, const char *p, size_t n) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) < 0) abort();
    sp_link_new(t, NULL, &door, ends[0], false, role, NULL);
    unsigned char hello[SP_HANDSHAKE_BYTES];
    sp_handshake_write(hello, sp_protocol_of_role(role)->type);
    ssize_t r = write(ends[1], hello, sizeof hello);
    r = write(ends[1], p, n);
    (void)r;
    fixture_pass_ms(1);
    close(ends[1]);
    fixture_pass_ms(1);
}

static void check(const struct sp_topology *t) {
    for (size_t i = 0; i < t->pipes.n; i++) {
        const struct sp_pipe *p = t->pipes.v[i];
        if (p && !p->closing) FUZZ_ASSERT(p->out.n <= MESSAGES && p->out.bytes <= 1000 + 64);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    choice = data[0];
    enum sp_pattern pattern = (enum sp_pattern)(choice % SP_PATTERN_COUNT);
    struct sp_topology *t = fixture_topology(pattern, change);
    struct fake *fakes[FAKES] = {0};
    unsigned joined = 0;
    for (size_t at = 1; at + 2 < size;) {
        uint8_t op = data[at], n = data[at + 1];
        struct fake **f = &fakes[n % FAKES];
        size_t text_n = data[at + 2] % TEXT_MAX;
        const char *text = (const char *)data + at + 3;
        if (at + 3 + text_n > size) break;
        at += 3 + text_n;
        char body[TEXT_MAX + 1];
        memcpy(body, text, text_n);
        body[text_n] = 0;
        if (*f && (*f)->freed) *f = NULL;
        switch (op % 7) {
        case 0:
            if (!*f && joined++ < 40)
                *f = fixture_join_raw(t, role_of(pattern, n / FAKES), (n & 64) ? 3 : 0);
            break;
        case 1:
            if (*f) fixture_leave(*f);
            break;
        case 2:
        case 3:
            if (*f && !(*f)->pipe.raw) fixture_say(*f, body);
            if (*f && (*f)->pipe.raw) {
                uint32_t words[2] = {n, SP_TAG_END | op};
                fixture_say_tagged(*f, words, 2, body);
            }
            break;
        case 4:
            if (*f) fixture_block(*f, n & 128);
            break;
        case 5: fixture_pass_ms(n); break;
        case 6: stream(t, role_of(pattern, n), text, text_n); break;
        }
        check(t);
    }
    fixture_end(t); /* asserts that no message is left */
    return 0;
}
