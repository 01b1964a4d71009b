#include "server/admission/allocator.h"

#include <arpa/inet.h>
#include <assert.h>

#include "base/own.h"
#include "server/storage/raw.h"

enum { ADDRESSES_MAX = 65536, RESERVED_MS = 10 * 1000, RESERVED_MAX = 256 };

/* Numbers first … first+n−1. users counts Services; a Service counts once per number. */
struct allocator {
    uint32_t first, n;
    uint32_t low; /* the first numbers of addresses are left to those who name them */
    uint16_t *users;
    uint32_t next;
    struct {
        uint32_t value;
        uint64_t until_ms, owner; /* map_hash, 0: nobody who could come again */
    } reserved[RESERVED_MAX];     /* ring */
    size_t reserved_at;
};

static struct allocator *allocator_new(uint32_t first, uint32_t n, uint32_t low) {
    struct allocator *x = calloc(1, sizeof *x);
    if (!x || !(x->users = calloc(n, sizeof *x->users))) abort();
    x->first = first;
    x->n = n;
    x->low = low;
    x->next = low;
    return x;
}

static void count(struct allocator *x, uint32_t value, int by) {
    if (value < x->first || value - x->first >= x->n) return;
    uint16_t *u = &x->users[value - x->first];
    if (by > 0 && *u < UINT16_MAX) ++*u;
    for (size_t i = 0; by > 0 && i < RESERVED_MAX; i++)
        if (x->reserved[i].value == value) x->reserved[i].until_ms = 0; /* stored now */
    if (by < 0 && *u > 0) --*u;
}

/* By a Service, or kept for another than owner (0: for anybody). */
static bool taken(const struct allocator *x, uint32_t value, uint64_t owner, uint64_t now_ms) {
    if (x->users[value - x->first]) return true;
    for (size_t i = 0; i < RESERVED_MAX; i++)
        if (x->reserved[i].value == value && x->reserved[i].until_ms > now_ms &&
            (!owner || x->reserved[i].owner != owner))
            return true;
    return false;
}

static void reserve(struct allocator *x, uint32_t value, uint64_t owner, uint64_t now_ms) {
    x->reserved[x->reserved_at].value = value;
    x->reserved[x->reserved_at].until_ms = now_ms + RESERVED_MS;
    x->reserved[x->reserved_at].owner = owner;
    x->reserved_at = (x->reserved_at + 1) % RESERVED_MAX;
}

static enum allocation take(struct api *api, struct allocator *x, uint32_t wanted,
                            const char *owner, uint32_t *ret) {
    uint64_t now_ms = loop_now_ms(api->loop);
    uint64_t who = str_empty(owner) ? 0 : map_hash(slice_of(owner));
    if (wanted) {
        if (wanted < x->first || wanted - x->first >= x->n) return ALLOCATION_OUT_OF_RANGE;
        if (taken(x, wanted, who, now_ms)) return ALLOCATION_TAKEN;
        *ret = wanted;
        if (owner) reserve(x, wanted, who, now_ms);
        return ALLOCATED;
    }
    uint32_t span = x->n - x->low, start = (uint32_t)(loop_random(api->loop) % span);
    for (uint32_t i = 0; i < span; i++) {
        uint32_t value = x->first + x->low + (start + i) % span;
        if (taken(x, value, 0, now_ms)) continue; /* two of its ports want two numbers */
        *ret = value;
        if (owner) reserve(x, value, who, now_ms);
        return ALLOCATED;
    }
    return ALLOCATION_FULL;
}

static bool parse_ip(const char *text, uint32_t *ret) {
    struct in_addr in;
    if (!text || inet_pton(AF_INET, text, &in) != 1) return false;
    *ret = ntohl(in.s_addr);
    return true;
}

static void count_service(struct api *api, const struct object *o, int by) {
    struct arena *a = arena_new();
    struct slice list, one, port;
    uint32_t ip;
    const char *first = raw_path_string(a, object_json(o), "spec.clusterIP");
    if (parse_ip(first, &ip)) count(api->addresses, ip, by);
    if (raw_path(object_json(o), "spec.ports", &list)) {
        struct raw_iter s = raw_array(list);
        while (raw_element(&s, &one)) {
            uint64_t number;
            if (raw_get(one, "nodePort", &port) && slice_u64(port, &number) == 0)
                count(api->ports, (uint32_t)number, by);
        }
    }
    arena_free(a);
}

static void on_service(void *user, const struct event *e) {
    struct api *api = user;
    if (e->old) count_service(api, e->old, -1);
    if (e->type != EVENT_DELETED) count_service(api, e->now, 1);
}

static struct resource *services(struct api *api) {
    return cache_of_kind(&api->cache, api_kind_by_plural("", "v1", "services"));
}

int allocator_start(struct api *api, struct err *err) {
    const char *cidr = api->settings->service_cidr, *slash = strchr(cidr, '/');
    uint32_t base;
    uint64_t bits;
    char ip[INET_ADDRSTRLEN] = "";
    if (slash && (size_t)(slash - cidr) < sizeof ip) memcpy(ip, cidr, (size_t)(slash - cidr));
    if (!slash || !parse_ip(ip, &base) || slice_u64(slice_of(slash + 1), &bits) < 0 || bits < 8 ||
        bits > 28)
        return err_set(err, ERR_INVALID, "service-cidr: \"%s\" is not an IPv4 network of /8 to /28",
                       cidr);
    uint32_t size = bits <= 16 ? ADDRESSES_MAX : 1U << (32 - bits);
    base &= ~(uint32_t)((1ULL << (32 - bits)) - 1);
    /* Not the network and the broadcast address; 1/16 (at most 256) for those asked for by name. */
    uint32_t low = MIN_OF(MAX_OF(size / 16, 16u), 256u);
    api->addresses = allocator_new(base + 1, size - 2, MIN_OF(low, (size - 2) / 2));
    api->ports = allocator_new(NODE_PORT_FIRST, NODE_PORT_LAST - NODE_PORT_FIRST + 1, 0);
    resource_listen(services(api), on_service, api);
    return 0;
}

void allocator_stop(struct api *api) {
    struct allocator *all[] = {api->addresses, api->ports};
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        free(all[i]->users);
        free(all[i]);
    }
    resource_unlisten(services(api), api);
    api->addresses = api->ports = NULL;
}

void allocator_fill(struct api *api) {
    const struct resource *res = services(api);
    struct key_cursor at = key_index_seek(&res->index, SLICE(""), false);
    for (struct object *o; (o = key_index_next(&res->index, &at));) count_service(api, o, 1);
}

enum allocation allocator_address(struct api *api, struct arena *a, const char *wanted,
                                  const char *owner, const char **ret_ip) {
    uint32_t ip = 0, got;
    if (!str_empty(wanted) && !parse_ip(wanted, &ip)) return ALLOCATION_OUT_OF_RANGE;
    enum allocation how = take(api, api->addresses, ip, owner, &got);
    if (how != ALLOCATED) return how;
    struct in_addr in = {htonl(got)};
    char text[INET_ADDRSTRLEN];
    assert(inet_ntop(AF_INET, &in, text, sizeof text));
    *ret_ip = arena_str(a, text);
    return ALLOCATED;
}

enum allocation allocator_port(struct api *api, int32_t wanted, const char *owner,
                               int32_t *ret_port) {
    uint32_t got;
    enum allocation how = take(api, api->ports, (uint32_t)wanted, owner, &got);
    if (how == ALLOCATED) *ret_port = (int32_t)got;
    return how;
}

const char *allocator_range(struct api *api) { return api->settings->service_cidr; }
