/*
 * Registry client (OCI distribution specification 1.1, Docker registry v2 tokens). Blocking: runs
 * in a worker process. HTTPS, except for loopback addresses and hosts that the administrator listed
 * as insecure.
 */
#pragma once

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "image/archive_dl.h"
#include "image/reference.h"

struct registry {
    const struct curl_library *lib;
    CURL *curl;
    struct arena *arena;
    const char *base; /* https://host */
    const char *repository;
    const char *username, *password;
    char *authorization; /* header line, once the registry asked for it */
};

int registry_open(struct registry *r, struct arena *a, const struct image_reference *ref,
                  const char *username, const char *password, const char *insecure_hosts,
                  struct err *err);
void registry_close(struct registry *r);
/* reference: tag or digest. The body is checked against a digest. digest_out: of the body. */
int registry_manifest(struct registry *r, const char *reference, struct buf *body,
                      char digest_out[80], struct err *err);
/* Into fd, checked: size and digest as the manifest says. */
int registry_blob(struct registry *r, const char *digest, uint64_t size_bytes, int fd,
                  struct err *err);
