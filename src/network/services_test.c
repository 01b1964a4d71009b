/* Which addresses get which backends; the objects come from a fake API by real informers. */
#include "network/services.h"

#include <string.h>

#include "base/own.h"
#include "base/test.h"
#include "client/fake_api.h"

enum { TURNS_MAX = 1000, TURN_MS = 5 };

struct fixture {
    struct loop *l;
    struct fake_api *api;
    struct api_client *c;
    struct informer *services, *slices, *pods;
    struct buf text; /* of the rules */
};

static void ignore(void *user, enum informer_event e, const struct api_object *now,
                   const struct api_object *old) {}

static struct informer *informer_of(struct fixture *f, const char *api_version, const char *kind) {
    struct informer *i =
        informer_new(f->c, api_kind_by_api_version(api_version, kind), NULL, NULL, ignore, f);
    for (int n = 0; n < TURNS_MAX && !informer_synced(i); n++) loop_run_once(f->l, TURN_MS);
    assert_true(informer_synced(i));
    return i;
}

/* Everything must be in its world by then. */
static void fixture_begin(struct fixture *f, const char *const *objects, size_t n) {
    *f = (struct fixture){.l = loop_new(NULL)};
    f->api = fake_api_new(f->l);
    f->c = api_client_new(f->l, fake_api_socket(f->api));
    for (size_t i = 0; i < n; i++) world_add_json(fake_api_world(f->api), objects[i]);
    f->services = informer_of(f, "v1", "Service");
    f->slices = informer_of(f, "discovery.k8s.io/v1", "EndpointSlice");
    f->pods = informer_of(f, "v1", "Pod");
    struct rules none = {0}, r = {0};
    services_to_rules(f->services, f->slices, &r);
    host_ports_to_rules(f->pods, &r);
    rules_diff(&f->text, "t", &none, &r);
    buf_str(&f->text, "");
    rules_done(&r);
}

static void fixture_done(struct fixture *f) {
    informer_free(f->services);
    informer_free(f->slices);
    informer_free(f->pods);
    api_client_free(f->c);
    fake_api_free(f->api);
    loop_run_once(f->l, 0);
    loop_free(f->l);
    buf_done(&f->text);
}

static void has(const struct fixture *f, const char *text) {
    if (!strstr(f->text.p, text)) fail_msg("%s is not in %s", text, f->text.p);
}

static void lacks(const struct fixture *f, const char *text) {
    if (strstr(f->text.p, text)) fail_msg("%s is in %s", text, f->text.p);
}

#define SERVICE(spec)                                                                              \
    "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"web\",\"namespace\":"    \
    "\"a\"},\"spec\":{" spec "}}"
#define PORT "\"ports\":[{\"name\":\"http\",\"port\":80,\"protocol\":\"TCP\"}]"
#define SLICE_OF(name, ns, family, port, endpoints)                                                \
    "{\"apiVersion\":\"discovery.k8s.io/v1\",\"kind\":\"EndpointSlice\",\"metadata\":{\"name\":"   \
    "\"" name "\",\"namespace\":\"" ns "\",\"labels\":{\"kubernetes.io/service-name\":\"web\"}},"  \
    "\"addressType\":\"" family "\",\"ports\":[{\"name\":\"" port "\",\"port\":8080}],"            \
    "\"endpoints\":[" endpoints "]}"
#define ENDPOINT(ip, conditions) "{\"addresses\":[\"" ip "\"],\"conditions\":{" conditions "}}"
#define READY "\"ready\":true,\"serving\":true"
#define LEAVING "\"ready\":false,\"serving\":true,\"terminating\":true"
#define GONE "\"ready\":false,\"serving\":false,\"terminating\":true"

TEST(ready_endpoints_of_all_slices_are_used_once_each) {
    static const char *const objects[] = {
        SERVICE("\"clusterIP\":\"10.96.0.5\"," PORT),
        SLICE_OF("s1", "a", "IPv4", "http",
                 ENDPOINT("10.244.0.9", READY) "," ENDPOINT("10.244.0.3", "") "," ENDPOINT(
                     "10.244.0.4", LEAVING)),
        /* An endpoint that moves from one slice to another stands in both for a while. */
        SLICE_OF("s2", "a", "IPv4", "http",
                 ENDPOINT("10.244.0.9", READY) "," ENDPOINT("10.244.0.5", READY)),
        SLICE_OF("s3", "a", "IPv4", "metrics", ENDPOINT("10.244.0.6", READY)),
        SLICE_OF("s4", "a", "IPv6", "http", ENDPOINT("fd00::7", READY)),
        SLICE_OF("s5", "b", "IPv4", "http", ENDPOINT("10.244.0.8", READY)),
    };
    struct fixture f;
    fixture_begin(&f, objects, ARRAY_LEN(objects));
    has(&f, "numgen random mod 3 map { 0 : 10.244.0.3 . 8080, 1 : 10.244.0.5 . 8080, "
            "2 : 10.244.0.9 . 8080 }");
    has(&f, "services { 10.96.0.5 . tcp . 80 : goto s_");
    fixture_done(&f);
}

