#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api/codec/packed.h"
#include "api/registry.h"
#include "api/table.h"
#include "base/limits.h"
#include "base/own.h"
#include "base/test.h"

static struct arena *arena;

static void *decode(const struct api_type *t, const char *json) {
    struct err err = {0};
    void *obj = NULL;
    arena_free(arena);
    arena = arena_new();
    if (api_decode(arena, t, slice_of(json), NULL, &obj, &err) < 0) fail_msg("%s", err.text);
    return obj;
}

static void assert_encodes(const struct api_type *t, const void *obj, const char *json) {
    OWN(buf_done) struct buf b = {0};
    api_encode(&b, t, obj);
    assert_string_equal(b.p, json);
}

static void assert_round(const struct api_type *t, const char *in, const char *out) {
    assert_encodes(t, decode(t, in), out);
}

TEST(a_quantity_that_is_null_is_zero) {
    assert_round(&core_v1_resource_requirements_type, "{\"limits\":{\"cpu\":null}}",
                 "{\"limits\":{\"cpu\":\"0\"}}");
}

TEST(codec_writes_fields_in_schema_order_without_empty_ones) {
    assert_round(
        &core_v1_config_map_type,
        " { \"data\" : {\"b\":\"2\",\"a\":\"1\\n\"} , \"kind\":\"ConfigMap\","
        "\"metadata\":{\"name\":\"x\",\"labels\":{},\"generation\":0},\"apiVersion\":\"v1\"}",
        "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"x\"},"
        "\"data\":{\"a\":\"1\\n\",\"b\":\"2\"}}");
}

TEST(codec_keeps_absent_and_zero_apart_where_the_schema_does) {
    struct apps_v1_deployment_spec *d = decode(&apps_v1_deployment_spec_type, "{\"replicas\":0}");
    assert_non_null(d->replicas);
    assert_int_equal(*d->replicas, 0);
    assert_null(d->progress_deadline_seconds);
    d = decode(&apps_v1_deployment_spec_type, "{\"replicas\":null}");
    assert_null(d->replicas);
}

TEST(codec_canonicalises_quantities_times_and_durations) {
    assert_round(&core_v1_resource_requirements_type,
                 "{\"limits\":{\"cpu\":0.5,\"memory\":\"1024Mi\"}}",
                 "{\"limits\":{\"cpu\":\"500m\",\"memory\":\"1Gi\"}}");
    assert_round(&meta_v1_object_meta_type,
                 "{\"creationTimestamp\":\"2026-01-02T03:04:05.6+02:00\"}",
                 "{\"creationTimestamp\":\"2026-01-02T01:04:05Z\"}");
    assert_round(&coordination_v1_lease_spec_type, "{\"renewTime\":\"2026-01-02T03:04:05.6Z\"}",
                 "{\"renewTime\":\"2026-01-02T03:04:05.600000Z\"}");
}

TEST(codec_keeps_64_bit_integers_exact) {
    assert_round(&meta_v1_object_meta_type, "{\"generation\":9223372036854775807}",
                 "{\"generation\":9223372036854775807}");
    assert_round(&meta_v1_object_meta_type, "{\"generation\":-9223372036854775808}",
                 "{\"generation\":-9223372036854775808}");
}

TEST(codec_keeps_raw_values_as_they_are_without_space) {
    assert_round(&meta_v1_managed_fields_entry_type,
                 "{\"fieldsV1\": {\"f:a b\" : { \".\" : {} , \"n\": [1, 2.50, \"x\\\" y\"]} } }",
                 "{\"fieldsV1\":{\"f:a b\":{\".\":{},\"n\":[1,2.50,\"x\\\" y\"]}}}");
}

static void assert_fails(const struct api_type *t, const char *json, const char *text,
                         const char *field) {
    struct err err = {0};
    void *obj = NULL;
    OWN(arena_free_p) struct arena *a = arena_new();
    assert_int_not_equal(api_decode(a, t, slice_of(json), NULL, &obj, &err), 0);
    assert_string_equal(err.text, text);
    assert_string_equal(err.field, field);
    assert_int_equal(err_http(err.reason), 400);
}

