#include <stdio.h>

#include "base/test.h"
#include "scheduler/core/queue.h"

static void add(struct queue *q, const char *uid, const char *ns, int priority) {
    queue_add(q, uid, ns, uid, priority, 0);
}

static void expect_next(struct queue *q, uint64_t now_ms, const char *uid) {
    uint64_t wait_ms;
    struct queued *p = queue_next(q, now_ms, &wait_ms);
    assert_string_equal(p ? p->uid : "nothing", uid);
}

static void fail_at(struct queue *q, const char *uid, uint64_t now_ms, uint64_t key) {
    queue_failed(q, queue_get(q, uid), now_ms, (struct queue_hint){.key = key});
}

static bool is_key(void *user, const struct queue_hint *hint) {
    return hint->key == *(const uint64_t *)user;
}

TEST(an_event_wakes_only_those_it_may_help) {
    struct queue q = {0};
    uint64_t key = 2;
    add(&q, "a", "d", 0);
    add(&q, "b", "d", 0);
    add(&q, "c", "d", 0);
    fail_at(&q, "a", 0, 1);
    fail_at(&q, "b", 0, 2);
    fail_at(&q, "c", 0, 2);
    assert_int_equal(q.groups.n, 2);
    assert_int_equal(queue_wake(&q, 5000, is_key, &key), 2);
    expect_next(&q, 5000, "b");
    queue_remove(&q, "b");
    expect_next(&q, 5000, "c");
    queue_remove(&q, "c");
    expect_next(&q, 5000, "nothing");
    assert_int_equal(queue_wake(&q, 5000, is_key, &key), 0);
    assert_int_equal(queue_wake(&q, 5000, NULL, NULL), 1);
    expect_next(&q, 5000, "a");
    queue_done(&q);
}

TEST(without_an_event_a_pod_is_tried_again_in_time) {
    struct queue q = {0};
    uint64_t wait_ms;
    add(&q, "a", "d", 0);
    fail_at(&q, "a", 0, 1);
    assert_null(queue_next(&q, 59999, &wait_ms));
    assert_int_equal(wait_ms, 1);
    expect_next(&q, 60000, "a");
    queue_failed(&q, queue_get(&q, "a"), 60000, (struct queue_hint){.key = 1, .within_ms = 500});
    expect_next(&q, 60499, "nothing");
    expect_next(&q, 60500, "a");
    queue_done(&q);
}

TEST(back_off_doubles_up_to_ten_seconds_and_can_be_cut_short) {
    static const uint64_t want_ms[] = {1000, 2000, 4000, 8000, 10000, 10000};
    struct queue q = {0};
    uint64_t now_ms = 0;
    add(&q, "a", "d", 0);
    for (size_t i = 0; i < sizeof want_ms / sizeof *want_ms; i++) {
        fail_at(&q, "a", now_ms, 1);
        queue_wake(&q, now_ms, NULL, NULL);
        expect_next(&q, now_ms + want_ms[i] - 1, "nothing");
        now_ms += want_ms[i];
        expect_next(&q, now_ms, "a");
    }
    fail_at(&q, "a", now_ms, 1);
    queue_activate(&q, "a");
    expect_next(&q, now_ms, "a");
    queue_done(&q);
}

TEST(namespaces_of_equal_priority_go_by_their_share) {
    struct queue q = {0};
    add(&q, "a1", "a", 0);
    add(&q, "a2", "a", 0);
    add(&q, "b1", "b", 0);
    add(&q, "old", "c", 0);
    queue_share(&q, "a", 0.5);
    queue_share(&q, "b", 0.25);
    expect_next(&q, 0, "b1");
    queue_share(&q, "b", 0.75);
    expect_next(&q, 0, "a1");
    queue_remove(&q, "a1");
    queue_remove(&q, "a2");
    add(&q, "b2", "b", 7);
    expect_next(&q, 0, "b2");
    queue_remove(&q, "b2");
    expect_next(&q, 0, "b1");
    queue_share(&q, "a", -1);
    queue_share(&q, "b", -1);
    assert_int_equal(q.lanes.n, 2); /* b and c */
    queue_done(&q);
}

/* Against the plainest way to do the same. */
TEST(heaps_give_what_a_search_would) {
    struct queue q = {0};
    unsigned seed = 1;
    for (int i = 0; i < 3000; i++) {
        char uid[16];
        seed = seed * 1103515245u + 12345u;
        snprintf(uid, sizeof uid, "%u", seed / 65536 % 200);
        if (seed / 7 % 3 == 0)
            queue_remove(&q, uid);
        else
            queue_add(&q, uid, uid + (seed / 11 % 2), uid, (int)(seed / 13 % 5), 0);
        const struct queued *best = NULL;
        struct map_entry *e;
        for (size_t at = 0; (e = map_next(&q.by_uid, &at));) {
            const struct queued *p = e->value;
            if (!best || p->priority > best->priority ||
                (p->priority == best->priority && p->order < best->order))
                best = p;
        }
        uint64_t wait_ms;
        assert_ptr_equal(queue_next(&q, 0, &wait_ms), best);
    }
    queue_done(&q);
}
