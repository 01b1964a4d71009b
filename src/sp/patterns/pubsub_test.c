#include "sp/patterns/pubsub.h"

#include "sp/fixture.h"
#include "sp/memory.h"

static void small_block(struct sp_config *c) {
    c->queue.messages = 2;
    c->queue.policy = SP_BLOCK;
    c->queue.block_timeout_ms = 500;
}

static void keep_two(struct sp_config *c) { c->retain = 2; }

TEST(a_subscriber_is_told_and_gets_what_it_wants) {
    struct sp_topology *t = fixture_topology(SP_PUBSUB, NULL);
    struct fake *sub = fixture_join(t, SP_SUB), *pub = fixture_join(t, SP_PUB);
    fixture_say(pub, "a0");
    fixture_say(sub, "+a");
    fixture_say(sub, "+");
    fixture_say(pub, "a1");
    fixture_say(pub, "b1");
    fixture_say(sub, "-");
    fixture_say(pub, "b2");
    fixture_say(pub, "a2");
    fixture_say(sub, "-b");
    assert_string_equal(fixture_heard(sub), "+a|+|a1|b1|-|a2|-b");
    fixture_end(t);
}

TEST(what_is_no_control_ends_a_subscriber) {
    struct sp_topology *t = fixture_topology(SP_PUBSUB, NULL);
    struct fake *sub = fixture_join(t, SP_SUB);
    fixture_say(sub, "hello");
    assert_true(sub->freed);
    assert_int_equal(t->gone[SP_SUB].errors, 1);
    fixture_end(t);
}

TEST(retained_messages_come_after_the_answer) {
    struct sp_topology *t = fixture_topology(SP_PUBSUB, keep_two);
    struct fake *pub = fixture_join(t, SP_PUB);
    fixture_say(pub, "a1");
    fixture_say(pub, "a2");
    fixture_say(pub, "b3");
    struct fake *sub = fixture_join(t, SP_SUB);
    fixture_say(sub, "+a");
    fixture_say(sub, "+a"); /* not a second time */
    assert_string_equal(fixture_heard(sub), "+a|a2|+a");
    fixture_end(t);
}

TEST(a_blocking_subscriber_holds_publishers_and_they_go_on_in_order) {
    struct sp_topology *t = fixture_topology(SP_PUBSUB, small_block);
    struct fake *sub = fixture_join(t, SP_SUB), *pub = fixture_join(t, SP_PUB);
    fixture_say(sub, "+");
    fixture_heard(sub);
    fixture_block(sub, true);
    assert_true(fixture_say(pub, "1"));
    assert_true(fixture_say(pub, "2"));
    assert_false(fixture_say(pub, "3"));
    assert_false(fixture_say(pub, "4")); /* the rest of a batch */
    assert_true(pub->paused);
    fixture_block(sub, false);
    assert_false(pub->paused);
    fixture_say(pub, "5");
    assert_string_equal(fixture_heard(sub), "1|2|3|4|5");
    assert_int_equal(sub->pipe.counters.dropped, 0);
    fixture_end(t);
}

TEST(who_blocks_for_too_long_goes_and_the_others_go_on) {
    struct sp_topology *t = fixture_topology(SP_PUBSUB, small_block);
    struct fake *slow = fixture_join(t, SP_SUB), *good = fixture_join(t, SP_SUB);
    struct fake *pub = fixture_join(t, SP_PUB);
    fixture_say(slow, "+");
    fixture_say(good, "+");
    fixture_block(slow, true);
    for (const char *const *s = (const char *const[]){"1", "2", "3", NULL}; *s; s++)
        fixture_say(pub, *s);
    assert_string_equal(fixture_heard(good), "+|1|2");
    fixture_pass_ms(400);
    assert_false(slow->freed);
    fixture_pass_ms(200);
    assert_true(slow->freed);
    assert_string_equal(fixture_heard(good), "3");
    assert_false(pub->paused);
    fixture_end(t);
}

TEST(what_a_closed_publisher_had_said_lives_for_the_linger_time_only) {
    struct sp_topology *t = fixture_topology(SP_PUBSUB, small_block);
    struct fake *sub = fixture_join(t, SP_SUB), *pub = fixture_join(t, SP_PUB);
    struct fake *other = fixture_join(t, SP_PUB);
    fixture_say(sub, "+");
    fixture_block(sub, true);
    for (int i = 0; i < 4; i++) fixture_say(pub, "x");
    fixture_say(other, "y");
    fixture_leave(pub);
    assert_false(pub->freed);
    fixture_block(sub, false);
    assert_string_equal(fixture_heard(sub), "+|x|x|x|x|y");
    fixture_end(t);
}

struct upstream {
    struct sp_upstream ops;
    uint64_t tickets[8];
    size_t n, removed;
};

static bool added(void *user, struct slice prefix, uint64_t ticket) {
    struct upstream *u = user;
    u->tickets[u->n++] = ticket;
    return true;
}

