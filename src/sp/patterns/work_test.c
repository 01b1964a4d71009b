/* Pipeline, requests, surveys, bus and pair: who gets what. */
#include "sp/fixture.h"

static void small(struct sp_config *c) { c->queue.messages = 2; }

static void fast(struct sp_config *c) {
    c->request_resend_ms = 1000;
    c->survey_deadline_ms = 300;
}

static void impatient(struct sp_config *c) { c->request_timeout_ms = 400; }

/* ---- pipeline ---- */

TEST(work_goes_round_and_waits_when_all_are_full) {
    struct sp_topology *t = fixture_topology(SP_PIPELINE, small);
    struct fake *push = fixture_join(t, SP_PUSH);
    assert_false(fixture_say(push, "1"));
    struct fake *a = fixture_join(t, SP_PULL), *b = fixture_join(t, SP_PULL);
    assert_false(push->paused);
    fixture_say_each(push, "23456");
    assert_string_equal(fixture_heard(a), "1|3|5");
    assert_string_equal(fixture_heard(b), "2|4|6");
    fixture_block(a, true);
    fixture_block(b, true);
    assert_int_equal(fixture_say_each(push, "abcd"), 4);
    assert_false(fixture_say(push, "e"));
    fixture_block(b, false);
    assert_string_equal(fixture_heard(b), "b|d|e");
    fixture_end(t);
}

TEST(local_pullers_come_before_peers_and_these_by_priority) {
    struct sp_topology *t = fixture_topology(SP_PIPELINE, small);
    struct fake *push = fixture_join(t, SP_PUSH);
    struct fake *far = fixture_join_raw(t, SP_PULL, 9), *near = fixture_join_raw(t, SP_PULL, 2);
    struct fake *here = fixture_join(t, SP_PULL);
    fixture_say(push, "1");
    fixture_block(here, true);
    fixture_say_each(push, "23");
    fixture_say(push, "4");
    fixture_block(near, true);
    fixture_say_each(push, "567");
    assert_string_equal(fixture_heard(near), "4");
    assert_string_equal(fixture_heard(far), "7");
    fixture_block(here, false);
    assert_string_equal(fixture_heard(here), "1|2|3");
    fixture_end(t);
}

TEST(what_waits_for_a_lost_puller_goes_to_others_in_order) {
    struct sp_topology *t = fixture_topology(SP_PIPELINE, NULL);
    struct fake *push = fixture_join(t, SP_PUSH), *lost = fixture_join(t, SP_PULL);
    fixture_block(lost, true);
    fixture_say_each(push, "123");
    fixture_leave(lost);
    fixture_say(push, "4");
    struct fake *other = fixture_join(t, SP_PULL);
    assert_string_equal(fixture_heard(other), "1|2|3|4");
    fixture_say(other, "pullers do not send");
    assert_true(other->freed);
    fixture_end(t);
}

/* ---- requests ---- */

TEST(a_reply_finds_its_request_and_a_worker_has_one_at_a_time) {
    struct sp_topology *t = fixture_topology(SP_REQREP, NULL);
    struct fake *a = fixture_join(t, SP_REQ), *b = fixture_join(t, SP_REQ);
    struct fake *rep = fixture_join(t, SP_REP);
    fixture_say(rep, "nobody has asked");
    fixture_say(a, "qa");
    fixture_say(b, "qb");
    assert_string_equal(fixture_heard(rep), "qa");
    fixture_say(rep, "ra");
    assert_string_equal(fixture_heard(rep), "qb");
    fixture_say(rep, "rb");
    assert_string_equal(fixture_heard(a), "ra");
    assert_string_equal(fixture_heard(b), "rb");
    assert_int_equal(rep->pipe.counters.dropped, 1);
    fixture_end(t);
}

TEST(a_cancelled_request_is_not_worked_on_and_its_reply_goes_nowhere) {
    struct sp_topology *t = fixture_topology(SP_REQREP, NULL);
    struct fake *req = fixture_join(t, SP_REQ), *rep = fixture_join(t, SP_REP);
    fixture_say(req, "1");
    fixture_say(req, "2");
    fixture_say(req, "3");
    assert_string_equal(fixture_heard(rep), "1");
    fixture_say(rep, "to 1");
    assert_string_equal(fixture_heard(rep), "3");
    fixture_say(rep, "to 3");
    assert_string_equal(fixture_heard(req), "to 3");
    fixture_end(t);
}

TEST(a_request_outlives_its_worker_and_is_sent_again_after_a_while) {
    struct sp_topology *t = fixture_topology(SP_REQREP, fast);
    struct fake *req = fixture_join(t, SP_REQ), *lost = fixture_join(t, SP_REP);
    fixture_say(req, "q");
    assert_string_equal(fixture_heard(lost), "q");
    struct fake *silent = fixture_join(t, SP_REP);
    fixture_leave(lost);
    assert_string_equal(fixture_heard(silent), "q");
    struct fake *good = fixture_join(t, SP_REP);
    fixture_pass_ms(900);
    assert_string_equal(fixture_heard(good), "");
    fixture_pass_ms(400);
    assert_string_equal(fixture_heard(good), "q");
    fixture_say(good, "first");
    fixture_say(silent, "second"); /* too late, and counts as such */
    assert_string_equal(fixture_heard(req), "first");
    fixture_end(t);
}

TEST(a_request_that_is_given_up_ends_its_connection) {
    struct sp_topology *t = fixture_topology(SP_REQREP, impatient);
    struct fake *req = fixture_join(t, SP_REQ);
    fixture_say(req, "q");
    fixture_pass_ms(300);
    assert_false(req->freed);
    fixture_pass_ms(300);
    assert_true(req->freed);
    struct fake *rep = fixture_join(t, SP_REP);
    assert_string_equal(fixture_heard(rep), "");
    fixture_end(t);
}

