#include "dns/zone.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/own.h"
#include "base/vec.h"

struct slice_names {
    VEC(char *) list; /* names of EndpointSlices in the service's namespace */
};

static void service_key(const struct api_object *o, char out[600]) {
    snprintf(out, 600, "%.260s/%.300s", str_or(o->metadata.namespace, ""),
             str_or(str_map_get(&o->metadata.labels, "kubernetes.io/service-name"), ""));
}

static void forget(struct zone *z, const struct api_object *o) {
    char key[600];
    service_key(o, key);
    struct slice_names *names = map_gets(&z->slices_of, key);
    for (size_t i = 0; names && i < names->list.n; i++) {
        if (strcmp(names->list.v[i], o->metadata.name) != 0) continue;
        free(names->list.v[i]);
        vec_swap_remove(&names->list, i);
        break;
    }
    if (names && !names->list.n) {
        map_del(&z->slices_of, slice_of(key));
        vec_done(&names->list);
        free(names);
    }
}

static void remember(struct zone *z, const struct api_object *o) {
    char key[600], *name = strdup(o->metadata.name);
    service_key(o, key);
    struct slice_names *names = map_gets(&z->slices_of, key);
    if (!names) {
        names = calloc(1, sizeof *names);
        if (!names) abort();
        map_put(&z->slices_of, slice_of(key), names);
    }
    if (!name) abort();
    vec_push(&names->list, name);
}

void zone_slice_changed(struct zone *z, const struct api_object *now,
                        const struct api_object *old) {
    if (old) forget(z, old);
    if (now) remember(z, now);
}

void zone_done(struct zone *z) {
    size_t at = 0;
    struct map_entry *e;
    while ((e = map_next(&z->slices_of, &at))) {
        struct slice_names *names = e->value;
        for (size_t i = 0; i < names->list.n; i++) free(names->list.v[i]);
        vec_done(&names->list);
        free(names);
    }
    map_done(&z->slices_of);
}

struct lookup {
    const struct zone *z;
    const struct dns_query *q;
    struct dns_answer answer;
    char name[DNS_NAME_MAX];  /* asked now: the query's, or what it is an alias of */
    char alias[DNS_NAME_MAX]; /* what `name` stands for (ExternalName), or "" */
    bool exists;              /* the name exists, even if not with this type */
};

enum { CNAMES_MAX = 8 }; /* ExternalNames that point at ExternalNames */

static bool wants(const struct lookup *l, enum dns_type type) {
    return l->q->type == type || l->q->type == DNS_ANY;
}

static bool parse_ip(const char *s, uint32_t *ret) {
    struct in_addr in;
    if (str_empty(s) || inet_pton(AF_INET, s, &in) != 1) return false;
    *ret = ntohl(in.s_addr);
    return true;
}

static void endpoint_label(const struct discovery_v1_endpoint *e, char out[64]) {
    snprintf(out, 64, "%.63s", str_empty(e->hostname) ? e->addresses.v[0] : e->hostname);
    for (char *c = out; *c && str_empty(e->hostname); c++)
        if (*c == '.') *c = '-';
}

/* Calls fn for each usable endpoint of the service. */
typedef void endpoint_fn(struct lookup *l, const struct core_v1_service *s,
                         const struct discovery_v1_endpoint_slice *slice,
                         const struct discovery_v1_endpoint *e, const void *arg);
static void each_endpoint(struct lookup *l, const struct core_v1_service *s, endpoint_fn *fn,
                          const void *arg) {
    char key[600];
    snprintf(key, sizeof key, "%.260s/%.300s", s->metadata.namespace, s->metadata.name);
    const struct slice_names *names = map_gets(&l->z->slices_of, key);
    for (size_t i = 0; names && i < names->list.n; i++) {
        const struct discovery_v1_endpoint_slice *slice =
            (const struct discovery_v1_endpoint_slice *)informer_get(
                l->z->slices, s->metadata.namespace, names->list.v[i]);
        if (!slice || !str_eq(slice->address_type, "IPv4")) continue;
        for (size_t j = 0; j < slice->endpoints.n; j++) {
            const struct discovery_v1_endpoint *e = &slice->endpoints.v[j];
            bool ready = !e->conditions.ready || *e->conditions.ready;
            if (e->addresses.n && (ready || s->spec.publish_not_ready_addresses))
                fn(l, s, slice, e, arg);
        }
    }
}

static void answer_address(struct lookup *l, const struct core_v1_service *s,
                           const struct discovery_v1_endpoint_slice *slice,
                           const struct discovery_v1_endpoint *e, const void *want_label) {
    char label[64];
    uint32_t ip;
    (void)s, (void)slice;
    endpoint_label(e, label);
    if (want_label && strcmp(want_label, label) != 0) return;
    l->exists = true;
    if (wants(l, DNS_A) && parse_ip(e->addresses.v[0], &ip))
        dns_a(&l->answer, l->name, ZONE_TTL_S, ip);
}

struct srv_query {
    const char *port, *protocol; /* protocol as the API writes it */
};

