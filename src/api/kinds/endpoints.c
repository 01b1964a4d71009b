/* Endpoints: validation, Table columns. */
#include <arpa/inet.h>
#include <string.h>

#include "api/kinds/kinds.h"

enum { LISTED_MAX = 3 };

/* Addresses that mean the reader's own machine or link can be no endpoint. */
static void special_validate(const char *ip, const char *path, struct api_causes *causes) {
    struct in_addr v4;
    if (!ip || inet_pton(AF_INET, ip, &v4) != 1) return;
    uint32_t n = ntohl(v4.s_addr);
    if (n == 0) cause_invalid(causes, path, ip, "may not be unspecified (0.0.0.0 or ::)");
    if (n >> 24 == 127)
        cause_invalid(causes, path, ip, "may not be in the loopback range (127.0.0.0/8, ::1/128)");
    if (n >> 16 == 0xa9fe)
        cause_invalid(causes, path, ip,
                      "may not be in the link-local range (169.254.0.0/16, fe80::/10)");
    if (n >> 8 == 0xe00000)
        cause_invalid(causes, path, ip,
                      "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
}

static void addresses_validate(const struct core_v1_endpoint_address_list *list, const char *path,
                               struct api_causes *causes) {
    for (size_t i = 0; i < list->n; i++) {
        const struct core_v1_endpoint_address *e = &list->v[i];
        special_validate(e->ip, path_of(causes, "%s[%zu].ip", path, i), causes);
        if (!str_empty(e->hostname))
            name_validate(causes, path_of(causes, "%s[%zu].hostname", path, i), NAME_DNS_LABEL,
                          e->hostname);
    }
}

static void endpoints_validate(const void *obj, const void *old, const char *subresource,
                               struct api_causes *causes) {
    const struct core_v1_endpoints *e = obj;
    for (size_t i = 0; i < e->subsets.n; i++) {
        const struct core_v1_endpoint_subset *s = &e->subsets.v[i];
        const char *at = path_of(causes, "subsets[%zu]", i);
        if (s->addresses.n == 0 && s->not_ready_addresses.n == 0)
            cause_required(causes, at, "must specify `addresses` or `notReadyAddresses`");
        addresses_validate(&s->addresses, path_of(causes, "%s.addresses", at), causes);
        addresses_validate(&s->not_ready_addresses, path_of(causes, "%s.notReadyAddresses", at),
                           causes);
        for (size_t j = 0; j < s->ports.n; j++) {
            const char *name = path_of(causes, "%s.ports[%zu].name", at, j);
            if (str_empty(s->ports.v[j].name)) {
                if (s->ports.n > 1) cause_required(causes, name, NULL);
            } else
                name_validate(causes, name, NAME_DNS_LABEL, s->ports.v[j].name);
        }
    }
}

static const struct api_column columns[] = {
    COLUMN_NAME,
    COLUMN("Endpoints", "Addresses and ports behind the service."),
    COLUMN_AGE,
};

struct listing {
    struct arena *a;
    struct buf text;
    size_t n, listed; /* all, and those in the text */
};

static void list_add(struct listing *l, const char *ip, const struct core_v1_endpoint_port *port) {
    if (l->listed == LISTED_MAX) return;
    l->listed++;
    const char *text = str_or(ip, "");
    if (port)
        text = strchr(text, ':') ? arena_printf(l->a, "[%s]:%d", text, port->port)
                                 : arena_printf(l->a, "%s:%d", text, port->port);
    text_join(&l->text, ",", text);
}

static const char *endpoints_text(struct arena *a, const struct core_v1_endpoints *e) {
    struct listing l = {.a = a};
    if (e->subsets.n == 0) return NONE_TEXT;
    for (size_t i = 0; i < e->subsets.n; i++) {
        const struct core_v1_endpoint_subset *s = &e->subsets.v[i];
        size_t ports = s->ports.n ? s->ports.n : 1;
        for (size_t p = 0; p < ports && p < LISTED_MAX; p++)
            for (size_t j = 0; j < s->addresses.n && j < LISTED_MAX; j++)
                list_add(&l, s->addresses.v[j].ip, s->ports.n ? &s->ports.v[p] : NULL);
        l.n += ports * s->addresses.n;
    }
    if (l.n > LISTED_MAX) buf_printf(&l.text, " + %zu more...", l.n - LISTED_MAX);
    const char *text = text_copy(a, &l.text, "");
    buf_done(&l.text);
    return text;
}

static void endpoints_row(struct arena *a, const void *obj, int64_t now_ns,
                          struct api_cell *cells) {
    const struct core_v1_endpoints *e = obj;
    cells[0] = cell_text(e->metadata.name);
    cells[1] = cell_text(endpoints_text(a, e));
    cells[2] = cell_age(a, &e->metadata, now_ns);
}

static const struct api_behavior endpoints_behavior = {
    .group = "",
    .kind = "Endpoints",
    .validate = endpoints_validate,
    .columns = columns,
    .n_columns = ARRAY_LEN(columns),
    .row = endpoints_row,
};
API_BEHAVIOR(endpoints_behavior);
