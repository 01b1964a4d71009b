#include "proto/sp/ring.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/own.h"
#include "base/test.h"

/* Shared with children of fork; gone with the test's process. */
static void *shared(size_t bytes) {
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(p, MAP_FAILED);
    return p;
}

struct fixture {
    struct sp_ring_writer w;
    struct sp_ring r;
    struct sp_ring_cursor c;
    void *memory;
    size_t bytes;
};

static void make(struct fixture *f, uint64_t size) {
    *f = (struct fixture){.bytes = SP_RING_HEADER_BYTES + size};
    f->memory = shared(f->bytes);
    assert_int_equal(sp_ring_format(f->memory, size, sp_ring_largest(size), &f->w), 0);
    assert_int_equal(sp_ring_open(f->memory, f->bytes, &f->r), 0);
    sp_ring_attach(&f->r, &f->c);
}

static void drop(struct fixture *f) {
    sp_ring_detach(&f->c);
    munmap(f->memory, f->bytes);
}

static int put(struct fixture *f, const void *p, size_t n) {
    struct iovec v = {(void *)p, n};
    return sp_ring_put(&f->w, &v, 1);
}

static int next(struct fixture *f, const unsigned char **p, uint32_t *n) {
    return sp_ring_next(&f->r, &f->c, NULL, NULL, 1, p, n);
}

/* A message tells its number and its length, and all its bytes follow from these. */
static size_t fill(unsigned char *p, uint64_t number, size_t n) {
    memcpy(p, &number, sizeof(number));
    for (size_t i = sizeof(number); i < n; i++) p[i] = (unsigned char)(number + i);
    return n;
}

static uint64_t verify(const unsigned char *p, size_t n) {
    uint64_t number;
    memcpy(&number, p, sizeof(number));
    for (size_t i = sizeof(number); i < n; i++)
        if (p[i] != (unsigned char)(number + i)) return UINT64_MAX;
    return number;
}

TEST(ring_gives_messages_in_order_once_they_are_published) {
    struct fixture f;
    const unsigned char *p;
    uint32_t n;
    make(&f, 4096);
    assert_int_equal(put(&f, "one", 3), 0);
    struct iovec parts[] = {{"t", 1}, {"", 0}, {"wo", 2}};
    assert_int_equal(sp_ring_put(&f.w, parts, 3), 0);
    assert_int_equal(put(&f, "", 0), 0);
    assert_int_equal(next(&f, &p, &n), 0);
    assert_false(sp_ring_pending(&f.r, &f.c));
    sp_ring_publish(&f.w);
    assert_true(sp_ring_pending(&f.r, &f.c));
    assert_int_equal(next(&f, &p, &n), 1);
    assert_int_equal(n, 3);
    assert_memory_equal(p, "one", 3);
    assert_int_equal(next(&f, &p, &n), 1);
    assert_memory_equal(p, "two", 3);
    assert_int_equal(next(&f, &p, &n), 1);
    assert_int_equal(n, 0);
    assert_int_equal(next(&f, &p, &n), 0);
    assert_int_equal(f.c.lost, 0);
    drop(&f);
}

TEST(ring_carries_messages_of_all_sizes_round_its_end) {
    struct fixture f;
    make(&f, 8192);
    unsigned char *m = malloc(f.r.maximum_bytes + 1);
    const unsigned char *p;
    uint32_t n;
    for (uint64_t i = 0; i < 20000; i++) {
        size_t length = 8 + i * 37 % (f.r.maximum_bytes - 7);
        assert_int_equal(put(&f, m, fill(m, i, length)), 0);
        sp_ring_publish(&f.w);
        assert_int_equal(next(&f, &p, &n), 1);
        assert_int_equal(n, length);
        assert_int_equal(verify(p, n), i);
    }
    assert_int_equal(put(&f, m, f.r.maximum_bytes + 1), -EMSGSIZE);
    assert_int_equal(f.c.lost, 0);
    free(m);
    drop(&f);
}

TEST(ring_counts_exactly_what_a_lapped_reader_has_lost) {
    for (unsigned step = 1; step < 700; step += 23) {
        struct fixture f;
        unsigned char m[64];
        const unsigned char *p;
        uint32_t n;
        make(&f, 4096);
        uint64_t got = 0, last = 0;
        for (uint64_t i = 0; i < 2000; i++) {
            assert_int_equal(put(&f, m, fill(m, i, 16 + i % 48)), 0);
            sp_ring_publish(&f.w);
            if (i % step) continue;
            while (next(&f, &p, &n) == 1) last = verify(p, n), got++;
            assert_int_equal(last, i); /* what lapping leaves is the newest */
        }
        while (next(&f, &p, &n) == 1) got++;
        assert_int_equal(got + f.c.lost, 2000);
        if (step > 200) assert_true(f.c.lost > 0);
        drop(&f);
    }
}

