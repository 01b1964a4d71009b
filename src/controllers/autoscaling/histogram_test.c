#include "controllers/autoscaling/histogram.h"

#include <math.h>

#include "base/own.h"
#include "base/test.h"

static const int64_t hour_ns = 3600ll * 1000000000;
static const int64_t start_ns = 1767225600ll * 1000000000;

static bool near(double x, double y) { return fabs(x - y) <= 0.11 * y; }

TEST(a_percentile_is_known_to_a_bucket) {
    struct histogram h;
    histogram_init(&h, &histogram_cpu);
    assert_true(histogram_empty(&h));
    assert_true(histogram_percentile(&h, 0.9) == 0);
    for (int i = 1; i <= 100; i++) histogram_add(&h, i / 10.0, 1, start_ns);
    assert_true(near(histogram_percentile(&h, 0.5), 5));
    assert_true(near(histogram_percentile(&h, 0.9), 9));
    assert_true(histogram_percentile(&h, 0.9) >= 9);
    histogram_add(&h, 1e9, 1, start_ns); /* beyond the scale: the last bucket */
    assert_true(histogram_percentile(&h, 1) >= 900);
    histogram_add(&h, NAN, 1, start_ns);
    histogram_add(&h, -1, 1, start_ns);
    assert_true(fabs(h.total - 101) < 1e-6);
}

TEST(old_samples_weigh_less) {
    struct histogram h;
    histogram_init(&h, &histogram_cpu);
    for (int i = 0; i < 10; i++) histogram_add(&h, 8, 1, start_ns);
    for (int i = 0; i < 10; i++) histogram_add(&h, 1, 1, start_ns + 24 * 4 * hour_ns);
    assert_true(near(histogram_percentile(&h, 0.9), 1));    /* 10 against 10/16 */
    histogram_add(&h, 2, 1, start_ns + 24 * 200 * hour_ns); /* the reference moves */
    assert_true(isfinite(h.total) && h.total < 2);
    assert_true(near(histogram_percentile(&h, 0.5), 2));
}

TEST(a_sample_can_be_taken_back) {
    struct histogram h;
    histogram_init(&h, &histogram_memory);
    histogram_add(&h, 5e8, 1, start_ns);
    histogram_add(&h, 5e8, -1, start_ns);
    assert_true(histogram_empty(&h));
    histogram_add(&h, 2e8, 1, start_ns);
    assert_true(near(histogram_percentile(&h, 0.9), 2e8));
}

TEST(a_histogram_is_written_and_read_again) {
    struct histogram h, again;
    OWN(buf_done) struct buf b = {0};
    histogram_init(&h, &histogram_memory);
    histogram_init(&again, &histogram_memory);
    for (int i = 1; i < 50; i++) histogram_add(&h, i * 3e7, 1, start_ns + i * hour_ns);
    histogram_write(&h, &b);
    assert_true(histogram_read(&again, buf_view(&b), h.total, h.reference_ns));
    for (int p = 1; p < 10; p++)
        assert_true(
            near(histogram_percentile(&again, p / 10.0), histogram_percentile(&h, p / 10.0)));
    buf_clear(&b);
    histogram_pack(&h, &b);
    assert_true(histogram_unpack(&again, buf_view(&b)));
    assert_memory_equal(&again, &h, sizeof h);
    assert_false(histogram_unpack(&again, SLICE("1 2 176 1")));
    assert_false(histogram_unpack(&again, SLICE("1 nan")));
    assert_false(histogram_unpack(&again, SLICE("x 1")));
    assert_false(histogram_read(&again, SLICE("{\"0\":1,\"176\":3}"), 1, 0));
    assert_true(histogram_empty(&again));
    assert_false(histogram_read(&again, SLICE("{\"0\":-1}"), 1, 0));
    assert_false(histogram_read(&again, SLICE("{\"0\":5}"), NAN, 0));
    assert_true(histogram_read(&again, SLICE("{}"), 0, 0));
}
