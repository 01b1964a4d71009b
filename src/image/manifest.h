/* Image manifests, indexes and configurations (OCI image specification 1.1, Docker manifest v2
 * schema 2). Pure; hostile input. */
#pragma once

#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "wire/image.h"

struct image_blob {
    const char *digest;
    uint64_t size_bytes;
};

struct image_manifest {
    bool is_index; /* then layers are manifests for platforms, and `chosen` is ours */
    struct image_blob chosen;
    struct image_blob config;
    struct image_blob *layers;
    size_t n_layers;
};

/* Chooses linux and this machine's architecture from an index; ERR_NOT_FOUND names what there is.
 */
int image_manifest_parse(struct arena *a, struct slice json, struct image_manifest *ret,
                         struct err *err);
/* Fills entrypoint … stop_signal and layers (diff ids without "sha256:") of info; refuses other
 * architectures. */
int image_config_parse(struct arena *a, struct slice json, struct image_info *info,
                       struct err *err);
/* This machine in OCI terms: amd64, arm64, … */
const char *image_architecture(void);
