#include "base/own.h"
#include "node/checks/grpc_check.h"
#include "node/checks/probes.h"
#include "node/images.h"
#include "node/pods/backoff.h"
#include "node/pods/dns_config.h"
#include "node/pods/orphans.h"
#include "node/pods/resources.h"
#include "node/streams/cri_log.h"
#include "node/test_pods.h"

#include <string.h>

TEST(backoff_doubles_from_the_second_end_on) {
    struct backoff b = {0};
    backoff_exited(&b, 1000, 5);
    assert_false(backoff_waiting(&b, 1000));
    backoff_exited(&b, 1000, 5);
    assert_int_equal(b.delay_ms, 10000);
    backoff_exited(&b, 20000, 5);
    assert_int_equal(b.delay_ms, 20000);
    for (int i = 0; i < 10; i++) backoff_exited(&b, 30000, 5);
    assert_int_equal(b.delay_ms, 300000);
    assert_true(backoff_waiting(&b, 329999));
    backoff_exited(&b, 30000, BACKOFF_RESET_MS);
    assert_false(backoff_waiting(&b, 30000));
}

TEST(backoff_text_is_a_go_duration) {
    char t[24];
    backoff_text(t, 10000);
    assert_string_equal(t, "10s");
    backoff_text(t, 80000);
    assert_string_equal(t, "1m20s");
    backoff_text(t, 300000);
    assert_string_equal(t, "5m0s");
}

static const struct dns_settings dns = {
    "10.96.0.10", "cluster.local",
    "# x\nnameserver 1.1.1.1\nsearch corp.example\noptions rotate\n"};

static const char *resolv(struct arena *a, struct buf *b, const char *spec) {
    buf_clear(b);
    dns_resolv_conf(b, test_object(a, arena_printf(a, "\"spec\":{%s}", spec)), &dns);
    return b->p ? b->p : "";
}

TEST(resolv_conf_follows_the_policy) {
    OWN(arena_free_p) struct arena *a = arena_new();
    OWN(buf_done) struct buf b = {0};
    assert_string_equal(
        resolv(a, &b, ""),
        "search shop.svc.cluster.local svc.cluster.local cluster.local corp.example\n"
        "nameserver 10.96.0.10\noptions ndots:5\n");
    assert_string_equal(resolv(a, &b, "\"dnsPolicy\":\"Default\""),
                        "search corp.example\nnameserver 1.1.1.1\noptions rotate\n");
    assert_string_equal(resolv(a, &b, "\"hostNetwork\":true"),
                        "search corp.example\nnameserver 1.1.1.1\noptions rotate\n");
    assert_string_equal(
        resolv(a, &b,
               "\"dnsPolicy\":\"None\",\"dnsConfig\":{\"nameservers\":[\"9.9.9.9\"],"
               "\"searches\":[\"a.b\"],\"options\":[{\"name\":\"ndots\",\"value\":"
               "\"2\"},{\"name\":\"edns0\"}]}"),
        "search a.b\nnameserver 9.9.9.9\noptions ndots:2 edns0\n");
    assert_non_null(
        strstr(resolv(a, &b, "\"dnsConfig\":{\"options\":[{\"name\":\"ndots\",\"value\":\"1\"}]}"),
               "options ndots:1\n"));
}

TEST(etc_hosts_has_the_pod_and_its_aliases) {
    OWN(arena_free_p) struct arena *a = arena_new();
    OWN(buf_done) struct buf b = {0};
    dns_etc_hosts(&b,
                  test_object(a,
                              "\"spec\":{\"hostname\":\"h\",\"subdomain\":\"sub\",\"hostAliases\":["
                              "{\"ip\":\"1.2.3.4\",\"hostnames\":[\"x\",\"y\"]}]}"),
                  &dns, "10.244.0.7", "");
    assert_non_null(strstr(b.p, "10.244.0.7\th.sub.shop.svc.cluster.local\th\n"));
    assert_non_null(strstr(b.p, "1.2.3.4\tx\ty\n"));
}

