/* The zone, asked as a client would, over informers that a pretended API fills. */
#include <stdio.h>

#include "base/own.h"
#include "base/test.h"
#include "client/fake_api.h"
#include "dns/zone.h"

struct fixture {
    struct loop *loop;
    struct fake_api *api;
    struct api_client *client;
    struct zone zone;
    struct informer *services, *slices;
};

static void slices_changed(void *user, enum informer_event e, const struct api_object *now,
                           const struct api_object *old) {
    struct fixture *f = user;
    if (e == INFORMER_SYNCED) return;
    if (e == INFORMER_DELETED)
        zone_slice_changed(&f->zone, NULL, now);
    else
        zone_slice_changed(&f->zone, now, old);
}

static void ignore(void *user, enum informer_event e, const struct api_object *now,
                   const struct api_object *old) {
    (void)user, (void)e, (void)now, (void)old;
}

static void set_up(struct fixture *f) {
    *f = (struct fixture){.loop = loop_new(NULL)};
    f->api = fake_api_new(f->loop);
    struct world *w = fake_api_world(f->api);
    world_add_json(w, "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"web\","
                      "\"namespace\":\"default\"},\"spec\":"
                      "{\"clusterIP\":\"10.96.0.5\",\"ports\":[{\"name\":\"http\",\"port\":80,"
                      "\"protocol\":\"TCP\"}]}}");
    world_add_json(w, "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"db\","
                      "\"namespace\":\"default\"},\"spec\":"
                      "{\"clusterIP\":\"None\",\"ports\":[{\"name\":\"sql\",\"port\":5432}]}}");
    world_add_json(w, "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"out\","
                      "\"namespace\":\"default\"},\"spec\":"
                      "{\"type\":\"ExternalName\",\"externalName\":\"example.org\"}}");
    world_add_json(w,
                   "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"alias\","
                   "\"namespace\":\"default\"},\"spec\":{\"type\":\"ExternalName\","
                   "\"externalName\":\"web.default.svc.cluster.local.\"}}");
    world_add_json(w, "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"loop\","
                      "\"namespace\":\"default\"},\"spec\":{\"type\":\"ExternalName\","
                      "\"externalName\":\"loop.default.svc.cluster.local\"}}");
    world_add_json(
        w, "{\"apiVersion\":\"discovery.k8s.io/"
           "v1\",\"kind\":\"EndpointSlice\",\"metadata\":{\"name\":\"db-1\",\"namespace\":"
           "\"default\",\"labels\":{\"kubernetes.io/"
           "service-name\":\"db\"}},\"addressType\":\"IPv4\",\"ports\":[{\"name\":\"sql\","
           "\"port\":5432,\"protocol\":\"TCP\"}],\"endpoints\":[{\"addresses\":[\"10.244.0.7\"],"
           "\"hostname\":\"db-0\",\"conditions\":"
           "{\"ready\":true}},{\"addresses\":[\"10.244.0.8\"],\"conditions\":{\"ready\":false}}]}");
    f->client = api_client_new(f->loop, fake_api_socket(f->api));
    f->services =
        informer_new(f->client, api_kind_by_name("", "v1", "Service"), NULL, NULL, ignore, NULL);
    f->slices = informer_new(f->client, api_kind_by_name("discovery.k8s.io", "v1", "EndpointSlice"),
                             NULL, NULL, slices_changed, f);
    f->zone =
        (struct zone){.domain = "cluster.local", .services = f->services, .slices = f->slices};
    while (!informer_synced(f->services) || !informer_synced(f->slices))
        loop_run_once(f->loop, 1000);
}

static void tear_down(struct fixture *f) {
    informer_free(f->services);
    informer_free(f->slices);
    api_client_free(f->client);
    zone_done(&f->zone);
    fake_api_free(f->api);
    loop_free(f->loop);
}

/* Asks; returns the response code, and the last four bytes of the message before any OPT as an
 * address. −1: not ours. */
static int ask(const struct fixture *f, const char *name, enum dns_type type, unsigned *ret_answers,
               struct buf *out) {
    struct buf q = {0};
    struct slice rest = slice_of(name), label;
    struct dns_query parsed;
    buf_append(&q, "\0\1\1\0\0\1\0\0\0\0\0\0", 12);
    while (rest.n && slice_cut(&rest, '.', &label)) {
        buf_char(&q, (char)label.n);
        buf_slice(&q, label);
    }
    buf_char(&q, 0);
    char tail[4] = {0, (char)type, 0, 1};
    buf_append(&q, tail, 4);
    assert_int_equal(dns_parse_query(buf_view(&q), &parsed), 0);
    buf_clear(out);
    bool ours = zone_answer(&f->zone, &parsed, 512, out);
    buf_done(&q);
    *ret_answers = ours ? (unsigned char)out->p[7] : 0;
    return ours ? out->p[3] & 15 : -1;
}

