#include <stdio.h>
#include <string.h>

#include "controllers/fixture.h"

/* ---- Endpoints and EndpointSlice ---- */

static void add_service(struct world *w, const char *spec) {
    char json[700];
    snprintf(json, sizeof json,
             "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"web\","
             "\"namespace\":\"default\",\"uid\":\"u-svc\",\"labels\":{\"team\":\"a\"}},\"spec\":{"
             "\"ports\":[{\"name\":\"http\",\"port\":80,\"protocol\":\"TCP\",\"targetPort\":"
             "\"web\"}]%s}}",
             spec);
    world_add_json(w, json);
}

static void add_backend(struct world *w, const char *name, int port, bool ready) {
    char json[700];
    snprintf(json, sizeof json,
             "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"%s\",\"namespace\":"
             "\"default\",\"labels\":{\"app\":\"web\"}},\"spec\":{\"nodeName\":\"n1\","
             "\"containers\":[{\"name\":\"c\",\"ports\":[{\"name\":\"web\",\"containerPort\":%d}]}]"
             "}}",
             name, port);
    const struct api_object *o = world_add_json(w, json);
    pod_runs(w, o, ready);
}

static const struct core_v1_endpoints *endpoints(const struct world *w) {
    return (const struct core_v1_endpoints *)world_get(w, "Endpoints", "default", "web");
}

static void settle_both(struct world *w) {
    settle(w, "endpoints", "default/web");
    settle(w, "endpointslice", "default/web");
}

static size_t slice_endpoints(const struct world *w, bool ready_only) {
    size_t n = 0;
    const struct api_object *o;
    for (size_t at = 0; (o = world_next(w, "EndpointSlice", "default", &at));) {
        const struct discovery_v1_endpoint_slice *s = (const void *)o;
        for (size_t i = 0; i < s->endpoints.n; i++)
            n += !ready_only || bool_or(s->endpoints.v[i].conditions.ready, true);
    }
    return n;
}

TEST(endpoints_follow_the_pods) {
    struct world *w = world_test_new();
    add_service(w, ",\"selector\":{\"app\":\"web\"},\"clusterIP\":\"10.96.0.9\"");
    settle_both(w);
    assert_int_equal(endpoints(w)->subsets.n, 0);
    assert_int_equal(world_count(w, "EndpointSlice"), 1); /* an empty one says: no endpoints */
    add_backend(w, "a", 8080, true);
    add_backend(w, "b", 8080, false);
    settle_both(w);
    const struct core_v1_endpoint_subset *s = &endpoints(w)->subsets.v[0];
    assert_int_equal(endpoints(w)->subsets.n, 1);
    assert_string_equal(s->addresses.v[0].target_ref->name, "a");
    assert_string_equal(s->not_ready_addresses.v[0].target_ref->name, "b");
    assert_int_equal(s->ports.v[0].port, 8080);
    assert_int_equal(slice_endpoints(w, false), 2);
    assert_int_equal(slice_endpoints(w, true), 1);
    pod_ends(w, (const struct api_object *)pod_get(w, "a"), "Failed");
    settle_both(w);
    assert_int_equal(slice_endpoints(w, false), 1);
    assert_int_equal(endpoints(w)->subsets.v[0].addresses.n, 0);
    world_free(w);
}

TEST(a_named_port_is_looked_up_in_each_pod) {
    struct world *w = world_test_new();
    add_service(w, ",\"selector\":{\"app\":\"web\"}");
    add_backend(w, "a", 8080, true);
    add_backend(w, "b", 9090, true);
    settle_both(w);
    assert_int_equal(endpoints(w)->subsets.n, 2);
    assert_int_equal(world_count(w, "EndpointSlice"), 2);
    world_remove(w, world_kind(w, "Pod"), "default", "b");
    settle_both(w);
    assert_int_equal(world_count(w, "EndpointSlice"), 1);
    world_free(w);
}

