/* The figures of nodes and pods as a Table: one row for each, a pod's containers added up. */
#include <jansson.h>

#include "api/patch/patch.h"
#include "base/own.h"
#include "proto/json.h"
#include "server/metrics/metrics_api.h"

static const char columns[] =
    "[{\"name\":\"Name\",\"type\":\"string\",\"format\":\"name\",\"description\":\"What was "
    "measured.\",\"priority\":0},{\"name\":\"cpu\",\"type\":\"string\",\"format\":\"\","
    "\"description\":\"Processor time that is used per second.\",\"priority\":0},{\"name\":"
    "\"memory\",\"type\":\"string\",\"format\":\"\",\"description\":\"Working set.\",\"priority\":"
    "0},{\"name\":\"Window\",\"type\":\"string\",\"format\":\"\",\"description\":\"Time over which "
    "it was measured.\",\"priority\":0}]";

/* "5n" and "12Ki" as put_usage() of metrics_api.c writes them. */
static int64_t figure(const json_t *of, const char *key) {
    const char *text = json_string_value(json_object_get(json_object_get(of, "usage"), key));
    return text ? strtoll(text, NULL, 10) : 0;
}

static int64_t sum(const json_t *item, const char *key) {
    const json_t *containers = json_object_get(item, "containers"), *one;
    int64_t total = figure(item, key);
    size_t i;
    json_array_foreach(containers, i, one) { total += figure(one, key); }
    return total;
}

static void put_row(struct buf *b, const json_t *item) {
    const json_t *metadata = json_object_get(item, "metadata");
    const char *window = json_string_value(json_object_get(item, "window"));
    int64_t cpu = sum(item, "cpu");
    buf_str(b, "{\"cells\":[");
    buf_json_str(b, slice_of(json_string_value(json_object_get(metadata, "name"))));
    buf_printf(b, ",\"%lld%s\",\"%lldKi\",", (long long)cpu, cpu ? "n" : "",
               (long long)sum(item, "memory"));
    buf_json_str(b, slice_of(str_or(window, "")));
    buf_str(b, "],\"object\":{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/v1\","
               "\"metadata\":");
    json_write(b, metadata);
    buf_str(b, "}}");
}

void metrics_table(struct buf *b, const char *version, struct slice items) {
    OWN(buf_done) struct buf text = {0};
    OWN(json_decref_p) json_t *all = NULL;
    const json_t *item;
    size_t i;
    buf_char(&text, '[');
    buf_slice(&text, items);
    buf_char(&text, ']');
    if (json_parse(buf_view(&text), &all, NULL) < 0) all = NULL;
    buf_printf(b,
               "{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/%s\",\"metadata\":{},"
               "\"columnDefinitions\":%s,\"rows\":[",
               str_or(version, "v1"), columns);
    json_array_foreach(all, i, item) {
        if (i) buf_char(b, ',');
        put_row(b, item);
    }
    buf_str(b, "]}\n");
}
