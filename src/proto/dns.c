#include "proto/dns.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/own.h"

static uint16_t get16(const unsigned char *p) { return (uint16_t)(p[0] << 8 | p[1]); }

static void put16(struct buf *b, uint16_t v) {
    char c[2] = {(char)(v >> 8), (char)v};
    buf_append(b, c, 2);
}

static void put32(struct buf *b, uint32_t v) {
    put16(b, (uint16_t)(v >> 16));
    put16(b, (uint16_t)v);
}

/* An uncompressed name, as questions have: pointers are refused. Returns the bytes used, or 0. */
static size_t read_name(const unsigned char *p, size_t n, char out[DNS_NAME_MAX]) {
    size_t at = 0, len = 0;
    for (;;) {
        if (at >= n) return 0;
        size_t label = p[at++];
        if (label == 0) break;
        if (label > 63 || at + label > n || len + label + 1 >= DNS_NAME_MAX) return 0;
        if (len) out[len++] = '.';
        for (size_t i = 0; i < label; i++) {
            unsigned char c = p[at + i];
            if (c <= ' ' || c == '.' || c >= 0x7f) return 0;
            out[len++] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
        }
        at += label;
    }
    out[len] = 0;
    return at;
}

static void read_edns(const unsigned char *p, size_t n, struct dns_query *q) {
    /* The OPT record is the only additional one that matters: root name, type 41, class = payload
     * size. */
    if (n < 11 || p[0] != 0 || get16(p + 1) != DNS_OPT) return;
    uint16_t size = get16(p + 3);
    q->edns = true;
    q->udp_bytes = (uint16_t)MIN_OF(MAX_OF(size, DNS_UDP_MIN_BYTES), DNS_UDP_MAX_BYTES);
}

int dns_parse_query(struct slice message, struct dns_query *ret) {
    const unsigned char *p = (const unsigned char *)message.p;
    if (message.n < DNS_HEADER_BYTES || (p[2] & 0x80)) return -EBADMSG;
    *ret = (struct dns_query){
        .id = get16(p), .recursion_desired = p[2] & 1, .udp_bytes = DNS_UDP_MIN_BYTES};
    if ((p[2] & 0x78) || get16(p + 4) != 1 || get16(p + 6) || get16(p + 8)) return -EINVAL;
    size_t used = read_name(p + DNS_HEADER_BYTES, message.n - DNS_HEADER_BYTES, ret->name);
    size_t end = DNS_HEADER_BYTES + used + 4;
    if (!used || end > message.n) return -EINVAL;
    ret->type = get16(p + end - 4);
    ret->class_ = get16(p + end - 2);
    ret->question = slice_from(p + DNS_HEADER_BYTES, used + 4);
    if (get16(p + 10)) read_edns(p + end, message.n - end, ret);
    return 0;
}

static void put_name(struct buf *b, const char *name) {
    struct slice rest = slice_of(name), label;
    while (rest.n && slice_cut(&rest, '.', &label)) {
        size_t n = MIN_OF(label.n, 63);
        if (!n) continue;
        buf_char(b, (char)n);
        buf_append(b, label.p, n);
    }
    buf_char(b, 0);
}

void dns_begin(struct dns_answer *a, struct buf *out, const struct dns_query *q) {
    *a = (struct dns_answer){.out = out, .start = out->n};
    static const char empty[DNS_HEADER_BYTES];
    buf_append(out, empty, sizeof empty);
    buf_slice(out, q->question);
}

/* Starts a record; returns where its length goes. */
static size_t begin_record(struct dns_answer *a, const char *name, enum dns_type type,
                           uint32_t ttl_s) {
    put_name(a->out, name);
    put16(a->out, (uint16_t)type);
    put16(a->out, 1);
    put32(a->out, ttl_s);
    put16(a->out, 0);
    a->answers++;
    return a->out->n;
}

static void end_record(struct dns_answer *a, size_t at) {
    size_t n = a->out->n - at;
    a->out->p[at - 2] = (char)(n >> 8);
    a->out->p[at - 1] = (char)n;
}

