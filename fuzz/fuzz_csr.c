/*
 * Certificate signing requests: any bytes, as they are and wrapped as a PEM block. Invariant: what
 * parses has a valid signature and bounded names.
 */
#include "base/buf.h"
#include "base/own.h"
#include "fuzz.h"
#include "proto/csr.h"

static void one(struct slice pem) {
    struct arena *a = arena_new();
    struct csr c = {0};
    struct err err = {0};
    if (csr_parse(a, pem, &c, &err) < 0) {
        FUZZ_ASSERT(err.reason != ERR_NONE);
    } else {
        FUZZ_ASSERT(X509_REQ_verify(c.request, X509_REQ_get0_pubkey(c.request)) == 1);
        FUZZ_ASSERT(c.dns.n + c.addresses.n + c.n_other_names <= CSR_NAMES_MAX);
        for (int s = 0; s < 6; s++)
            if (csr_signable(&c, (enum csr_signer)s, CSR_CLIENT_AUTH, NULL) == 0)
                FUZZ_ASSERT(!csr_has_organization(&c, "system:masters"));
        csr_done(&c);
    }
    arena_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    one(slice_from(data, size));
    OWN(buf_done) struct buf pem = {0};
    buf_str(&pem, "-----BEGIN CERTIFICATE REQUEST-----\n");
    buf_base64(&pem, data, size);
    buf_str(&pem, "\n-----END CERTIFICATE REQUEST-----\n");
    one(buf_view(&pem));
    return 0;
}
