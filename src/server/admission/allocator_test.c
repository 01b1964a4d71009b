#include "server/admission/allocator.h"

#include "base/own.h"
#include "base/test.h"
#include "wire/store.h"

static const struct settings settings = {.service_cidr = "10.9.8.0/28"};

static struct api *start(void) {
    struct api *api = calloc(1, sizeof *api);
    struct err err;
    cache_init(&api->cache);
    api->loop = loop_new(NULL);
    api->settings = &settings;
    assert_int_equal(allocator_start(api, &err), 0);
    cache_row(&api->cache, SLICE("/services.core/a/s"), 1,
              SLICE("{\"spec\":{\"clusterIP\":\"10.9.8.3\",\"ports\":[{\"nodePort\":30001}]}}"));
    cache_snapshot_end(&api->cache, 1, 0);
    allocator_fill(api);
    return api;
}

static void stop(struct api *api) {
    allocator_stop(api);
    cache_done(&api->cache);
    loop_free(api->loop);
    free(api);
}

TEST(addresses_and_ports_are_given_once) {
    struct api *api = start();
    struct arena *a = arena_new();
    const char *ip = NULL;
    int32_t port = 0;
    assert_int_equal(allocator_address(api, a, "10.9.8.3", "", &ip), ALLOCATION_TAKEN);
    assert_int_equal(allocator_address(api, a, "10.9.9.3", "", &ip), ALLOCATION_OUT_OF_RANGE);
    assert_int_equal(allocator_address(api, a, "nonsense", "", &ip), ALLOCATION_OUT_OF_RANGE);
    assert_int_equal(allocator_address(api, a, "10.9.8.2", NULL, &ip), ALLOCATED); /* a dry run */
    assert_int_equal(allocator_address(api, a, "10.9.8.2", "", &ip), ALLOCATED);
    assert_string_equal(ip, "10.9.8.2");
    assert_int_equal(allocator_address(api, a, "10.9.8.2", "", &ip), ALLOCATION_TAKEN);
    int given = 0;
    while (allocator_address(api, a, NULL, "", &ip) == ALLOCATED) given++;
    assert_in_range(given, 4, 12); /* of 14 addresses: two are taken, some are kept for names */
    assert_int_equal(allocator_port(api, 30001, "", &port), ALLOCATION_TAKEN);
    assert_int_equal(allocator_port(api, 80, "", &port), ALLOCATION_OUT_OF_RANGE);
    assert_int_equal(allocator_port(api, 30002, NULL, &port), ALLOCATED);
    assert_int_equal(allocator_port(api, 30002, "", &port), ALLOCATED);
    assert_int_equal(allocator_port(api, 0, "", &port), ALLOCATED);
    assert_in_range(port, NODE_PORT_FIRST, NODE_PORT_LAST);
    arena_free(a);
    stop(api);
}

TEST(a_service_may_ask_again_for_what_is_kept_for_it) {
    struct api *api = start();
    struct arena *a = arena_new();
    const char *ip;
    int32_t port, other;
    assert_int_equal(allocator_address(api, a, "10.9.8.2", "a/t", &ip), ALLOCATED);
    assert_int_equal(allocator_address(api, a, "10.9.8.2", "a/u", &ip), ALLOCATION_TAKEN);
    assert_int_equal(allocator_address(api, a, "10.9.8.2", "a/t", &ip), ALLOCATED);
    assert_int_equal(allocator_port(api, 30002, "a/t", &port), ALLOCATED);
    assert_int_equal(allocator_port(api, 30002, "", &port), ALLOCATION_TAKEN);
    assert_int_equal(allocator_port(api, 30002, NULL, &port), ALLOCATION_TAKEN);
    assert_int_equal(allocator_port(api, 30002, "a/t", &port), ALLOCATED);
    assert_int_equal(allocator_port(api, 30001, "a/t", &port), ALLOCATION_TAKEN); /* stored */
    assert_int_equal(allocator_port(api, 0, "a/t", &port), ALLOCATED);
    assert_int_equal(allocator_port(api, 0, "a/t", &other), ALLOCATED);
    assert_int_not_equal(port, other);
    arena_free(a);
    stop(api);
}

TEST(a_deleted_service_gives_its_numbers_back) {
    struct api *api = start();
    struct arena *a = arena_new();
    const char *ip;
    int32_t port;
    cache_event(&api->cache, STORE_DELETE, SLICE("/services.core/a/s"), 2, SLICE("{}"), 0);
    assert_int_equal(allocator_address(api, a, "10.9.8.3", "", &ip), ALLOCATED);
    assert_int_equal(allocator_port(api, 30001, "", &port), ALLOCATED);
    arena_free(a);
    stop(api);
}

TEST(a_service_network_must_be_one) {
    static const char *const bad[] = {"",     "10.0.0.0", "10.0.0.0/33", "10.0.0.0/30",
                                      "x/16", "fd00::/64"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct api *api = calloc(1, sizeof *api);
        struct settings s = {.service_cidr = bad[i]};
        struct err err;
        cache_init(&api->cache);
        api->settings = &s;
        assert_true(allocator_start(api, &err) < 0);
        assert_non_null(strstr(err.text, "service-cidr"));
        cache_done(&api->cache);
        free(api);
    }
}
