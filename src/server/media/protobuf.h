/*
 * The protobuf form of objects, by the field numbers in the type tables: request bodies as the JSON
 * they stand for, and stored JSON as answers. Envelope: "k8s\0" and a runtime.Unknown message
 * (apimachinery pkg/runtime/serializer/protobuf). Neither direction builds objects in between.
 */
#pragma once

#include "api/table.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

/* Appends the JSON. 400 for anything malformed, 415 for a kind that the tables do not have. */
int protobuf_to_json(struct slice body, struct buf *out, struct err *err);

/* The type that has a protobuf form: kinds, and what is sent and answered beside them (Status,
 * Scale, DeleteOptions…). NULL: only JSON is spoken, as with custom resources. */
const struct api_type *protobuf_type(const char *api_version, const char *kind);
bool protobuf_speaks(const struct api_type *t);
/* What PartialObjectMetadata has, of an object of any kind. */
extern const struct api_type protobuf_partial_type;

/* Whether a field is the apiVersion or kind of an object. On this wire only envelopes have those,
 * also for objects inside others; their numbers are those of other fields. References keep theirs.
 */
bool protobuf_is_type_meta(const struct api_type *t, const struct api_field *f);

/* ---- protobuf_encode.c. 0, or -EINVAL for JSON that is none of t; scratch may be reset after ----
 */

/* Appends the message alone; members that t does not have are left out. */
int protobuf_message(struct buf *out, struct arena *scratch, const struct api_type *t,
                     struct slice json);
/* With its envelope. */
int protobuf_enveloped(struct buf *out, struct arena *scratch, const struct api_type *t,
                       const char *api_version, const char *kind, struct slice json);
/* With its envelope, by the object's own apiVersion and kind. */
int protobuf_object(struct buf *out, struct arena *scratch, struct slice json);
/* A frame of a watch: length, WatchEvent, the object with its envelope. */
int protobuf_watch_frame(struct buf *out, struct arena *scratch, const char *event,
                         const struct api_type *t, const char *api_version, const char *kind,
                         struct slice json);

/* Lists, whose size must be known before the first byte: everything but the items. items_bytes is
 * the sum of protobuf_item_bytes of the messages that the caller appends, each behind
 * protobuf_item_head. */
void protobuf_list_head(struct buf *out, const char *api_version, const char *list_kind,
                        struct slice meta_message, size_t items_bytes);
size_t protobuf_item_bytes(size_t message_bytes);
void protobuf_item_head(struct buf *out, size_t message_bytes);
