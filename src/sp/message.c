#include "sp/message.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static size_t total_bytes;

static size_t allocated(const struct sp_message *m) {
    return sizeof *m + m->header_room + m->body_n;
}

struct sp_message *sp_message_new(size_t header_room, struct slice body) {
    assert(header_room <= UINT16_MAX && body.n <= UINT32_MAX);
    struct sp_message *m = malloc(sizeof *m + header_room + body.n);
    if (!m) abort();
    *m = (struct sp_message){
        .refs = 1, .body_n = (uint32_t)body.n, .header_room = (uint16_t)header_room};
    if (body.p && body.n) memcpy(sp_message_body_p(m), body.p, body.n);
    total_bytes += allocated(m);
    return m;
}

void sp_message_unref(struct sp_message *m) {
    if (!m || --m->refs) return;
    total_bytes -= allocated(m);
    free(m);
}

size_t sp_message_total_bytes(void) { return total_bytes; }

/* ---- words of the header ---- */

enum { WORD = 4 };

static uint32_t read_word(const char *p) {
    const unsigned char *b = (const unsigned char *)p;
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

bool sp_message_push(struct sp_message *m, uint32_t word) {
    assert(m->refs == 1);
    if (m->header_n + WORD > m->header_room) return false;
    m->header_n += WORD;
    unsigned char *p = (unsigned char *)m->bytes + m->header_room - m->header_n;
    p[0] = (unsigned char)(word >> 24);
    p[1] = (unsigned char)(word >> 16);
    p[2] = (unsigned char)(word >> 8);
    p[3] = (unsigned char)word;
    return true;
}

bool sp_message_peek(const struct sp_message *m, uint32_t *ret) {
    if (m->header_n < WORD) return false;
    *ret = read_word(sp_message_header(m).p);
    return true;
}

bool sp_message_pop(struct sp_message *m, uint32_t *ret) {
    assert(m->refs == 1);
    if (!sp_message_peek(m, ret)) return false;
    m->header_n -= WORD;
    return true;
}

struct sp_message *sp_message_own(struct sp_message *m, size_t header_room) {
    if (m->refs == 1 && m->header_room >= header_room) return m;
    if (header_room < m->header_n) header_room = m->header_n;
    struct sp_message *copy = sp_message_new(header_room, sp_message_body(m));
    copy->source = m->source;
    copy->travelled = m->travelled;
    copy->header_n = m->header_n;
    struct slice header = sp_message_header(m);
    memcpy(copy->bytes + copy->header_room - copy->header_n, header.p, header.n);
    sp_message_unref(m);
    return copy;
}

struct sp_message *sp_message_copy_header(struct sp_message *m, const struct sp_message *from) {
    struct slice header = sp_message_header(from);
    m->header_n = 0;
    m = sp_message_own(m, header.n);
    m->header_n = (uint16_t)header.n;
    memcpy(m->bytes + m->header_room - header.n, header.p, header.n);
    return m;
}
