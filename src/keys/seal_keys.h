/*
 * The keys that seal secrets at rest: ROOT/var/lib/atoll/keys/seal-NNNNNNNN.key, 32 random bytes
 * each, 0600. `atoll secrets rotate` adds one and takes the old ones away; this side only reads,
 * and makes the first.
 */
#pragma once

#include "base/err.h"
#include "wire/keys.h"

/* All of them in the directory; makes key 1 when there is none. A damaged one is an error. */
int seal_keys_open(const char *directory, struct keys_seal *ret, struct err *err);