TEST(decode_names_the_field_of_a_wrong_type_as_upstream_does) {
    assert_fails(&apps_v1_deployment_type, "{\"spec\":{\"replicas\":\"x\"}}",
                 "json: cannot unmarshal string into Go struct field "
                 "DeploymentSpec.spec.replicas of type int32",
                 "spec.replicas");
    assert_fails(&core_v1_pod_type, "{\"spec\":{\"containers\":[{},{\"image\":3}]}}",
                 "json: cannot unmarshal number into Go struct field "
                 "Container.spec.containers.image of type string",
                 "spec.containers[1].image");
    assert_fails(&core_v1_pod_type, "{\"spec\":{\"containers\":{}}}",
                 "json: cannot unmarshal object into Go struct field "
                 "PodSpec.spec.containers of type []v1.Container",
                 "spec.containers");
    assert_fails(&core_v1_pod_type, "{\"metadata\":{\"labels\":{\"a\":1}}}",
                 "json: cannot unmarshal number into Go struct field "
                 "ObjectMeta.metadata.labels.a of type string",
                 "metadata.labels.a");
    assert_fails(&apps_v1_deployment_type, "{\"spec\":{\"replicas\":2147483648}}",
                 "json: cannot unmarshal number 2147483648 into Go struct field "
                 "DeploymentSpec.spec.replicas of type int32",
                 "spec.replicas");
    assert_fails(&apps_v1_deployment_type, "{\"spec\":{\"replicas\":1.5}}",
                 "json: cannot unmarshal number 1.5 into Go struct field "
                 "DeploymentSpec.spec.replicas of type int32",
                 "spec.replicas");
    assert_fails(&core_v1_pod_type, "[]",
                 "json: cannot unmarshal array into Go value of type v1.Pod", "");
}

TEST(decode_refuses_bad_texts_with_their_field) {
    assert_fails(&core_v1_secret_type, "{\"data\":{\"k\":\"a*\"}}", "illegal base64 data: \"a*\"",
                 "data.k");
    assert_fails(&core_v1_resource_requirements_type, "{\"limits\":{\"cpu\":\"1x\"}}",
                 "quantities must match the regular expression "
                 "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
                 "limits.cpu");
    assert_fails(&meta_v1_object_meta_type, "{\"creationTimestamp\":\"soon\"}",
                 "parsing time \"soon\" as \"2006-01-02T15:04:05Z07:00\": cannot parse",
                 "creationTimestamp");
}

TEST(decode_refuses_what_is_not_json) {
    static const char *const bad[] = {"",
                                      "{",
                                      "{\"a\"}",
                                      "{\"spec\":}",
                                      "{} {}",
                                      "{\"a\":1,}",
                                      "{\"a\":\"\\u0000\"}",
                                      "{\"a\":\"\\ud800\"}",
                                      "{\"a\":\"\xff\"}",
                                      "{\"a\":01}",
                                      "{\"a\":\"\x01\"}",
                                      "{\"a\":tru}"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err err = {0};
        void *obj;
        OWN(arena_free_p) struct arena *a = arena_new();
        if (api_decode(a, &core_v1_pod_type, slice_of(bad[i]), NULL, &obj, &err) == 0)
            fail_msg("accepted %s", bad[i]);
        assert_true(str_starts(err.text, "invalid JSON at byte "));
    }
}

static const char strange[] =
    "{\"spec\":{\"foo\":1,\"containers\":[{\"name\":\"a\",\"nam\":{},\"name\":\"b\"}],"
    "\"foo\":2},\"metadata\":{\"labels\":{\"x\":\"1\",\"x\":\"2\"}}}";

TEST(decode_strict_lists_every_unknown_and_duplicate_field) {
    const struct api_decode_opts opts = {.unknown = API_UNKNOWN_STRICT};
    struct err err = {0};
    void *obj;
    OWN(arena_free_p) struct arena *a = arena_new();
    assert_int_not_equal(api_decode(a, &core_v1_pod_type, slice_of(strange), &opts, &obj, &err), 0);
    assert_string_equal(
        err.text,
        "Pod in version \"v1\" cannot be handled as a Pod: strict decoding error: "
        "unknown field \"spec.foo\", unknown field \"spec.containers[0].nam\", "
        "duplicate field \"spec.containers[0].name\", duplicate field \"metadata.labels.x\"");
    assert_int_equal(err_http(err.reason), 400);
}

TEST(decode_warns_and_keeps_the_last_of_duplicates) {
    struct str_list warnings = {0};
    const struct api_decode_opts opts = {.unknown = API_UNKNOWN_WARN, .warnings = &warnings};
    struct err err = {0};
    void *obj;
    OWN(arena_free_p) struct arena *a = arena_new();
    assert_int_equal(api_decode(a, &core_v1_pod_type, slice_of(strange), &opts, &obj, &err), 0);
    assert_int_equal(warnings.n, 4);
    assert_string_equal(warnings.v[0], "unknown field \"spec.foo\"");
    const struct core_v1_pod *pod = obj;
    assert_string_equal(pod->spec.containers.v[0].name, "b");
    assert_string_equal(str_map_get(&pod->metadata.labels, "x"), "2");
    assert_int_equal(pod->metadata.labels.n, 1);
}

