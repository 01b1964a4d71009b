/*
 * One change on its way into the store: encodes the object with the gap for its revision, sends it,
 * and hands back the final bytes. Also what every write needs to know about an object's parts.
 */
#pragma once

#include "server/api.h"
#include "wire/store.h"

/* json: the object as stored, with its revision; borrowed. err NULL on success. */
typedef void commit_fn(void *user, struct slice json, const struct err *err);

struct commit {
    enum store_op op;
    const struct api_kind *kind; /* storage kind */
    struct api_object *object;   /* metadata complete; resourceVersion is ignored */
    uint64_t expected_revision;  /* update, delete */
};
void commit_submit(struct api *api, const struct commit *w, commit_fn *fn, void *user);

/* The same in two parts, for objects that are large. */
struct commit_text {
    struct buf value;
    uint32_t rv_offset;
};
void commit_encode(const struct commit *w, struct commit_text *ret);
void commit_send(struct api *api, const struct commit *w, struct commit_text *text, /* taken */
                 commit_fn *fn, void *user);

/* Canonical bytes with an empty resourceVersion; *ret_rv_offset is where it goes. */
void object_encode_gap(struct buf *b, const struct api_kind *k, struct api_object *o,
                       uint32_t *ret_rv_offset);
/* Canonical bytes with this revision, as the store would write them. */
void object_encode_at(struct buf *b, const struct api_kind *k, struct api_object *o,
                      uint64_t revision);

/* Copies the member called `field` ("status") from one object to another of the same kind. */
void object_copy_field(const struct api_kind *k, struct api_object *to,
                       const struct api_object *from, const char *field);
/* True when anything but metadata, status, apiVersion and kind differs. Both canonical. */
bool object_spec_differs(struct slice x, struct slice y);
