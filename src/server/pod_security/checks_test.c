#include "api/registry.h"
#include "base/own.h"
#include "base/test.h"
#include "server/pod_security/checks.h"

static const char *evaluate(struct arena *a, enum pod_security_level level, int minor,
                            const char *json) {
    const struct api_kind *k = api_kind_by_plural("", "v1", "pods");
    struct api_object *o;
    struct err err;
    if (api_object_decode(a, k, slice_of(json), &o, &err) < 0) return arena_str(a, err.text);
    const struct core_v1_pod *p = (void *)o;
    const char *text = pod_security_violations(a, (struct pod_security){level, minor}, &p->metadata,
                                               &p->spec, false);
    return text ? text : "";
}

#define LATEST POD_SECURITY_LATEST

TEST(pod_security_baseline) {
    static const struct {
        const char *spec, *want;
    } cases[] = {
        {"\"containers\":[{\"name\":\"a\"}]", ""},
        {"\"containers\":[{\"name\":\"c\",\"securityContext\":{\"privileged\":true}}]",
         "privileged (container \"c\" must not set securityContext.privileged=true)"},
        {"\"hostNetwork\":true,\"hostPID\":true,\"containers\":[{\"name\":\"c\"}]",
         "host namespaces (hostNetwork=true, hostPID=true)"},
        {"\"containers\":[{\"name\":\"a\",\"ports\":[{\"containerPort\":80,\"hostPort\":80}]},"
         "{\"name\":\"b\",\"ports\":[{\"containerPort\":80,\"hostPort\":8080}]}]",
         "hostPort (containers \"a\", \"b\" use hostPorts 80, 8080)"},
        {"\"volumes\":[{\"name\":\"v\",\"hostPath\":{\"path\":\"/\"}}]",
         "hostPath volumes (volume \"v\")"},
        {"\"containers\":[{\"name\":\"a\",\"securityContext\":{\"capabilities\":{\"add\":"
         "[\"CHOWN\",\"SYS_ADMIN\",\"NET_ADMIN\"]}}}]",
         "non-default capabilities (container \"a\" must not include \"NET_ADMIN\", \"SYS_ADMIN\" "
         "in securityContext.capabilities.add)"},
        {"\"securityContext\":{\"seccompProfile\":{\"type\":\"Unconfined\"}},"
         "\"containers\":[{\"name\":\"a\",\"securityContext\":{\"seccompProfile\":{"
         "\"type\":\"Unconfined\"}}}]",
         "seccompProfile (pod and container \"a\" must not set securityContext.seccompProfile.type "
         "to \"Unconfined\")"},
        {"\"securityContext\":{\"sysctls\":[{\"name\":\"kernel.msgmax\",\"value\":\"1\"},"
         "{\"name\":\"net.ipv4.tcp_rmem\",\"value\":\"1\"}]}",
         "forbidden sysctls (kernel.msgmax)"},
        {"\"securityContext\":{\"seLinuxOptions\":{\"type\":\"x\",\"user\":\"u\"}}",
         "seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type \"x\"; user may "
         "not be set)"},
        {"\"securityContext\":{\"appArmorProfile\":{\"type\":\"Unconfined\"}}",
         "forbidden AppArmor profile (pod must not set AppArmor profile type to \"Unconfined\")"},
        {"\"initContainers\":[{\"name\":\"i\",\"securityContext\":{\"procMount\":\"Unmasked\"}}]",
         "procMount (container \"i\" must not set securityContext.procMount to \"Unmasked\")"},
        {"\"ephemeralContainers\":[{\"name\":\"e\",\"securityContext\":{\"windowsOptions\":{"
         "\"hostProcess\":true}}}]",
         "hostProcess (container \"e\" must not set "
         "securityContext.windowsOptions.hostProcess=true)"},
    };
    struct arena *a = arena_new();
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_string_equal(evaluate(a, POD_SECURITY_BASELINE, LATEST,
                                     arena_printf(a, "{\"spec\":{%s}}", cases[i].spec)),
                            cases[i].want);
    arena_free(a);
}