TEST(decode_bounds_depth_and_memory) {
    OWN(buf_done) struct buf b = {0};
    struct err err = {0};
    void *obj;
    OWN(arena_free_p) struct arena *a = arena_new();
    buf_str(&b, "{\"zzz\":");
    for (int i = 0; i < LIMIT_JSON_DEPTH; i++) buf_char(&b, '[');
    assert_int_not_equal(api_decode(a, &core_v1_pod_type, buf_view(&b), NULL, &obj, &err), 0);
    assert_non_null(strstr(err.text, "nested too deeply"));
    buf_clear(&b);
    buf_str(&b, "{\"spec\":{\"containers\":[{}");
    for (int i = 0; i < 1000000; i++) buf_str(&b, ",{}");
    buf_str(&b, "]}}");
    assert_int_not_equal(api_decode(a, &core_v1_pod_type, buf_view(&b), NULL, &obj, &err), 0);
    assert_int_equal(err.reason, ERR_TOO_LARGE);
    assert_true(arena_used(a) < 2 * (size_t)LIMIT_DECODE_BYTES);
}

/* ---- every type, every field ---- */

/* A JSON text with every field of t, down to `depth` levels of objects. */
static void fill(struct buf *b, const struct api_type *t, int depth);

static void fill_value(struct buf *b, const struct api_field *f, int depth) {
    static const char *const samples[] = {"\"text \\u00e9\\n\"",
                                          "\"aGk=\"",
                                          "\"1500m\"",
                                          "\"2026-01-02T03:04:05Z\"",
                                          "\"2026-01-02T03:04:05.000006Z\"",
                                          "\"1m30s\"",
                                          "true",
                                          "-7",
                                          "9007199254740993",
                                          "0.25",
                                          "\"30%\"",
                                          "{\"a\":[1,null]}"};
    if (f->form == API_OBJECT)
        fill(b, f->type, depth);
    else
        buf_str(b, samples[f->form]);
}

static void fill(struct buf *b, const struct api_type *t, int depth) {
    char separator = '{';
    for (unsigned i = 0; i < t->n_fields; i++) {
        const struct api_field *f = &t->fields[i];
        if (f->form == API_OBJECT && depth == 0) continue;
        buf_printf(b, "%c\"%s\":", separator, f->name);
        separator = ',';
        if (f->shape == API_LIST) buf_char(b, '[');
        if (f->shape == API_MAP) buf_str(b, "{\"k\":");
        if (f->shape == API_MAP_OF_LISTS) buf_str(b, "{\"k\":[");
        fill_value(b, f, depth - 1);
        if (f->shape == API_LIST) buf_char(b, ']');
        if (f->shape == API_MAP) buf_char(b, '}');
        if (f->shape == API_MAP_OF_LISTS) buf_str(b, "]}");
    }
    if (separator == '{') buf_char(b, '{');
    buf_char(b, '}');
}

static void check_packed(const struct api_type *t, const void *obj, const char *json) {
    OWN(buf_done) struct buf out = {0};
    struct slab slab = {0};
    struct api_pool *pool = api_pool_new(&slab);
    struct api_packed packed = {0};
    api_pack(pool, t, obj, &packed);
    void *room = calloc(1, packed.room_bytes); /* just enough, says the sanitizer */
    assert_non_null(room);
    api_encode(&out, t, api_unpack(t, packed.bytes.p, packed.parts.v, room));
    assert_string_equal(out.p, json);
    free(room);
    for (size_t i = 0; i < packed.parts.n; i++) api_part_unref(pool, packed.parts.v[i]);
    api_packed_done(&packed);
    api_pool_free(pool);
    slab_trim(&slab);
}

