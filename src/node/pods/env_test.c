#include "node/pods/env.h"

#include <errno.h>
#include <string.h>

#include "base/own.h"
#include "node/pods/container_spec.h"
#include "node/test_pods.h"

static enum lookup map_lookup = LOOKUP_FOUND;

static enum lookup find_map(void *user, const char *name, const struct core_v1_config_map **ret) {
    static struct str_pair data[] = {{"greeting", "hello"}, {"name", "$(WHO)"}};
    static struct core_v1_config_map m = {.data = {data, 2}};
    *ret = &m;
    return str_eq(name, "settings") ? map_lookup : LOOKUP_MISSING;
}

static enum lookup find_secret(void *user, const char *name, const struct core_v1_secret **ret) {
    static struct str_pair data[] = {{"password", "czNjcmV0"}, {"raw", "AA=="}};
    static struct core_v1_secret s = {.data = {data, 2}};
    *ret = &s;
    return str_eq(name, "keys") ? LOOKUP_FOUND : LOOKUP_MISSING;
}

static const struct object_source source = {find_map, find_secret, NULL, NULL, NULL};

static int render(struct arena *a, const char *container, struct str_list *ret, struct err *err) {
    const struct core_v1_pod *p = test_object(
        a, arena_printf(a, "\"spec\":{\"serviceAccountName\":\"robot\",\"containers\":[%s]}",
                        container));
    struct pod_facts facts = {.pod = p,
                              .pod_ip = "10.1.1.1",
                              .host_ip = "10.0.0.1",
                              .node_name = "n1",
                              .cpu_milli = 2000,
                              .memory_bytes = 1 << 30};
    static const char *const image_env[] = {"PATH=/bin", "WHO=image"};
    struct core_v1_service_port port = {.port = 80, .name = "web", .protocol = "TCP"};
    struct core_v1_service svc = {.metadata = {.name = "my-svc", .namespace = "shop"},
                                  .spec = {.cluster_ip = "10.96.0.9", .ports = {&port, 1}}};
    const struct core_v1_service *services[] = {&svc};
    struct env_input in = {.facts = &facts,
                           .container = &p->spec.containers.v[0],
                           .source = &source,
                           .services = services,
                           .n_services = 1,
                           .image_env = image_env,
                           .n_image_env = 2};
    OWN(environment_done) struct environment env = {0};
    int rc = env_render(a, &in, &env, err);
    *ret = env.lines;
    return rc;
}

TEST(env_expands_what_stands_before_it) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct str_list e = {0};
    struct err err = {0};
    assert_int_equal(render(a,
                            "{\"name\":\"c\",\"env\":[{\"name\":\"WHO\",\"value\":\"me\"},"
                            "{\"name\":\"X\",\"value\":\"$(WHO) $$(WHO) $(NOT) $\"}]}",
                            &e, &err),
                     0);
    assert_true(str_list_has(&e, "WHO=me"));
    assert_false(str_list_has(&e, "WHO=image"));
    assert_true(str_list_has(&e, "X=me $(WHO) $(NOT) $"));
    assert_true(str_list_has(&e, "PATH=/bin"));
}

/* Each variable is twice the one before. */
TEST(env_that_doubles_again_and_again_is_refused) {
    OWN(arena_free_p) struct arena *a = arena_new();
    OWN(buf_done) struct buf b = {0};
    struct str_list e = {0};
    struct err err = {0};
    buf_str(&b, "{\"name\":\"c\",\"env\":[{\"name\":\"A0\",\"value\":\"0123456789\"}");
    for (int i = 1; i < 60; i++)
        buf_printf(&b, ",{\"name\":\"A%d\",\"value\":\"$(A%d)$(A%d)\"}", i, i - 1, i - 1);
    buf_str(&b, "]}");
    assert_true(render(a, b.p, &e, &err) < 0);
    assert_string_equal(err.text, "\"$(A13)$(A13)\" becomes longer than 131072 bytes");
    assert_true(arena_used(a) < 4 << 20);
}