TEST(cri_lines_are_taken_apart) {
    struct cri_line l;
    assert_int_equal(cri_line_parse(SLICE("2024-01-02T03:04:05.000000000Z stderr F a b"), &l), 0);
    assert_true(l.is_stderr && !l.partial);
    assert_true(slice_is(l.message, "a b"));
    assert_int_equal(cri_line_parse(SLICE("2024-01-02T03:04:05.000000000Z stdout P "), &l), 0);
    assert_true(l.partial && l.message.n == 0);
    assert_true(cri_line_parse(SLICE("hello"), &l) < 0);
    assert_true(cri_line_parse(SLICE("2024-01-02T03:04:05.000000000Z other F x"), &l) < 0);
}

TEST(probe_counts_reach_their_thresholds) {
    struct core_v1_probe spec = {.success_threshold = 2, .failure_threshold = 3};
    struct probe_counts n = {0};
    assert_int_equal(probe_count(&n, &spec, true), PROBE_UNCHANGED);
    assert_int_equal(probe_count(&n, &spec, true), PROBE_PASSED);
    assert_int_equal(probe_count(&n, &spec, false), PROBE_UNCHANGED);
    assert_int_equal(probe_count(&n, &spec, true), PROBE_UNCHANGED); /* a failure starts anew */
    assert_int_equal(probe_count(&n, &spec, false), PROBE_UNCHANGED);
    assert_int_equal(probe_count(&n, &spec, false), PROBE_UNCHANGED);
    assert_int_equal(probe_count(&n, &spec, false), PROBE_FAILED);
}

TEST(a_container_that_was_never_ready_is_looked_at_early) {
    struct probe_pace p = {0};
    uint64_t now_ms = 5000;
    /* Looks at 0, 100, 300, 700 ms; the one of the period comes at 1000 and is no early one. */
    static const uint64_t delays_ms[] = {100, 200, 400, 300};
    for (size_t i = 0; i < ARRAY_LEN(delays_ms); i++) {
        uint64_t delay_ms = probe_pace_next(&p, now_ms, 1000, true);
        assert_int_equal(delay_ms, delays_ms[i]);
        assert_int_equal(p.early, i < 3);
        now_ms += delay_ms;
    }
    assert_int_equal(probe_pace_next(&p, now_ms, 1000, true), 800);
    now_ms += 800;
    assert_int_equal(probe_pace_next(&p, now_ms, 1000, true), 200);
    now_ms += 200;
    assert_int_equal(probe_pace_next(&p, now_ms, 1000, true), 1000); /* no early ones any more */
    assert_false(p.early);
}

TEST(a_slow_early_look_delays_none_that_counts) {
    struct probe_pace p = {0};
    assert_int_equal(probe_pace_next(&p, 0, 1000, true), 100);
    assert_int_equal(probe_pace_next(&p, 1500, 1000, true), 0);
    assert_false(p.early);
    assert_int_equal(probe_pace_next(&p, 1500, 1000, true), 200);
}

TEST(a_passed_probe_keeps_its_period) {
    struct probe_pace p = {0};
    assert_int_equal(probe_pace_next(&p, 100, 10000, true), 100);
    assert_true(p.early);
    assert_int_equal(probe_pace_next(&p, 200, 10000, false), 9900);
    assert_false(p.early);
    assert_int_equal(probe_pace_next(&p, 10100, 10000, false), 10000);
}

TEST(quality_of_service_and_oom_score) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct broker_resources r;
    const struct core_v1_pod *p = test_object(
        a, "\"spec\":{\"containers\":[{\"name\":\"a\",\"resources\":{\"limits\":{\"cpu\":\"500m\","
           "\"memory\":\"64Mi\"}}}]}");
    assert_string_equal(resources_qos(&p->spec), "Guaranteed");
    resources_container(p, &p->spec.containers.v[0], 1LL << 30, &r);
    assert_int_equal(r.cpu_shares, 512);
    assert_int_equal(r.cpu_quota_us, 50000);
    assert_int_equal(r.memory_limit_bytes, 64 << 20);
    assert_int_equal(r.oom_score_adj, -997);
    p = test_object(a, "\"spec\":{\"containers\":[{\"name\":\"a\",\"resources\":{\"requests\":{"
                       "\"memory\":\"256Mi\"}}}]}");
    assert_string_equal(resources_qos(&p->spec), "Burstable");
    resources_container(p, &p->spec.containers.v[0], 1LL << 30, &r);
    assert_int_equal(r.oom_score_adj, 750);
    assert_int_equal(r.memory_limit_bytes, -1);
    p = test_object(a, "\"spec\":{\"containers\":[{\"name\":\"a\"}]}");
    resources_container(p, &p->spec.containers.v[0], 1LL << 30, &r);
    assert_int_equal(r.oom_score_adj, 1000);
    assert_int_equal(r.cpu_shares, 2);
}