TEST(every_field_of_every_type_survives_the_round_trip_and_the_copy) {
    assert_true(api_type_table_n > 200);
    for (size_t i = 0; i < api_type_table_n; i++) {
        const struct api_type *t = api_type_table[i];
        const struct api_decode_opts strict = {.unknown = API_UNKNOWN_STRICT};
        OWN(buf_done) struct buf in = {0}, out = {0}, again = {0}, third = {0};
        OWN(arena_free_p) struct arena *a = arena_new(), *b = arena_new();
        struct err err = {0};
        void *obj, *obj2;
        fill(&in, t, 4);
        if (api_decode(a, t, buf_view(&in), &strict, &obj, &err) < 0)
            fail_msg("%s: %s", t->name, err.text);
        api_encode(&out, t, obj);
        if (api_decode(a, t, buf_view(&out), &strict, &obj2, &err) < 0)
            fail_msg("%s: %s in %s", t->name, err.text, out.p);
        api_encode(&again, t, obj2);
        assert_string_equal(out.p, again.p);
        assert_true(api_equal(t, obj, obj2));
        for (unsigned k = 0; k < t->n_fields; k++) {
            char name[80];
            snprintf(name, sizeof name, "\"%s\":", t->fields[k].name);
            if (!strstr(out.p, name)) fail_msg("%s: no %s in %s", t->name, name, out.p);
        }
        void *copy = api_copy(b, t, obj);
        check_packed(t, obj, out.p);
        arena_free(TAKE(a));
        api_encode(&third, t, copy);
        assert_string_equal(out.p, third.p);
    }
}

TEST(a_copied_list_can_grow) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct meta_v1_object_meta meta = {0};
    static const char *const names[] = {"a", "b", "c"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) *ARENA_PUSH(a, &meta.finalizers) = names[i];
    struct meta_v1_object_meta *copy = api_copy(a, &meta_v1_object_meta_type, &meta);
    const char *next = arena_str(a, "next");
    *ARENA_PUSH(a, &copy->finalizers) = "d";
    assert_string_equal(next, "next");
    assert_string_equal(copy->finalizers.v[2], "c");
    assert_int_equal(meta.finalizers.n, 3);
}

TEST(every_type_has_documented_fields) {
    for (size_t i = 0; i < api_type_table_n; i++) {
        const struct api_type *t = api_type_table[i];
        if (strlen(t->doc) < 4) fail_msg("%s has no doc text", t->name);
        for (unsigned k = 0; k < t->n_fields; k++)
            if (strlen(t->fields[k].doc) < 4)
                fail_msg("%s.%s has no doc text", t->name, t->fields[k].name);
    }
}

TEST(equal_sees_a_change_in_depth) {
    static const char x[] =
        "{\"spec\":{\"containers\":[{\"name\":\"a\",\"env\":[{\"name\":\"E\"}]}]}}";
    static const char y[] =
        "{\"spec\":{\"containers\":[{\"name\":\"a\",\"env\":[{\"name\":\"F\"}]}]}}";
    OWN(arena_free_p) struct arena *a = arena_new();
    void *p, *q;
    assert_int_equal(api_decode(a, &core_v1_pod_type, SLICE(x), NULL, &p, NULL), 0);
    assert_int_equal(api_decode(a, &core_v1_pod_type, SLICE(y), NULL, &q, NULL), 0);
    assert_true(api_equal(&core_v1_pod_type, p, p));
    assert_false(api_equal(&core_v1_pod_type, p, q));
}

/* ---- defaults and validation ---- */

TEST(default_fills_constants_and_is_idempotent) {
    struct core_v1_pod *pod = decode(
        &core_v1_pod_type, "{\"spec\":{\"containers\":[{\"name\":\"a\",\"livenessProbe\":"
                           "{\"httpGet\":{\"port\":80}},\"ports\":[{\"containerPort\":1}]}],"
                           "\"volumes\":[{\"name\":\"v\",\"configMap\":{\"name\":\"c\"}}]}}");
    api_default(arena, &core_v1_pod_type, pod);
    struct core_v1_pod *once = api_copy(arena, &core_v1_pod_type, pod);
    api_default(arena, &core_v1_pod_type, pod);
    assert_true(api_equal(&core_v1_pod_type, pod, once));
    assert_string_equal(pod->spec.restart_policy, "Always");
    assert_int_equal(*pod->spec.termination_grace_period_seconds, 30);
    assert_non_null(pod->spec.security_context);
    const struct core_v1_container *c = &pod->spec.containers.v[0];
    assert_string_equal(c->ports.v[0].protocol, "TCP");
    assert_int_equal(c->liveness_probe->failure_threshold, 3);
    assert_string_equal(c->liveness_probe->http_get->path, "/");
    assert_int_equal(*pod->spec.volumes.v[0].config_map->default_mode, 420);
}

