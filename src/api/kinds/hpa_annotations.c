#include "api/kinds/hpa_annotations.h"

#include <stdio.h>

#include "base/own.h"
#include "base/slice.h"

static const char *const sources[] = {"object", "pods", "resource", "containerResource",
                                      "external"};

static void put(json_t *to, const char *key, const json_t *v) {
    if (v && !json_is_null(v)) json_object_set(to, key, (json_t *)(uintptr_t)(const void *)v);
}

/* "targetAverageValue" and the like: those of objects have no first part but for the value. */
static const char *value_key(char out[40], const char *source, const char *first,
                             const char *rest) {
    if (str_eq(source, "object") && str_eq(rest, "AverageValue")) return "averageValue";
    snprintf(out, 40, "%s%s", first, rest);
    return out;
}

static const struct {
    const char *v1, *v2, *type;
} values[] = {{"AverageUtilization", "averageUtilization", "Utilization"},
              {"AverageValue", "averageValue", "AverageValue"},
              {"Value", "value", "Value"}};

static const char *selector_key(const char *source) {
    return str_eq(source, "external") ? "metricSelector" : "selector";
}

static json_t *source_from(const char *source, const char *first, const json_t *o) {
    char key[40];
    json_t *out = json_object();
    const json_t *metric = json_object_get(o, "metric"), *value = json_object_get(o, first);
    put(out, "name", json_object_get(o, "name"));
    put(out, "container", json_object_get(o, "container"));
    put(out, "target", json_object_get(o, "describedObject"));
    put(out, "metricName", json_object_get(metric, "name"));
    put(out, selector_key(source), json_object_get(metric, "selector"));
    for (size_t i = 0; i < ARRAY_LEN(values); i++)
        put(out, value_key(key, source, first, values[i].v1), json_object_get(value, values[i].v2));
    return out;
}

static json_t *source_to(const char *source, const char *first, const json_t *o) {
    char key[40];
    bool object = str_eq(source, "object");
    json_t *out = json_object(), *value = json_object(), *metric = json_object();
    put(out, "name", json_object_get(o, "name"));
    put(out, "container", json_object_get(o, "container"));
    if (object) put(out, "describedObject", json_object_get(o, "target"));
    put(metric, "name", json_object_get(o, "metricName"));
    put(metric, "selector", json_object_get(o, selector_key(source)));
    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        const json_t *v = json_object_get(o, value_key(key, source, first, values[i].v1));
        put(value, values[i].v2, v);
        if (v && str_eq(first, "target") && !json_object_get(value, "type"))
            json_object_set_new(value, "type", json_string(values[i].type));
    }
    if (json_object_size(metric)) json_object_set(out, "metric", metric);
    json_object_set_new(out, first, value);
    json_decref(metric);
    return out;
}

typedef json_t *source_fn(const char *source, const char *first, const json_t *o);

static json_t *metrics(const json_t *list, const char *first, source_fn *shape) {
    json_t *out = json_array();
    const json_t *m;
    size_t i;
    json_array_foreach(list, i, m) {
        json_t *one = json_object();
        put(one, "type", json_object_get(m, "type"));
        for (size_t j = 0; j < ARRAY_LEN(sources); j++) {
            const json_t *o = json_object_get(m, sources[j]);
            if (json_is_object(o))
                json_object_set_new(one, sources[j], shape(sources[j], first, o));
        }
        json_array_append_new(out, one);
    }
    return out;
}

/* The first letter of each key, down to the fields of policies. */
enum { BEHAVIOR_DEPTH = 4 };

static json_t *recased(const json_t *v, bool upper, int depth) {
    const char *key;
    json_t *one;
    size_t i;
    if (!json_is_array(v) && !json_is_object(v))
        return json_copy((json_t *)(uintptr_t)(const void *)v);
    if (depth == BEHAVIOR_DEPTH) return json_null();
    if (json_is_array(v)) {
        json_t *out = json_array();
        json_array_foreach(v, i, one) {
            json_array_append_new(out, recased(one, upper, depth + 1));
        }
        return out;
    }
    json_t *out = json_object();
    json_object_foreach((json_t *)(uintptr_t)(const void *)v, key, one) {
        char name[64];
        snprintf(name, sizeof name, "%s", key);
        bool letter = upper ? *name >= 'a' && *name <= 'z' : *name >= 'A' && *name <= 'Z';
        if (letter) *name ^= 'a' ^ 'A';
        if (!json_is_null(one)) json_object_set_new(out, name, recased(one, upper, depth + 1));
    }
    return out;
}

static json_t *annotation(const char *key, const json_t *v, bool from) {
    source_fn *shape = from ? source_from : source_to;
    if (str_eq(key, HPA_BEHAVIOR)) return json_is_object(v) ? recased(v, from, 0) : NULL;
    if (!json_is_array(v) || !json_array_size(v)) return NULL;
    if (str_eq(key, HPA_METRICS)) return metrics(v, "target", shape);
    if (str_eq(key, HPA_CURRENT)) return metrics(v, "current", shape);
    return json_copy((json_t *)(uintptr_t)(const void *)v);
}

json_t *hpa_annotation_from(const char *key, const json_t *part) {
    return annotation(key, part, true);
}

json_t *hpa_annotation_to(const char *key, const json_t *value) {
    return annotation(key, value, false);
}
