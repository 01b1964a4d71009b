/* Non-blocking TCP connections to an address of this machine's network. */
#pragma once

#include <stdint.h>

enum { NET_ADDRESS_MAX = 80 };

/* "1.2.3.4:80", "[::1]:80". */
void net_address_text(char out[NET_ADDRESS_MAX], const char *ip, uint16_t port);
/* Begins to connect; -EDESTADDRREQ when ip is no address. */
int net_dial(const char *ip, uint16_t port, int *ret_fd);
