#include "api/codec/redact.h"

#include <string.h>

#include "api/patch/patch.h"
#include "base/own.h"
#include "base/test.h"

static void expect(const char *text, const char *kind, const char *want) {
    OWN(json_decref_p) json_t *doc = json_loads(text, 0, NULL);
    assert_non_null(doc);
    api_redact(doc, kind ? api_kind_by_api_version("v1", kind) : NULL);
    OWN(free_p) char *got = json_dumps(doc, JSON_COMPACT);
    assert_string_equal(got, want);
}

TEST(secret_values_go_and_their_keys_stay) {
    expect("{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"data\":{\"a\":\"eA==\",\"b\":\"\"},"
           "\"stringData\":{\"c\":\"x\"},\"type\":\"Opaque\"}",
           NULL,
           "{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"data\":{\"a\":\"redacted\",\"b\":"
           "\"redacted\"},\"stringData\":{\"c\":\"redacted\"},\"type\":\"Opaque\"}");
    expect("{\"apiVersion\":\"authentication.k8s.io/v1\",\"kind\":\"TokenReview\",\"spec\":{"
           "\"token\":\"x\",\"audiences\":[\"a\"]}}",
           NULL,
           "{\"apiVersion\":\"authentication.k8s.io/v1\",\"kind\":\"TokenReview\",\"spec\":{"
           "\"token\":\"redacted\",\"audiences\":[\"a\"]}}");
}

TEST(a_patch_is_of_the_kind_it_patches) {
    expect("{\"data\":{\"a\":\"eA==\",\"b\":null}}", "Secret",
           "{\"data\":{\"a\":\"redacted\",\"b\":\"redacted\"}}");
    expect("{\"data\":\"eA==\"}", "Secret", "{\"data\":\"redacted\"}");
    expect("{\"data\":{\"a\":\"x\"}}", "ConfigMap", "{\"data\":{\"a\":\"x\"}}");
    expect("{\"data\":{\"a\":\"x\"}}", NULL, "{\"data\":{\"a\":\"x\"}}");
}

TEST(lists_and_tables_carry_objects) {
    expect(
        "{\"apiVersion\":\"v1\",\"kind\":\"SecretList\",\"items\":[{\"data\":{\"a\":\"x\"}}]}",
        "Secret",
        "{\"apiVersion\":\"v1\",\"kind\":\"SecretList\",\"items\":[{\"data\":{\"a\":\"redacted\"}"
        "}]}");
    expect(
        "{\"kind\":\"Table\",\"rows\":[{\"cells\":[],\"object\":{\"data\":{\"a\":\"x\"}}}]}",
        "Secret",
        "{\"kind\":\"Table\",\"rows\":[{\"cells\":[],\"object\":{\"data\":{\"a\":\"redacted\"}}}]"
        "}");
}

TEST(the_last_applied_configuration_of_a_secret_goes_too) {
    expect("{\"metadata\":{\"annotations\":{\"a\":\"b\",\"kubectl.kubernetes.io/"
           "last-applied-configuration\":\"{}\"}},\"data\":{\"k\":\"x\"}}",
           "Secret",
           "{\"metadata\":{\"annotations\":{\"a\":\"b\",\"kubectl.kubernetes.io/"
           "last-applied-configuration\":\"redacted\"}},\"data\":{\"k\":\"redacted\"}}");
    expect("{\"metadata\":{\"annotations\":{\"kubectl.kubernetes.io/"
           "last-applied-configuration\":\"{}\"}},\"data\":{\"k\":\"x\"}}",
           "ConfigMap",
           "{\"metadata\":{\"annotations\":{\"kubectl.kubernetes.io/"
           "last-applied-configuration\":\"{}\"}},\"data\":{\"k\":\"x\"}}");
}