TEST(ring_reader_that_comes_late_starts_at_the_next_message_and_has_lost_none) {
    struct fixture f;
    unsigned char m[64];
    const unsigned char *p;
    uint32_t n;
    make(&f, 4096);
    for (uint64_t before = 0; before < 300; before++) {
        assert_int_equal(put(&f, m, fill(m, before, 8 + before % 50)), 0);
        sp_ring_publish(&f.w);
        struct sp_ring_cursor c;
        sp_ring_attach(&f.r, &c);
        assert_int_equal(sp_ring_next(&f.r, &c, NULL, NULL, 1, &p, &n), 0);
        assert_int_equal(c.sequence, before + 1);
        assert_int_equal(c.lost, 0);
        sp_ring_detach(&c);
    }
    drop(&f);
}

TEST(ring_reader_that_is_told_where_to_start_counts_what_it_missed) {
    struct fixture f;
    unsigned char m[1008];
    const unsigned char *p;
    uint32_t n;
    make(&f, 4096);
    for (uint64_t i = 0; i < 50; i++) {
        struct sp_ring_cursor now, late;
        sp_ring_attach(&f.r, &now);
        assert_int_equal(now.sequence, i);
        assert_int_equal(now.position, f.w.written);
        for (uint64_t k = 0; k <= i % 8; k++) /* the longest there are, and short ones */
            assert_int_equal(put(&f, m, fill(m, k, i % 3 ? sizeof(m) : 8)), 0);
        sp_ring_publish(&f.w);
        sp_ring_attach_at(&late, now.position, now.sequence);
        uint64_t got = 0;
        while (sp_ring_next(&f.r, &late, NULL, NULL, 1, &p, &n) == 1) got++;
        assert_int_equal(got + late.lost, i % 8 + 1);
        sp_ring_detach(&late);
        sp_ring_detach(&now);
        drop(&f);
        make(&f, 4096);
        for (uint64_t k = 0; k <= i; k++)
            assert_int_equal(put(&f, m, fill(m, k, k % 3 ? sizeof(m) : 8)), 0);
        sp_ring_publish(&f.w);
    }
    drop(&f);
}

TEST(ring_writer_stops_at_the_limit_and_believes_no_impossible_position) {
    struct fixture f;
    unsigned char m[240];
    const unsigned char *p;
    uint32_t n;
    make(&f, 4096);
    sp_ring_limit(&f.w, 0);
    unsigned put_n = 0;
    while (put(&f, m, fill(m, put_n, sizeof(m))) == 0) put_n++;
    assert_int_equal(put_n, 4096 / 256);
    sp_ring_publish(&f.w);
    sp_ring_limit(&f.w, UINT64_MAX - 5000);
    sp_ring_limit(&f.w, 4097);
    assert_int_equal(put(&f, m, sizeof(m)), -EAGAIN);
    assert_int_equal(next(&f, &p, &n), 1);
    assert_int_equal(verify(p, n), 0);
    sp_ring_limit(&f.w, f.c.position);
    assert_int_equal(put(&f, m, fill(m, put_n, sizeof(m))), 0);
    assert_int_equal(put(&f, m, sizeof(m)), -EAGAIN);
    drop(&f);
}

TEST(ring_writer_that_waits_is_rung_by_who_passes_the_mark) {
    struct fixture f;
    make(&f, 4096);
    assert_false(sp_ring_wanted(&f.r, 0, 4096));
    sp_ring_want(&f.w, 1000);
    assert_false(sp_ring_wanted(&f.r, 0, 999));
    assert_true(sp_ring_wanted(&f.r, 999, 1000));
    assert_false(sp_ring_wanted(&f.r, 1000, 2000));
    sp_ring_want(&f.w, 0);
    assert_false(sp_ring_wanted(&f.r, 0, 4096));
    drop(&f);
}

static bool starts_with(void *user, const unsigned char *bytes, size_t n) {
    const char *prefix = user;
    return n >= strlen(prefix) && memcmp(bytes, prefix, strlen(prefix)) == 0;
}

