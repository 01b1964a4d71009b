/* Image references: [HOST[:PORT]/]PATH[:TAG][@DIGEST], normalised as container runtimes do
 * (docker.io, library/, :latest). */
#pragma once

#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"

struct image_reference {
    const char *host;       /* docker.io */
    const char *repository; /* library/busybox */
    const char *tag;        /* NULL with a digest only */
    const char *digest;     /* sha256:… or NULL */
};

/* ERR_INVALID names what is wrong. Everything is in the arena. */
int image_reference_parse(struct arena *a, const char *text, struct image_reference *ret,
                          struct err *err);
/* docker.io/library/busybox:latest, without a digest when there is a tag. */
const char *image_reference_name(struct arena *a, const struct image_reference *r);
bool image_digest_valid(const char *digest); /* sha256: and 64 lower-case hex digits */
