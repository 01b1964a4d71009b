/* Answers of metrics servers, which may be foreign: any bytes are read without harm. */
#include "base/own.h"
#include "controllers/autoscaling/histogram.h"
#include "controllers/autoscaling/metrics.h"
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct slice body = slice_from(data, size);
    const struct pod_usages *pods = metrics_read_pods(a, body);
    const struct metric_values *values = metrics_read_values(a, body);
    FUZZ_ASSERT(pods && values);
    FUZZ_ASSERT(!pod_usage_get(pods, "no such namespace", "no such pod"));
    struct histogram h;
    histogram_init(&h, &histogram_cpu);
    if (histogram_read(&h, body, 1, 1)) {
        double p = histogram_percentile(&h, 0.9);
        FUZZ_ASSERT(p >= 0 && p < 1100);
    }
    histogram_unpack(&h, body);
    FUZZ_ASSERT(histogram_percentile(&h, 0.9) >= 0);
    return 0;
}
