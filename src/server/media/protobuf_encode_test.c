#include "api/registry.h"
#include "base/own.h"
#include "base/test.h"
#include "server/media/protobuf.h"

/* ---- a document that has every field of a type, as far as `depth` goes ---- */

enum { SAMPLE_DEPTH = 6 };

static void put_sample(struct buf *b, const struct api_type *t, unsigned depth);

static void put_sample_value(struct buf *b, const struct api_field *f, unsigned depth) {
    static const char *const texts[] = {
        [API_STRING] = "\"a \\\"b\\\" \\u00e9 \\n\"",
        [API_BYTES] = "\"AAEC/w==\"",
        [API_QUANTITY] = "\"1500m\"",
        [API_TIME] = "\"2024-02-29T12:34:56Z\"",
        [API_MICROTIME] = "\"1969-02-28T12:34:56.123456Z\"",
        [API_DURATION] = "\"1h30m0.5s\"",
        [API_BOOL] = "true",
        [API_INT32] = "-7",
        [API_INT64] = "-9007199254740993",
        [API_DOUBLE] = "-0.125",
        [API_INT_OR_STRING] = "\"50%\"",
        [API_RAW] = "{\"x\":[1,null,\"y\"]}",
    };
    if (f->form == API_OBJECT)
        put_sample(b, f->type, depth + 1);
    else
        buf_str(b, texts[f->form]);
}

static void put_sample(struct buf *b, const struct api_type *t, unsigned depth) {
    bool comma = false;
    buf_char(b, '{');
    for (unsigned i = 0; i < t->n_fields; i++) {
        const struct api_field *f = &t->fields[i];
        if (!f->number || (f->form == API_OBJECT && depth >= SAMPLE_DEPTH)) continue;
        if (protobuf_is_type_meta(t, f)) continue;
        buf_printf(b, "%s\"%s\":", comma ? "," : "", f->name);
        comma = true;
        if (f->shape == API_LIST) buf_char(b, '[');
        if (f->shape == API_MAP) buf_str(b, "{\"k\":");
        if (f->shape == API_MAP_OF_LISTS)
            buf_str(b, "{\"k\":[\"\",\"v\"]}");
        else
            put_sample_value(b, f, depth);
        if (f->shape == API_LIST) {
            buf_char(b, ',');
            put_sample_value(b, f, depth);
            buf_char(b, ']');
        }
        if (f->shape == API_MAP) buf_char(b, '}');
    }
    buf_char(b, '}');
}

static void check_round_trip(struct arena *a, const struct api_kind *k) {
    OWN(buf_done) struct buf text = {0}, canonical = {0}, message = {0}, back = {0}, again = {0};
    struct api_object *o, *o2;
    struct err err = {0};
    put_sample(&text, k->type, 0);
    if (api_object_decode(a, k, buf_view(&text), &o, &err) < 0)
        fail_msg("%s: %s", k->kind, err.text);
    o->api_version = k->api_version;
    o->kind = k->kind;
    api_object_encode(&canonical, k, o);
    if (protobuf_object(&message, a, buf_view(&canonical)) < 0) fail_msg("%s: encode", k->kind);
    if (protobuf_to_json(buf_view(&message), &back, &err) < 0)
        fail_msg("%s: %s", k->kind, err.text);
    if (api_object_decode(a, k, buf_view(&back), &o2, &err) < 0)
        fail_msg("%s: %s\n%s", k->kind, err.text, back.p);
    api_object_encode(&again, k, o2);
    assert_string_equal(canonical.p, again.p);
}

TEST(every_field_of_every_kind_survives_protobuf) {
    size_t n, checked = 0;
    const struct api_kind *const *kinds = api_kinds(&n);
    for (size_t i = 0; i < n; i++) {
        if (!protobuf_speaks(kinds[i]->type)) continue;
        struct arena *a = arena_new();
        check_round_trip(a, kinds[i]);
        arena_free(a);
        checked++;
    }
    assert_true(checked > 15);
}

/* ---- against bytes worked out by hand ---- */

static const struct api_kind *kind_of(const char *api_version, const char *kind) {
    return api_kind_by_api_version(api_version, kind);
}

#define assert_bytes(b, lit)                                                                       \
    do {                                                                                           \
        assert_int_equal((b).n, sizeof(lit) - 1);                                                  \
        assert_memory_equal((b).p, lit, sizeof(lit) - 1);                                          \
    } while (0)

TEST(a_config_map_with_its_envelope) {
    OWN(buf_done) struct buf b = {0};
    OWN(arena_free_p) struct arena *a = arena_new();
    assert_int_equal(protobuf_object(&b, a,
                                     SLICE("{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\","
                                           "\"metadata\":{\"name\":\"a\",\"creationTimestamp\":"
                                           "null},\"data\":{\"k\":\"val\"},\"other\":[1]}")),
                     0);
    assert_bytes(b, "k8s\0\x0a\x0f\x0a\x02v1\x12\x09"
                    "ConfigMap"
                    "\x12\x0f\x0a\x03\x0a\x01"
                    "a"
                    "\x12\x08\x0a\x01k\x12\x03val");
}

