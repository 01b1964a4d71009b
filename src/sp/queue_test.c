#include "sp/queue.h"

#include "base/own.h"
#include "base/test.h"

static struct sp_message *number(unsigned i, size_t n) {
    struct sp_message *m = sp_message_new(0, slice_from(NULL, n));
    memset(sp_message_body_p(m), (int)i, n);
    return m;
}

static unsigned take(struct sp_queue *q) {
    struct sp_message *m = sp_queue_take(q);
    assert_non_null(m);
    unsigned i = (unsigned char)m->bytes[0];
    sp_message_unref(m);
    return i;
}

TEST(a_queue_is_first_in_first_out_over_the_end_of_its_ring) {
    struct sp_queue_limits limits = {.messages = 1000, .bytes = 100000, .policy = SP_BLOCK};
    struct sp_queue q;
    sp_queue_init(&q, &limits);
    unsigned in = 0, out = 0;
    for (unsigned round = 0; round < 50; round++) {
        for (unsigned i = 0; i < round % 7 + 1; i++)
            assert_int_equal(sp_queue_put(&q, number(in++ & 255, 3)), SP_PUT_OK);
        while (q.n > round % 5) assert_int_equal(take(&q), out++ & 255);
    }
    while (q.n) assert_int_equal(take(&q), out++ & 255);
    assert_int_equal(in, out);
    assert_int_equal(q.bytes, 0);
    assert_null(sp_queue_take(&q));
    sp_queue_done(&q);
}

TEST(each_policy_does_at_the_limit_what_it_is_called) {
    static const struct {
        enum sp_policy policy;
        enum sp_put put;
        unsigned n, first, last, dropped;
    } cases[] = {
        {SP_DROP_OLDEST, SP_PUT_DROPPED, 3, 2, 4, 2},
        {SP_DROP_NEWEST, SP_PUT_DROPPED, 3, 0, 2, 2},
        {SP_CONFLATE, SP_PUT_DROPPED, 1, 4, 4, 4},
        {SP_DISCONNECT, SP_PUT_DISCONNECT, 3, 0, 2, 0},
        {SP_BLOCK, SP_PUT_FULL, 3, 0, 2, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct sp_queue_limits limits = {3, 1000, cases[i].policy, 0};
        struct sp_queue q;
        enum sp_put put = SP_PUT_OK;
        sp_queue_init(&q, &limits);
        for (unsigned k = 0; k < 5; k++) {
            struct sp_message *m = number(k, 10);
            put = sp_queue_put(&q, m);
            if (put == SP_PUT_FULL || put == SP_PUT_DISCONNECT) sp_message_unref(m);
        }
        assert_int_equal(put, cases[i].put);
        assert_int_equal(q.n, cases[i].n);
        assert_int_equal(q.dropped, cases[i].dropped);
        assert_int_equal(sp_queue_at(&q, 0)->bytes[0], cases[i].first);
        assert_int_equal(sp_queue_at(&q, q.n - 1)->bytes[0], cases[i].last);
        sp_queue_done(&q);
    }
    assert_int_equal(sp_message_total_bytes(), 0);
}

TEST(bytes_are_a_limit_too_but_one_message_always_fits) {
    struct sp_queue_limits limits = {100, 50, SP_DROP_OLDEST, 0};
    struct sp_queue q;
    sp_queue_init(&q, &limits);
    assert_int_equal(sp_queue_put(&q, number(1, 500)), SP_PUT_OK);
    assert_false(sp_queue_has_room(&q));
    assert_int_equal(sp_queue_put(&q, number(2, 20)), SP_PUT_DROPPED);
    assert_int_equal(sp_queue_put(&q, number(3, 20)), SP_PUT_OK);
    assert_int_equal(sp_queue_put(&q, number(4, 20)), SP_PUT_DROPPED);
    assert_int_equal(q.n, 2);
    assert_int_equal(q.bytes, 40);
    assert_int_equal(take(&q), 3);
    sp_queue_done(&q);
}

TEST(what_is_put_back_comes_first) {
    struct sp_queue_limits limits = {2, 50, SP_BLOCK, 0};
    struct sp_queue q;
    sp_queue_init(&q, &limits);
    sp_queue_put(&q, number(1, 1));
    sp_queue_put(&q, number(2, 1));
    sp_queue_put_back(&q, number(0, 1));
    for (unsigned i = 0; i < 3; i++) assert_int_equal(take(&q), i);
    sp_queue_done(&q);
}

TEST(words_of_a_header_are_a_stack_before_the_body) {
    struct sp_message *m = sp_message_new(8, SLICE("body"));
    uint32_t word;
    assert_false(sp_message_pop(m, &word));
    assert_true(sp_message_push(m, 0x80000001));
    assert_true(sp_message_push(m, 0x01020304));
    assert_false(sp_message_push(m, 5));
    assert_memory_equal(sp_message_payload(m).p, "\1\2\3\4\x80\0\0\1body", 12);
    struct sp_message *copy = sp_message_own(sp_message_ref(m), 12);
    assert_ptr_not_equal(copy, m);
    assert_true(sp_message_push(copy, 7));
    assert_true(sp_message_pop(copy, &word) && word == 7);
    assert_true(sp_message_pop(copy, &word) && word == 0x01020304);
    assert_int_equal(sp_message_payload(m).n, 12);
    struct sp_message *reply = sp_message_copy_header(sp_message_new(0, SLICE("re")), m);
    assert_memory_equal(sp_message_payload(reply).p, "\1\2\3\4\x80\0\0\1re", 10);
    sp_message_unref(reply);
    sp_message_unref(copy);
    sp_message_unref(m);
    assert_int_equal(sp_message_total_bytes(), 0);
}