static void removed(void *user, struct slice prefix) { ((struct upstream *)user)->removed++; }

TEST(an_answer_waits_for_upstream_and_travels_once) {
    struct sp_topology *t = fixture_topology(SP_PUBSUB, NULL);
    struct upstream u = {.ops = {.added = added, .removed = removed}};
    u.ops.user = &u;
    sp_pubsub_upstream_add(t, &u.ops);
    struct fake *a = fixture_join(t, SP_SUB), *b = fixture_join(t, SP_SUB);
    fixture_say(a, "+x");
    fixture_say(b, "+x"); /* no second question */
    assert_int_equal(u.n, 1);
    assert_string_equal(fixture_heard(a), "");
    sp_pubsub_confirm(t, u.tickets[0]);
    fixture_pass_ms(0);
    assert_string_equal(fixture_heard(a), "+x");
    assert_string_equal(fixture_heard(b), "+x");
    fixture_leave(a);
    assert_int_equal(u.removed, 0);
    fixture_leave(b);
    assert_int_equal(u.removed, 1);
    sp_pubsub_upstream_remove(t, &u.ops);
    fixture_end(t);
}

static void large(struct sp_config *c) {
    c->queue.messages = 1000;
    c->queue.bytes = 1 << 30;
}

static void keep_many(struct sp_config *c) { c->retain = 1000; }

static const char *thousand_bytes(void) {
    static char body[1001];
    memset(body, 'x', 1000);
    return body;
}

TEST(when_memory_is_short_queues_lose_messages_before_their_own_limit) {
    struct sp_topology *t = fixture_topology(SP_PUBSUB, large);
    struct fake *slow = fixture_join(t, SP_SUB), *pub = fixture_join(t, SP_PUB);
    fixture_say(slow, "+");
    fixture_heard(slow);
    fixture_block(slow, true);
    sp_memory_limit(50000);
    for (int i = 0; i < 500; i++) fixture_say(pub, thousand_bytes());
    assert_true(sp_message_total_bytes() < 52000);
    fixture_block(slow, false);
    assert_in_range(slow->n, 40, 50);
    assert_int_equal(slow->n + slow->pipe.counters.dropped, 500);
    sp_memory_limit(0);
    fixture_end(t);
}

TEST(when_memory_is_short_nobody_is_read_until_something_was_forgotten) {
    struct sp_topology *news = fixture_topology(SP_PUBSUB, keep_many);
    struct sp_topology *work = fixture_topology(SP_PIPELINE, large);
    struct fake *pub = fixture_join(news, SP_PUB), *push = fixture_join(work, SP_PUSH);
    struct fake *pull = fixture_join(work, SP_PULL);
    for (int i = 0; i < 30; i++) fixture_say(pub, thousand_bytes());
    fixture_block(pull, true);
    sp_memory_limit(50000);
    unsigned said = 0;
    while (said < 500 && !sp_memory_holds(&push->pipe)) {
        fixture_say(push, thousand_bytes());
        said++;
    }
    assert_in_range(said, 15, 20);
    assert_true(push->paused);
    fixture_pass_ms(50);
    assert_false(push->paused);
    assert_true(sp_message_total_bytes() < 40000);
    fixture_block(pull, false);
    assert_int_equal(pull->n, said); /* of work nothing is lost */
    sp_memory_limit(0);
    fixture_end(news);
    fixture_end(work);
}

TEST(who_holds_the_most_goes_when_nothing_may_be_lost) {
    struct sp_topology *t = fixture_topology(SP_PIPELINE, large);
    struct fake *push = fixture_join(t, SP_PUSH), *hoard = fixture_join(t, SP_PULL);
    fixture_block(hoard, true);
    sp_memory_limit(50000);
    char body[2001];
    memset(body, 'x', 2000);
    body[2000] = 0;
    while (!sp_memory_holds(&push->pipe)) fixture_say(push, body);
    struct fake *peer = fixture_join_raw(t, SP_PULL, 5);
    fixture_pass_ms(500);
    assert_false(hoard->freed);
    fixture_pass_ms(2000);
    assert_true(hoard->freed);
    assert_in_range(peer->n, 20, 30); /* they were not lost */
    fixture_heard(peer);
    fixture_pass_ms(100);
    assert_false(push->paused);
    sp_memory_limit(0);
    fixture_end(t);
}

TEST(a_plain_peer_gets_everything_and_may_say_nothing) {
    struct sp_topology *t = fixture_topology(SP_PUBSUB, NULL);
    struct fake *peer = fixture_join_raw(t, SP_SUB, 5), *pub = fixture_join(t, SP_PUB);
    fixture_say(pub, "anything");
    assert_string_equal(fixture_heard(peer), "anything");
    fixture_say(peer, "+x");
    assert_true(peer->freed);
    fixture_end(t);
}
