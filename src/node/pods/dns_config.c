#include "node/pods/dns_config.h"

#include <string.h>

#include "base/own.h"

enum { SEARCH_MAX = 32, NAMESERVERS_MAX = 3, OPTIONS_MAX = 16 };

/* Names collected from cluster, host and dnsConfig, without duplicates. */
struct words {
    struct slice v[SEARCH_MAX];
    size_t n, max;
};

static void word_add(struct words *w, struct slice s) {
    if (!s.n || w->n >= w->max) return;
    for (size_t i = 0; i < w->n; i++)
        if (slice_eq(w->v[i], s)) return;
    w->v[w->n++] = s;
}

struct resolv {
    struct words nameservers, searches, options;
};

static bool line_word(struct slice *line, struct slice *word) {
    while (line->n && (*line->p == ' ' || *line->p == '\t')) line->p++, line->n--;
    if (!line->n) return false;
    size_t i = 0;
    while (i < line->n && line->p[i] != ' ' && line->p[i] != '\t') i++;
    *word = slice_from(line->p, i);
    line->p += i, line->n -= i;
    return true;
}

static void parse_host(struct resolv *r, const char *text, bool with_nameservers) {
    struct slice rest = slice_of(text), line, word;
    while (slice_cut(&rest, '\n', &line)) {
        line = slice_trim(line);
        if (!line_word(&line, &word)) continue;
        bool search = slice_is(word, "search") || slice_is(word, "domain");
        bool server = slice_is(word, "nameserver"), option = slice_is(word, "options");
        while ((search || server || option) && line_word(&line, &word)) {
            if (search && !slice_is(word, ".")) word_add(&r->searches, word);
            if (server && with_nameservers) word_add(&r->nameservers, word);
            if (option && with_nameservers) word_add(&r->options, word);
        }
    }
}

static void option_set(struct words *w, struct slice text) {
    struct slice name = text, rest = text;
    slice_cut(&rest, ':', &name);
    for (size_t i = 0; i < w->n; i++) {
        struct slice have = w->v[i], tail = have, head = have;
        slice_cut(&tail, ':', &head);
        if (slice_eq(head, name)) {
            w->v[i] = text;
            return;
        }
    }
    word_add(w, text);
}

static void write_words(struct buf *out, const char *keyword, const struct words *w) {
    if (!w->n) return;
    buf_str(out, keyword);
    for (size_t i = 0; i < w->n; i++) {
        buf_char(out, ' ');
        buf_slice(out, w->v[i]);
    }
    buf_char(out, '\n');
}

static void add_config(struct resolv *r, const struct core_v1_pod_dns_config *c, struct arena *a) {
    for (size_t i = 0; i < c->nameservers.n; i++)
        word_add(&r->nameservers, slice_of(c->nameservers.v[i]));
    for (size_t i = 0; i < c->searches.n; i++) word_add(&r->searches, slice_of(c->searches.v[i]));
    for (size_t i = 0; i < c->options.n; i++) {
        const char *name = c->options.v[i].name, *value = c->options.v[i].value;
        if (str_empty(name)) continue;
        option_set(&r->options,
                   slice_of(value ? arena_printf(a, "%s:%s", name, value) : arena_str(a, name)));
    }
}

static void add_cluster(struct resolv *r, const struct core_v1_pod *p, const struct dns_settings *s,
                        struct arena *a) {
    word_add(&r->nameservers, slice_of(s->dns_ip));
    word_add(&r->searches, slice_of(arena_printf(a, "%s.svc.%s", str_or(p->metadata.namespace, ""),
                                                 s->cluster_domain)));
    word_add(&r->searches, slice_of(arena_printf(a, "svc.%s", s->cluster_domain)));
    word_add(&r->searches, slice_of(s->cluster_domain));
    parse_host(r, s->host_resolv, false);
    option_set(&r->options, SLICE("ndots:5"));
}

void dns_resolv_conf(struct buf *out, const struct core_v1_pod *p, const struct dns_settings *s) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct resolv r = {
        .nameservers.max = NAMESERVERS_MAX, .searches.max = SEARCH_MAX, .options.max = OPTIONS_MAX};
    const char *policy = str_or(p->spec.dns_policy, "ClusterFirst");
    bool host_net = p->spec.host_network;
    if (str_eq(policy, "ClusterFirstWithHostNet") || (str_eq(policy, "ClusterFirst") && !host_net))
        add_cluster(&r, p, s, a);
    else if (!str_eq(policy, "None"))
        parse_host(&r, s->host_resolv, true);
    if (p->spec.dns_config) add_config(&r, p->spec.dns_config, a);
    write_words(out, "search", &r.searches);
    for (size_t i = 0; i < r.nameservers.n; i++)
        buf_printf(out, "nameserver %.*s\n", (int)r.nameservers.v[i].n, r.nameservers.v[i].p);
    write_words(out, "options", &r.options);
}

const char *dns_hostname(struct arena *a, const struct core_v1_pod *p) {
    if (p->spec.hostname) return arena_str(a, p->spec.hostname);
    struct slice name = slice_of(str_or(p->metadata.name, "pod"));
    if (name.n > 63) name.n = 63;
    while (name.n && (name.p[name.n - 1] == '-' || name.p[name.n - 1] == '.')) name.n--;
    return arena_strn(a, name);
}

void dns_etc_hosts(struct buf *out, const struct core_v1_pod *p, const struct dns_settings *s,
                   const char *ip, const char *host_hosts) {
    OWN(arena_free_p) struct arena *a = arena_new();
    if (p->spec.host_network) {
        buf_str(out, host_hosts);
        if (out->n && out->p[out->n - 1] != '\n') buf_char(out, '\n');
    } else {
        buf_str(out, "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n"
                     "::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\n"
                     "fe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n");
        const char *host = dns_hostname(a, p);
        if (ip && p->spec.subdomain)
            buf_printf(out, "%s\t%s.%s.%s.svc.%s\t%s\n", ip, host, p->spec.subdomain,
                       str_or(p->metadata.namespace, ""), s->cluster_domain, host);
        else if (ip)
            buf_printf(out, "%s\t%s\n", ip, host);
    }
    if (p->spec.host_aliases.n) buf_str(out, "\n# Entries added by HostAliases.\n");
    for (size_t i = 0; i < p->spec.host_aliases.n; i++) {
        const struct core_v1_host_alias *h = &p->spec.host_aliases.v[i];
        buf_str(out, str_or(h->ip, ""));
        for (size_t j = 0; j < h->hostnames.n; j++) buf_printf(out, "\t%s", h->hostnames.v[j]);
        buf_char(out, '\n');
    }
}