TEST(pod_security_restricted) {
    struct arena *a = arena_new();
    assert_string_equal(
        evaluate(a, POD_SECURITY_RESTRICTED, LATEST,
                 "{\"spec\":{\"containers\":[{\"name\":\"c\"}],\"volumes\":[{\"name\":\"h\","
                 "\"hostPath\":{\"path\":\"/\"}}]}}"),
        "allowPrivilegeEscalation != false (container \"c\" must set "
        "securityContext.allowPrivilegeEscalation=false), unrestricted capabilities "
        "(container \"c\" must set securityContext.capabilities.drop=[\"ALL\"]), restricted "
        "volume types (volume \"h\" uses restricted volume type \"hostPath\"), runAsNonRoot "
        "!= true (pod or container \"c\" must set securityContext.runAsNonRoot=true), "
        "seccompProfile (pod or container \"c\" must set "
        "securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")");
    static const char good[] =
        "{\"spec\":{\"securityContext\":{\"runAsNonRoot\":true,\"seccompProfile\":{\"type\":"
        "\"RuntimeDefault\"}},\"volumes\":[{\"name\":\"e\",\"emptyDir\":{}}],\"containers\":[{"
        "\"name\":\"c\",\"securityContext\":{\"allowPrivilegeEscalation\":false,\"capabilities\":{"
        "\"drop\":[\"ALL\"],\"add\":[\"NET_BIND_SERVICE\"]}}}]}}";
    assert_string_equal(evaluate(a, POD_SECURITY_RESTRICTED, LATEST, good), "");
    /* Older versions of the standard ask for less. */
    assert_string_equal(
        evaluate(a, POD_SECURITY_RESTRICTED, 7, "{\"spec\":{\"containers\":[{\"name\":\"c\"}]}}"),
        "runAsNonRoot != true (pod or container \"c\" must set "
        "securityContext.runAsNonRoot=true)");
    assert_string_equal(evaluate(a, POD_SECURITY_BASELINE, 26,
                                 "{\"spec\":{\"securityContext\":{\"sysctls\":[{\"name\":"
                                 "\"net.ipv4.ip_local_reserved_ports\",\"value\":\"1\"}]}}}"),
                        "forbidden sysctls (net.ipv4.ip_local_reserved_ports)");
    arena_free(a);
}

TEST(pod_security_labels) {
    struct arena *a = arena_new();
    struct str_map labels = {0};
    struct pod_security_policy p;
    pod_security_policy_parse(&labels, &p, NULL);
    assert_int_equal(p.enforce.level, POD_SECURITY_PRIVILEGED);
    str_map_set(a, &labels, "pod-security.kubernetes.io/enforce", "baseline");
    str_map_set(a, &labels, "pod-security.kubernetes.io/enforce-version", "v1.30");
    struct api_causes causes = {.a = a};
    pod_security_policy_parse(&labels, &p, &causes);
    assert_string_equal(pod_security_text(a, p.enforce), "baseline:v1.30");
    assert_string_equal(pod_security_text(a, p.warn), "baseline:v1.30");
    assert_string_equal(pod_security_text(a, p.audit), "privileged:latest");
    assert_int_equal(causes.n, 0);
    str_map_set(a, &labels, "pod-security.kubernetes.io/enforce", "strict");
    str_map_set(a, &labels, "pod-security.kubernetes.io/warn-version", "v2");
    pod_security_policy_parse(&labels, &p, &causes);
    assert_int_equal(p.enforce.level, POD_SECURITY_RESTRICTED); /* fails safe */
    assert_int_equal(causes.n, 2);
    assert_string_equal(
        causes.v[0].message,
        "Invalid value: \"strict\": must be one of privileged, baseline, restricted");
    assert_string_equal(causes.v[1].field,
                        "metadata.labels[pod-security.kubernetes.io/warn-version]");
    arena_free(a);
}