TEST(a_leaving_pod_serves_but_is_not_ready) {
    struct world *w = world_test_new();
    add_service(w, ",\"selector\":{\"app\":\"web\"}");
    add_backend(w, "a", 8080, true);
    struct arena *a;
    struct api_object *o = edit((const struct api_object *)pod_get(w, "a"), &a);
    o->metadata.deletion_timestamp = "2026-01-01T00:00:00Z";
    edit_done(w, a, o);
    settle_both(w);
    size_t at = 0;
    const struct discovery_v1_endpoint_slice *s =
        (const void *)world_next(w, "EndpointSlice", "default", &at);
    assert_false(*s->endpoints.v[0].conditions.ready);
    assert_true(*s->endpoints.v[0].conditions.serving);
    assert_true(*s->endpoints.v[0].conditions.terminating);
    assert_int_equal(endpoints(w)->subsets.n, 0);
    world_free(w);
}

TEST(many_endpoints_are_spread_and_the_old_form_is_cut) {
    struct world *w = world_test_new();
    add_service(w, ",\"selector\":{\"app\":\"web\"}");
    char name[20];
    for (int i = 0; i < 1001; i++) {
        snprintf(name, sizeof name, "p%04d", i);
        add_backend(w, name, 8080, true);
    }
    settle_both(w);
    assert_int_equal(world_count(w, "EndpointSlice"), 11);
    assert_int_equal(slice_endpoints(w, true), 1001);
    static const char capacity[] = "endpoints.kubernetes.io/over-capacity";
    assert_int_equal(endpoints(w)->subsets.v[0].addresses.n, 1000);
    assert_string_equal(str_map_get(&endpoints(w)->metadata.annotations, capacity), "truncated");
    world_remove(w, world_kind(w, "Pod"), "default", "p0000"); /* exactly the limit is whole */
    settle_both(w);
    assert_int_equal(endpoints(w)->subsets.v[0].addresses.n, 1000);
    assert_null(str_map_get(&endpoints(w)->metadata.annotations, capacity));
    world_free(w);
}

TEST(services_without_a_selector_are_left_alone) {
    struct world *w = world_test_new();
    add_service(w, "");
    add_backend(w, "a", 8080, true);
    settle_both(w);
    assert_null(endpoints(w));
    assert_int_equal(world_count(w, "EndpointSlice"), 0);
    /* A slice that its user made, and one of the controller from before the selector went. */
    world_add_json(w, "{\"apiVersion\":\"discovery.k8s.io/v1\",\"kind\":\"EndpointSlice\","
                      "\"metadata\":{\"name\":\"hand\",\"namespace\":\"default\",\"labels\":{"
                      "\"kubernetes.io/service-name\":\"web\"}},\"addressType\":\"IPv4\"}");
    world_add_json(w, "{\"apiVersion\":\"discovery.k8s.io/v1\",\"kind\":\"EndpointSlice\","
                      "\"metadata\":{\"name\":\"left\",\"namespace\":\"default\",\"labels\":{"
                      "\"kubernetes.io/service-name\":\"web\","
                      "\"endpointslice.kubernetes.io/managed-by\":"
                      "\"endpointslice-controller.k8s.io\"}},\"addressType\":\"IPv4\"}");
    settle_both(w);
    assert_non_null(world_get(w, "EndpointSlice", "default", "hand"));
    assert_null(world_get(w, "EndpointSlice", "default", "left"));
    world_free(w);
}

TEST(headless_services_are_marked_and_carry_hostnames) {
    struct world *w = world_test_new();
    add_service(w, ",\"selector\":{\"app\":\"web\"},\"clusterIP\":\"None\"");
    add_backend(w, "a", 8080, true);
    struct arena *a;
    struct core_v1_pod *p =
        (struct core_v1_pod *)edit((const struct api_object *)pod_get(w, "a"), &a);
    p->spec.hostname = "first";
    p->spec.subdomain = "web";
    edit_done(w, a, (struct api_object *)p);
    settle_both(w);
    assert_string_equal(endpoints(w)->subsets.v[0].addresses.v[0].hostname, "first");
    assert_non_null(str_map_get(&endpoints(w)->metadata.labels, "service.kubernetes.io/headless"));
    assert_string_equal(str_map_get(&endpoints(w)->metadata.labels, "team"), "a");
    assert_null(str_map_get(&world_get(w, "Service", "default", "web")->metadata.labels,
                            "service.kubernetes.io/headless")); /* the world is not written to */
    world_free(w);
}