void dns_a(struct dns_answer *a, const char *name, uint32_t ttl_s, uint32_t ip) {
    size_t at = begin_record(a, name, DNS_A, ttl_s);
    put32(a->out, ip);
    end_record(a, at);
}

void dns_name_record(struct dns_answer *a, const char *name, enum dns_type type, uint32_t ttl_s,
                     const char *target) {
    size_t at = begin_record(a, name, type, ttl_s);
    put_name(a->out, target);
    end_record(a, at);
}

void dns_srv(struct dns_answer *a, const char *name, uint32_t ttl_s, uint16_t port, uint16_t weight,
             const char *target) {
    size_t at = begin_record(a, name, DNS_SRV, ttl_s);
    put16(a->out, 0);
    put16(a->out, weight);
    put16(a->out, port);
    put_name(a->out, target);
    end_record(a, at);
}

void dns_txt(struct dns_answer *a, const char *name, uint32_t ttl_s, const char *text) {
    size_t at = begin_record(a, name, DNS_TXT, ttl_s), n = MIN_OF(strlen(text), 255);
    buf_char(a->out, (char)n);
    buf_append(a->out, text, n);
    end_record(a, at);
}

void dns_soa(struct dns_answer *a, const char *zone, uint32_t ttl_s) {
    static const uint32_t numbers[] = {1, 7200, 1800, 86400};
    char host[DNS_NAME_MAX];
    snprintf(host, sizeof host, "ns.dns.%.200s", zone);
    size_t at = begin_record(a, zone, DNS_SOA, ttl_s);
    a->answers--;
    a->authorities++;
    put_name(a->out, host);
    snprintf(host, sizeof host, "hostmaster.%.200s", zone);
    put_name(a->out, host);
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) put32(a->out, numbers[i]);
    put32(a->out, ttl_s);
    end_record(a, at);
}

void dns_end(struct dns_answer *a, const struct dns_query *q, enum dns_rcode rcode,
             bool authoritative, size_t max_bytes) {
    bool truncated = false;
    size_t opt = q->edns ? 11 : 0;
    if (a->out->n - a->start + opt > max_bytes) {
        a->out->n = a->start + DNS_HEADER_BYTES + q->question.n;
        a->answers = a->authorities = 0;
        truncated = true;
    }
    if (q->edns) {
        buf_char(a->out, 0);
        put16(a->out, DNS_OPT);
        put16(a->out, DNS_UDP_MAX_BYTES);
        put32(a->out, 0);
        put16(a->out, 0);
    }
    unsigned char *h = (unsigned char *)a->out->p + a->start;
    h[0] = (unsigned char)(q->id >> 8), h[1] = (unsigned char)q->id;
    h[2] = (unsigned char)(0x80 | (authoritative ? 4 : 0) | (truncated ? 2 : 0) |
                           (q->recursion_desired ? 1 : 0));
    h[3] = (unsigned char)(0x80 | rcode); /* recursion is available: other names are forwarded */
    h[4] = 0, h[5] = q->question.n ? 1 : 0;
    h[6] = (unsigned char)(a->answers >> 8), h[7] = (unsigned char)a->answers;
    h[8] = 0, h[9] = (unsigned char)a->authorities;
    h[10] = 0, h[11] = q->edns ? 1 : 0;
}

void dns_write_query(struct buf *out, uint16_t id, const char *name, uint16_t type) {
    put16(out, id);
    put16(out, 0x0100);
    put16(out, 1);
    put16(out, 0), put16(out, 0), put16(out, 0);
    put_name(out, name);
    put16(out, type);
    put16(out, 1);
}