static void answer_endpoint_srv(struct lookup *l, const struct core_v1_service *s,
                                const struct discovery_v1_endpoint_slice *slice,
                                const struct discovery_v1_endpoint *e, const void *arg) {
    const struct srv_query *want = arg;
    char label[64], target[DNS_NAME_MAX + 64];
    endpoint_label(e, label);
    for (size_t i = 0; i < slice->ports.n; i++) {
        const struct discovery_v1_endpoint_port *p = &slice->ports.v[i];
        if (!p->port || !str_eq(p->name, want->port) ||
            !str_eq(str_or(p->protocol, "TCP"), want->protocol))
            continue;
        snprintf(target, sizeof target, "%s.%.63s.%.63s.svc.%.60s", label, s->metadata.name,
                 s->metadata.namespace, l->z->domain);
        l->exists = true;
        if (wants(l, DNS_SRV))
            dns_srv(&l->answer, l->name, ZONE_TTL_S, (uint16_t)*p->port, 100, target);
    }
}

static void answer_srv(struct lookup *l, const struct core_v1_service *s, const char *port,
                       const char *protocol) {
    struct srv_query want = {port, strcmp(protocol, "udp") == 0    ? "UDP"
                                   : strcmp(protocol, "sctp") == 0 ? "SCTP"
                                                                   : "TCP"};
    char target[DNS_NAME_MAX];
    if (str_eq(s->spec.cluster_ip, "None")) {
        each_endpoint(l, s, answer_endpoint_srv, &want);
        return;
    }
    snprintf(target, sizeof target, "%.63s.%.63s.svc.%.60s", s->metadata.name,
             s->metadata.namespace, l->z->domain);
    for (size_t i = 0; i < s->spec.ports.n; i++) {
        const struct core_v1_service_port *p = &s->spec.ports.v[i];
        if (!str_eq(p->name, want.port) || !str_eq(str_or(p->protocol, "TCP"), want.protocol))
            continue;
        l->exists = true;
        if (wants(l, DNS_SRV))
            dns_srv(&l->answer, l->name, ZONE_TTL_S, (uint16_t)p->port, 100, target);
    }
}

static void answer_service(struct lookup *l, const struct core_v1_service *s) {
    uint32_t ip;
    if (str_eq(s->spec.type, "ExternalName")) {
        l->exists = true;
        snprintf(l->alias, sizeof l->alias, "%.255s", str_or(s->spec.external_name, ""));
        size_t n = strlen(l->alias);
        if (n && l->alias[n - 1] == '.') l->alias[n - 1] = 0;
        dns_name_record(&l->answer, l->name, DNS_CNAME, ZONE_TTL_S, l->alias);
    } else if (str_eq(s->spec.cluster_ip, "None")) {
        /* A headless service without endpoints exists, with no addresses. */
        l->exists = true;
        each_endpoint(l, s, answer_address, NULL);
    } else if (parse_ip(s->spec.cluster_ip, &ip)) {
        l->exists = true;
        if (wants(l, DNS_A)) dns_a(&l->answer, l->name, ZONE_TTL_S, ip);
    }
}

enum { LABELS_MAX = 6 };

/* Labels below the domain, outermost last: web.default.svc → {web, default, svc}. 0 when there are
 * too many. */
static size_t split(char *name, char *labels[LABELS_MAX]) {
    size_t n = 0;
    for (char *at = name; at;) {
        char *dot = strchr(at, '.');
        if (n == LABELS_MAX) return 0;
        labels[n++] = at;
        if (dot) *dot = 0;
        at = dot ? dot + 1 : NULL;
    }
    return n;
}

static void answer_below_svc(struct lookup *l, char **labels, size_t n) {
    const struct zone *z = l->z;
    const char *ns = labels[n - 2];
    if (n == 2) { /* NAMESPACE.svc: exists when something is in it; cheap answer: no data */
        l->exists = true;
        return;
    }
    const struct core_v1_service *s =
        (const struct core_v1_service *)informer_get(z->services, ns, labels[n - 3]);
    if (!s) return;
    if (n == 3)
        answer_service(l, s);
    else if (n == 4)
        each_endpoint(l, s, answer_address, labels[0]);
    else if (n == 5 && labels[0][0] == '_' && labels[1][0] == '_')
        answer_srv(l, s, labels[0] + 1, labels[1] + 1);
}

static void answer_pod(struct lookup *l, char **labels, size_t n) {
    uint32_t ip;
    char *dashed = labels[0];
    if (n != 3) {
        l->exists = n == 2;
        return;
    }
    for (char *c = dashed; *c; c++)
        if (*c == '-') *c = '.';
    if (!parse_ip(dashed, &ip)) return;
    l->exists = true;
    if (wants(l, DNS_A)) dns_a(&l->answer, l->name, ZONE_TTL_S, ip);
}