TEST(endpoints_of_a_user_are_mirrored) {
    struct world *w = world_test_new();
    add_service(w, "");
    world_add_json(w, "{\"apiVersion\":\"v1\",\"kind\":\"Endpoints\",\"metadata\":{\"name\":"
                      "\"web\",\"namespace\":\"default\"},\"subsets\":[{\"addresses\":[{\"ip\":"
                      "\"192.0.2.1\"},{\"ip\":\"2001:db8::1\"}],\"notReadyAddresses\":[{\"ip\":"
                      "\"192.0.2.2\"}],\"ports\":[{\"port\":5432}]}]}");
    settle(w, "endpointslice-mirror", "default/web");
    settle_both(w); /* the others leave them alone */
    assert_int_equal(world_count(w, "EndpointSlice"), 2);
    assert_int_equal(slice_endpoints(w, false), 3);
    assert_int_equal(slice_endpoints(w, true), 2);
    const struct api_object *o;
    for (size_t at = 0; (o = world_next(w, "EndpointSlice", "default", &at));) {
        assert_string_equal(str_map_get(&o->metadata.labels, "kubernetes.io/service-name"), "web");
        assert_string_equal(api_controller_of(o)->kind, "Endpoints");
        assert_int_equal(*((const struct discovery_v1_endpoint_slice *)o)->ports.v[0].port, 5432);
    }
    struct arena *a;
    struct api_object *e = edit((const struct api_object *)endpoints(w), &a);
    str_map_set(a, &e->metadata.labels, "endpointslice.kubernetes.io/skip-mirror", "true");
    edit_done(w, a, e);
    settle(w, "endpointslice-mirror", "default/web");
    assert_int_equal(world_count(w, "EndpointSlice"), 0);
    world_free(w);
}

/* addressType cannot change: a slice of another family must have another name. */
TEST(mirrored_slices_carry_annotations_and_never_change_their_family) {
    struct world *w = world_test_new();
    char was[100] = "";
    const struct api_object *o;
    static const char *const ips[] = {"2001:db8::1", "192.0.2.1"};
    add_service(w, "");
    for (size_t i = 0; i < ARRAY_LEN(ips); i++) {
        char json[500];
        snprintf(json, sizeof json,
                 "{\"apiVersion\":\"v1\",\"kind\":\"Endpoints\",\"metadata\":{\"name\":\"web\","
                 "\"namespace\":\"default\",\"uid\":\"u-web\",\"annotations\":{\"n\":\"%zu\","
                 "\"kubectl.kubernetes.io/last-applied-configuration\":\"{}\"}},\"subsets\":[{"
                 "\"addresses\":[{\"ip\":\"%s\"}]}]}",
                 i, ips[i]);
        world_add_json(w, json);
        settle(w, "endpointslice-mirror", "default/web");
        assert_int_equal(world_count(w, "EndpointSlice"), 1);
        size_t at = 0;
        o = world_next(w, "EndpointSlice", "default", &at);
        assert_string_not_equal(o->metadata.name, was);
        snprintf(was, sizeof was, "%s", o->metadata.name);
        assert_int_equal(o->metadata.annotations.n, 1);
        assert_string_equal(str_map_get(&o->metadata.annotations, "n"), i ? "1" : "0");
    }
    world_free(w);
}

TEST(endpoints_of_the_controller_are_not_mirrored) {
    struct world *w = world_test_new();
    add_service(w, ",\"selector\":{\"app\":\"web\"}");
    add_backend(w, "a", 8080, true);
    settle_both(w);
    settle(w, "endpointslice-mirror", "default/web");
    assert_int_equal(world_count(w, "EndpointSlice"), 1);
    world_free(w);
}

/* ---- Namespace ---- */

static void add_namespace(struct world *w, const char *name, bool leaving) {
    char json[400];
    snprintf(json, sizeof json,
             "{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"%s\"%s},"
             "\"spec\":{\"finalizers\":[\"kubernetes\",\"example.com/mine\"]}}",
             name, leaving ? ",\"deletionTimestamp\":\"2026-01-01T00:00:00Z\"" : "");
    world_add_json(w, json);
}

