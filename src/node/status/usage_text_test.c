#include <string.h>

#include "base/own.h"
#include "base/test.h"
#include "node/status/usage.h"

static struct usage_container containers[] = {
    {.name = "web",
     .id = "c1",
     .image = "a\"b\\c\nd",
     .started_ns = 1700000000500000000,
     .memory_limit_bytes = 1000,
     .u = {.cpu_ns = 2500000000,
           .nanocores = 300,
           .working_set_bytes = 400,
           .usage_bytes = 500,
           .rss_bytes = 350,
           .cache_bytes = 90,
           .known = true,
           .rated = true}},
    {.name = "log",
     .id = "c2",
     .image = "busybox",
     .started_ns = 1700000000000000000,
     .u = {.cpu_ns = 1, .working_set_bytes = 2, .known = true}},
};
static struct usage_pod pods[] = {{.ns = "a",
                                   .name = "p",
                                   .uid = "u1",
                                   .started_ns = 1700000000000000000,
                                   .u = {.cpu_ns = 3000000000, .working_set_bytes = 600},
                                   .v = containers,
                                   .n = 2}};
static const struct usage_report report = {.node = "n1",
                                           .at_ns = 1700000060123000000,
                                           .window_ns = 1000000000,
                                           .boot_ns = 1600000000000000000,
                                           .cpus_milli = 2500,
                                           .memory_bytes = 8192,
                                           .available_bytes = 4096,
                                           .machine = {.cpu_ns = 9000000000, .rated = true},
                                           .v = pods,
                                           .n = 1};

static void assert_has(const struct buf *b, const char *text) {
    if (!strstr(b->p, text)) fail_msg("%s is not in %s", text, b->p);
}

TEST(a_summary_has_rates_and_rooms_only_where_they_are_known) {
    OWN(buf_done) struct buf b = {0};
    usage_summary(&b, &report);
    assert_has(&b, "{\"node\":{\"nodeName\":\"n1\",\"startTime\":\"2020-09-13T12:26:40Z\","
                   "\"cpu\":{\"time\":\"2023-11-14T22:14:20Z\",\"usageNanoCores\":0,"
                   "\"usageCoreNanoSeconds\":9000000000}");
    assert_has(&b, "\"availableBytes\":4096");
    assert_has(&b, "\"podRef\":{\"name\":\"p\",\"namespace\":\"a\",\"uid\":\"u1\"}");
    /* The limit less the working set. */
    assert_has(&b, "\"usageNanoCores\":300,\"usageCoreNanoSeconds\":2500000000},\"memory\":{"
                   "\"time\":\"2023-11-14T22:14:20Z\",\"availableBytes\":600,");
    /* No rate after one look, no room without a limit. */
    const char *log = strstr(b.p, "\"name\":\"log\"");
    assert_non_null(log);
    assert_null(strstr(log, "usageNanoCores"));
    assert_null(strstr(log, "availableBytes"));
}

TEST(a_container_above_its_limit_has_no_room_left) {
    OWN(buf_done) struct buf b = {0};
    containers[0].u.working_set_bytes = 1001;
    usage_summary(&b, &report);
    containers[0].u.working_set_bytes = 400;
    assert_has(&b, "\"availableBytes\":0,");
}

TEST(resource_metrics_are_in_seconds_with_milliseconds_of_time) {
    OWN(buf_done) struct buf b = {0};
    usage_resource(&b, &report);
    assert_has(&b, "\ncontainer_cpu_usage_seconds_total{container=\"web\",namespace=\"a\","
                   "pod=\"p\"} 2.5 1700000060123\n");
    assert_has(&b, "\npod_cpu_usage_seconds_total{namespace=\"a\",pod=\"p\"} 3 1700000060123\n");
    assert_has(&b, "\nnode_cpu_usage_seconds_total 9 1700000060123\n");
    assert_has(&b, "\ncontainer_memory_working_set_bytes{container=\"log\",namespace=\"a\","
                   "pod=\"p\"} 2 1700000060123\n");
}

TEST(every_series_has_its_help_and_type_once_and_before_it) {
    static void (*const forms[])(struct buf *, const struct usage_report *) = {
        usage_resource, usage_cadvisor, usage_agent};
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        OWN(buf_done) struct buf b = {0};
        forms[i](&b, &report);
        struct slice rest = buf_view(&b), line;
        char name[96] = "", type[128];
        while (slice_cut(&rest, '\n', &line) && line.n) {
            if (slice_starts(line, "# TYPE ")) {
                size_t n = strcspn(line.p + 7, " ");
                assert_true(n < sizeof name);
                memcpy(name, line.p + 7, n);
                name[n] = 0;
                snprintf(type, sizeof type, "# TYPE %s ", name);
                assert_null(strstr(line.p + line.n, type));
            } else if (line.p[0] != '#' &&
                       (!slice_starts(line, name) || !strchr("{ ", line.p[strlen(name)]))) {
                fail_msg("%.*s stands below %s", (int)line.n, line.p, name);
            }
        }
    }
}

TEST(label_values_of_cadvisor_are_escaped_and_the_pod_has_its_own_row) {
    OWN(buf_done) struct buf b = {0};
    usage_cadvisor(&b, &report);
    assert_has(&b, "container_memory_rss{container=\"web\",id=\"/podu1/c1\","
                   "image=\"a\\\"b\\\\c\\nd\",name=\"c1\",namespace=\"a\",pod=\"p\"} 350 ");
    assert_has(&b, "container_cpu_usage_seconds_total{container=\"\",cpu=\"total\",id=\"/podu1\","
                   "image=\"\",name=\"\",namespace=\"a\",pod=\"p\"} 3 ");
    assert_has(&b, "\nmachine_cpu_cores 2.5\n");
}