TEST(ring_passes_over_what_is_not_wanted) {
    struct fixture f;
    const unsigned char *p;
    uint32_t n;
    make(&f, 4096);
    for (int i = 0; i < 10; i++) assert_int_equal(put(&f, i % 5 == 4 ? "b!" : "a?", 2), 0);
    sp_ring_publish(&f.w);
    assert_int_equal(sp_ring_next(&f.r, &f.c, starts_with, "b", 3, &p, &n), 0);
    assert_true(sp_ring_pending(&f.r, &f.c));
    assert_int_equal(sp_ring_next(&f.r, &f.c, starts_with, "b", 3, &p, &n), 1);
    assert_memory_equal(p, "b!", 2);
    assert_int_equal(sp_ring_next(&f.r, &f.c, starts_with, "b", 100, &p, &n), 1);
    assert_int_equal(sp_ring_next(&f.r, &f.c, starts_with, "b", 100, &p, &n), 0);
    assert_false(sp_ring_pending(&f.r, &f.c));
    assert_int_equal(f.c.lost, 0);
    drop(&f);
}

TEST(ring_of_wrong_sizes_is_none) {
    struct sp_ring r;
    struct sp_ring_writer w;
    uint32_t *m = shared(64 * 1024);
    assert_int_equal(sp_ring_format(m, 5000, 100, &w), -EINVAL);
    assert_int_equal(sp_ring_format(m, 4096, 1025, &w), -EINVAL);
    assert_int_equal(sp_ring_format(m, 2048, 100, &w), -EINVAL);
    assert_int_equal(sp_ring_format(m, 8192, 100, &w), 0);
    assert_int_equal(sp_ring_open(m, 8192 + 4096, &r), 0);
    assert_int_equal(sp_ring_open(m, 8192 + 4095, &r), -EBADMSG);
    assert_int_equal(sp_ring_open(m, 100, &r), -EBADMSG);
    m[0]++;
    assert_int_equal(sp_ring_open(m, 8192 + 4096, &r), -EBADMSG);
    munmap(m, 64 * 1024);
}

TEST(ring_reader_refuses_lengths_and_numbers_that_cannot_be) {
    static const struct {
        size_t at;
        uint32_t value;
    } wrong[] = {{0, 0xffffffff}, {0, 4000}, {0, 40}, {4, 1}, {8, 7}};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct fixture f;
        const unsigned char *p;
        uint32_t n;
        make(&f, 4096);
        assert_int_equal(put(&f, "hello", 5), 0);
        sp_ring_publish(&f.w);
        memcpy(f.w.ring.data + wrong[i].at, &wrong[i].value, 4);
        assert_int_equal(next(&f, &p, &n), -EBADMSG);
        drop(&f);
    }
}

TEST(ring_reader_refuses_a_writer_that_goes_back) {
    struct fixture f;
    const unsigned char *p;
    uint32_t n;
    make(&f, 4096);
    assert_int_equal(put(&f, "hello", 5), 0);
    sp_ring_publish(&f.w);
    assert_int_equal(next(&f, &p, &n), 1);
    f.w.written = 0;
    sp_ring_publish(&f.w);
    assert_int_equal(next(&f, &p, &n), -EBADMSG);
    drop(&f);
}

TEST(ring_side_is_rung_once_for_each_arming) {
    struct sp_side *s = shared(SP_SIDE_BYTES);
    uint32_t rung = 0;
    assert_false(sp_side_asks(s, &rung));
    sp_side_arm(s);
    assert_true(sp_side_asks(s, &rung));
    assert_false(sp_side_asks(s, &rung));
    sp_side_arm(s);
    assert_true(sp_side_asks(s, &rung));
    sp_side_show(s, 63, 77);
    assert_int_equal(sp_side_position(s, 63), 77);
    munmap(s, SP_SIDE_BYTES);
}

/* ---- stress: the writer laps its readers all the time, and no torn message may get through ----
 */

enum { STRESS_MESSAGES = 400000 };

struct stress {
    struct fixture f;
    _Atomic bool done, read;
    uint64_t got, lost;
    bool torn, broken;
};

static void read_all(struct stress *s) {
    struct sp_ring_cursor c;
    const unsigned char *p;
    uint32_t n;
    uint64_t before = 0;
    sp_ring_attach_first(&c);
    for (;;) {
        bool done = atomic_load(&s->done);
        int rc = sp_ring_next(&s->f.r, &c, NULL, NULL, 1, &p, &n);
        if (rc < 0) s->broken = true;
        if (rc < 0 || (rc == 0 && done)) break;
        if (rc == 0) sched_yield();
        if (rc <= 0) continue;
        uint64_t number = verify(p, n);
        if (number == UINT64_MAX || (s->got && number <= before)) s->torn = true;
        before = number;
        s->got++;
    }
    s->lost = c.lost;
    sp_ring_detach(&c);
}

static void *reader_thread(void *user) {
    read_all(user);
    return NULL;
}