TEST(a_namespace_is_emptied_before_it_goes) {
    struct world *w = world_test_new();
    add_namespace(w, "default", true);
    add_service(w, "");
    add_backend(w, "a", 80, true);
    world_add_json(w, "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"other\","
                      "\"namespace\":\"kept\"},\"spec\":{\"containers\":[]}}");
    world_add_json(w, "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":"
                      "\"held\",\"namespace\":\"default\",\"finalizers\":[\"example.com/x\"]}}");
    assert_int_equal(run(w, "namespace", "default"), 3);
    assert_int_equal(world_count(w, "Service"), 0);
    assert_int_equal(world_count(w, "Pod"), 1); /* that of the other namespace */
    assert_rests(w, "namespace", "default");    /* waits for the finalizer of another */
    world_remove(w, world_kind(w, "ConfigMap"), "default", "held");
    OWN(plan_free_p) struct plan *p = plan_of(w, "namespace", "default");
    assert_int_equal(plan_count(p), 1);
    const struct plan_step *s = plan_at(p, 0);
    assert_int_equal(s->op, PLAN_REQUEST);
    assert_string_equal(s->method, "PUT");
    assert_string_equal(s->path, "/api/v1/namespaces/default/finalize?whenEmpty=true");
    OWN(arena_free_p) struct arena *a = arena_new();
    struct api_object *sent;
    assert_int_equal(
        api_object_decode(a, api_kind_by_name("", "v1", "Namespace"), s->body, &sent, NULL), 0);
    const struct core_v1_namespace *n = (const void *)sent;
    assert_int_equal(n->spec.finalizers.n, 1);
    assert_string_equal(n->spec.finalizers.v[0], "example.com/mine");
    world_free(w);
}

TEST(a_namespace_that_stays_is_left_alone) {
    struct world *w = world_test_new();
    add_namespace(w, "default", false);
    add_backend(w, "a", 80, true);
    settle(w, "namespace", "default");
    assert_int_equal(world_count(w, "Pod"), 1);
    world_free(w);
}

/* ---- ServiceAccount and the root certificate ---- */

static const char *root_of(const struct world *w, const char *ns) {
    const struct core_v1_config_map *cm =
        (const void *)world_get(w, "ConfigMap", ns, "kube-root-ca.crt");
    return cm ? str_map_get(&cm->data, "ca.crt") : NULL;
}

TEST(every_namespace_has_an_account_and_the_root_certificate) {
    struct world *w = world_test_new();
    add_namespace(w, "default", false);
    settle(w, "serviceaccount", "default"); /* before the certificate is known */
    assert_non_null(world_get(w, "ServiceAccount", "default", "default"));
    assert_null(root_of(w, "default"));
    world_add_json(w, "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":"
                      "\"kube-root-ca.crt\",\"namespace\":\"kube-system\"},\"data\":{\"ca.crt\":"
                      "\"PEM\"}}");
    settle(w, "serviceaccount", "default");
    assert_string_equal(root_of(w, "default"), "PEM");
    struct arena *a;
    struct core_v1_config_map *cm = (struct core_v1_config_map *)edit(
        world_get(w, "ConfigMap", "default", "kube-root-ca.crt"), &a);
    str_map_set(a, &cm->data, "ca.crt", "forged");
    str_map_set(a, &cm->data, "other", "x");
    edit_done(w, a, (struct api_object *)cm);
    settle(w, "serviceaccount", "default");
    assert_string_equal(root_of(w, "default"), "PEM");
    cm = (void *)(uintptr_t)world_get(w, "ConfigMap", "default", "kube-root-ca.crt");
    assert_int_equal(cm->data.n, 1);
    world_remove(w, world_kind(w, "ServiceAccount"), "default", "default");
    settle(w, "serviceaccount", "default");
    assert_non_null(world_get(w, "ServiceAccount", "default", "default"));
    world_free(w);
}

TEST(a_leaving_namespace_gets_nothing_new) {
    struct world *w = world_test_new();
    add_namespace(w, "default", true);
    settle(w, "serviceaccount", "default");
    assert_int_equal(world_count(w, "ServiceAccount"), 0);
    world_free(w);
}