TEST(requests_count_init_containers_as_peaks_and_sidecars_as_sums) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct resources_sum s;
    resources_request(
        test_object(
            a, "\"spec\":{\"initContainers\":[{\"name\":\"s\",\"restartPolicy\":\"Always\","
               "\"resources\":{\"requests\":{\"cpu\":\"1\"}}},{\"name\":\"i\",\"resources\":{"
               "\"requests\":{\"cpu\":\"3\"}}}],\"containers\":[{\"name\":\"a\",\"resources\":{"
               "\"requests\":{\"cpu\":\"2\"}}}]}"),
        &s);
    assert_int_equal(s.cpu_milli, 4000);
}

TEST(image_policy_depends_on_the_tag) {
    static const struct {
        const char *image, *policy;
    } cases[] = {{"busybox", "Always"},
                 {"busybox:latest", "Always"},
                 {"busybox:1", "IfNotPresent"},
                 {"host:5000/a", "Always"},
                 {"host:5000/a:2", "IfNotPresent"},
                 {"a@sha256:0", "IfNotPresent"}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct core_v1_container c = {.image = cases[i].image};
        assert_string_equal(image_policy(&c), cases[i].policy);
    }
}

TEST(image_references_are_checked) {
    static const char *const good[] = {"busybox", "a/b:1.0-X", "Host.example:5000/a/b",
                                       "localhost/x:y", "a@sha256:00"};
    static const char *const bad[] = {"", "UPPER", "a//b", "a b", "/a", "a:", "a/B:1", "a\n"};
    for (size_t i = 0; i < ARRAY_LEN(good); i++) assert_true(image_reference_valid(good[i]));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) assert_false(image_reference_valid(bad[i]));
}

TEST(image_credentials_are_found_by_registry) {
    OWN(arena_free_p) struct arena *a = arena_new();
    const char *user = NULL, *password = NULL;
    struct slice config =
        SLICE("{\"auths\":{\"https://reg.example:5000/v2/\":{\"auth\":\"dTpw\"},"
              "\"https://index.docker.io/v1/\":{\"username\":\"d\",\"password\":\"e\"}}}");
    assert_int_equal(image_credentials(a, config, "reg.example:5000/x:1", &user, &password), 0);
    assert_string_equal(user, "u");
    assert_string_equal(password, "p");
    assert_int_equal(image_credentials(a, config, "busybox", &user, &password), 0);
    assert_string_equal(user, "d");
    assert_true(image_credentials(a, config, "other.example/x", &user, &password) < 0);
}

TEST(grpc_health_messages) {
    OWN(buf_done) struct buf b = {0};
    grpc_health_request(&b, NULL);
    assert_int_equal(b.n, GRPC_PREFIX_BYTES);
    buf_clear(&b);
    grpc_health_request(&b, "db");
    assert_memory_equal(b.p, "\0\0\0\0\4\x0a\2db", 9);
    assert_int_equal(grpc_health_status(slice_from("\0\0\0\0\2\x08\1", 7)), 1);
    assert_int_equal(grpc_health_status(slice_from("\0\0\0\0\0", 5)), 0);
    assert_true(grpc_health_status(slice_from("\0\0\0\0\2\x08", 6)) < 0);
    assert_true(grpc_health_status(slice_from("\1\0\0\0\2\x08\1", 7)) < 0);
    assert_true(grpc_health_status(slice_from("\0\0\0\0\2\x08\x09", 7)) < 0);
    assert_true(grpc_health_status(slice_from("", 0)) < 0);
}

TEST(orphaned_logs_are_known_by_their_directory) {
    struct slice ns, pod, uid;
    assert_true(orphans_log_name("shop_web-1.a_6f0c", &ns, &pod, &uid));
    assert_true(slice_is(ns, "shop") && slice_is(pod, "web-1.a") && slice_is(uid, "6f0c"));
    assert_false(orphans_log_name("..", &ns, &pod, &uid));
    assert_false(orphans_log_name("a_b", &ns, &pod, &uid));
    assert_false(orphans_log_name("_b_c", &ns, &pod, &uid));
}
