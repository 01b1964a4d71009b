#include "network/rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "network/ipam.h"

enum { CLIENTS_MAX = 65536 }; /* that one backend remembers, then it takes others in without */

static void put(struct rules *r, const char *key, struct buf *text) {
    free(map_put(&r->pieces, slice_of(key), buf_steal(text)));
}

/* FNV-1a of the id: chain names are short and stable however long the service's name is. */
static void chain_name(char out[32], char kind, const char *id) {
    uint64_t h = 0xcbf29ce484222325u;
    for (const char *p = id; *p; p++) h = (h ^ (unsigned char)*p) * 0x100000001b3u;
    snprintf(out, 32, "%c_%016llx", kind, (unsigned long long)h);
}

static void element(struct rules *r, const char *map, const char *key, const char *verdict) {
    OWN(buf_done) struct buf k = {0}, v = {0};
    buf_printf(&k, "element %s { %s", map, key);
    buf_str(&v, verdict);
    put(r, k.p, &v);
}

static void address_element(struct rules *r, const char *map, uint32_t ip,
                            const struct rules_port *p, const char *verdict) {
    char text[IPV4_TEXT_MAX], key[64];
    ipv4_format(text, ip);
    snprintf(key, sizeof key, "%s . %s . %u", text, p->protocol, p->port);
    element(r, map, key, verdict);
}

static void spread_chain(struct rules *r, const struct rules_port *p, const char *chain) {
    OWN(buf_done) struct buf body = {0}, key = {0};
    char ip[IPV4_TEXT_MAX];
    buf_printf(&body, "meta l4proto %s ", p->protocol);
    if (p->n_backends == 1) {
        ipv4_format(ip, p->backends[0].ip);
        buf_printf(&body, "dnat ip to %s:%u", ip, p->backends[0].port);
    } else {
        buf_printf(&body, "dnat ip to numgen random mod %zu map { ", p->n_backends);
        for (size_t i = 0; i < p->n_backends; i++) {
            ipv4_format(ip, p->backends[i].ip);
            buf_printf(&body, "%s%zu : %s . %u", i ? ", " : "", i, ip, p->backends[i].port);
        }
        buf_str(&body, " }");
    }
    buf_printf(&key, "chain %s", chain);
    put(r, key.p, &body);
}

/* The backend's chain and the set of its clients. Their names hold everything that they consist of:
 * a set cannot be changed, so what is different is another one. */
static void sticky_backend(struct rules *r, const struct rules_port *p, size_t i, char chain[32],
                           char clients[32]) {
    OWN(buf_done) struct buf id = {0}, body = {0}, key = {0}, set = {0}, set_key = {0};
    char ip[IPV4_TEXT_MAX];
    ipv4_format(ip, p->backends[i].ip);
    buf_printf(&id, "%s/%s:%u/%u", p->id, ip, p->backends[i].port, p->affinity_s);
    chain_name(chain, 'b', id.p);
    chain_name(clients, 'c', id.p);
    buf_printf(&set, "{ type ipv4_addr; flags dynamic,timeout; timeout %us; size %d; }",
               p->affinity_s, CLIENTS_MAX);
    buf_printf(&set_key, "set %s", clients);
    put(r, set_key.p, &set);
    buf_printf(&body, "update @%s { ip saddr }\nmeta l4proto %s dnat ip to %s:%u", clients,
               p->protocol, ip, p->backends[i].port);
    buf_printf(&key, "chain %s", chain);
    put(r, key.p, &body);
}

static void sticky_chain(struct rules *r, const struct rules_port *p, const char *name) {
    OWN(buf_done) struct buf body = {0}, choice = {0}, key = {0};
    for (size_t i = 0; i < p->n_backends; i++) {
        char chain[32], clients[32];
        sticky_backend(r, p, i, chain, clients);
        buf_printf(&body, "ip saddr @%s goto %s\n", clients, chain);
        buf_printf(&choice, "%s%zu : goto %s", i ? ", " : "", i, chain);
    }
    buf_printf(&body, "numgen random mod %zu vmap { %s }", p->n_backends, choice.p);
    buf_printf(&key, "chain %s", name);
    put(r, key.p, &body);
}

