/* ip() and cidr() (KEP-2876, as Go's net/netip reads them), and what all opaque values share. */
#include <arpa/inet.h>
#include <string.h>

#include "base/own.h"
#include "cel/internal.h"

struct cel_value cel_opaque(struct cel_run *run, const struct cel_opaque *o) {
    return (struct cel_value){.kind = o->kind, .opaque = arena_copy(run->a, o, sizeof *o)};
}

static bool parse_ip(struct slice s, struct cel_opaque *o) {
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    char text[64];
    o->kind = CEL_IP;
    if (s.n == 0 || s.n >= sizeof text || memchr(s.p, 0, s.n)) return false;
    memcpy(text, s.p, s.n);
    text[s.n] = 0;
    o->v6 = strchr(text, ':') != NULL;
    if (inet_pton(o->v6 ? AF_INET6 : AF_INET, text, o->address) != 1) return false;
    return !o->v6 || memcmp(o->address, mapped, sizeof mapped) != 0;
}

static bool parse_cidr(struct slice s, struct cel_opaque *o) {
    struct slice address, prefix = s;
    uint64_t n;
    slice_cut(&prefix, '/', &address);
    if (!prefix.p || !prefix.n || (prefix.n > 1 && prefix.p[0] == '0')) return false;
    if (!parse_ip(address, o) || slice_u64(prefix, &n) < 0 || n > (o->v6 ? 128 : 32)) return false;
    o->kind = CEL_CIDR;
    o->prefix = (unsigned)n;
    return true;
}

static void put_ip(struct buf *b, const struct cel_opaque *o) {
    char text[INET6_ADDRSTRLEN];
    if (inet_ntop(o->v6 ? AF_INET6 : AF_INET, o->address, text, sizeof text)) buf_str(b, text);
}

bool cel_opaque_text(struct buf *b, struct cel_value v) {
    const struct cel_opaque *o = v.opaque;
    switch (v.kind) {
    case CEL_URL: buf_slice(b, o->text); return true;
    case CEL_IP: put_ip(b, o); return true;
    case CEL_CIDR:
        put_ip(b, o);
        buf_printf(b, "/%u", o->prefix);
        return true;
    case CEL_QUANTITY: {
        OWN(arena_free_p) struct arena *a = arena_new();
        buf_str(b, quantity_text(a, &o->quantity));
        return true;
    }
    default: return false;
    }
}

bool cel_opaque_equal(struct cel_value x, struct cel_value y) {
    const struct cel_opaque *o = x.opaque, *p = y.opaque;
    switch (x.kind) {
    case CEL_URL: return slice_eq(o->text, p->text);
    case CEL_IP:
    case CEL_CIDR:
        return o->v6 == p->v6 && o->prefix == p->prefix &&
               memcmp(o->address, p->address, o->v6 ? 16 : 4) == 0;
    case CEL_QUANTITY: return o->quantity.nanos == p->quantity.nanos;
    case CEL_FORMAT: return str_eq(o->format, p->format);
    default: return o == p;
    }
}

/* ---- ip ---- */

static struct cel_value ip(struct cel_run *run, const struct cel_value *args) {
    struct cel_opaque o = {0};
    if (parse_ip(cel_slice(args[0]), &o)) return cel_opaque(run, &o);
    return cel_fail(run, "IP Address \"%.*s\" parse error during conversion from string",
                    (int)MIN_OF(args[0].n, (size_t)64), args[0].p);
}

static struct cel_value is_ip(struct cel_run *run, const struct cel_value *args) {
    struct cel_opaque o = {0};
    return cel_bool(parse_ip(cel_slice(args[0]), &o));
}

static struct cel_value is_canonical(struct cel_run *run, const struct cel_value *args) {
    OWN(buf_done) struct buf b = {0};
    struct cel_value v = ip(run, args);
    if (v.kind == CEL_ERROR) return v;
    put_ip(&b, v.opaque);
    return cel_bool(slice_eq(buf_view(&b), cel_slice(args[0])));
}

static struct cel_value family(struct cel_run *run, const struct cel_value *args) {
    return cel_int(args[0].opaque->v6 ? 6 : 4);
}

static bool all_zero(const struct cel_opaque *o, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (o->address[i]) return false;
    return true;
}

static bool unspecified(const struct cel_opaque *o) { return all_zero(o, o->v6 ? 16 : 4); }
static bool loopback(const struct cel_opaque *o) {
    return o->v6 ? all_zero(o, 15) && o->address[15] == 1 : o->address[0] == 127;
}
static bool multicast(const struct cel_opaque *o) {
    return o->v6 ? o->address[0] == 0xff : (o->address[0] & 0xf0) == 0xe0;
}
static bool link_local_multicast(const struct cel_opaque *o) {
    return o->v6 ? o->address[0] == 0xff && (o->address[1] & 0x0f) == 2
                 : o->address[0] == 224 && o->address[1] == 0 && o->address[2] == 0;
}
static bool link_local_unicast(const struct cel_opaque *o) {
    return o->v6 ? o->address[0] == 0xfe && (o->address[1] & 0xc0) == 0x80
                 : o->address[0] == 169 && o->address[1] == 254;
}
static bool global_unicast(const struct cel_opaque *o) {
    static const uint8_t broadcast[4] = {255, 255, 255, 255};
    return (o->v6 || memcmp(o->address, broadcast, 4) != 0) && !unspecified(o) && !loopback(o) &&
           !multicast(o) && !link_local_unicast(o);
}