/* A name that may be compressed: pointers go backwards only, so it ends. Moves *at behind it. */
static bool expand_name(struct slice m, size_t *at, char out[DNS_NAME_MAX]) {
    const unsigned char *p = (const unsigned char *)m.p;
    char part[DNS_NAME_MAX];
    size_t here = *at, len = 0;
    bool jumped = false;
    for (;;) {
        if (here >= m.n) return false;
        if ((p[here] & 0xc0) == 0xc0) {
            if (here + 2 > m.n) return false;
            size_t to = (size_t)(get16(p + here) & 0x3fff);
            if (to >= here) return false;
            if (!jumped) *at = here + 2;
            jumped = true;
            here = to;
            continue;
        }
        size_t label = p[here];
        if (label > 63 || here + label + 1 > m.n || len + label + 2 > sizeof part) return false;
        if (!label) break;
        if (len) part[len++] = '.';
        memcpy(part + len, p + here + 1, label);
        if (memchr(part + len, 0, label) || memchr(part + len, '.', label)) return false;
        len += label;
        here += label + 1;
    }
    if (!jumped) *at = here + 1;
    memcpy(out, part, len);
    out[len] = 0;
    return true;
}

static bool copy_record(struct dns_answer *a, struct slice m, size_t *at) {
    const unsigned char *p = (const unsigned char *)m.p;
    char name[DNS_NAME_MAX], target[DNS_NAME_MAX];
    if (!expand_name(m, at, name) || *at + 10 > m.n) return false;
    uint16_t type = get16(p + *at), class_ = get16(p + *at + 2), n = get16(p + *at + 8);
    uint32_t ttl_s = (uint32_t)get16(p + *at + 4) << 16 | get16(p + *at + 6);
    size_t data = *at + 10;
    if (data + n > m.n) return false;
    *at = data + n;
    if (class_ != 1) return true;
    if ((type == DNS_A && n == 4) || (type == DNS_AAAA && n == 16)) {
        size_t length_at = begin_record(a, name, type, ttl_s);
        buf_append(a->out, p + data, n);
        end_record(a, length_at);
    } else if (type == DNS_CNAME) {
        if (!expand_name(m, &data, target)) return false;
        dns_name_record(a, name, DNS_CNAME, ttl_s, target);
    }
    return true;
}

int dns_copy_answers(struct dns_answer *a, struct slice reply) {
    const unsigned char *p = (const unsigned char *)reply.p;
    char name[DNS_NAME_MAX];
    size_t at = DNS_HEADER_BYTES;
    if (reply.n < DNS_HEADER_BYTES || get16(p + 4) != 1 || !expand_name(reply, &at, name))
        return -EBADMSG;
    at += 4;
    for (unsigned i = get16(p + 6); i > 0; i--)
        if (!copy_record(a, reply, &at)) return -EBADMSG;
    return 0;
}

/* The address in one record, when it holds one; moves *at behind the record. */
static bool read_address(struct slice m, size_t *at, struct dns_address *ret, bool *ret_has) {
    const unsigned char *p = (const unsigned char *)m.p;
    char name[DNS_NAME_MAX];
    if (!expand_name(m, at, name) || *at + 10 > m.n) return false;
    uint16_t type = get16(p + *at), class_ = get16(p + *at + 2), n = get16(p + *at + 8);
    size_t data = *at + 10;
    if (data + n > m.n) return false;
    *at = data + n;
    *ret_has = class_ == 1 && ((type == DNS_A && n == 4) || (type == DNS_AAAA && n == 16));
    if (!*ret_has) return true;
    *ret = (struct dns_address){.v6 = n == 16};
    memcpy(ret->bytes, p + data, n);
    return true;
}

int dns_read_addresses(struct slice reply, struct dns_address *ret, size_t max, size_t *ret_n,
                       enum dns_rcode *ret_rcode) {
    const unsigned char *p = (const unsigned char *)reply.p;
    char name[DNS_NAME_MAX];
    size_t at = DNS_HEADER_BYTES, n = 0;
    if (reply.n < DNS_HEADER_BYTES || get16(p + 4) != 1 || !expand_name(reply, &at, name))
        return -EBADMSG;
    at += 4;
    for (unsigned i = get16(p + 6); i > 0; i--) {
        struct dns_address one;
        bool has;
        if (!read_address(reply, &at, &one, &has)) return -EBADMSG;
        if (has && n < max) ret[n++] = one;
    }
    *ret_n = n;
    *ret_rcode = (enum dns_rcode)(p[3] & 15);
    return 0;
}