static void masquerade_chain(struct rules *r, const char *chain, const char *target) {
    OWN(buf_done) struct buf body = {0}, key = {0};
    buf_printf(&body, "meta mark set meta mark or 0x4000 goto %s", target);
    buf_printf(&key, "chain %s", chain);
    put(r, key.p, &body);
}

static void live_port(struct rules *r, const struct rules_port *p) {
    char chain[32], marked[32], verdict[48], marked_verdict[48], key[40];
    chain_name(chain, 's', p->id);
    chain_name(marked, 'x', p->id);
    snprintf(verdict, sizeof verdict, "goto %s", chain);
    snprintf(marked_verdict, sizeof marked_verdict, "goto %s", p->local_only ? chain : marked);
    if (p->affinity_s)
        sticky_chain(r, p, chain);
    else
        spread_chain(r, p, chain);
    if (p->cluster_ip) address_element(r, "services", p->cluster_ip, p, verdict);
    bool outside = p->node_port || p->n_external_ips;
    if (outside && !p->local_only) masquerade_chain(r, marked, chain);
    if (p->node_port) {
        snprintf(key, sizeof key, "%s . %u", p->protocol, p->node_port);
        element(r, "nodeports", key, marked_verdict);
    }
    for (size_t i = 0; i < p->n_external_ips; i++)
        address_element(r, "services", p->external_ips[i], p, marked_verdict);
    for (size_t i = 0; i < p->n_backends; i++) {
        char ip[IPV4_TEXT_MAX], pair[48];
        ipv4_format(ip, p->backends[i].ip);
        snprintf(pair, sizeof pair, "%s . %s", ip, ip);
        element(r, "hairpin", pair, "");
    }
}

void rules_add(struct rules *r, const struct rules_port *p) {
    if (p->n_backends) {
        live_port(r, p);
        return;
    }
    /* Nobody serves: refuse at once instead of letting clients time out. */
    if (p->cluster_ip) address_element(r, "refused", p->cluster_ip, p, "goto refuse");
    for (size_t i = 0; i < p->n_external_ips; i++)
        address_element(r, "refused", p->external_ips[i], p, "goto refuse");
}

void rules_done(struct rules *r) {
    size_t at = 0;
    struct map_entry *e;
    while ((e = map_next(&r->pieces, &at))) free(e->value);
    map_done(&r->pieces);
}

/* Nothing translates what programs of this machine ask the API by 127.0.0.0/8, so that nobody needs
 * to know their connections: a twentieth of what an answer costs both ends. */
static void untracked(struct buf *out, unsigned api_port) {
    buf_printf(out,
               "chain untracked { type filter hook output priority -300;"
               " ip daddr != 127.0.0.0/8 return; ip saddr != 127.0.0.0/8 return;"
               " tcp dport %u notrack; tcp sport %u notrack; }\n",
               api_port, api_port);
}

void rules_base(struct buf *out, const char *table, const char *bridge, const char *pod_cidr,
                unsigned api_port) {
    buf_printf(out, "add table ip %s\ndelete table ip %s\n", table, table);
    buf_printf(out, "table ip %s {\n", table);
    buf_str(
        out,
        "map services { type ipv4_addr . inet_proto . inet_service : verdict; }\n"
        "map nodeports { type inet_proto . inet_service : verdict; }\n"
        "map refused { type ipv4_addr . inet_proto . inet_service : verdict; }\n"
        "set hairpin { type ipv4_addr . ipv4_addr; }\n"
        "chain refuse { meta l4proto tcp reject with tcp reset; reject; }\n"
        "chain dispatch {\n"
        " ip daddr . meta l4proto . th dport vmap @services\n"
        " ip daddr != 127.0.0.0/8 fib daddr type local meta l4proto . th dport vmap @nodeports\n"
        "}\n"
        "chain prerouting { type nat hook prerouting priority -100; jump dispatch; }\n"
        "chain output { type nat hook output priority -100; jump dispatch; }\n"
        "chain refuse_forward { type filter hook forward priority 0;"
        " ip daddr . meta l4proto . th dport vmap @refused; }\n"
        "chain refuse_output { type filter hook output priority 0;"
        " ip daddr 127.0.0.0/8 return;" /* what programs here send each other */
        " ip daddr . meta l4proto . th dport vmap @refused; }\n");
    untracked(out, api_port);
    buf_printf(out,
               "chain postrouting { type nat hook postrouting priority 100;\n"
               " ip saddr . ip daddr @hairpin masquerade\n"
               " meta mark & 0x4000 == 0x4000 masquerade\n"
               " ip saddr %s ip daddr != %s oifname != \"%s\" masquerade\n}\n}\n",
               pod_cidr, pod_cidr, bridge);
}

