/*
 * Certificate signing requests (PKCS#10, RFC 2986) in PEM form: one block, a valid signature by a
 * key that is strong enough, the names read out. Hostile input.
 */
#pragma once

#include <openssl/x509.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"

struct csr_names {
    const char **v;
    size_t n;
};
struct csr {
    X509_REQ *request;
    const char *common_name; /* "" = none */
    struct csr_names organizations;
    struct csr_names dns, addresses; /* subject alternative names */
    size_t n_other_names;            /* e-mail, URI and others */
};

enum { CSR_MAX_BYTES = 64 * 1024, CSR_NAMES_MAX = 256 };

/* Strings are in the arena; free with csr_done. */
int csr_parse(struct arena *a, struct slice pem, struct csr *ret, struct err *err);
void csr_done(struct csr *c);
bool csr_has_organization(const struct csr *c, const char *name);

/* ---- what the signers of kubernetes.io sign ---- */

enum csr_signer {
    CSR_SIGNER_CLIENT = 1,         /* kubernetes.io/kube-apiserver-client */
    CSR_SIGNER_CLIENT_KUBELET = 2, /* kubernetes.io/kube-apiserver-client-kubelet */
    CSR_SIGNER_SERVING = 3,        /* kubernetes.io/kubelet-serving */
    CSR_SIGNER_LEGACY = 4          /* kubernetes.io/legacy-unknown */
};
enum csr_signer csr_signer_of(const char *name); /* 0 = not one of them */
/* Bits of key usages by their names in the API; −1 when one is unknown. */
enum {
    CSR_DIGITAL_SIGNATURE = 1,
    CSR_KEY_ENCIPHERMENT = 2,
    CSR_SERVER_AUTH = 4,
    CSR_CLIENT_AUTH = 8,
    CSR_OTHER_USAGE = 16
};
unsigned csr_usage_bit(const char *name);
/* May this signer sign that request for these usages? Who asks is the caller's matter. */
int csr_signable(const struct csr *c, enum csr_signer signer, unsigned usages, struct err *err);
