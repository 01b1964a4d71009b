/* Events: core/v1, as they are stored, and events.k8s.io/v1. */
#include <string.h>

#include "api/codec/convert.h"
#include "api/kinds/kinds.h"

static void *to_events(struct arena *a, const void *obj) {
    const struct core_v1_event *e = obj;
    struct events_v1_event *n = ARENA_NEW(a, struct events_v1_event);
    n->metadata = e->metadata;
    n->event_time = e->event_time;
    if (e->series) {
        n->series = ARENA_NEW(a, struct events_v1_event_series);
        n->series->count = e->series->count;
        n->series->last_observed_time = e->series->last_observed_time;
    }
    n->reporting_controller = e->reporting_component;
    n->reporting_instance = e->reporting_instance;
    n->action = e->action;
    n->reason = e->reason;
    n->regarding = e->involved_object;
    n->related = e->related;
    n->note = e->message;
    n->type = e->type;
    n->deprecated_source = e->source;
    n->deprecated_first_timestamp = e->first_timestamp;
    n->deprecated_last_timestamp = e->last_timestamp;
    n->deprecated_count = e->count;
    return n;
}

static void *to_core(struct arena *a, const void *obj) {
    const struct events_v1_event *e = obj;
    struct core_v1_event *n = ARENA_NEW(a, struct core_v1_event);
    n->metadata = e->metadata;
    n->event_time = e->event_time;
    if (e->series) {
        n->series = ARENA_NEW(a, struct core_v1_event_series);
        n->series->count = e->series->count;
        n->series->last_observed_time = e->series->last_observed_time;
    }
    n->reporting_component = e->reporting_controller;
    n->reporting_instance = e->reporting_instance;
    n->action = e->action;
    n->reason = e->reason;
    n->involved_object = e->regarding;
    n->related = e->related;
    n->message = e->note;
    n->type = e->type;
    n->source = e->deprecated_source;
    n->first_timestamp = e->deprecated_first_timestamp;
    n->last_timestamp = e->deprecated_last_timestamp;
    n->count = e->deprecated_count;
    return n;
}

static const struct api_conversion core_to_events = {&core_v1_event_type, &events_v1_event_type,
                                                     to_events};
API_CONVERSION(core_to_events);
static const struct api_conversion events_to_core = {&events_v1_event_type, &core_v1_event_type,
                                                     to_core};
API_CONVERSION(events_to_core);

/* An event is in the namespace of its object; cluster objects' events are in "default". */
static void namespace_validate(const struct meta_v1_object_meta *meta,
                               const struct core_v1_object_reference *about, const char *field,
                               struct api_causes *causes) {
    bool cluster = str_empty(about->namespace);
    if (cluster ? !str_eq(meta->namespace, "default") && !str_eq(meta->namespace, "kube-system")
                : !str_eq(meta->namespace, about->namespace))
        cause_invalid(causes, path_of(causes, "%s.namespace", field), str_or(about->namespace, ""),
                      "does not match event.namespace");
}

static void core_validate(const void *obj, const void *old, const char *subresource,
                          struct api_causes *causes) {
    const struct core_v1_event *e = obj;
    namespace_validate(&e->metadata, &e->involved_object, "involvedObject", causes);
}

/* Limits of the new form (events.k8s.io/v1). */
static void too_long(const char *field, const char *value, size_t max, struct api_causes *causes) {
    if (value && strlen(value) > max)
        cause_invalid(causes, field, "", path_of(causes, "can have at most %zu characters", max));
}

static void events_validate(const void *obj, const void *old, const char *subresource,
                            struct api_causes *causes) {
    static const char *const types[] = {"Normal", "Warning"};
    const struct events_v1_event *e = obj;
    namespace_validate(&e->metadata, &e->regarding, "regarding", causes);
    if (old) {
        /* Not the note: Kubernetes up to 1.20 let it change, and its clients do. */
        static const char *const fields[] = {"eventTime",
                                             "reportingController",
                                             "reportingInstance",
                                             "action",
                                             "reason",
                                             "regarding",
                                             "related",
                                             "type",
                                             "deprecatedSource",
                                             "deprecatedFirstTimestamp",
                                             "deprecatedLastTimestamp",
                                             "deprecatedCount",
                                             NULL};
        api_validate_unchanged(&events_v1_event_type, e, old, fields, "", causes);
        return;
    }
    if (str_empty(e->event_time)) cause_required(causes, "eventTime", NULL);
    if (!str_empty(e->reporting_controller))
        name_validate(causes, "reportingController", NAME_QUALIFIED, e->reporting_controller);
    const struct {
        const char *field, *value;
    } required[] = {{"reportingController", e->reporting_controller},
                    {"reportingInstance", e->reporting_instance},
                    {"action", e->action},
                    {"reason", e->reason}};
    for (size_t i = 0; i < ARRAY_LEN(required); i++) {
        if (str_empty(required[i].value)) cause_required(causes, required[i].field, NULL);
        too_long(required[i].field, required[i].value, 128, causes);
    }
    if (e->series && e->series->count < 2)
        cause_invalid_int(causes, "series.count", e->series->count, "should be at least 2");
    if (e->series && str_empty(e->series->last_observed_time))
        cause_required(causes, "series.lastObservedTime", NULL);
    too_long("note", e->note, 1024, causes);
    if (!str_eq(e->type, types[0]) && !str_eq(e->type, types[1]))
        cause_not_supported(causes, "type", str_or(e->type, ""), types, 2);
}

