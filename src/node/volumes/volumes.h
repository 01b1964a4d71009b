/*
 * Volumes: each kind is a driver (src/node/volumes/<kind>.c) that says, without doing any I/O, what
 * the broker should make and which files it should hold. Content is rendered again when a source
 * changes; the broker replaces it atomically.
 */
#pragma once

#include "node/volumes/downward.h"
#include "wire/broker.h"

struct volume_input {
    const struct pod_facts *facts;
    const struct core_v1_volume *volume;
    const struct object_source *source;
};

struct volume_files {
    struct broker_file *v;
    size_t n;
};

struct volume_result {
    bool host; /* nothing to make: host_path is mounted */
    const char *host_path;
    enum broker_host_path host_type;
    const char *local;  /* nothing to make: that directory of the node's own volumes is mounted */
    bool read_only;     /* whatever the mount says */
    bool memory;        /* tmpfs */
    int64_t size_bytes; /* of the tmpfs; 0 = default */
    uint32_t mode;
    bool content; /* files below are the whole content */
    struct volume_files files;
};

struct volume_driver {
    const char *name; /* the field of core/v1 Volume */
    bool (*handles)(const struct core_v1_volume *v);
    /* -EAGAIN while a source is being fetched; err says which. */
    int (*render)(struct arena *a, const struct volume_input *in, struct volume_result *ret,
                  struct err *err);
};

#define VOLUME_DRIVER(sym)                                                                         \
    __attribute__((used, retain, section("atoll_volumes"))) static const struct volume_driver      \
        *const volume_driver_p_##sym = &sym

/* All drivers, sorted by name (for the golden test). */
const struct volume_driver *const *volume_drivers(size_t *ret_n);

/* Renders one volume; ERR_INVALID for a kind that no driver handles. */
int volume_render(struct arena *a, const struct volume_input *in, struct volume_result *ret,
                  struct err *err);
/* Hash of mode and content, never 0. */
uint64_t volume_hash(const struct volume_result *r);

/* Parts shared by configMap, secret, downwardAPI and projected. Items select and rename keys. */
int volume_add_config_map(struct arena *a, const struct volume_input *in, const char *name,
                          const struct core_v1_key_to_path_list *items, bool optional,
                          uint32_t mode, struct volume_files *files, struct err *err);
int volume_add_secret(struct arena *a, const struct volume_input *in, const char *name,
                      const struct core_v1_key_to_path_list *items, bool optional, uint32_t mode,
                      struct volume_files *files, struct err *err);
int volume_add_downward(struct arena *a, const struct volume_input *in,
                        const struct core_v1_downward_api_volume_file_list *items, uint32_t mode,
                        struct volume_files *files, struct err *err);
int host_path_render(const struct core_v1_host_path_volume_source *s, struct volume_result *ret,
                     struct err *err);
void volume_add_file(struct arena *a, struct volume_files *files, const char *path,
                     struct slice data, uint32_t mode);
