#include "server/storage/seal.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "base/own.h"

enum { NONCE_BYTES = 12, TAG_BYTES = 16, OFFSET_BYTES = 4, ID_BYTES = 4, REVISION_DIGITS = 20 };

static const char magic[] = "\001sealed\"";
enum { MAGIC_BYTES = sizeof magic - 1 };

static void wipe_done(struct buf *b) {
    if (b->p) OPENSSL_cleanse(b->p, b->cap);
    buf_done(b);
}

static void context_free(EVP_CIPHER_CTX **c) { EVP_CIPHER_CTX_free(*c); }

void seal_done(struct seal *s) { OPENSSL_cleanse(s, sizeof *s); }

bool seal_applies(struct slice store_key) { return slice_starts(store_key, "/secrets.core/"); }

static void put_u32(unsigned char *p, uint32_t v) {
    for (int i = 0; i < 4; i++) p[i] = (unsigned char)(v >> (8 * i));
}

static uint32_t get_u32(const unsigned char *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Feeds the name of the row, which is authenticated and not stored. */
static bool feed_name(EVP_CIPHER_CTX *c, bool seal, struct slice name) {
    int n;
    return EVP_CipherUpdate(c, NULL, &n, (const unsigned char *)name.p, (int)name.n) == 1 &&
           n == (int)name.n && EVP_CIPHER_CTX_is_encrypting(c) == seal;
}

int seal_close(const struct seal *s, struct slice store_key, struct slice value, uint32_t rv_offset,
               struct buf *b, uint32_t *ret_rv_offset, struct err *err) {
    if (!s->keys.n) return err_set(err, ERR_UNAVAILABLE, "there is no key to seal secrets with");
    const struct keys_seal_key *k = &s->keys.v[s->keys.n - 1];
    unsigned char nonce[NONCE_BYTES], offset[OFFSET_BYTES], id[ID_BYTES];
    size_t start = b->n + MAGIC_BYTES + 1, body = start + ID_BYTES + NONCE_BYTES;
    put_u32(offset, rv_offset);
    put_u32(id, k->id);
    if (RAND_bytes(nonce, sizeof nonce) != 1)
        return err_set(err, ERR_INTERNAL, "no random numbers for a nonce");
    *ret_rv_offset = (uint32_t)(b->n + MAGIC_BYTES);
    buf_append(b, magic, MAGIC_BYTES);
    buf_char(b, '"');
    buf_append(b, id, sizeof id);
    buf_append(b, nonce, sizeof nonce);
    buf_reserve(b, OFFSET_BYTES + value.n + TAG_BYTES);
    unsigned char *out = (unsigned char *)b->p + body;
    OWN(context_free) EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    int n1, n2, n3;
    if (!c || EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), NULL, k->bytes, nonce) != 1 ||
        !feed_name(c, true, store_key) ||
        EVP_EncryptUpdate(c, out, &n1, offset, sizeof offset) != 1 ||
        EVP_EncryptUpdate(c, out + n1, &n2, (const unsigned char *)value.p, (int)value.n) != 1 ||
        EVP_EncryptFinal_ex(c, out + n1 + n2, &n3) != 1 ||
        EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, TAG_BYTES, out + n1 + n2 + n3) != 1)
        return err_set(err, ERR_INTERNAL, "a secret cannot be sealed");
    b->n = body + (size_t)(n1 + n2 + n3) + TAG_BYTES;
    return 0;
}

struct sealed {
    struct slice revision, nonce, text, tag;
    uint32_t id;
};

static bool parse(struct slice stored, struct sealed *ret) {
    if (stored.n < MAGIC_BYTES || memcmp(stored.p, magic, MAGIC_BYTES) != 0) return false;
    struct slice left = slice_from(stored.p + MAGIC_BYTES, stored.n - MAGIC_BYTES);
    const char *quote = memchr(left.p, '"', left.n);
    if (!quote) return false;
    size_t digits = (size_t)(quote - left.p);
    ret->revision = slice_from(left.p, digits);
    left = slice_from(quote + 1, left.n - digits - 1);
    if (digits > REVISION_DIGITS || left.n < ID_BYTES + NONCE_BYTES + OFFSET_BYTES + TAG_BYTES)
        return false;
    ret->id = get_u32((const unsigned char *)left.p);
    ret->nonce = slice_from(left.p + ID_BYTES, NONCE_BYTES);
    size_t head = ID_BYTES + NONCE_BYTES;
    ret->text = slice_from(left.p + head, left.n - head - TAG_BYTES);
    ret->tag = slice_from(left.p + left.n - TAG_BYTES, TAG_BYTES);
    return true;
}

static const struct keys_seal_key *key_of(const struct seal *s, uint32_t id) {
    for (size_t i = 0; i < s->keys.n; i++)
        if (s->keys.v[i].id == id) return &s->keys.v[i];
    return NULL;
}

static bool decrypt(const struct keys_seal_key *k, struct slice name, const struct sealed *in,
                    unsigned char *out) {
    OWN(context_free) EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    int n1, n2;
    return c &&
           EVP_DecryptInit_ex(c, EVP_aes_256_gcm(), NULL, k->bytes,
                              (const unsigned char *)in->nonce.p) == 1 &&
           feed_name(c, false, name) &&
           EVP_DecryptUpdate(c, out, &n1, (const unsigned char *)in->text.p, (int)in->text.n) ==
               1 &&
           EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, TAG_BYTES, (void *)(uintptr_t)in->tag.p) ==
               1 &&
           EVP_DecryptFinal_ex(c, out + n1, &n2) == 1;
}

int seal_open(struct seal *s, struct slice store_key, struct slice stored, struct buf *b,
              struct slice *ret, struct err *err) {
    struct sealed in;
    if (!slice_starts(stored, "\001")) { /* from before it was sealed */
        s->stale++;
        *ret = stored;
        return 0;
    }
    if (!parse(stored, &in))
        return err_set(err, ERR_INTERNAL, "%.*s is not a sealed row",
                       (int)MIN_OF(store_key.n, 300u), store_key.p);
    const struct keys_seal_key *k = key_of(s, in.id);
    char name[KEYS_SEAL_NAME_MAX];
    keys_seal_name(name, in.id);
    if (!k)
        return err_set(err, ERR_INTERNAL,
                       "%.*s is sealed with key %u, which is not there: put "
                       "var/lib/atoll/keys/%s back",
                       (int)MIN_OF(store_key.n, 300u), store_key.p, in.id, name);
    if (k != &s->keys.v[s->keys.n - 1]) s->stale++;
    OWN(wipe_done) struct buf plain = {0};
    buf_reserve(&plain, in.text.n + 1);
    plain.n = in.text.n;
    uint32_t offset = 0;
    bool good = decrypt(k, store_key, &in, (unsigned char *)plain.p);
    if (good) offset = get_u32((const unsigned char *)plain.p);
    if (!good || offset > in.text.n - OFFSET_BYTES)
        return err_set(err, ERR_INTERNAL, "%.*s is not what was sealed",
                       (int)MIN_OF(store_key.n, 300u), store_key.p);
    const char *json = plain.p + OFFSET_BYTES;
    buf_append(b, json, offset);
    buf_slice(b, in.revision);
    buf_append(b, json + offset, plain.n - OFFSET_BYTES - offset);
    *ret = buf_view(b);
    return 0;
}
