/*
 * The protocol of `image` (image.sock): the image store of one node. Callers: node, root (CLI).
 * Store layout, readable by broker and node: ROOT/var/lib/atoll/image/layers/<diffid-hex>/
 * (unpacked layer, overlay form), ROOT/var/lib/atoll/image/images.json is private to the service.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/pack.h"

enum image_msg {
    IMAGE_PULL = 1,    /* image_pull_request → IMAGE_INFO or IPC_ERROR; may take minutes */
    IMAGE_INSPECT = 2, /* str ref → IMAGE_INFO, ERR_NOT_FOUND when absent */
    IMAGE_INFO = 3,
    IMAGE_LIST = 4, /* → IMAGE_LIST_OK: u32 count, image_info… */
    IMAGE_LIST_OK = 5,
    IMAGE_REMOVE = 6, /* str ref → IMAGE_REMOVE_OK */
    IMAGE_REMOVE_OK = 7,
    IMAGE_IMPORT = 8,   /* str name ("" = names inside the archive) + one fd: OCI layout tar,
                           docker-archive tar (gz, zst too) → IMAGE_LIST_OK */
    IMAGE_FROM_DIR = 9, /* image_from_dir + one fd: a tar stream of the directory → IMAGE_INFO */
};

struct image_pull_request {
    const char *ref; /* as in the pod: name[:tag][@digest]; docker.io and library/ defaults, :latest
                        default */
    const char *username; /* "" = anonymous */
    const char *password;
};

struct image_from_dir {
    const char *name; /* reference to store it under */
    const char *config_json; /* optional OCI config fields: {"Cmd":[…],"Entrypoint":[…],"Env":[…]…};
                                "" = Cmd ["/bin/sh"] */
};

/* The runtime view of an image. Lists are in order. */
struct image_info {
    const char *id;          /* sha256:… of the config: the imageID */
    const char *repo_digest; /* name@sha256:… or "" */
    uint32_t n_names;
    const char **names; /* normalised references */
    uint64_t size_bytes;
    uint32_t n_layers;
    const char **layers; /* diff-id hex, lowest first: directory names below layers/ */
    uint32_t n_entrypoint, n_cmd, n_env;
    const char **entrypoint, **cmd, **env;
    const char *working_dir, *user, *stop_signal;
};

void image_pull_request_pack(struct buf *b, const struct image_pull_request *r);
int image_pull_request_unpack(struct slice s, struct arena *a, struct image_pull_request *ret);
void image_from_dir_pack(struct buf *b, const struct image_from_dir *r);
int image_from_dir_unpack(struct slice s, struct arena *a, struct image_from_dir *ret);
void image_info_pack(struct buf *b, const struct image_info *i);
int image_info_unpack(struct unpack *u, struct arena *a,
                      struct image_info *ret); /* caller calls unpack_end */