TEST(long_messages_have_long_lengths) {
    OWN(buf_done) struct buf json = {0}, b = {0};
    OWN(arena_free_p) struct arena *a = arena_new();
    buf_str(&json, "{\"metadata\":{\"name\":\"");
    for (int i = 0; i < 300; i++) buf_char(&json, 'n');
    buf_str(&json, "\"}}");
    assert_int_equal(protobuf_message(&b, a, kind_of("v1", "ConfigMap")->type, buf_view(&json)), 0);
    assert_int_equal(b.n, 306);
    assert_memory_equal(b.p, "\x0a\xaf\x02\x0a\xac\x02nnn", 9);
}

TEST(members_of_an_embedded_message_go_into_one) {
    OWN(buf_done) struct buf b = {0};
    OWN(arena_free_p) struct arena *a = arena_new();
    /* Probe: handler 1 { httpGet 2 { port 2 {type 1, intVal 2} } }, periodSeconds 4 */
    assert_int_equal(protobuf_message(&b, a, &core_v1_probe_type,
                                      SLICE("{\"httpGet\":{\"port\":80},\"periodSeconds\":9}")),
                     0);
    assert_bytes(b, "\x20\x09\x0a\x0a\x12\x08\x12\x06\x08\x00\x10\x50\x1a\x00");
}

TEST(times_durations_and_negative_numbers) {
    OWN(buf_done) struct buf b = {0};
    OWN(arena_free_p) struct arena *a = arena_new();
    assert_int_equal(
        protobuf_message(
            &b, a, &meta_v1_object_meta_type,
            SLICE("{\"generation\":-1,\"deletionTimestamp\":\"1970-01-01T00:00:05Z\"}")),
        0);
    assert_bytes(b, "\x38\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x4a\x04\x08\x05\x10\x00");
}

TEST(a_time_of_the_first_year_is_one) {
    OWN(buf_done) struct buf b = {0};
    OWN(arena_free_p) struct arena *a = arena_new();
    assert_int_equal(protobuf_message(&b, a, &meta_v1_object_meta_type,
                                      SLICE("{\"deletionTimestamp\":\"0001-01-01T00:00:02Z\"}")),
                     0);
    assert_bytes(b, "\x4a\x0d\x08\x82\x92\xb8\xc3\x98\xfe\xff\xff\xff\x01\x10\x00");
}

TEST(a_watch_frame_holds_an_envelope_in_an_event) {
    OWN(buf_done) struct buf b = {0};
    OWN(arena_free_p) struct arena *a = arena_new();
    assert_int_equal(protobuf_watch_frame(&b, a, "ADDED", kind_of("v1", "ConfigMap")->type, "v1",
                                          "ConfigMap", SLICE("{\"metadata\":{\"name\":\"a\"}}")),
                     0);
    assert_bytes(b, "\0\0\0\x27\x0a\x05"
                    "ADDED\x12\x1e\x0a\x1c"
                    "k8s\0\x0a\x0f\x0a\x02v1\x12\x09"
                    "ConfigMap"
                    "\x12\x05\x0a\x03\x0a\x01"
                    "a");
}

TEST(a_list_is_as_long_as_its_head_says) {
    OWN(buf_done) struct buf item = {0}, list = {0}, json = {0};
    OWN(arena_free_p) struct arena *a = arena_new();
    struct err err;
    protobuf_message(&item, a, kind_of("v1", "ConfigMap")->type,
                     SLICE("{\"metadata\":{\"name\":\"a\"}}"));
    size_t n = protobuf_item_bytes(item.n);
    protobuf_list_head(&list, "v1", "ConfigMap",
                       SLICE("\x12\x01"
                             "7"),
                       2 * n);
    for (int i = 0; i < 2; i++) {
        protobuf_item_head(&list, item.n);
        buf_slice(&list, buf_view(&item));
    }
    /* Read as a ConfigMap, metadata's 2 is a field it does not know; what counts is the framing. */
    assert_int_equal(protobuf_to_json(buf_view(&list), &json, &err), 0);
    list.n--;
    assert_true(protobuf_to_json(buf_view(&list), &json, &err) < 0);
}

TEST(what_is_no_such_object_is_refused_and_leaves_nothing) {
    static const char *const bad[] = {"",
                                      "[]",
                                      "{\"metadata\":{}}",
                                      "{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",\"data\":7}",
                                      "{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",\"data\":{",
                                      "{\"kind\":\"Nonsense\",\"apiVersion\":\"v1\"}",
                                      "{\"kind\":7,\"apiVersion\":\"v1\"}"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        OWN(buf_done) struct buf b = {0};
        OWN(arena_free_p) struct arena *a = arena_new();
        assert_true(protobuf_object(&b, a, slice_of(bad[i])) < 0);
        assert_int_equal(b.n, 0);
    }
}