static const struct api_column columns[] = {
    COLUMN("Last Seen", "Time since it happened last."),
    COLUMN("Type", "Normal or Warning."),
    COLUMN("Reason", "Short word for why."),
    COLUMN("Object", "What it happened to."),
    COLUMN_WIDE("Subobject", "Part of the object."),
    COLUMN_WIDE("Source", "Who reports it."),
    COLUMN("Message", "What happened."),
    COLUMN_WIDE("First Seen", "Time since it happened first."),
    COLUMN_WIDE("Count", "How often it happened."),
    {"Name", "string", "name", "Name must be unique within a namespace.", 1},
};

static const char *source_text(struct arena *a, const struct core_v1_event *e) {
    const char *component = str_or(e->source.component, str_or(e->reporting_component, ""));
    const char *instance = str_or(e->source.host, str_or(e->reporting_instance, ""));
    return *instance ? arena_printf(a, "%s, %s", component, instance) : component;
}

static const char *object_text(struct arena *a, const struct core_v1_object_reference *r) {
    char *kind = arena_str(a, str_or(r->kind, ""));
    for (char *p = kind; *p; p++)
        if (*p >= 'A' && *p <= 'Z') *p = (char)(*p - 'A' + 'a');
    return str_empty(r->name) ? kind : arena_printf(a, "%s/%s", kind, r->name);
}

static void core_row(struct arena *a, const void *obj, int64_t now_ns, struct api_cell *cells) {
    const struct core_v1_event *e = obj;
    const char *first = time_since(a, str_or(e->first_timestamp, e->event_time), now_ns);
    const char *last =
        str_empty(e->last_timestamp) ? first : time_since(a, e->last_timestamp, now_ns);
    int32_t count = e->count ? e->count : 1;
    if (e->series) {
        last = time_since(a, e->series->last_observed_time, now_ns);
        count = e->series->count;
    }
    cells[0] = cell_text(last);
    cells[1] = cell_text(e->type);
    cells[2] = cell_text(e->reason);
    cells[3] = cell_text(object_text(a, &e->involved_object));
    cells[4] = cell_text(e->involved_object.field_path);
    cells[5] = cell_text(source_text(a, e));
    cells[6] = cell_text(arena_strn(a, slice_trim(slice_of(str_or(e->message, "")))));
    cells[7] = cell_text(first);
    cells[8] = cell_text(arena_printf(a, "%d", count));
    cells[9] = cell_text(e->metadata.name);
}

static void events_row(struct arena *a, const void *obj, int64_t now_ns, struct api_cell *cells) {
    core_row(a, to_core(a, obj), now_ns, cells);
}

static const char *const core_fields[] = {"involvedObject.kind",
                                          "involvedObject.namespace",
                                          "involvedObject.name",
                                          "involvedObject.uid",
                                          "involvedObject.apiVersion",
                                          "involvedObject.resourceVersion",
                                          "involvedObject.fieldPath",
                                          "reason",
                                          "reportingComponent",
                                          "source",
                                          "type",
                                          NULL};

static const char *core_field(struct arena *a, const void *obj, const char *path) {
    const struct core_v1_event *e = obj;
    const struct core_v1_object_reference *o = &e->involved_object;
    const char *const values[] = {o->kind,
                                  o->namespace,
                                  o->name,
                                  o->uid,
                                  o->api_version,
                                  o->resource_version,
                                  o->field_path,
                                  e->reason,
                                  e->reporting_component,
                                  str_or(e->source.component, e->reporting_component),
                                  e->type};
    for (size_t i = 0; i < ARRAY_LEN(values); i++)
        if (str_eq(path, core_fields[i])) return str_or(values[i], "");
    return NULL;
}

static const char *const events_fields[] = {"regarding.kind",
                                            "regarding.namespace",
                                            "regarding.name",
                                            "regarding.uid",
                                            "regarding.apiVersion",
                                            "regarding.resourceVersion",
                                            "regarding.fieldPath",
                                            "reason",
                                            "reportingController",
                                            "type",
                                            NULL};

static const char *events_field(struct arena *a, const void *obj, const char *path) {
    const char *core = path;
    if (str_starts(path, "regarding."))
        core = arena_printf(a, "involvedObject.%s", path + 10);
    else if (str_eq(path, "reportingController"))
        core = "reportingComponent";
    return core_field(a, to_core(a, obj), core);
}

static const struct api_behavior event_behavior = {
    .group = "",
    .kind = "Event",
    .validate = core_validate,
    .columns = columns,
    .n_columns = ARRAY_LEN(columns),
    .row = core_row,
    .field = core_field,
    .fields = core_fields,
};
API_BEHAVIOR(event_behavior);

static const struct api_behavior events_event_behavior = {
    .group = "events.k8s.io",
    .kind = "Event",
    .version = "v1",
    .validate = events_validate,
    .columns = columns,
    .n_columns = ARRAY_LEN(columns),
    .row = events_row,
    .field = events_field,
    .fields = events_fields,
};
API_BEHAVIOR(events_event_behavior);
