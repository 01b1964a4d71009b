#include "base/test.h"

#include <errno.h>

#include "base/own.h"
#include "proto/sp/wire.h"

TEST(sp_protocols_name_each_other_as_peers) {
    for (unsigned i = 0; i < SP_ROLE_COUNT; i++) {
        const struct sp_protocol *p = sp_protocol_of_role((enum sp_role)i);
        assert_int_equal(p->role, i);
        assert_ptr_equal(sp_protocol_of_name(p->name), p);
        assert_ptr_equal(sp_protocol_of_type(p->type), p);
        const struct sp_protocol *peer = sp_protocol_of_role(p->peer_role);
        assert_int_equal(peer->peer_role, p->role);
        assert_int_equal(peer->type, p->peer_type);
        assert_int_equal(peer->pattern, p->pattern);
        assert_true(p->sends == peer->receives);
        assert_true(sp_role_in(p->role, p->pattern));
        enum sp_pattern pattern;
        assert_int_equal(sp_pattern_of_name(sp_pattern_name(p->pattern), &pattern), 0);
        assert_int_equal(pattern, p->pattern);
    }
    assert_int_equal(sp_protocol_of_type(SP_TYPE_PAIR1)->header, SP_HEADER_HOPS);
    assert_null(sp_protocol_of_name("queue"));
    assert_null(sp_protocol_of_type(0x40));
}

