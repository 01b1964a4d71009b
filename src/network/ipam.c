#include "network/ipam.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/slice.h"

int ipv4_parse(const char *s, uint32_t *ret) {
    struct in_addr in;
    if (!s || inet_pton(AF_INET, s, &in) != 1) return -EINVAL;
    *ret = ntohl(in.s_addr);
    return 0;
}

void ipv4_format(char out[IPV4_TEXT_MAX], uint32_t ip) {
    struct in_addr in = {htonl(ip)};
    inet_ntop(AF_INET, &in, out, IPV4_TEXT_MAX);
}

int ipv4_parse_cidr(const char *s, uint32_t *ret_base, unsigned *ret_prefix, struct err *err) {
    char text[IPV4_TEXT_MAX];
    const char *slash = strchr(s, '/');
    uint64_t prefix;
    uint32_t base;
    if (!slash || (size_t)(slash - s) >= sizeof text || slice_u64(slice_of(slash + 1), &prefix) < 0)
        return err_set(err, ERR_BAD_REQUEST, "%s is no address range such as 10.244.0.0/24", s);
    memcpy(text, s, (size_t)(slash - s));
    text[slash - s] = 0;
    if (ipv4_parse(text, &base) < 0 || prefix < 8 || prefix > 30)
        return err_set(err, ERR_BAD_REQUEST, "%s is no IPv4 range with a prefix of 8 to 30 bits",
                       s);
    if (base & ((1u << (32 - prefix)) - 1))
        return err_set(err, ERR_BAD_REQUEST, "%s has bits set behind its prefix", s);
    *ret_base = base;
    *ret_prefix = (unsigned)prefix;
    return 0;
}

int ipam_init(struct ipam *m, const char *cidr, struct err *err) {
    *m = (struct ipam){0};
    int r = ipv4_parse_cidr(cidr, &m->base, &m->prefix, err);
    if (r < 0) return r;
    if (m->prefix < 16)
        return err_set(err, ERR_BAD_REQUEST, "%s is larger than one node can use (/16)", cidr);
    m->size = 1u << (32 - m->prefix);
    m->used = calloc(m->size, 1);
    if (!m->used) abort();
    m->used[0] = m->used[1] = m->used[m->size - 1] = 1;
    m->next = 2;
    return 0;
}

void ipam_done(struct ipam *m) {
    free(m->used);
    *m = (struct ipam){0};
}

uint32_t ipam_take(struct ipam *m) {
    for (uint32_t i = 0; i < m->size; i++) {
        uint32_t at = (m->next + i) % m->size;
        if (m->used[at]) continue;
        m->used[at] = 1;
        m->next = at + 1;
        return m->base + at;
    }
    return 0;
}

bool ipam_take_this(struct ipam *m, uint32_t ip) {
    if (ip < m->base || ip - m->base >= m->size || m->used[ip - m->base]) return false;
    m->used[ip - m->base] = 1;
    return true;
}

void ipam_give_back(struct ipam *m, uint32_t ip) {
    uint32_t at = ip - m->base;
    if (ip < m->base || at < 2 || at >= m->size - 1) return;
    m->used[at] = 0;
}