static void answer_in_domain(struct lookup *l, size_t below) {
    char name[DNS_NAME_MAX], *labels[LABELS_MAX];
    if (!below) {
        l->exists = true;
        return;
    }
    snprintf(name, sizeof name, "%.*s", (int)below, l->name);
    size_t n = split(name, labels);
    if (!n) return;
    if (n == 1 && strcmp(labels[0], "dns-version") == 0) {
        l->exists = true;
        if (wants(l, DNS_TXT)) dns_txt(&l->answer, l->name, ZONE_TTL_S, "1.1.0");
    } else if (strcmp(labels[n - 1], "svc") == 0) {
        if (n == 1)
            l->exists = true;
        else
            answer_below_svc(l, labels, n);
    } else if (strcmp(labels[n - 1], "pod") == 0) {
        if (n == 1)
            l->exists = true;
        else
            answer_pod(l, labels, n);
    }
}

struct reverse {
    uint32_t ip;
};

static void answer_reverse_endpoint(struct lookup *l, const struct core_v1_service *s,
                                    const struct discovery_v1_endpoint_slice *slice,
                                    const struct discovery_v1_endpoint *e, const void *arg) {
    const struct reverse *r = arg;
    char label[64], target[DNS_NAME_MAX + 64];
    uint32_t ip;
    (void)slice;
    if (l->exists || str_empty(e->hostname) || !parse_ip(e->addresses.v[0], &ip) || ip != r->ip)
        return;
    endpoint_label(e, label);
    snprintf(target, sizeof target, "%s.%.63s.%.63s.svc.%.60s", label, s->metadata.name,
             s->metadata.namespace, l->z->domain);
    l->exists = true;
    dns_name_record(&l->answer, l->name, DNS_PTR, ZONE_TTL_S, target);
}

/* D.C.B.A.in-addr.arpa for an address of ours; others are forwarded. */
static bool answer_reverse(struct lookup *l) {
    unsigned d[4];
    int end = 0;
    /* Three digits each fit, and %n shows that all was read. */
    if (sscanf(l->name, "%3u.%3u.%3u.%3u.in-addr.arpa%n", &d[0], &d[1], &d[2], &d[3], &end) != 4 ||
        !end || l->name[end])
        return false;
    struct reverse r = {(d[3] & 255) << 24 | (d[2] & 255) << 16 | (d[1] & 255) << 8 | (d[0] & 255)};
    const struct api_object *o;
    size_t at = 0;
    while ((o = informer_next(l->z->services, &at)) && !l->exists) {
        const struct core_v1_service *s = (const struct core_v1_service *)o;
        char target[DNS_NAME_MAX];
        uint32_t ip;
        if (str_eq(s->spec.cluster_ip, "None"))
            each_endpoint(l, s, answer_reverse_endpoint, &r);
        else if (parse_ip(s->spec.cluster_ip, &ip) && ip == r.ip) {
            snprintf(target, sizeof target, "%.63s.%.63s.svc.%.60s", s->metadata.name,
                     s->metadata.namespace, l->z->domain);
            l->exists = true;
            dns_name_record(&l->answer, l->name, DNS_PTR, ZONE_TTL_S, target);
        }
    }
    return l->exists;
}

static bool in_domain(const char *name, const char *domain, size_t *ret_below) {
    size_t n = strlen(name), m = strlen(domain);
    if (n < m || strcmp(name + n - m, domain) != 0 || (n > m && name[n - m - 1] != '.'))
        return false;
    *ret_below = n > m ? n - m - 1 : 0;
    return true;
}

/* True when it ends at an alias outside the domain, then l->name. */
static bool answer_with_aliases(struct lookup *l, size_t below) {
    answer_in_domain(l, below);
    /* Resolvers of the C libraries do not follow: the alias comes with its addresses. */
    for (int i = 0; *l->alias && l->q->type != DNS_CNAME && i < CNAMES_MAX; i++) {
        memcpy(l->name, l->alias, sizeof l->name);
        *l->alias = 0;
        if (!in_domain(l->name, l->z->domain, &below)) return true;
        answer_in_domain(l, below);
    }
    return false;
}

bool zone_alias(const struct zone *z, const struct dns_query *q, char ret[DNS_NAME_MAX]) {
    OWN(buf_done) struct buf scratch = {0};
    struct lookup l = {.z = z, .q = q};
    size_t below;
    if (q->type != DNS_A && q->type != DNS_AAAA) return false;
    memcpy(l.name, q->name, sizeof l.name);
    dns_begin(&l.answer, &scratch, q);
    if (!in_domain(l.name, z->domain, &below) || !answer_with_aliases(&l, below)) return false;
    memcpy(ret, l.name, DNS_NAME_MAX);
    return true;
}

bool zone_answer(const struct zone *z, const struct dns_query *q, size_t max_bytes,
                 struct buf *out) {
    struct lookup l = {.z = z, .q = q};
    size_t below, was = out->n;
    memcpy(l.name, q->name, sizeof l.name);
    dns_begin(&l.answer, out, q);
    if (!in_domain(l.name, z->domain, &below)) {
        if (answer_reverse(&l)) {
            dns_end(&l.answer, q, DNS_OK, true, max_bytes);
            return true;
        }
        out->n = was;
        return false;
    }
    answer_with_aliases(&l, below);
    if (!l.answer.answers) dns_soa(&l.answer, z->domain, ZONE_TTL_S);
    dns_end(&l.answer, q, l.exists ? DNS_OK : DNS_NAME_ERROR, true, max_bytes);
    return true;
}