TEST(zone_answers_as_the_specification_says) {
    static const struct {
        const char *name;
        enum dns_type type;
        int code;
        unsigned answers;
    } cases[] = {
        {"web.default.svc.cluster.local", DNS_A, DNS_OK, 1},
        {"WEB.default.svc.cluster.local", DNS_A, DNS_OK, 1},
        {"web.default.svc.cluster.local", DNS_AAAA, DNS_OK, 0},
        {"nothing.default.svc.cluster.local", DNS_A, DNS_NAME_ERROR, 0},
        {"_http._tcp.web.default.svc.cluster.local", DNS_SRV, DNS_OK, 1},
        {"_http._udp.web.default.svc.cluster.local", DNS_SRV, DNS_NAME_ERROR, 0},
        {"db.default.svc.cluster.local", DNS_A, DNS_OK, 1},
        {"db-0.db.default.svc.cluster.local", DNS_A, DNS_OK, 1},
        {"10-244-0-8.db.default.svc.cluster.local", DNS_A, DNS_NAME_ERROR, 0},
        {"_sql._tcp.db.default.svc.cluster.local", DNS_SRV, DNS_OK, 1},
        {"out.default.svc.cluster.local", DNS_A, DNS_OK, 1},
        {"alias.default.svc.cluster.local", DNS_A, DNS_OK, 2},
        {"alias.default.svc.cluster.local", DNS_CNAME, DNS_OK, 1},
        {"loop.default.svc.cluster.local", DNS_CNAME, DNS_OK, 1},
        {"10-244-0-9.default.pod.cluster.local", DNS_A, DNS_OK, 1},
        {"x.default.pod.cluster.local", DNS_A, DNS_NAME_ERROR, 0},
        {"5.0.96.10.in-addr.arpa", DNS_PTR, DNS_OK, 1},
        {"7.0.244.10.in-addr.arpa", DNS_PTR, DNS_OK, 1},
        {"9.9.9.9.in-addr.arpa", DNS_PTR, -1, 0},
        {"example.org", DNS_A, -1, 0},
        {"notcluster.local", DNS_A, -1, 0},
        {"cluster.local", DNS_A, DNS_OK, 0},
        {"svc.cluster.local", DNS_A, DNS_OK, 0},
        {"a.b.c.d.e.f.g.cluster.local", DNS_A, DNS_NAME_ERROR, 0},
        {"dns-version.cluster.local", DNS_TXT, DNS_OK, 1},
    };
    struct fixture f;
    OWN(buf_done) struct buf out = {0};
    set_up(&f);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        unsigned answers;
        int code = ask(&f, cases[i].name, cases[i].type, &answers, &out);
        if (code != cases[i].code || answers != cases[i].answers)
            fail_msg("%s type %d: code %d, %u answers", cases[i].name, cases[i].type, code,
                     answers);
    }
    tear_down(&f);
}

TEST(zone_gives_the_cluster_address) {
    struct fixture f;
    OWN(buf_done) struct buf out = {0};
    unsigned answers;
    set_up(&f);
    assert_int_equal(ask(&f, "web.default.svc.cluster.local", DNS_A, &answers, &out), DNS_OK);
    assert_memory_equal(out.p + out.n - 4, "\x0a\x60\x00\x05", 4);
    assert_int_equal(ask(&f, "db-0.db.default.svc.cluster.local", DNS_A, &answers, &out), DNS_OK);
    assert_memory_equal(out.p + out.n - 4, "\x0a\xf4\x00\x07", 4);
    /* An alias inside the cluster comes with the address behind it: C libraries do not follow. */
    assert_int_equal(ask(&f, "alias.default.svc.cluster.local", DNS_A, &answers, &out), DNS_OK);
    assert_memory_equal(out.p + out.n - 4, "\x0a\x60\x00\x05", 4);
    /* One that points at itself ends. */
    assert_int_equal(ask(&f, "loop.default.svc.cluster.local", DNS_A, &answers, &out), DNS_OK);
    tear_down(&f);
}

TEST(zone_forgets_a_slice_that_is_gone) {
    struct fixture f;
    OWN(buf_done) struct buf out = {0};
    unsigned answers;
    set_up(&f);
    world_remove(fake_api_world(f.api), api_kind_by_name("discovery.k8s.io", "v1", "EndpointSlice"),
                 "default", "db-1");
    while (informer_count(f.slices)) loop_run_once(f.loop, 1000);
    assert_int_equal(ask(&f, "db.default.svc.cluster.local", DNS_A, &answers, &out), DNS_OK);
    assert_int_equal(answers, 0);
    assert_int_equal(f.zone.slices_of.n, 0);
    tear_down(&f);
}
