/*
 * Addresses of pods on one node: a bitmap over the node's pod range. Pure; the truth is the links
 * that exist in the kernel, from which the map is rebuilt at start. Addresses are handed out round
 * robin, so that a freed one is not reused at once.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct ipam {
    uint32_t base;   /* network address, host byte order */
    unsigned prefix; /* bits; 16…30 */
    uint32_t size;   /* addresses in the range */
    uint32_t next;
    uint8_t *used;
};

/* cidr: "10.244.0.0/24". Network, gateway (first) and broadcast address are never handed out. */
int ipam_init(struct ipam *m, const char *cidr, struct err *err);
void ipam_done(struct ipam *m);
/* Host byte order; 0 when nothing is left. */
uint32_t ipam_take(struct ipam *m);
/* False when it is outside of the range, reserved or taken. */
bool ipam_take_this(struct ipam *m, uint32_t ip);
void ipam_give_back(struct ipam *m, uint32_t ip);

int ipv4_parse(const char *s, uint32_t *ret); /* dotted quad → host byte order; 0 or -EINVAL */
enum { IPV4_TEXT_MAX = 16 };
void ipv4_format(char out[IPV4_TEXT_MAX], uint32_t ip);
/* "a.b.c.d/n" with n in 8…30 → network address; host bits must be zero. */
int ipv4_parse_cidr(const char *s, uint32_t *ret_base, unsigned *ret_prefix, struct err *err);