TEST(a_command_of_many_long_variables_is_refused) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct err err = {0};
    char *value = arena_text(a, 100000);
    memset(value, 'x', 100000);
    const char *args[1000];
    for (int i = 0; i < 1000; i++) args[i] = "$(x)";
    const struct core_v1_container c = {.command = {args, 1000}};
    OWN(environment_done) struct environment env = {0};
    environment_set(a, &env, "x", value);
    struct str_list out = {0};
    assert_true(env_command(a, &c, &(struct str_list){0}, &(struct str_list){0}, &env, &out, &err) <
                0);
    assert_string_equal(err.text, "the command is longer than 8388608 bytes");
}

TEST(env_reads_fields_resources_maps_and_secrets) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct str_list e = {0};
    struct err err = {0};
    assert_int_equal(
        render(
            a,
            "{\"name\":\"c\",\"resources\":{\"limits\":{\"memory\":\"64Mi\"}},\"envFrom\":[{"
            "\"prefix\":\"P_\",\"configMapRef\":{\"name\":\"settings\"}}],\"env\":["
            "{\"name\":\"IP\",\"valueFrom\":{\"fieldRef\":{\"fieldPath\":\"status.podIP\"}}},"
            "{\"name\":\"T\",\"valueFrom\":{\"fieldRef\":{\"fieldPath\":\"metadata.labels['app']\"}"
            "}},"
            "{\"name\":\"M\",\"valueFrom\":{\"resourceFieldRef\":{\"resource\":\"limits.memory\","
            "\"divisor\":\"1Mi\"}}},{\"name\":\"C\",\"valueFrom\":{\"resourceFieldRef\":{"
            "\"resource\":\"limits.cpu\"}}},{\"name\":\"S\",\"valueFrom\":{\"secretKeyRef\":{"
            "\"name\":\"keys\",\"key\":\"password\"}}},{\"name\":\"O\",\"valueFrom\":{"
            "\"configMapKeyRef\":{\"name\":\"gone\",\"key\":\"k\",\"optional\":true}}}]}",
            &e, &err),
        0);
    assert_true(str_list_has(&e, "IP=10.1.1.1"));
    assert_true(str_list_has(&e, "T=web"));
    assert_true(str_list_has(&e, "M=64"));
    assert_true(str_list_has(&e, "C=2"));
    assert_true(str_list_has(&e, "S=s3cret"));
    assert_true(str_list_has(&e, "P_greeting=hello"));
    assert_true(str_list_has(&e, "P_name=$(WHO)"));
    for (size_t i = 0; i < e.n; i++) assert_false(str_starts(e.v[i], "O="));
}

TEST(env_has_services) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct str_list e = {0};
    struct err err = {0};
    assert_int_equal(render(a, "{\"name\":\"c\"}", &e, &err), 0);
    assert_true(str_list_has(&e, "MY_SVC_SERVICE_HOST=10.96.0.9"));
    assert_true(str_list_has(&e, "MY_SVC_SERVICE_PORT_WEB=80"));
    assert_true(str_list_has(&e, "MY_SVC_PORT_80_TCP=tcp://10.96.0.9:80"));
    assert_true(str_list_has(&e, "MY_SVC_PORT_80_TCP_PROTO=tcp"));
}

TEST(env_says_what_is_missing) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct str_list e = {0};
    struct err err = {0};
    assert_int_equal(
        render(a, "{\"name\":\"c\",\"envFrom\":[{\"secretRef\":{\"name\":\"nope\"}}]}", &e, &err),
        -ENOENT);
    assert_string_equal(err.text, "secret \"nope\" not found");
    assert_int_equal(render(a,
                            "{\"name\":\"c\",\"env\":[{\"name\":\"A\",\"valueFrom\":{"
                            "\"configMapKeyRef\":{\"name\":\"settings\",\"key\":\"k\"}}}]}",
                            &e, &err),
                     -ENOENT);
    assert_string_equal(err.text, "couldn't find key k in ConfigMap shop/settings");
    assert_true(render(a,
                       "{\"name\":\"c\",\"env\":[{\"name\":\"A\",\"valueFrom\":{\"secretKeyRef\":{"
                       "\"name\":\"keys\",\"key\":\"raw\"}}}]}",
                       &e, &err) < 0);
    map_lookup = LOOKUP_PENDING;
    int rc = render(a, "{\"name\":\"c\",\"envFrom\":[{\"configMapRef\":{\"name\":\"settings\"}}]}",
                    &e, &err);
    map_lookup = LOOKUP_FOUND;
    assert_int_equal(rc, -EAGAIN);
}