static bool is(const struct map_entry *e, const char *kind) { return str_starts(e->key, kind); }

static void element_command(struct buf *out, const char *verb, const char *table,
                            const struct map_entry *e) {
    const char *rest = e->key + strlen("element "), *verdict = e->value;
    buf_printf(out, "%s element ip %s %s%s%s }\n", verb, table, rest,
               *verdict && *verb == 'a' ? " : " : "", *verb == 'a' ? verdict : "");
}

static const char *piece(const struct rules *r, const struct map_entry *e) {
    return map_get(&r->pieces, slice_from(e->key, e->key_n));
}

/* Sets and empty chains; then the rules, which may name any of them. */
static void write_chains(struct buf *out, const char *table, const struct rules *from,
                         const struct rules *to) {
    size_t at = 0;
    struct map_entry *e;
    while ((e = map_next(&to->pieces, &at))) {
        if (piece(from, e)) continue;
        if (is(e, "set "))
            buf_printf(out, "add set ip %s %s %s\n", table, e->key + 4, (const char *)e->value);
        else if (is(e, "chain "))
            buf_printf(out, "add chain ip %s %s\n", table, e->key + 6);
    }
    at = 0;
    while ((e = map_next(&to->pieces, &at))) {
        const char *was = piece(from, e);
        if (!is(e, "chain ") || (was && strcmp(was, e->value) == 0)) continue;
        if (was) buf_printf(out, "flush chain ip %s %s\n", table, e->key + 6);
        for (const char *line = e->value; *line;) {
            size_t n = strcspn(line, "\n");
            buf_printf(out, "add rule ip %s %s %.*s\n", table, e->key + 6, (int)n, line);
            line += n + (line[n] == '\n');
        }
    }
}

/* Chains go when nothing jumps to them any more; first all are emptied, since they may jump to each
 * other. Then the sets, which no rule names by then. */
static void delete_chains(struct buf *out, const char *table, const struct rules *from,
                          const struct rules *to) {
    static const struct {
        const char *kind, *verb;
    } passes[] = {{"chain ", "flush"}, {"chain ", "delete"}, {"set ", "delete"}};
    for (size_t i = 0; i < sizeof passes / sizeof passes[0]; i++) {
        size_t at = 0;
        struct map_entry *e;
        while ((e = map_next(&from->pieces, &at)))
            if (is(e, passes[i].kind) && !piece(to, e))
                buf_printf(out, "%s %sip %s %s\n", passes[i].verb, passes[i].kind, table,
                           e->key + strlen(passes[i].kind));
    }
}

void rules_diff(struct buf *out, const char *table, const struct rules *from,
                const struct rules *to) {
    size_t at = 0;
    struct map_entry *e;
    write_chains(out, table, from, to);
    while ((e = map_next(&from->pieces, &at))) {
        const char *now = piece(to, e);
        if (is(e, "element ") && (!now || strcmp(now, e->value) != 0))
            element_command(out, "delete", table, e);
    }
    at = 0;
    while ((e = map_next(&to->pieces, &at))) {
        const char *was = piece(from, e);
        if (is(e, "element ") && (!was || strcmp(was, e->value) != 0))
            element_command(out, "add", table, e);
    }
    delete_chains(out, table, from, to);
}