static void write_all(struct stress *s) {
    unsigned char m[256];
    for (uint64_t i = 0; i < STRESS_MESSAGES; i++) {
        if (put(&s->f, m, fill(m, i, 8 + i % 200))) abort();
        if (i % 3 == 0) sp_ring_publish(&s->f.w);
    }
    sp_ring_publish(&s->f.w);
    atomic_store(&s->done, true);
}

static void check(const struct stress *s) {
    assert_false(s->torn);
    assert_false(s->broken);
    assert_int_equal(s->got + s->lost, STRESS_MESSAGES);
}

TEST(ring_stress_threads_see_no_torn_message_and_count_every_loss) {
    struct stress *s = shared(sizeof(*s));
    pthread_t t;
    make(&s->f, 4096);
    assert_int_equal(pthread_create(&t, NULL, reader_thread, s), 0);
    write_all(s);
    pthread_join(t, NULL);
    check(s);
    drop(&s->f);
    munmap(s, sizeof(*s));
}

TEST(ring_stress_processes_see_no_torn_message_and_count_every_loss) {
    struct stress *s = shared(sizeof(*s));
    make(&s->f, 16384);
    signal(SIGCHLD, SIG_IGN); /* nobody waits for it but for its word */
    if (fork() == 0) {
        alarm(60);
        read_all(s);
        atomic_store(&s->read, true);
        _exit(0);
    }
    write_all(s);
    for (int i = 0; i < 60000 && !atomic_load(&s->read); i++) usleep(1000);
    signal(SIGCHLD, SIG_DFL);
    assert_true(s->read);
    check(s);
    drop(&s->f);
    munmap(s, sizeof(*s));
}

/* ---- stress: both sleep, and neither may sleep for ever ---- */

struct sleepers {
    struct fixture f;
    struct sp_side reader;
    _Alignas(64) _Atomic uint32_t reader_bell;
    _Atomic uint32_t writer_bell;
    uint64_t got;
};

/* A bell that only counts: whoever waits for it spins, so a missed ring is a test that hangs. */
static void wait_bell(_Atomic uint32_t *bell) {
    for (uint64_t i = 0; !atomic_exchange(bell, 0); i++) {
        if (i > 200000000) abort();
        sched_yield();
    }
}

static void *sleepy_reader(void *user) {
    struct sleepers *s = user;
    const unsigned char *p;
    uint32_t n;
    uint64_t shown = 0;
    while (s->got < STRESS_MESSAGES / 4) {
        int rc = next(&s->f, &p, &n);
        if (rc < 0 || (rc == 1 && verify(p, n) != s->got)) abort();
        if (rc == 1) {
            s->got++;
            continue;
        }
        sp_side_show(&s->reader, 0, s->f.c.position);
        if (sp_ring_wanted(&s->f.r, shown, s->f.c.position)) atomic_store(&s->writer_bell, 1);
        shown = s->f.c.position;
        sp_side_arm(&s->reader);
        if (!sp_ring_pending(&s->f.r, &s->f.c)) wait_bell(&s->reader_bell);
    }
    return NULL;
}

TEST(ring_stress_nobody_sleeps_through_a_wake_up_and_block_loses_nothing) {
    struct sleepers *s = shared(sizeof(*s));
    unsigned char m[64];
    uint32_t rung = 0;
    pthread_t t;
    make(&s->f, 4096);
    assert_int_equal(pthread_create(&t, NULL, sleepy_reader, s), 0);
    sp_ring_limit(&s->f.w, 0);
    for (uint64_t i = 0; i < STRESS_MESSAGES / 4; i++) {
        while (put(&s->f, m, fill(m, i, 8 + i % 57)) < 0) {
            sp_ring_publish(&s->f.w);
            if (sp_side_asks(&s->reader, &rung)) atomic_store(&s->reader_bell, 1);
            uint64_t seen = sp_side_position(&s->reader, 0);
            if (seen + 4096 != s->f.w.limit) {
                sp_ring_limit(&s->f.w, seen);
                continue;
            }
            sp_ring_want(&s->f.w, seen + 16);
            if (sp_side_position(&s->reader, 0) == seen) wait_bell(&s->writer_bell);
            sp_ring_want(&s->f.w, 0);
        }
        if (i % 7) continue;
        sp_ring_publish(&s->f.w);
        if (sp_side_asks(&s->reader, &rung)) atomic_store(&s->reader_bell, 1);
    }
    sp_ring_publish(&s->f.w);
    if (sp_side_asks(&s->reader, &rung)) atomic_store(&s->reader_bell, 1);
    pthread_join(t, NULL);
    assert_int_equal(s->got, STRESS_MESSAGES / 4);
    assert_int_equal(s->f.c.lost, 0);
    drop(&s->f);
    munmap(s, sizeof(*s));
}
