/* When an edge dials again, what its rate lets pass, and what it says of itself. */
#include "sp/links/edge.h"

#include "sp/fixture.h"

static struct sp_edge_config dials_nobody(void) {
    struct sp_edge_config c = {.name = "up", .role = SP_PUB, .address_text = "ipc:///none/none"};
    struct err err;
    assert_int_equal(sp_address_parse(c.address_text, false, &c.address, &err), 0);
    return c;
}

/* Until it has dialled once more; how long that took, to the step. */
static uint64_t wait_for_attempt_ms(const struct sp_edge *e, uint64_t step_ms) {
    unsigned before = e->attempts;
    uint64_t waited = 0;
    for (; e->attempts == before && waited <= 40000; waited += step_ms) fixture_pass_ms(step_ms);
    return waited;
}

TEST(an_edge_dials_again_ever_less_often_but_never_less_than_twice_a_minute) {
    struct sp_topology *t = fixture_topology(SP_PUBSUB, NULL);
    struct sp_edge_config config = dials_nobody();
    struct sp_edge *e = sp_edge_new(t, &config);
    fixture_pass_ms(0);
    assert_int_equal(e->attempts, 1);
    assert_string_equal(sp_edge_state_name(e->state), "Connecting");
    assert_string_equal(e->last_error, "/none/none: No such file or directory");
    for (uint64_t most = 100, i = 1; i<14; i++, most = most * 2> 30000 ? 30000 : most * 2) {
        uint64_t step = most / 50;
        assert_in_range(wait_for_attempt_ms(e, step), most / 2, most + step);
        assert_int_equal(e->attempts, i + 1);
    }
    sp_edge_free(e);
    fixture_end(t);
}

TEST(a_rate_of_messages_keeps_one_second_at_most) {
    struct sp_topology *t = fixture_topology(SP_PUBSUB, NULL);
    struct sp_edge_config config = dials_nobody();
    config.rate.messages_per_second = 2;
    struct sp_edge *e = sp_edge_new(t, &config);
    fixture_pass_ms(10000); /* which do not add up */
    for (int i = 0; i < 2; i++) {
        assert_true(sp_edge_admits(e, false));
        sp_edge_passed(e, 1000);
    }
    assert_false(sp_edge_admits(e, false));
    fixture_pass_ms(499);
    assert_false(sp_edge_admits(e, false));
    fixture_pass_ms(1);
    assert_true(sp_edge_admits(e, false));
    sp_edge_passed(e, 1000);
    assert_false(sp_edge_admits(e, false));
    sp_edge_free(e);
    fixture_end(t);
}

TEST(a_rate_of_bytes_lets_a_message_pass_that_is_larger_and_then_waits_for_all_of_it) {
    struct sp_topology *t = fixture_topology(SP_PUBSUB, NULL);
    struct sp_edge_config config = dials_nobody();
    config.rate.bytes_per_second = 100;
    struct sp_edge *e = sp_edge_new(t, &config);
    assert_true(sp_edge_admits(e, false));
    sp_edge_passed(e, 350); /* 100 were there: 250 are owed */
    fixture_pass_ms(2499);
    assert_false(sp_edge_admits(e, false));
    fixture_pass_ms(2);
    assert_true(sp_edge_admits(e, false));
    sp_edge_free(e);
    fixture_end(t);
}

TEST(without_a_rate_everything_passes) {
    struct sp_topology *t = fixture_topology(SP_PUBSUB, NULL);
    struct sp_edge_config config = dials_nobody();
    struct sp_edge *e = sp_edge_new(t, &config);
    for (int i = 0; i < 1000; i++) {
        assert_true(sp_edge_admits(e, true));
        sp_edge_passed(e, 1 << 20);
    }
    sp_edge_free(e);
    fixture_end(t);
}

TEST(every_state_has_a_name) {
    for (int s = SP_EDGE_IDLE; s <= SP_EDGE_REFUSED; s++)
        assert_non_null(sp_edge_state_name((enum sp_edge_state)s));
}
