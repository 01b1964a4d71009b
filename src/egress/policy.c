#include "egress/policy.h"

#include <netinet/in.h>
#include <string.h>

#include "base/own.h"

enum { TENANT = 1, EVERYBODY = 2 };

/* Refused ranges, IPv4 as mapped into IPv6 (RFC 6890; fd00:ec2::254 is a metadata service). */
static const struct range {
    unsigned char prefix[16];
    unsigned bits;
    unsigned who;
} refused[] = {
#define V4(a, b)                                                                                   \
    { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b }
    {V4(0, 0), 96 + 8, EVERYBODY},       /* this network */
    {V4(224, 0), 96 + 4, EVERYBODY},     /* multicast */
    {V4(240, 0), 96 + 4, EVERYBODY},     /* reserved, broadcast */
    {{0}, 128, EVERYBODY},               /* :: */
    {{0xff}, 8, EVERYBODY},              /* multicast */
    {V4(127, 0), 96 + 8, TENANT},        /* loopback */
    {V4(169, 254), 96 + 16, TENANT},     /* link-local, metadata */
    {{[15] = 1}, 128, TENANT},           /* ::1 */
    {{0xfe, 0x80}, 10, TENANT},          /* link-local */
    {{0, 0x64, 0xff, 0x9b}, 96, TENANT}, /* NAT64: any IPv4 address again */
    {{0x20, 0x02}, 16, TENANT},          /* 6to4: the same */
    {{0xfd, 0, 0x0e, 0xc2, [14] = 2, [15] = 0x54}, 128, TENANT},
#undef V4
};

static bool within(const unsigned char a[16], const struct range *r) {
    size_t whole = r->bits / 8;
    if (memcmp(a, r->prefix, whole) != 0) return false;
    unsigned rest = r->bits % 8;
    if (!rest) return true;
    unsigned char mask = (unsigned char)(0xffu << (8 - rest));
    return (a[whole] & mask) == (r->prefix[whole] & mask);
}

static bool as_v6(const struct sockaddr *address, unsigned char ret[16]) {
    memset(ret, 0, 16);
    if (address->sa_family == AF_INET) {
        ret[10] = ret[11] = 0xff;
        memcpy(ret + 12, &((const struct sockaddr_in *)(const void *)address)->sin_addr, 4);
        return true;
    }
    if (address->sa_family != AF_INET6) return false;
    memcpy(ret, &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr, 16);
    return true;
}

bool policy_allows(enum egress_policy policy, const struct sockaddr *address) {
    unsigned char a[16];
    if (!as_v6(address, a)) return false;
    for (size_t i = 0; i < ARRAY_LEN(refused); i++)
        if ((policy == EGRESS_BY_TENANT || refused[i].who == EVERYBODY) && within(a, &refused[i]))
            return false;
    return true;
}