static void assert_causes(const struct api_type *t, const char *json, const char *old,
                          const char *const *expected) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct api_causes causes = {.a = a};
    void *obj, *before = NULL;
    assert_int_equal(api_decode(a, t, slice_of(json), NULL, &obj, NULL), 0);
    if (old) assert_int_equal(api_decode(a, t, slice_of(old), NULL, &before, NULL), 0);
    api_validate(t, obj, before, "", &causes);
    size_t i = 0;
    for (; expected[i] && i < causes.n; i++) {
        const struct api_cause *c = &causes.v[i];
        assert_string_equal(arena_printf(a, "%s: %s", c->field, c->message), expected[i]);
    }
    if (i < causes.n) fail_msg("also %s: %s", causes.v[i].field, causes.v[i].message);
    if (expected[i]) fail_msg("missing %s", expected[i]);
}

TEST(validate_words_causes_as_upstream_does) {
    static const char *const none[] = {NULL};
    assert_causes(&core_v1_pod_type,
                  "{\"spec\":{\"containers\":[{\"name\":\"a\",\"image\":\"b\"}]}}", NULL, none);
    static const char *const expected[] = {
        "spec.volumes[1].name: Duplicate value: \"v\"",
        "spec.containers[0].name: Required value",
        "spec.containers[0].image: Required value",
        "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and "
        "65535, inclusive",
        "spec.containers[0].ports[0].protocol: Unsupported value: \"TCPP\": supported values: "
        "\"SCTP\", \"TCP\", \"UDP\"",
        "spec.containers[0].imagePullPolicy: Unsupported value: \"Ever\": supported values: "
        "\"Always\", \"IfNotPresent\", \"Never\"",
        "spec.terminationGracePeriodSeconds: Invalid value: -1: must be greater than or equal to 0",
        NULL};
    assert_causes(&core_v1_pod_type,
                  "{\"spec\":{\"terminationGracePeriodSeconds\":-1,\"volumes\":[{\"name\":\"v\"},"
                  "{\"name\":\"v\"}],\"containers\":[{\"imagePullPolicy\":\"Ever\",\"ports\":[{"
                  "\"containerPort\":70000,\"protocol\":\"TCPP\"}]}]}}",
                  NULL, expected);
    static const char *const immutable[] = {
        "spec.selector: Invalid value: {\"matchLabels\":{\"a\":\"2\"}}: field is immutable", NULL};
    assert_causes(&apps_v1_deployment_type,
                  "{\"spec\":{\"selector\":{\"matchLabels\":{\"a\":\"2\"}},\"template\":{\"spec\":{"
                  "\"containers\":[{\"name\":\"a\",\"image\":\"b\"}]}}}}",
                  "{\"spec\":{\"selector\":{\"matchLabels\":{\"a\":\"1\"}}}}", immutable);
}

TEST(validate_is_bounded_for_hostile_lists) {
    OWN(arena_free_p) struct arena *a = arena_new();
    OWN(buf_done) struct buf b = {0};
    struct api_causes causes = {.a = a};
    void *obj;
    buf_str(&b, "{\"spec\":{\"volumes\":[{}");
    for (int i = 0; i < 50000; i++) buf_printf(&b, ",{\"name\":\"v%d\"},{\"name\":\"v%d\"}", i, i);
    buf_str(&b, "]}}");
    assert_int_equal(api_decode(a, &core_v1_pod_type, buf_view(&b), NULL, &obj, NULL), 0);
    api_validate(&core_v1_pod_type, obj, NULL, "", &causes);
    assert_int_equal(causes.n, LIMIT_CAUSES);
    assert_string_equal(causes.v[0].field, "spec.volumes[2].name");
}

/* ---- registry ---- */

TEST(registry_finds_kinds) {
    size_t n;
    const struct api_kind *const *kinds = api_kinds(&n);
    assert_true(n > 40);
    for (size_t i = 1; i < n; i++) {
        int c = strcmp(kinds[i - 1]->group, kinds[i]->group);
        if (c == 0) c = strcmp(kinds[i - 1]->version, kinds[i]->version);
        if (c == 0) c = strcmp(kinds[i - 1]->kind, kinds[i]->kind);
        assert_true(c < 0);
    }
    const struct api_kind *pods = api_kind_by_plural("", "v1", "pods");
    assert_non_null(pods);
    assert_string_equal(pods->kind, "Pod");
    assert_string_equal(pods->store_prefix, "/pods.core/");
    assert_ptr_equal(pods, api_kind_by_api_version("v1", "Pod"));
    assert_ptr_equal(api_kind_by_name("apps", "v1", "Deployment"),
                     api_kind_by_api_version("apps/v1", "Deployment"));
    assert_null(api_kind_by_plural("apps", "v1", "pods"));
    assert_string_equal(api_kind_by_plural("events.k8s.io", "v1", "events")->store_prefix,
                        api_kind_by_plural("", "v1", "events")->store_prefix);
}