#define PREDICATE(name)                                                                            \
    static struct cel_value is_##name(struct cel_run *run, const struct cel_value *args) {         \
        return cel_bool(name(args[0].opaque));                                                     \
    }
PREDICATE(unspecified)
PREDICATE(loopback)
PREDICATE(link_local_multicast)
PREDICATE(link_local_unicast)
PREDICATE(global_unicast)

/* ---- cidr ---- */

static struct cel_value cidr(struct cel_run *run, const struct cel_value *args) {
    struct cel_opaque o = {0};
    if (parse_cidr(cel_slice(args[0]), &o)) return cel_opaque(run, &o);
    return cel_fail(run, "network address parse error during conversion from string: \"%.*s\"",
                    (int)MIN_OF(args[0].n, (size_t)64), args[0].p);
}

static struct cel_value is_cidr(struct cel_run *run, const struct cel_value *args) {
    struct cel_opaque o = {0};
    return cel_bool(parse_cidr(cel_slice(args[0]), &o));
}

static void mask(struct cel_opaque *o, unsigned prefix) {
    for (unsigned i = 0; i < 16; i++) {
        unsigned bits = prefix > 8 * i ? MIN_OF(prefix - 8 * i, 8U) : 0;
        o->address[i] &= (uint8_t)(0xff00U >> bits);
    }
}

static bool covers(const struct cel_opaque *net, const struct cel_opaque *what, unsigned prefix) {
    struct cel_opaque x = *net, y = *what;
    if (x.v6 != y.v6 || prefix < net->prefix) return false;
    mask(&x, net->prefix);
    mask(&y, net->prefix);
    return memcmp(x.address, y.address, x.v6 ? 16 : 4) == 0;
}

static struct cel_value contains_ip(struct cel_run *run, const struct cel_value *args) {
    struct cel_value v = args[1].kind == CEL_STRING ? ip(run, &args[1]) : args[1];
    return v.kind == CEL_ERROR ? v : cel_bool(covers(args[0].opaque, v.opaque, 128));
}

static struct cel_value contains_cidr(struct cel_run *run, const struct cel_value *args) {
    struct cel_value v = args[1].kind == CEL_STRING ? cidr(run, &args[1]) : args[1];
    return v.kind == CEL_ERROR ? v : cel_bool(covers(args[0].opaque, v.opaque, v.opaque->prefix));
}

static struct cel_value ip_of(struct cel_run *run, const struct cel_value *args) {
    struct cel_opaque o = *args[0].opaque;
    o.kind = CEL_IP;
    o.prefix = 0;
    return cel_opaque(run, &o);
}

static struct cel_value masked(struct cel_run *run, const struct cel_value *args) {
    struct cel_opaque o = *args[0].opaque;
    mask(&o, o.prefix);
    return cel_opaque(run, &o);
}

static struct cel_value prefix_length(struct cel_run *run, const struct cel_value *args) {
    return cel_int(args[0].opaque->prefix);
}

static const struct cel_function functions[] = {
    {"ip(string) ip", ip, COST_SIZE},
    {"isIP(string) bool", is_ip, COST_SIZE},
    {"ip.isCanonical(string) bool", is_canonical, COST_SIZE},
    {"ip|family() int", family, COST_ONE},
    {"ip|isUnspecified() bool", is_unspecified, COST_ONE},
    {"ip|isLoopback() bool", is_loopback, COST_ONE},
    {"ip|isLinkLocalMulticast() bool", is_link_local_multicast, COST_ONE},
    {"ip|isLinkLocalUnicast() bool", is_link_local_unicast, COST_ONE},
    {"ip|isGlobalUnicast() bool", is_global_unicast, COST_ONE},
    {"cidr(string) cidr", cidr, COST_SIZE},
    {"isCIDR(string) bool", is_cidr, COST_SIZE},
    {"cidr|containsIP(ip) bool", contains_ip, COST_ONE},
    {"cidr|containsIP(string) bool", contains_ip, COST_ONE},
    {"cidr|containsCIDR(cidr) bool", contains_cidr, COST_ONE},
    {"cidr|containsCIDR(string) bool", contains_cidr, COST_ONE},
    {"cidr|ip() ip", ip_of, COST_ONE},
    {"cidr|masked() cidr", masked, COST_ONE},
    {"cidr|prefixLength() int", prefix_length, COST_ONE},
};
const struct cel_library cel_lib_addresses = {functions, ARRAY_LEN(functions)};