TEST(sp_handshake_is_that_of_the_draft) {
    static const struct {
        enum sp_role role;
        const char *bytes;
    } rows[] = {
        {SP_PAIR, "\0SP\0\0\x10\0\0"}, {SP_PUB, "\0SP\0\0\x20\0\0"},
        {SP_SUB, "\0SP\0\0\x21\0\0"},  {SP_REQ, "\0SP\0\0\x30\0\0"},
        {SP_REP, "\0SP\0\0\x31\0\0"},  {SP_PUSH, "\0SP\0\0\x50\0\0"},
        {SP_PULL, "\0SP\0\0\x51\0\0"}, {SP_SURVEYOR, "\0SP\0\0\x62\0\0"},
        {SP_BUS, "\0SP\0\0\x70\0\0"},  {SP_RESPONDENT, "\0SP\0\0\x63\0\0"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        unsigned char out[SP_HANDSHAKE_BYTES];
        const struct sp_protocol *p = sp_protocol_of_role(rows[i].role);
        sp_handshake_write(out, p->type);
        assert_memory_equal(out, rows[i].bytes, sizeof out);
        uint16_t type = 0;
        for (size_t n = 0; n < sizeof out; n++)
            assert_int_equal(sp_handshake_read(slice_from(out, n), &type, NULL), 0);
        assert_int_equal(sp_handshake_read(slice_from(out, sizeof out), &type, NULL), 1);
        assert_int_equal(type, p->type);
        assert_int_equal(sp_handshake_check(p->peer_type, type, NULL), 0);
        assert_int_equal(sp_handshake_check(p->peer_type, SP_TYPE_FORWARD, NULL), -EBADMSG);
    }
    assert_int_equal(sp_handshake_check(SP_TYPE_FORWARD, SP_TYPE_FORWARD, NULL), 0);
    assert_int_equal(sp_handshake_check(SP_TYPE_PAIR1, SP_TYPE_PAIR0, NULL), -EBADMSG);
    struct err err;
    assert_int_equal(sp_handshake_check(0x20, 0x31, &err), -EBADMSG);
    assert_string_equal(err.text,
                        "handshake: peer is 0x0031 (rep), which 0x0020 (pub) cannot talk to");
}

TEST(sp_handshake_is_refused_at_its_first_wrong_byte) {
    for (size_t at = 0; at < SP_HANDSHAKE_BYTES; at++) {
        if (at == 4 || at == 5) continue;
        unsigned char bytes[SP_HANDSHAKE_BYTES];
        uint16_t type = 77;
        sp_handshake_write(bytes, 0x20);
        bytes[at] ^= 0x40;
        assert_int_equal(sp_handshake_read(slice_from(bytes, at + 1), &type, NULL), -EBADMSG);
        assert_int_equal(type, 77);
    }
}

/* Feeds in pieces and writes what comes out as <n bytes>. */
static int feed(struct buf *seen, enum sp_framing framing, struct slice s, size_t piece) {
    struct sp_frames f = {.framing = framing, .limit_bytes = 1 << 20};
    int r = 0;
    while (r == 0 && s.n > 0) {
        size_t n = MIN_OF(piece, s.n);
        struct slice in = slice_from(s.p, n), payload;
        while ((r = sp_frames_next(&f, &in, &payload, NULL)) > 0) {
            buf_printf(seen, "<%zu ", payload.n);
            buf_slice(seen, payload);
            buf_str(seen, ">");
        }
        s = slice_from(s.p + n, s.n - n);
    }
    sp_frames_done(&f);
    return r;
}

#define TCP_REQ "\0\0\0\0\0\0\0\x09\xd9\x5b\x4f\xd4hello"
#define IPC_HELLO "\x01\0\0\0\0\0\0\0\x05hello"

TEST(sp_frames_reads_the_captures_whole_and_byte_by_byte) {
    for (size_t piece = 1; piece < 64; piece++) {
        OWN(buf_done) struct buf tcp = {0}, ipc = {0};
        assert_int_equal(
            feed(&tcp, SP_FRAMING_TCP, SLICE(TCP_REQ "\0\0\0\0\0\0\0\0" TCP_REQ), piece), 0);
        assert_string_equal(tcp.p, "<9 \xd9\x5b\x4f\xd4hello><0 ><9 \xd9\x5b\x4f\xd4hello>");
        assert_int_equal(feed(&ipc, SP_FRAMING_IPC, SLICE(IPC_HELLO IPC_HELLO), piece), 0);
        assert_string_equal(ipc.p, "<5 hello><5 hello>");
        buf_done(&ipc);
    }
}

TEST(sp_frame_heads_are_those_of_the_captures) {
    unsigned char head[SP_FRAME_HEAD_MAX];
    assert_int_equal(sp_frame_head(head, SP_FRAMING_TCP, 9), 8);
    assert_memory_equal(head, TCP_REQ, 8);
    assert_int_equal(sp_frame_head(head, SP_FRAMING_IPC, 5), 9);
    assert_memory_equal(head, IPC_HELLO, 9);
    assert_int_equal(sp_frame_head(head, SP_FRAMING_TCP, UINT64_C(0x0102030405060708)), 8);
    assert_memory_equal(head, "\1\2\3\4\5\6\7\10", 8);
}

TEST(sp_frames_refuses_lengths_without_allocating_them) {
    static const struct {
        enum sp_framing framing;
        struct slice in;
        enum err_reason reason;
    } rows[] = {
        {SP_FRAMING_TCP, {"\x80\0\0\0\0\0\0\0", 8}, ERR_TOO_LARGE}, /* 2^63 */
        {SP_FRAMING_TCP, {"\xff\xff\xff\xff\xff\xff\xff\xff", 8}, ERR_TOO_LARGE},
        {SP_FRAMING_TCP, {"\0\0\0\0\0\x10\0\1", 8}, ERR_TOO_LARGE}, /* limit + 1 */
        {SP_FRAMING_IPC, {"\1\x80\0\0\0\0\0\0\0", 9}, ERR_TOO_LARGE},
        {SP_FRAMING_IPC, {"\0", 1}, ERR_BAD_REQUEST},
        {SP_FRAMING_IPC, {"\2", 1}, ERR_BAD_REQUEST},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct sp_frames f = {.framing = rows[i].framing, .limit_bytes = 1 << 20};
        struct slice in = rows[i].in, payload;
        struct err err;
        assert_int_equal(sp_frames_next(&f, &in, &payload, &err), -EBADMSG);
        assert_int_equal(err.reason, rows[i].reason);
        assert_null(f.part.p);
        in = SLICE(TCP_REQ); /* and stays closed */
        assert_int_equal(sp_frames_next(&f, &in, &payload, &err), -EBADMSG);
    }
}

TEST(sp_frames_holds_no_more_than_what_has_arrived) {
    struct sp_frames f = {.framing = SP_FRAMING_TCP, .limit_bytes = 64 << 20};
    struct slice in = SLICE("\0\0\0\0\4\0\0\0some"), payload;
    assert_int_equal(sp_frames_next(&f, &in, &payload, NULL), 0);
    assert_int_equal(sp_frames_missing(&f), (64 << 20) - 4);
    assert_true(f.part.cap < 4096);
    sp_frames_done(&f);
}

TEST(sp_tags_end_at_the_top_bit) {
    struct slice body;
    assert_int_equal(sp_tags_read(SLICE("\xd9\x5b\x4f\xd4hello"), 8, &body), 0);
    assert_true(slice_is(body, "hello"));
    assert_int_equal(sp_tags_read(SLICE("\0\0\x12\x34\xd9\x5b\x4f\xd4"), 2, &body), 0);
    assert_int_equal(body.n, 0);
}

TEST(sp_tags_storms_are_dropped_and_torn_ones_refused) {
    struct slice body;
    OWN(buf_done) struct buf storm = {0};
    for (int i = 0; i < 1000; i++) buf_append(&storm, "\0\0\0\1", 4);
    assert_int_equal(sp_tags_read(buf_view(&storm), 8, &body), -ELOOP);
    assert_int_equal(sp_tags_read(buf_view(&storm), 1000, &body), -ELOOP);
    assert_int_equal(sp_tags_read(slice_from(storm.p, 32), 8, &body), -EBADMSG);
    assert_int_equal(sp_tags_read(SLICE("\0\0\0\1\x80\0\0"), 8, &body), -EBADMSG);
    assert_int_equal(sp_tags_read(SLICE(""), 8, &body), -EBADMSG);
    assert_int_equal(sp_tags_read(SLICE("\0\0\0\1\0\0\0\1\x80\0\0\1"), 3, &body), 0);
    assert_int_equal(sp_tags_read(SLICE("\0\0\0\1\0\0\0\1\x80\0\0\1"), 2, &body), -ELOOP);
}

TEST(sp_hops_are_counted_and_bounded) {
    unsigned char out[SP_HOPS_BYTES];
    uint32_t hops = 0;
    struct slice body;
    sp_hops_write(out, 1);
    assert_memory_equal(out, "\0\0\0\1", 4);
    assert_int_equal(sp_hops_read(SLICE("\0\0\0\1hello"), 8, &hops, &body), 0);
    assert_int_equal(hops, 1);
    assert_true(slice_is(body, "hello"));
    assert_int_equal(sp_hops_read(SLICE("\0\0\0\x09"), 8, &hops, &body), -ELOOP);
    assert_int_equal(sp_hops_read(SLICE("\0\0\1\0"), 8, &hops, &body), -EBADMSG);
    assert_int_equal(sp_hops_read(SLICE("\0\0\1"), 8, &hops, &body), -EBADMSG);
}
