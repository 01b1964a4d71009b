#include "api/kinds/hpa_annotations.h"

#include <stdlib.h>

#include "api/patch/patch.h"
#include "base/own.h"
#include "base/test.h"

static const struct {
    const char *key, *v2, *v1;
} cases[] = {
    {HPA_METRICS,
     "[{\"type\":\"Resource\",\"resource\":{\"name\":\"memory\",\"target\":{\"type\":"
     "\"Utilization\","
     "\"averageUtilization\":50}}}]",
     "[{\"type\":\"Resource\",\"resource\":{\"name\":\"memory\",\"targetAverageUtilization\":50}}"
     "]"},
    {HPA_METRICS,
     "[{\"type\":\"ContainerResource\",\"containerResource\":{\"name\":\"cpu\",\"container\":\"c\","
     "\"target\":{\"type\":\"AverageValue\",\"averageValue\":\"1\"}}}]",
     "[{\"type\":\"ContainerResource\",\"containerResource\":{\"name\":\"cpu\",\"container\":\"c\","
     "\"targetAverageValue\":\"1\"}}]"},
    {HPA_METRICS,
     "[{\"type\":\"Pods\",\"pods\":{\"metric\":{\"name\":\"m\",\"selector\":{\"matchLabels\":{"
     "\"a\":\"b\"}}},\"target\":{\"type\":\"AverageValue\",\"averageValue\":\"5\"}}}]",
     "[{\"type\":\"Pods\",\"pods\":{\"metricName\":\"m\",\"selector\":{\"matchLabels\":{\"a\":"
     "\"b\"}},\"targetAverageValue\":\"5\"}}]"},
    {HPA_METRICS,
     "[{\"type\":\"Object\",\"object\":{\"describedObject\":{\"kind\":\"Ingress\",\"name\":\"i\"},"
     "\"metric\":{\"name\":\"m\"},\"target\":{\"type\":\"Value\",\"value\":\"7\"}}}]",
     "[{\"type\":\"Object\",\"object\":{\"target\":{\"kind\":\"Ingress\",\"name\":\"i\"},"
     "\"metricName\":\"m\",\"targetValue\":\"7\"}}]"},
    {HPA_METRICS,
     "[{\"type\":\"External\",\"external\":{\"metric\":{\"name\":\"m\",\"selector\":{}},\"target\":"
     "{\"type\":\"AverageValue\",\"averageValue\":\"2\"}}}]",
     "[{\"type\":\"External\",\"external\":{\"metricName\":\"m\",\"metricSelector\":{},"
     "\"targetAverageValue\":\"2\"}}]"},
    {HPA_CURRENT,
     "[{\"type\":\"Resource\",\"resource\":{\"name\":\"cpu\",\"current\":{\"averageUtilization\":9,"
     "\"averageValue\":\"5m\"}}}]",
     "[{\"type\":\"Resource\",\"resource\":{\"name\":\"cpu\",\"currentAverageUtilization\":9,"
     "\"currentAverageValue\":\"5m\"}}]"},
    {HPA_CONDITIONS, "[{\"type\":\"AbleToScale\",\"status\":\"True\"}]",
     "[{\"type\":\"AbleToScale\",\"status\":\"True\"}]"},
    {HPA_BEHAVIOR,
     "{\"scaleUp\":{\"stabilizationWindowSeconds\":0,\"policies\":[{\"type\":\"Pods\",\"value\":4,"
     "\"periodSeconds\":15}]}}",
     "{\"ScaleUp\":{\"StabilizationWindowSeconds\":0,\"Policies\":[{\"Type\":\"Pods\",\"Value\":4,"
     "\"PeriodSeconds\":15}]}}"},
};

static json_t *parsed(const char *text) {
    json_t *v = json_loads(text, 0, NULL);
    assert_non_null(v);
    return v;
}

TEST(annotations_of_the_first_version_are_as_kubernetes_writes_them) {
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        OWN(json_decref_p) json_t *v2 = parsed(cases[i].v2), *v1 = parsed(cases[i].v1);
        OWN(json_decref_p) json_t *from = hpa_annotation_from(cases[i].key, v2);
        OWN(json_decref_p) json_t *to = hpa_annotation_to(cases[i].key, v1);
        if (!json_equal(from, v1)) fail_msg("%s", json_dumps(from, 0));
        if (!json_equal(to, v2)) fail_msg("%s", json_dumps(to, 0));
    }
}

TEST(annotations_that_make_no_sense_are_left_out) {
    static const char *const texts[] = {"{}", "[]", "7", "\"text\"", "null"};
    static const char *const keys[] = {HPA_METRICS, HPA_CURRENT, HPA_CONDITIONS};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        OWN(json_decref_p) json_t *v = json_loads(texts[i], JSON_DECODE_ANY, NULL);
        for (size_t j = 0; j < ARRAY_LEN(keys); j++) assert_null(hpa_annotation_to(keys[j], v));
    }
    OWN(json_decref_p) json_t *odd = parsed("[1,{\"type\":2,\"pods\":\"x\",\"object\":{}}]");
    OWN(json_decref_p) json_t *read = hpa_annotation_to(HPA_METRICS, odd);
    assert_int_equal(json_array_size(read), 2);
}
