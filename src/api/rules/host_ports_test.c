#include "api/rules/host_ports.h"
#include "base/own.h"
#include "base/test.h"

static void add_port(struct arena *a, struct core_v1_container *c, int32_t container, int32_t host,
                     const char *ip) {
    *ARENA_PUSH(a, &c->ports) = (struct core_v1_container_port){
        .container_port = container, .host_port = host, .host_ip = ip};
}

TEST(only_containers_that_stay_take_ports_of_the_machine) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct core_v1_pod p = {0};
    struct host_port *v;
    struct core_v1_container *web = ARENA_PUSH(a, &p.spec.containers);
    add_port(a, web, 80, 8080, "0.0.0.0");
    add_port(a, web, 81, 0, NULL);
    add_port(a, ARENA_PUSH(a, &p.spec.init_containers), 1, 7001, NULL);
    struct core_v1_container *sidecar = ARENA_PUSH(a, &p.spec.init_containers);
    sidecar->restart_policy = "Always";
    add_port(a, sidecar, 2, 7002, "10.0.0.1");
    assert_int_equal(pod_host_ports(a, &p, &v), 2);
    assert_int_equal(v[0].port, 8080);
    assert_string_equal(v[0].protocol, "TCP");
    assert_string_equal(v[0].ip, "");
    assert_int_equal(v[1].port, 7002);
    assert_string_equal(v[1].ip, "10.0.0.1");
    p.spec.host_network = true;
    assert_int_equal(pod_host_ports(a, &p, &v), 3);
    assert_int_equal(v[1].port, 81);
}

TEST(ports_clash_on_one_address_and_one_protocol) {
    static const struct {
        struct host_port x, y;
        bool clash;
    } cases[] = {
        {{80, "TCP", ""}, {80, "TCP", ""}, true},
        {{80, "TCP", ""}, {80, "TCP", "10.0.0.1"}, true},
        {{80, "TCP", "10.0.0.1"}, {80, "TCP", "10.0.0.1"}, true},
        {{80, "TCP", "10.0.0.1"}, {80, "TCP", "10.0.0.2"}, false},
        {{80, "TCP", ""}, {80, "UDP", ""}, false},
        {{80, "TCP", ""}, {81, "TCP", ""}, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(host_ports_clash(&cases[i].x, &cases[i].y), cases[i].clash);
}
