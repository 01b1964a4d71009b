/*
 * A Topology object as the service's configuration. Used by every source, so that a file means what
 * an object of the API means. Names of users and groups are looked up in /etc/passwd and
 * /etc/group.
 */
#pragma once

#include "base/buf.h"
#include "sp/declare/config.h"

struct sp_v1_topology;

/* Files that a Topology names (certificates, keys). Returns the bytes, in the arena. */
typedef int sp_file_fn(void *user, const char *name, struct arena *a, struct slice *ret,
                       struct err *err);

/* t has its defaults and is valid. node_name "" fits only edges that name no node. file NULL: such
 * files are refused. */
int sp_config_of_topology(const struct sp_v1_topology *t, const char *node_name, sp_file_fn *file,
                          void *user, struct sp_config **ret, struct err *err);
/* Decodes, fills in defaults and validates one JSON document of the directory; what is wrong stands
 * in err with its field path. *ret lives in the arena. */
int sp_topology_decode(struct slice json, int dir, struct arena *a, struct sp_v1_topology **ret,
                       struct err *err);
/* config_filters.c: adds the filters of the file NAME.filters of the directory, if there is one. */
int sp_filters_amend(int dir, struct sp_v1_topology *t, struct arena *a, struct err *err);
/* What a short file holds; at most limit_bytes. */
int sp_file_read(int dir, const char *name, size_t limit_bytes, struct buf *out, struct err *err);
