/* The names of the serving certificate. */
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "base/vec.h"
#include "keys/pki.h"
#include "proc/settings.h"

struct names {
    VEC(char *) list; /* "DNS:x" or "IP:y", without repetition */
};

static void add(struct names *n, const char *kind, const char *value) {
    char *text;
    if (asprintf(&text, "%s:%s", kind, value) < 0) abort();
    for (size_t i = 0; i < n->list.n; i++)
        if (strcmp(n->list.v[i], text) == 0) {
            free(text);
            return;
        }
    vec_push(&n->list, text);
}

/* Addresses of the host's interfaces, without link-local ones and those of pods' links. */
static void add_host_addresses(struct names *n) {
    struct ifaddrs *all;
    char text[INET6_ADDRSTRLEN];
    if (getifaddrs(&all) < 0) return;
    for (struct ifaddrs *i = all; i; i = i->ifa_next) {
        if (!i->ifa_addr || !(i->ifa_flags & IFF_UP)) continue;
        if (i->ifa_addr->sa_family == AF_INET) {
            const struct sockaddr_in *v4 = (const struct sockaddr_in *)i->ifa_addr;
            add(n, "IP", inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text));
        } else if (i->ifa_addr->sa_family == AF_INET6) {
            const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)i->ifa_addr;
            if (IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr)) continue;
            add(n, "IP", inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text));
        }
    }
    freeifaddrs(all);
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void pki_serving_names(struct buf *b, const struct settings *s) {
    static const char *const service_names[] = {"kubernetes", "kubernetes.default",
                                                "kubernetes.default.svc"};
    struct names n = {0};
    OWN(arena_free_p) struct arena *a = arena_new();
    const char *address;
    unsigned port;
    add(&n, "DNS", "localhost");
    add(&n, "DNS", s->node_name);
    for (size_t i = 0; i < ARRAY_LEN(service_names); i++) add(&n, "DNS", service_names[i]);
    add(&n, "DNS", arena_printf(a, "kubernetes.default.svc.%s", s->cluster_domain));
    add(&n, "IP", "127.0.0.1");
    add(&n, "IP", "::1");
    add(&n, "IP", s->api_ip);
    add(&n, "IP", s->gateway_ip);
    if (settings_split_listen(s->listen, a, &address, &port, NULL) == 0 &&
        !str_eq(address, "0.0.0.0") && !str_eq(address, "::"))
        add(&n, "IP", address);
    add_host_addresses(&n);
    qsort(n.list.v, n.list.n, sizeof *n.list.v, by_text);
    for (size_t i = 0; i < n.list.n; i++) {
        buf_printf(b, "%s%s", i ? "," : "", n.list.v[i]);
        free(n.list.v[i]);
    }
    vec_done(&n.list);
}