TEST(command_replaces_entrypoint_and_drops_cmd) {
    OWN(arena_free_p) struct arena *a = arena_new();
    const char *entry[] = {"/entry"}, *cmd[] = {"serve"};
    struct str_list e = {entry, 1}, c = {cmd, 1}, out;
    OWN(environment_done) struct environment v = {0};
    environment_set(a, &v, "N", "5");
    struct err err = {0};
    const char *command[] = {"sh", "-c"}, *args[] = {"sleep $(N)"};
    struct core_v1_container s = {0};
    assert_int_equal(env_command(a, &s, &e, &c, &v, &out, &err), 0);
    assert_int_equal(out.n, 2);
    s.args = (struct str_list){args, 1};
    assert_int_equal(env_command(a, &s, &e, &c, &v, &out, &err), 0);
    assert_string_equal(out.v[0], "/entry");
    assert_string_equal(out.v[1], "sleep 5");
    s.args = (struct str_list){0};
    s.command = (struct str_list){command, 2};
    assert_int_equal(env_command(a, &s, &e, &c, &v, &out, &err), 0);
    assert_int_equal(out.n, 2);
    struct str_list none = {0};
    s.command = none;
    assert_true(env_command(a, &s, &none, &none, &v, &out, &err) < 0);
}

static void unref_p(struct pod **p) {
    if (*p) pod_unref(*p);
}

/* What is built borrows from the pod, which the caller owns. */
static int build(struct arena *a, struct pod **pod, const char *pod_part, const char *user,
                 struct broker_container *ret, struct err *err) {
    if (*pod) pod_unref(*pod);
    struct pod *p = *pod = test_pod(arena_printf(a, "\"spec\":{%s}", pod_part));
    struct pod_facts facts = {.pod = p->object, .host_ip = "10.0.0.1", .memory_bytes = 1LL << 30};
    const char *cmd[] = {"/bin/sh"};
    struct image_info im = {.user = user, .n_cmd = 1, .cmd = cmd};
    struct container_input in = {
        .container = p->containers[0], .id = "x", .facts = &facts, .source = &source, .image = &im};
    return container_spec_build(a, &in, ret, err);
}

TEST(container_takes_security_from_pod_and_container) {
    OWN(arena_free_p) struct arena *a = arena_new();
    OWN(unref_p) struct pod *pod = NULL;
    struct broker_container b;
    struct err err = {0};
    assert_int_equal(
        build(a, &pod,
              "\"securityContext\":{\"runAsUser\":5,\"fsGroup\":9,\"supplementalGroups\":[7]},"
              "\"containers\":[{\"name\":\"a\",\"securityContext\":{\"runAsUser\":6,"
              "\"readOnlyRootFilesystem\":true,\"capabilities\":{\"add\":[\"CAP_NET_ADMIN\"],"
              "\"drop\":[\"ALL\"]}}}]",
              "", &b, &err),
        0);
    assert_int_equal(b.run_as_user, 6);
    assert_int_equal(b.n_groups, 2);
    assert_int_equal(b.groups[1], 9);
    assert_true(b.read_only_rootfs);
    assert_string_equal(b.cap_add[0], "NET_ADMIN");
    assert_string_equal(b.seccomp, "RuntimeDefault");
}

TEST(container_that_must_not_be_root_is_refused_as_root) {
    OWN(arena_free_p) struct arena *a = arena_new();
    OWN(unref_p) struct pod *pod = NULL;
    struct broker_container b;
    struct err err = {0};
    const char *spec =
        "\"containers\":[{\"name\":\"a\",\"securityContext\":{\"runAsNonRoot\":true}}]";
    assert_true(build(a, &pod, spec, "", &b, &err) < 0);
    assert_string_equal(err.text, "container has runAsNonRoot and image will run as root");
    assert_int_equal(build(a, &pod, spec, "1000", &b, &err), 0);
}

