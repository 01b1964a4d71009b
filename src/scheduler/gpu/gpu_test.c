#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "base/test.h"
#include "scheduler/gpu/gpu.h"

static struct gpu_demand *demand_of(const struct gpu_ask *asks, const int *counts, size_t n) {
    struct gpu_demand *d = calloc(1, sizeof *d);
    assert_non_null(d);
    for (size_t i = 0; i < n; i++)
        for (int j = 0; j < counts[i]; j++) gpu_demand_add(d, &asks[i]);
    assert_true(gpu_demand_settle(d, true));
    return d;
}

static struct gpu_room room_of(int64_t cpu_milli, const uint16_t *idle, uint8_t n) {
    struct gpu_room r = {.cpu_milli = cpu_milli, .usable = -1, .n = n};
    memcpy(r.idle, idle, n * sizeof *idle);
    return r;
}

TEST(prices_say_how_much_of_a_device_a_share_takes) {
    static const unsigned sizes[] = {810, 160, 470};
    static const double counts[] = {100, 10, 50};
    float worth[GPU_WHOLE + 1];
    gpu_prices(sizes, counts, 3, worth);
    assert_float_equal(worth[GPU_WHOLE], 1000, 0.01);
    assert_float_equal(worth[810], 1000, 0.01); /* nothing else fits beside it but what is rare */
    assert_float_equal(worth[190], 0, 0.01);
    assert_float_equal(worth[470], 500, 0.01);
    assert_float_equal(worth[469], 0, 0.01);
}

TEST(prices_without_shares_know_whole_devices_only) {
    float worth[GPU_WHOLE + 1];
    gpu_prices(NULL, NULL, 0, worth);
    assert_float_equal(worth[GPU_WHOLE], 1000, 0.01);
    assert_float_equal(worth[GPU_WHOLE - 1], 0, 0.01);
}

TEST(a_share_goes_where_the_least_is_lost) {
    static const struct gpu_ask asks[] = {{1000, 0, 1, 300}, {1000, 0, 1, 700}, {1000, 0, 1, 1000}};
    static const int counts[] = {10, 10, 10};
    OWN(free_p) struct gpu_demand *d = demand_of(asks, counts, 3);
    static const uint16_t idle[] = {1000, 500, 300, 700};
    struct gpu_room r = room_of(64000, idle, 4);
    uint32_t devices;
    gpu_cost(d, &r, &asks[0], &devices);
    assert_int_equal(devices, 1u << 2);
    gpu_cost(d, &r, &asks[1], &devices);
    assert_int_equal(devices, 1u << 3);
    gpu_cost(d, &r, &asks[2], &devices);
    assert_int_equal(devices, 1u << 0);
}

TEST(a_pod_keeps_off_the_cpu_that_gpus_need) {
    static const struct gpu_ask asks[] = {{8000, 0, 1, 1000}, {16000, 0, 0, 0}};
    static const int counts[] = {10, 2};
    OWN(free_p) struct gpu_demand *d = demand_of(asks, counts, 2);
    static const uint16_t idle[] = {1000, 1000};
    struct gpu_room tight = room_of(24000, idle, 2), rich = room_of(48000, idle, 2);
    uint32_t devices;
    assert_true(gpu_cost(d, &rich, &asks[1], &devices) < gpu_cost(d, &tight, &asks[1], &devices));
    assert_int_equal(devices, 0);
}

TEST(what_fits_needs_cpu_model_and_devices) {
    static const uint16_t idle[] = {1000, 400};
    struct gpu_room r = room_of(4000, idle, 2);
    r.model = 3;
    assert_true(gpu_fits(&r, &(struct gpu_ask){4000, 0, 1, 1000}));
    assert_false(gpu_fits(&r, &(struct gpu_ask){4001, 0, 1, 1000}));
    assert_false(gpu_fits(&r, &(struct gpu_ask){4000, 0, 2, 1000}));
    assert_true(gpu_fits(&r, &(struct gpu_ask){4000, 1u << 3, 1, 400}));
    assert_false(gpu_fits(&r, &(struct gpu_ask){4000, 1u << 2, 1, 400}));
    assert_true(gpu_fits(&r, &(struct gpu_ask){4000, 1u << 2, 0, 0}));
}

TEST(devices_come_back) {
    static const uint16_t idle[] = {1000, 400, 1000};
    struct gpu_room r = room_of(8000, idle, 3);
    struct gpu_ask two = {2000, 0, 2, 1000};
    uint32_t devices = gpu_whole_devices(&r, &two);
    assert_int_equal(devices, 5);
    gpu_take(&r, &two, devices, 1);
    assert_int_equal(gpu_idle(&r), 400);
    assert_int_equal(r.cpu_milli, 6000);
    gpu_take(&r, &two, devices, -1);
    assert_int_equal(gpu_idle(&r), 2400);
}

TEST(what_is_typical_follows_the_pods_and_fades) {
    OWN(free_p) struct gpu_demand *d = calloc(1, sizeof *d);
    assert_non_null(d);
    struct gpu_ask old = {1000, 0, 1, 500}, new = {2000, 0, 1, 1000};
    for (int i = 0; i < 100; i++) gpu_demand_add(d, &old);
    assert_true(gpu_demand_settle(d, false));
    assert_int_equal(d->typical[0].ask.milli, 500);
    gpu_demand_add(d, &new);
    assert_false(gpu_demand_settle(d, false)); /* one more changes nothing */
    for (int i = 0; i < 8 * GPU_FADE; i++) gpu_demand_add(d, &new);
    assert_true(gpu_demand_settle(d, false));
    assert_int_equal(d->n_typical, 1);
    assert_int_equal(d->typical[0].ask.milli, 1000);
}

TEST(more_kinds_of_pods_than_are_remembered_do_no_harm) {
    OWN(free_p) struct gpu_demand *d = calloc(1, sizeof *d);
    assert_non_null(d);
    for (int i = 0; i < 3 * GPU_ASKS_MAX; i++)
        gpu_demand_add(d, &(struct gpu_ask){i, 0, 1, (uint16_t)(1 + i % 1000)});
    assert_true(d->n_asks <= GPU_ASKS_MAX);
    assert_true(gpu_demand_settle(d, true));
    static const uint16_t idle[] = {1000, 1000};
    struct gpu_room r = room_of(64000, idle, 2);
    uint32_t devices = 0;
    gpu_cost(d, &r, &(struct gpu_ask){1000, 0, 1, 500}, &devices);
    assert_int_not_equal(devices, 0);
}
