#include "controllers/autoscaling/fixture.h"

#include <stdio.h>

void add_web(struct world *w, int replicas) {
    char json[700];
    snprintf(json, sizeof json,
             "{\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\",\"metadata\":{\"name\":\"web\","
             "\"namespace\":\"default\"},\"spec\":{\"replicas\":%d,\"selector\":{\"matchLabels\":"
             "{\"app\":\"web\"}},\"template\":{\"metadata\":{\"labels\":{\"app\":\"web\"}}}},"
             "\"status\":{\"replicas\":%d}}",
             replicas, replicas);
    world_add_json(w, json);
}

void add_web_pod(struct world *w, int i, const char *requests, bool ready) {
    char json[900];
    snprintf(json, sizeof json,
             "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"web-%d\","
             "\"namespace\":\"default\",\"uid\":\"u-%d\",\"labels\":{\"app\":\"web\"}},\"spec\":{"
             "\"containers\":[{\"name\":\"c\",\"resources\":{\"requests\":{%s}}}]},\"status\":{"
             "\"phase\":\"Running\",\"startTime\":\"2025-12-31T23:00:00Z\",\"conditions\":[{"
             "\"type\":\"Ready\",\"status\":\"%s\",\"lastTransitionTime\":\"2025-12-31T23:00:05Z\""
             "}],\"containerStatuses\":[{\"name\":\"c\"}]}}",
             i, i, requests, ready ? "True" : "False");
    world_add_json(w, json);
}

void web_uses(struct world *w, int pods, const char *cpu, const char *memory) {
    OWN(buf_done) struct buf b = {0};
    OWN(arena_free_p) struct arena *a = arena_new();
    buf_str(&b, "{\"items\":[");
    for (int i = 0; i < pods; i++)
        buf_printf(&b,
                   "%s{\"metadata\":{\"name\":\"web-%d\",\"namespace\":\"default\"},\"timestamp\":"
                   "\"%s\",\"window\":\"1s\",\"containers\":[{\"name\":\"c\",\"usage\":{\"cpu\":"
                   "\"%s\",\"memory\":\"%s\"}}]}",
                   i ? "," : "", i, now_text(a, w), cpu, memory);
    buf_str(&b, "]}");
    world_set_fact(w, METRICS_PODS_PATH, world_now_ns(w), buf_view(&b), NULL);
}
