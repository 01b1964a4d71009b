/*
 * Secrets at rest: objects of sealed resources leave this process only encrypted, with AES-256-GCM
 * (NIST SP 800-38D) under a key that the keys service hands out. The key of the object in the store
 * is authenticated with it, so that a row cannot be moved to another name.
 *
 * Form of a sealed row: `\x01sealed"REVISION"`, then u32 key id, 12 bytes nonce (random; a key is
 * good for 2^32 rows), ciphertext, 16 bytes tag. The store writes the revision in the clear, as it
 * does for every row. Plaintext: u32 offset of the revision, then the object without it.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "wire/keys.h"

struct seal {
    struct keys_seal keys; /* ascending ids; the last one seals */
    uint64_t stale;        /* rows opened so far that were in the clear or under an older key */
};

void seal_done(struct seal *s); /* wipes */
/* Whether objects with this store key are sealed. */
bool seal_applies(struct slice store_key);
/* Appends the sealed form of value to b. *ret_rv_offset: where its revision goes. */
int seal_close(const struct seal *s, struct slice store_key, struct slice value, uint32_t rv_offset,
               struct buf *b, uint32_t *ret_rv_offset, struct err *err);
/* *ret: the object with its revision inside; stored itself when that is in the clear, else in b.
 * ERR_INTERNAL: unknown key, or not what was sealed. */
int seal_open(struct seal *s, struct slice store_key, struct slice stored, struct buf *b,
              struct slice *ret, struct err *err);
