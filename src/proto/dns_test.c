#include "proto/dns.h"

#include <errno.h>

#include "base/own.h"
#include "base/test.h"

static const char query[] = "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01\x03WeB\x07"
                            "default\x00\x00\x01\x00\x01"
                            "\x00\x00\x29\x10\x00\x00\x00\x00\x00\x00\x00";

TEST(dns_query_is_parsed_in_lower_case) {
    struct dns_query q;
    assert_int_equal(dns_parse_query(slice_from(query, sizeof query - 1), &q), 0);
    assert_string_equal(q.name, "web.default");
    assert_int_equal(q.id, 0x1234);
    assert_int_equal(q.type, DNS_A);
    assert_true(q.edns);
    assert_int_equal(q.udp_bytes, DNS_UDP_MAX_BYTES);
}

TEST(dns_truncated_queries_are_refused) {
    struct dns_query q;
    for (size_t n = 0; n < 12; n++)
        assert_int_equal(dns_parse_query(slice_from(query, n), &q), -EBADMSG);
    for (size_t n = 12; n < 29; n++)
        assert_int_equal(dns_parse_query(slice_from(query, n), &q), -EINVAL);
}

TEST(dns_compression_pointers_in_questions_are_refused) {
    static const char loop[] = "\0\1\1\0\0\1\0\0\0\0\0\0\xc0\x0c\0\1\0\1";
    struct dns_query q;
    assert_int_equal(dns_parse_query(slice_from(loop, sizeof loop - 1), &q), -EINVAL);
}

TEST(dns_answer_repeats_the_question_as_it_came) {
    struct dns_query q;
    OWN(buf_done) struct buf out = {0};
    struct dns_answer a;
    dns_parse_query(slice_from(query, sizeof query - 1), &q);
    dns_begin(&a, &out, &q);
    dns_a(&a, q.name, 5, 0x0a600005);
    dns_end(&a, &q, DNS_OK, true, q.udp_bytes);
    assert_memory_equal(out.p + 12, "\x03WeB\x07", 5);
    assert_int_equal((unsigned char)out.p[7], 1);
    assert_memory_equal(out.p + out.n - 11 - 4, "\x0a\x60\x00\x05", 4);
}

TEST(dns_answers_too_long_are_cut_and_marked) {
    struct dns_query q;
    OWN(buf_done) struct buf out = {0};
    struct dns_answer a;
    dns_parse_query(slice_from(query, sizeof query - 1), &q);
    dns_begin(&a, &out, &q);
    for (uint32_t i = 0; i < 200; i++) dns_a(&a, q.name, 5, i);
    dns_end(&a, &q, DNS_OK, true, 512);
    assert_true(out.n <= 512);
    assert_true(out.p[2] & 2);
    assert_int_equal(out.p[7], 0);
}

TEST(dns_answers_of_others_are_copied_with_their_names_written_out) {
    static const char reply[] = "\0\1\x81\x80\0\1\0\2\0\0\0\0\3www\1x\0\0\1\0\1"
                                "\xc0\x0c\0\5\0\1\0\0\0\x9\0\4\1y\xc0\x10"
                                "\xc0\x23\0\1\0\1\0\0\0\x9\0\4\1\2\3\4";
    static const char want[] = "\3www\1x\0\0\5\0\1\0\0\0\x9\0\5\1y\1x\0"
                               "\1y\1x\0\0\1\0\1\0\0\0\x9\0\4\1\2\3\4";
    struct slice whole = slice_from(reply, sizeof reply - 1);
    struct dns_query q = {0};
    struct dns_answer a;
    struct buf out = {0};
    dns_begin(&a, &out, &q);
    assert_int_equal(dns_copy_answers(&a, whole), 0);
    assert_int_equal(a.answers, 2);
    assert_int_equal(out.n, DNS_HEADER_BYTES + sizeof want - 1);
    assert_memory_equal(out.p + DNS_HEADER_BYTES, want, sizeof want - 1);
    for (size_t n = 0; n < whole.n; n++)
        assert_int_equal(dns_copy_answers(&a, slice_from(reply, n)), -EBADMSG);
    buf_done(&out);
}

TEST(dns_addresses_of_a_reply_are_read_past_aliases) {
    static const char reply[] = "\0\1\x81\x80\0\1\0\2\0\0\0\0\3www\1x\0\0\1\0\1"
                                "\xc0\x0c\0\5\0\1\0\0\0\x9\0\4\1y\xc0\x10"
                                "\xc0\x23\0\1\0\1\0\0\0\x9\0\4\1\2\3\4";
    struct dns_address v[2];
    size_t n = 9;
    enum dns_rcode rcode = DNS_REFUSED;
    assert_int_equal(dns_read_addresses(slice_from(reply, sizeof reply - 1), v, 2, &n, &rcode), 0);
    assert_int_equal(n, 1);
    assert_int_equal(rcode, DNS_OK);
    assert_false(v[0].v6);
    assert_memory_equal(v[0].bytes, "\1\2\3\4", 4);
    for (size_t cut = 0; cut < sizeof reply - 1; cut++)
        assert_int_equal(dns_read_addresses(slice_from(reply, cut), v, 2, &n, &rcode), -EBADMSG);
}
