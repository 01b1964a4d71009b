/*
 * One resource, several versions: what is stored is in the form of one kind (the storage kind); the
 * others are made from it on the way out and turned into it on the way in.
 */
#pragma once

#include "api/codec/convert.h"
#include "api/registry.h"
#include "server/storage/cache.h"

/* The kind that k's resource is stored as; k itself nearly always. */
const struct api_kind *storage_kind(const struct api_kind *k);
/* Whether stored bytes are what a client of k gets. */
bool convert_is_stored(const struct api_kind *k, struct slice stored);
/* Stored bytes in the form of k: the same bytes when k is the storage kind, else new ones in a. */
struct slice convert_json(struct arena *a, const struct api_kind *k, struct slice stored);