TEST(container_mount_of_an_undefined_volume_is_refused) {
    OWN(arena_free_p) struct arena *a = arena_new();
    OWN(unref_p) struct pod *pod = NULL;
    struct broker_container b;
    struct err err = {0};
    assert_true(build(a, &pod,
                      "\"containers\":[{\"name\":\"a\",\"volumeMounts\":[{\"name\":\"v\","
                      "\"mountPath\":\"/v\"}]}]",
                      "", &b, &err) < 0);
    assert_non_null(strstr(err.text, "volume \"v\""));
}

TEST(a_sub_path_that_expands_to_no_relative_path_is_refused) {
    static const struct {
        const char *value, *error; /* NULL: none */
    } cases[] = {
        {"logs/web", NULL},
        {"a..b", NULL},
        {"/tmp",
         "failed to prepare subPath for volumeMount \"v\": \"/tmp\" must not be an absolute "
         "path"},
        {"a/../..", "failed to prepare subPath for volumeMount \"v\": \"a/../..\" must not contain "
                    "'..'"},
        {"$(MISSING)", "missing value for \"$(WHERE)\" in subPathExpr"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        OWN(arena_free_p) struct arena *a = arena_new();
        OWN(unref_p) struct pod *pod = NULL;
        struct broker_container b;
        struct err err = {0};
        const char *spec = arena_printf(
            a,
            "\"volumes\":[{\"name\":\"v\",\"emptyDir\":{}}],\"containers\":[{\"name\":\"a\","
            "\"env\":[{\"name\":\"WHERE\",\"value\":\"%s\"}],\"volumeMounts\":[{\"name\":\"v\","
            "\"mountPath\":\"/v\",\"subPathExpr\":\"$(WHERE)\"}]}]",
            cases[i].value);
        int rc = build(a, &pod, spec, "", &b, &err);
        if (cases[i].error) {
            assert_true(rc < 0);
            assert_string_equal(err.text, cases[i].error);
        } else {
            assert_int_equal(rc, 0);
            assert_string_equal(b.mounts[0].sub_path, cases[i].value);
        }
    }
}

TEST(container_gets_the_topologies_it_was_granted) {
    OWN(arena_free_p) struct arena *a = arena_new();
    OWN(unref_p) struct pod *p = test_pod("\"spec\":{\"containers\":[{\"name\":\"c\"}]}");
    struct core_v1_pod object = *p->object;
    struct str_pair asked = {"sp.atoll.dev/topologies", "quotes:sub,quotes:pub,work:push"};
    object.metadata.annotations = (struct str_map){&asked, 1};
    struct pod_facts facts = {.pod = &object, .memory_bytes = 1LL << 30};
    const char *cmd[] = {"/bin/sh"};
    struct image_info im = {.n_cmd = 1, .cmd = cmd};
    struct container_input in = {.container = p->containers[0],
                                 .id = "x",
                                 .facts = &facts,
                                 .source = &source,
                                 .image = &im,
                                 .root = "/r"};
    struct broker_container b;
    struct err err = {0};
    assert_int_equal(container_spec_build(a, &in, &b, &err), 0);
    assert_int_equal(b.n_mounts, 2);
    assert_string_equal(b.mounts[0].source, "/r/run/atoll/sp/quotes/.pods/pub+sub");
    assert_string_equal(b.mounts[0].target, "/run/atoll/sp/quotes");
    assert_string_equal(b.mounts[1].source, "/r/run/atoll/sp/work/.pods/push");
    assert_true(b.mounts[1].read_only && b.mounts[1].kind == BROKER_MOUNT_HOST);
    asked.value = "../../etc:sub";
    assert_true(container_spec_build(a, &in, &b, &err) < 0);
    assert_non_null(strstr(err.text, "annotation sp.atoll.dev/topologies: item"));
}