TEST(who_leaves_still_serves_when_nobody_is_ready) {
    static const char *const objects[] = {
        SERVICE("\"clusterIP\":\"10.96.0.5\"," PORT),
        SLICE_OF("s1", "a", "IPv4", "http",
                 ENDPOINT("10.244.0.3", LEAVING) "," ENDPOINT("10.244.0.4", GONE)),
    };
    struct fixture f;
    fixture_begin(&f, objects, ARRAY_LEN(objects));
    has(&f, "10.244.0.3");
    lacks(&f, "10.244.0.4");
    fixture_done(&f);
}

TEST(services_without_an_address_of_their_own_have_no_rules) {
    static const char *const specs[] = {
        SERVICE("\"clusterIP\":\"None\"," PORT),
        SERVICE("\"type\":\"ExternalName\",\"externalName\":\"x.example.com\"," PORT),
        SERVICE("\"clusterIP\":\"fd00::1\"," PORT)};
    for (size_t i = 0; i < ARRAY_LEN(specs); i++) {
        const char *const objects[] = {
            specs[i], SLICE_OF("s1", "a", "IPv4", "http", ENDPOINT("10.244.0.3", READY))};
        struct fixture f;
        fixture_begin(&f, objects, 2);
        assert_int_equal(f.text.n, 0);
        fixture_done(&f);
    }
}

TEST(addresses_from_outside_lead_to_the_same_backends) {
    static const char *const objects[] = {
        "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"web\",\"namespace\":"
        "\"a\"},\"spec\":{\"clusterIP\":\"10.96.0.5\",\"type\":\"LoadBalancer\","
        "\"externalIPs\":[\"192.0.2.1\",\"nonsense\"],\"ports\":[{\"name\":\"http\",\"port\":80,"
        "\"nodePort\":30080,\"protocol\":\"UDP\"}]},"
        "\"status\":{\"loadBalancer\":{\"ingress\":[{\"ip\":\"198.51.100.2\"}]}}}",
        SLICE_OF("s1", "a", "IPv4", "http", ENDPOINT("10.244.0.3", READY))};
    struct fixture f;
    fixture_begin(&f, objects, ARRAY_LEN(objects));
    has(&f, "192.0.2.1 . udp . 80");
    has(&f, "198.51.100.2 . udp . 80");
    has(&f, "nodeports { udp . 30080");
    fixture_done(&f);
}

#define POD(name, ip, spec, phase)                                                                 \
    "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"" name                       \
    "\",\"namespace\":\"a\",\"uid\":\"u-" name "\"},\"spec\":{" spec                               \
    "},\"status\":{\"phase\":\"" phase "\",\"podIP\":\"" ip "\"}}"
#define HOST_PORT(more)                                                                            \
    "\"containers\":[{\"name\":\"c\",\"ports\":[{\"containerPort\":80,\"hostPort\":8080" more "}]" \
    "}]"

TEST(host_ports_of_pods_that_run_lead_to_them) {
    static const char *const objects[] = {
        POD("any", "10.244.0.2", HOST_PORT(""), "Running"),
        POD("one", "10.244.0.3", HOST_PORT(",\"hostIP\":\"192.0.2.7\",\"protocol\":\"UDP\""),
            "Running"),
        POD("over", "10.244.0.4", HOST_PORT(",\"protocol\":\"SCTP\""), "Succeeded"),
        POD("host", "10.0.0.1", "\"hostNetwork\":true," HOST_PORT(",\"protocol\":\"SCTP\""),
            "Running"),
        POD("early", "", HOST_PORT(",\"protocol\":\"SCTP\""), "Pending")};
    struct fixture f;
    fixture_begin(&f, objects, ARRAY_LEN(objects));
    has(&f, "nodeports { tcp . 8080");
    has(&f, "192.0.2.7 . udp . 8080");
    lacks(&f, "nodeports { udp");
    lacks(&f, "sctp");
    fixture_done(&f);
}
