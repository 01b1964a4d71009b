/* EndpointSlice: validation, Table columns. */
#include <string.h>

#include "api/kinds/kinds.h"

enum { LISTED_MAX = 3, ENDPOINTS_MAX = 1000, ADDRESSES_MAX = 100, PORTS_MAX = 20000 };

static void address_validate(const char *type, const char *address, const char *path,
                             struct api_causes *causes) {
    if (str_eq(type, "FQDN"))
        name_validate(causes, path, NAME_DNS_SUBDOMAIN, address);
    else if (str_eq(type, "IPv4") && !ip_is_v4(address))
        cause_invalid(causes, path, str_or(address, ""), "must be an IPv4 address");
    else if (str_eq(type, "IPv6") && (ip_is_v4(address) || !ip_valid(address)))
        cause_invalid(causes, path, str_or(address, ""), "must be an IPv6 address");
}

static void ports_validate(const struct discovery_v1_endpoint_slice *s, struct api_causes *causes) {
    OWN(map_done) struct map names = {0};
    if (s->ports.n > PORTS_MAX) cause_too_many(causes, "ports", s->ports.n, PORTS_MAX);
    for (size_t i = 0; i < s->ports.n; i++) {
        const char *name = str_or(s->ports.v[i].name, "");
        const char *at = path_of(causes, "ports[%zu].name", i);
        if (*name) name_validate(causes, at, NAME_DNS_LABEL, name);
        if (map_seen(&names, slice_of(name))) cause_duplicate(causes, at, name);
    }
}

static void slice_validate(const void *obj, const void *old, const char *subresource,
                           struct api_causes *causes) {
    const struct discovery_v1_endpoint_slice *s = obj;
    ports_validate(s, causes);
    if (s->endpoints.n > ENDPOINTS_MAX)
        cause_too_many(causes, "endpoints", s->endpoints.n, ENDPOINTS_MAX);
    for (size_t i = 0; i < s->endpoints.n && i < ENDPOINTS_MAX; i++) {
        const struct discovery_v1_endpoint *e = &s->endpoints.v[i];
        const char *at = path_of(causes, "endpoints[%zu]", i);
        if (e->addresses.n > ADDRESSES_MAX)
            cause_too_many(causes, path_of(causes, "%s.addresses", at), e->addresses.n,
                           ADDRESSES_MAX);
        for (size_t j = 0; j < e->addresses.n && j < ADDRESSES_MAX; j++)
            address_validate(s->address_type, e->addresses.v[j],
                             path_of(causes, "%s.addresses[%zu]", at, j), causes);
        if (!str_empty(e->hostname))
            name_validate(causes, path_of(causes, "%s.hostname", at), NAME_DNS_LABEL, e->hostname);
        if (!str_empty(e->node_name))
            name_validate(causes, path_of(causes, "%s.nodeName", at), NAME_DNS_SUBDOMAIN,
                          e->node_name);
    }
}

static const struct api_column columns[] = {
    COLUMN_NAME,
    COLUMN("AddressType", "Kind of the addresses."),
    COLUMN("Ports", "Ports that every endpoint has."),
    COLUMN("Endpoints", "Addresses of the endpoints."),
    COLUMN_AGE,
};

static const char *with_more(struct arena *a, struct buf *text, size_t n) {
    if (n > LISTED_MAX) buf_printf(text, " + %zu more...", n - LISTED_MAX);
    return text_copy(a, text, "<unset>");
}

static const char *slice_ports_text(struct arena *a, const struct discovery_v1_endpoint_slice *s) {
    OWN(buf_done) struct buf text = {0};
    for (size_t i = 0; i < s->ports.n && i < LISTED_MAX; i++) {
        const struct discovery_v1_endpoint_port *p = &s->ports.v[i];
        text_join(&text, ",", p->port ? arena_printf(a, "%d", *p->port) : str_or(p->name, "*"));
    }
    return with_more(a, &text, s->ports.n);
}

static const char *addresses_text(struct arena *a, const struct discovery_v1_endpoint_slice *s) {
    OWN(buf_done) struct buf text = {0};
    size_t n = 0;
    for (size_t i = 0; i < s->endpoints.n; i++)
        for (size_t j = 0; j < s->endpoints.v[i].addresses.n; j++)
            if (n++ < LISTED_MAX) text_join(&text, ",", s->endpoints.v[i].addresses.v[j]);
    return with_more(a, &text, n);
}

static void slice_row(struct arena *a, const void *obj, int64_t now_ns, struct api_cell *cells) {
    const struct discovery_v1_endpoint_slice *s = obj;
    cells[0] = cell_text(s->metadata.name);
    cells[1] = cell_text(s->address_type);
    cells[2] = cell_text(slice_ports_text(a, s));
    cells[3] = cell_text(addresses_text(a, s));
    cells[4] = cell_age(a, &s->metadata, now_ns);
}

static const struct api_behavior endpointslice_behavior = {
    .group = "discovery.k8s.io",
    .kind = "EndpointSlice",
    .validate = slice_validate,
    .columns = columns,
    .n_columns = ARRAY_LEN(columns),
    .row = slice_row,
};
API_BEHAVIOR(endpointslice_behavior);
