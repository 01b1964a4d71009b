/* Rules in the style of what is installed most: Gateway API, cert-manager, the Prometheus operator,
 * Argo; and documents that keep and break them. */
#include "base/own.h"
#include "base/test.h"
#include "cel/fixture.h"

static void holds(const char *rule, const char *document, bool expected) {
    struct cel_case c = {rule, expected ? "true" : "false", NULL};
    cel_cases(&c, 1, document);
}

TEST(cel_rules_of_gateways) {
    static const char listeners[] = "self.all(l1, self.exists_one(l2, l1.name == l2.name))";
    static const char tls[] =
        "self.all(l, l.protocol in ['HTTP', 'TCP', 'UDP'] ? !has(l.tls) : true)";
    static const char combination[] =
        "self.all(l1, self.exists_one(l2, l1.port == l2.port && l1.protocol == l2.protocol && "
        "(has(l1.hostname) && has(l2.hostname) ? l1.hostname == l2.hostname : "
        "!has(l1.hostname) && !has(l2.hostname))))";
    static const char two[] = "[{\"name\":\"a\",\"port\":80,\"protocol\":\"HTTP\"},"
                              "{\"name\":\"b\",\"port\":443,\"protocol\":\"HTTPS\",\"tls\":{}}]";
    static const char same[] = "[{\"name\":\"a\",\"port\":80,\"protocol\":\"HTTP\",\"tls\":{}},"
                               "{\"name\":\"a\",\"port\":80,\"protocol\":\"HTTP\"}]";
    const char *rules[] = {listeners, tls, combination};
    for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
        holds(rules[i], two, true);
        holds(rules[i], same, false);
    }
    static const char filter[] = "!(has(self.requestRedirect) && self.type != 'RequestRedirect')";
    holds(filter, "{\"type\":\"RequestRedirect\",\"requestRedirect\":{}}", true);
    holds(filter, "{\"type\":\"URLRewrite\",\"requestRedirect\":{}}", false);
    static const char path[] = "self.type == 'PathPrefix' ? self.value.startsWith('/') && "
                               "!self.value.contains('//') && !self.value.endsWith('/..') : true";
    holds(path, "{\"type\":\"PathPrefix\",\"value\":\"/a/b\"}", true);
    holds(path, "{\"type\":\"PathPrefix\",\"value\":\"/a//b\"}", false);
    static const char chars[] = "self.value.matches(r\"\"\"^(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|[%]"
                                "[0-9a-fA-F]{2})+$\"\"\")";
    holds(chars, "{\"value\":\"/a%20b\"}", true);
    holds(chars, "{\"value\":\"/a b\"}", false);
}

TEST(cel_rules_of_certificates) {
    static const char either[] = "(has(self.privateKey) && self.privateKey.algorithm == 'RSA') ? "
                                 "self.privateKey.size >= 2048 && self.privateKey.size <= 8192 : "
                                 "true";
    holds(either, "{\"privateKey\":{\"algorithm\":\"RSA\",\"size\":4096}}", true);
    holds(either, "{\"privateKey\":{\"algorithm\":\"RSA\",\"size\":512}}", false);
    holds(either, "{}", true);
    static const char renew[] = "duration(self.renewBefore) < duration(self.duration)";
    holds(renew, "{\"renewBefore\":\"360h\",\"duration\":\"2160h0m0s\"}", true);
    holds(renew, "{\"renewBefore\":\"360h\",\"duration\":\"5m\"}", false);
    static const char one[] =
        "[has(self.ca), has(self.acme), has(self.vault), has(self.selfSigned)]"
        ".filter(x, x).size() == 1";
    holds(one, "{\"selfSigned\":{}}", true);
    holds(one, "{\"selfSigned\":{},\"ca\":{}}", false);
    static const char names[] = "self.dnsNames.all(n, !format.dns1123Subdomain().validate("
                                "n.startsWith('*.') ? n.substring(2) : n).hasValue())";
    holds(names, "{\"dnsNames\":[\"a.example.com\",\"*.example.com\"]}", true);
    holds(names, "{\"dnsNames\":[\"A_b\"]}", false);
}

TEST(cel_rules_of_monitoring) {
    static const char retention[] =
        "self.retention.matches('^(0|(([0-9]+)y)?(([0-9]+)w)?(([0-9]+)d)?(([0-9]+)h)?)$')";
    holds(retention, "{\"retention\":\"1y2d\"}", true);
    holds(retention, "{\"retention\":\"2 days\"}", false);
    static const char request[] = "quantity(self.storage).isGreaterThan(quantity('1Gi')) && "
                                  "quantity(self.storage).compareTo(quantity('1Ti')) <= 0";
    holds(request, "{\"storage\":\"50Gi\"}", true);
    holds(request, "{\"storage\":\"2Ti\"}", false);
    static const char url[] = "isURL(self.url) && url(self.url).getScheme() in ['http', 'https']";
    holds(url, "{\"url\":\"https://prometheus.example:9090/api\"}", true);
    holds(url, "{\"url\":\"ftp://prometheus.example\"}", false);
    static const char limits[] = "self.?scrapeTimeout.orValue('10s') == '10s' || "
                                 "duration(self.scrapeTimeout) <= duration(self.interval)";
    holds(limits, "{\"interval\":\"30s\"}", true);
    holds(limits, "{\"interval\":\"30s\",\"scrapeTimeout\":\"1m\"}", false);
}

TEST(cel_rules_of_workflows) {
    static const char steps[] = "self.templates.map(t, t.name).all(n, self.templates.filter(t, "
                                "t.name == n).size() == 1) && self.entrypoint in "
                                "self.templates.map(t, t.name)";
    holds(steps, "{\"entrypoint\":\"a\",\"templates\":[{\"name\":\"a\"},{\"name\":\"b\"}]}", true);
    holds(steps, "{\"entrypoint\":\"c\",\"templates\":[{\"name\":\"a\"},{\"name\":\"b\"}]}", false);
    static const char canary[] = "self.steps.filter(s, has(s.setWeight)).map(s, s.setWeight)"
                                 ".isSorted() && sets.contains(['canary', 'blueGreen'], "
                                 "[self.strategy])";
    holds(canary,
          "{\"strategy\":\"canary\",\"steps\":[{\"setWeight\":10},{\"pause\":{}},"
          "{\"setWeight\":50}]}",
          true);
    holds(canary, "{\"strategy\":\"canary\",\"steps\":[{\"setWeight\":50},{\"setWeight\":10}]}",
          false);
    static const char network[] = "self.sources.all(s, isCIDR(s) && cidr('10.0.0.0/8')"
                                  ".containsCIDR(cidr(s).masked()))";
    holds(network, "{\"sources\":[\"10.1.0.0/16\"]}", true);
    holds(network, "{\"sources\":[\"192.168.0.0/16\"]}", false);
}