TEST(tags_of_peers_pass_through_and_come_back) {
    struct sp_topology *t = fixture_topology(SP_REQREP, NULL);
    struct fake *peer = fixture_join_raw(t, SP_REQ, 3), *worker = fixture_join_raw(t, SP_REP, 3);
    fixture_say_tagged(peer, (const uint32_t[]){7, SP_TAG_END | 9}, 2, "q");
    assert_int_equal(worker->n, 1);
    struct sp_message *m = worker->got[0];
    uint32_t hop;
    assert_true(sp_message_peek(m, &hop));
    assert_int_equal(hop, peer->pipe.id);
    assert_int_equal(m->header_n, 12);
    fixture_say_tagged(worker, (const uint32_t[]){hop, 7, SP_TAG_END | 9}, 3, "r");
    fixture_say_tagged(worker, (const uint32_t[]){hop, 7, SP_TAG_END | 9}, 3, "twice");
    assert_int_equal(peer->n, 1);
    assert_memory_equal(sp_message_payload(peer->got[0]).p, "\0\0\0\7\x80\0\0\x09r", 9);
    fixture_say_tagged(worker, (const uint32_t[]){SP_TAG_END | 1}, 1, "out of the blue");
    assert_int_equal(worker->pipe.counters.filtered, 2);
    fixture_end(t);
}

/* ---- surveys ---- */

TEST(a_survey_collects_until_its_deadline) {
    struct sp_topology *t = fixture_topology(SP_SURVEY, fast);
    struct fake *s = fixture_join(t, SP_SURVEYOR);
    struct fake *a = fixture_join(t, SP_RESPONDENT), *b = fixture_join(t, SP_RESPONDENT);
    fixture_say(s, "?");
    assert_string_equal(fixture_heard(a), "?");
    assert_string_equal(fixture_heard(b), "?");
    fixture_say(a, "a");
    fixture_say(a, "a again"); /* nobody has asked again */
    fixture_pass_ms(400);
    fixture_say(b, "late");
    assert_string_equal(fixture_heard(s), "a|");
    fixture_end(t);
}

TEST(a_new_survey_ends_the_old_one_and_a_respondent_has_one_question_at_a_time) {
    struct sp_topology *t = fixture_topology(SP_SURVEY, fast);
    struct fake *s = fixture_join(t, SP_SURVEYOR), *a = fixture_join(t, SP_RESPONDENT);
    fixture_say(s, "old");
    fixture_say(s, "new");
    assert_string_equal(fixture_heard(a), "old");
    fixture_say(a, "to old");
    assert_string_equal(fixture_heard(a), "new");
    fixture_say(a, "to new");
    assert_string_equal(fixture_heard(s), "to new");
    fixture_end(t);
}

/* ---- bus and pair ---- */

TEST(a_bus_is_heard_by_all_but_the_speaker) {
    struct sp_topology *t = fixture_topology(SP_BUSES, NULL);
    struct fake *a = fixture_join(t, SP_BUS), *b = fixture_join(t, SP_BUS);
    struct fake *c = fixture_join_raw(t, SP_BUS, 4);
    fixture_say(b, "hi");
    assert_string_equal(fixture_heard(a), "hi");
    assert_string_equal(fixture_heard(b), "");
    assert_string_equal(fixture_heard(c), "hi");
    fixture_end(t);
}

TEST(a_pair_has_two_ends_and_waits_for_the_second) {
    struct sp_topology *t = fixture_topology(SP_PAIRS, small);
    struct fake *a = fixture_join(t, SP_PAIR);
    assert_false(fixture_say(a, "1"));
    struct fake *b = fixture_join(t, SP_PAIR);
    assert_string_equal(fixture_heard(b), "1");
    assert_null(fixture_join(t, SP_PAIR));
    fixture_leave(a);
    struct fake *c = fixture_join(t, SP_PAIR);
    fixture_say(b, "2");
    assert_string_equal(fixture_heard(c), "2");
    fixture_end(t);
}

TEST(an_end_that_has_left_keeps_nobody_out) {
    struct sp_topology *t = fixture_topology(SP_PAIRS, small);
    struct fake *a = fixture_join(t, SP_PAIR), *b = fixture_join(t, SP_PAIR);
    a->gone = true;
    struct fake *c = fixture_join(t, SP_PAIR);
    assert_non_null(c);
    assert_true(a->freed);
    assert_null(fixture_join(t, SP_PAIR));
    fixture_say(b, "1");
    fixture_say(c, "2");
    assert_string_equal(fixture_heard(c), "1");
    assert_string_equal(fixture_heard(b), "2");
    sp_pipe_close(&b->pipe, "closes at the end of the turn");
    struct fake *d = fixture_join(t, SP_PAIR);
    assert_non_null(d);
    fixture_say(c, "3");
    assert_string_equal(fixture_heard(d), "3");
    fixture_end(t);
}

TEST(an_end_that_has_left_stays_while_its_messages_wait) {
    struct sp_topology *t = fixture_topology(SP_PAIRS, small);
    struct fake *a = fixture_join(t, SP_PAIR), *b = fixture_join(t, SP_PAIR);
    fixture_block(b, true);
    fixture_say_each(a, "123");
    a->gone = true;
    assert_null(fixture_join(t, SP_PAIR));
    fixture_block(b, false);
    assert_string_equal(fixture_heard(b), "1|2|3");
    assert_non_null(fixture_join(t, SP_PAIR));
    fixture_end(t);
}

TEST(a_role_of_another_pattern_is_refused) {
    struct sp_topology *t = fixture_topology(SP_PAIRS, NULL);
    assert_null(fixture_join(t, SP_PUB));
    fixture_end(t);
}
