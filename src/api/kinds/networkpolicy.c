/* NetworkPolicy: defaults, validation, Table columns. */
#include <arpa/inet.h>
#include <string.h>

#include "api/kinds/kinds.h"

static void policy_defaults(struct arena *a, void *obj) {
    struct networking_v1_network_policy *p = obj;
    if (p->spec.policy_types.n) return;
    *ARENA_PUSH(a, &p->spec.policy_types) = "Ingress";
    if (p->spec.egress.n) *ARENA_PUSH(a, &p->spec.policy_types) = "Egress";
}

static void port_validate(const struct networking_v1_network_policy_port *p, const char *path,
                          struct api_causes *causes) {
    static const char *const protocols[] = {"SCTP", "TCP", "UDP"};
    const char *port = path_of(causes, "%s.port", path), *end = path_of(causes, "%s.endPort", path);
    const char *range = "must be between 1 and 65535, inclusive";
    choice_validate(p->protocol, protocols, 3, path_of(causes, "%s.protocol", path), causes);
    if (p->port.kind == IOS_INT && (p->port.i < 1 || p->port.i > 65535))
        cause_invalid_int(causes, port, p->port.i, range);
    if (p->port.kind == IOS_STRING) name_validate(causes, port, NAME_PORT, str_or(p->port.s, ""));
    if (!p->end_port) return;
    if (p->port.kind == IOS_NONE)
        cause_required(causes, port, "may not be empty when `endPort` is specified");
    else if (p->port.kind == IOS_STRING)
        cause_invalid(causes, end, p->port.s, "may not be specified when `port` is non-numeric");
    else if (*p->end_port < p->port.i)
        cause_invalid_int(causes, end, *p->end_port, "must be greater than or equal to `port`");
    if (*p->end_port < 1 || *p->end_port > 65535)
        cause_invalid_int(causes, end, *p->end_port, range);
}

struct block {
    unsigned char address[16];
    size_t bits, total; /* prefix length of all */
};

static bool block_parse(const char *text, struct block *ret) {
    char address[INET6_ADDRSTRLEN];
    const char *slash = text ? strchr(text, '/') : NULL;
    uint64_t bits;
    *ret = (struct block){0};
    if (!slash || (size_t)(slash - text) >= sizeof address) return false;
    memcpy(address, text, (size_t)(slash - text));
    address[slash - text] = 0;
    ret->total = strchr(address, ':') ? 128 : 32;
    if (inet_pton(ret->total == 128 ? AF_INET6 : AF_INET, address, ret->address) != 1) return false;
    if (slice_u64(slice_of(slash + 1), &bits) < 0 || bits > ret->total) return false;
    ret->bits = bits;
    return true;
}

static bool block_holds(const struct block *outer, const struct block *inner) {
    if (outer->total != inner->total || inner->bits <= outer->bits) return false;
    size_t whole = outer->bits / 8, rest = outer->bits % 8;
    if (memcmp(outer->address, inner->address, whole) != 0) return false;
    return rest == 0 || (outer->address[whole] ^ inner->address[whole]) >> (8 - rest) == 0;
}

static void block_validate(const struct networking_v1_ip_block *b, const char *path,
                           struct api_causes *causes) {
    struct block outer, inner;
    const char *cidr = path_of(causes, "%s.cidr", path);
    const char *wrong = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
    if (str_empty(b->cidr)) {
        cause_required(causes, cidr, NULL);
        return;
    }
    if (!block_parse(b->cidr, &outer)) {
        cause_invalid(causes, cidr, b->cidr, wrong);
        return;
    }
    for (size_t i = 0; i < b->except.n; i++) {
        const char *text = str_or(b->except.v[i], "");
        const char *at = path_of(causes, "%s.except[%zu]", path, i);
        if (!block_parse(text, &inner))
            cause_invalid(causes, at, text, wrong);
        else if (!block_holds(&outer, &inner))
            cause_invalid(causes, at, text, "must be a strict subset of `cidr`");
    }
}

static void peer_validate(const struct networking_v1_network_policy_peer *p, const char *path,
                          struct api_causes *causes) {
    if (p->pod_selector)
        label_selector_validate(causes, path_of(causes, "%s.podSelector", path), p->pod_selector);
    if (p->namespace_selector)
        label_selector_validate(causes, path_of(causes, "%s.namespaceSelector", path),
                                p->namespace_selector);
    if (p->ip_block) block_validate(p->ip_block, path_of(causes, "%s.ipBlock", path), causes);
    if (!p->pod_selector && !p->namespace_selector && !p->ip_block)
        cause_required(causes, path, "must specify a peer");
    else if (p->ip_block && (p->pod_selector || p->namespace_selector))
        cause_forbidden(causes, path, "may not specify both ipBlock and another peer");
}

static void rule_validate(const struct networking_v1_network_policy_port_list *ports,
                          const struct networking_v1_network_policy_peer_list *peers,
                          const char *path, const char *peers_name, struct api_causes *causes) {
    for (size_t i = 0; i < ports->n; i++)
        port_validate(&ports->v[i], path_of(causes, "%s.ports[%zu]", path, i), causes);
    for (size_t i = 0; i < peers->n; i++)
        peer_validate(&peers->v[i], path_of(causes, "%s.%s[%zu]", path, peers_name, i), causes);
}

static void policy_validate(const void *obj, const void *old, const char *subresource,
                            struct api_causes *causes) {
    static const char *const types[] = {"Egress", "Ingress"};
    const struct networking_v1_network_policy_spec *s =
        &((const struct networking_v1_network_policy *)obj)->spec;
    label_selector_validate(causes, "spec.podSelector", &s->pod_selector);
    for (size_t i = 0; i < s->ingress.n; i++)
        rule_validate(&s->ingress.v[i].ports, &s->ingress.v[i].from,
                      path_of(causes, "spec.ingress[%zu]", i), "from", causes);
    for (size_t i = 0; i < s->egress.n; i++)
        rule_validate(&s->egress.v[i].ports, &s->egress.v[i].to,
                      path_of(causes, "spec.egress[%zu]", i), "to", causes);
    if (s->policy_types.n > 2) {
        cause_invalid(causes, "spec.policyTypes", "", "may not specify more than two policyTypes");
        return;
    }
    for (size_t i = 0; i < s->policy_types.n; i++)
        choice_validate(str_or(s->policy_types.v[i], ""), types, 2,
                        path_of(causes, "spec.policyTypes[%zu]", i), causes);
}

static const struct api_column columns[] = {
    COLUMN_NAME,
    COLUMN("Pod-Selector", "Labels of the pods that it is about."),
    COLUMN_AGE,
};

static void policy_row(struct arena *a, const void *obj, int64_t now_ns, struct api_cell *cells) {
    const struct networking_v1_network_policy *p = obj;
    cells[0] = cell_text(p->metadata.name);
    cells[1] = cell_text(label_selector_text(a, &p->spec.pod_selector));
    cells[2] = cell_age(a, &p->metadata, now_ns);
}

static const struct api_behavior policy_behavior = {
    .group = "networking.k8s.io",
    .kind = "NetworkPolicy",
    .defaults = policy_defaults,
    .validate = policy_validate,
    .columns = columns,
    .n_columns = ARRAY_LEN(columns),
    .row = policy_row,
};
API_BEHAVIOR(policy_behavior);
