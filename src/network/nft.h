/*
 * libnftables behind one call. Loaded at run time, since it brings libraries that only this service
 * may pay memory for. Aborts in the library when descriptors reach 1024: the service's
 * RLIMIT_NOFILE stays below.
 */
#pragma once

#include "base/err.h"

struct nft;

int nft_open(struct nft **ret, struct err *err); /* before the sandbox: maps shared libraries */
void nft_close(struct nft *n);                   /* NULL is allowed */
/* Runs commands as one transaction: all or nothing. */
int nft_run(struct nft *n, const char *commands, struct err *err);
