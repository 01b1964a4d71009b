/*
 * DNS messages (RFC 1035, 2181, 2782, 6891): reads a query, writes an answer. No I/O. Names are
 * dotted, lower case, without the final dot.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

enum {
    DNS_NAME_MAX = 256,
    DNS_UDP_MIN_BYTES = 512,
    DNS_UDP_MAX_BYTES = 1232,
    DNS_HEADER_BYTES = 12
};
enum dns_type {
    DNS_A = 1,
    DNS_CNAME = 5,
    DNS_SOA = 6,
    DNS_PTR = 12,
    DNS_TXT = 16,
    DNS_AAAA = 28,
    DNS_SRV = 33,
    DNS_OPT = 41,
    DNS_ANY = 255
};
enum dns_rcode {
    DNS_OK = 0,
    DNS_FORMAT_ERROR = 1,
    DNS_SERVER_FAILURE = 2,
    DNS_NAME_ERROR = 3,
    DNS_NOT_IMPLEMENTED = 4,
    DNS_REFUSED = 5
};

struct dns_query {
    uint16_t id;
    bool recursion_desired;
    char name[DNS_NAME_MAX];
    uint16_t type, class_;
    struct slice question; /* raw, borrowed: goes back as it came (0x20 encoding) */
    bool edns;
    uint16_t udp_bytes; /* what the client takes: 512…1232 */
};

/* 0; -EBADMSG when it is no query at all (do not answer); -EINVAL when it is malformed and *ret
 * holds the id for FORMAT_ERROR. */
int dns_parse_query(struct slice message, struct dns_query *ret);

struct dns_answer { /* writer; records go to `out` in order: answers, then authority */
    struct buf *out;
    size_t start;
    uint16_t answers, authorities;
};
void dns_begin(struct dns_answer *a, struct buf *out, const struct dns_query *q);
void dns_a(struct dns_answer *a, const char *name, uint32_t ttl_s,
           uint32_t ip); /* host byte order */
void dns_name_record(struct dns_answer *a, const char *name, enum dns_type type, uint32_t ttl_s,
                     const char *target); /* CNAME, PTR */
void dns_srv(struct dns_answer *a, const char *name, uint32_t ttl_s, uint16_t port, uint16_t weight,
             const char *target);
void dns_txt(struct dns_answer *a, const char *name, uint32_t ttl_s, const char *text);
void dns_soa(struct dns_answer *a, const char *zone,
             uint32_t ttl_s); /* authority: for negative answers (RFC 2308) */
/* A query as a resolver sends it: recursion desired, no EDNS. */
void dns_write_query(struct buf *out, uint16_t id, const char *name, uint16_t type);
/* Appends the A, AAAA and CNAME records among the answers of somebody's reply, names written out.
 * −EBADMSG when it is malformed; what came before stays. */
int dns_copy_answers(struct dns_answer *a, struct slice reply);
struct dns_address {
    bool v6;
    unsigned char bytes[16]; /* network order; IPv4 in the first four */
};
/* The addresses among the answers of somebody's reply to a query of one name (its aliases were
 * followed by the resolver), at most max. *ret_rcode is the reply's. −EBADMSG. */
int dns_read_addresses(struct slice reply, struct dns_address *ret, size_t max, size_t *ret_n,
                       enum dns_rcode *ret_rcode);
/* Fills the header. Longer than max_bytes: records are dropped and TC is set. */
void dns_end(struct dns_answer *a, const struct dns_query *q, enum dns_rcode rcode,
             bool authoritative, size_t max_bytes);
