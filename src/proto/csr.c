#include "proto/csr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "base/own.h"

enum { RSA_BITS_MIN = 2048, EC_BITS_MIN = 256 };

static void bio_p(BIO **b) { BIO_free(*b); }
static void req_p(X509_REQ **r) { X509_REQ_free(*r); }

static int bad(struct err *err, const char *why) { return err_set(err, ERR_INVALID, "%s", why); }

/* The PEM block must be all there is. */
static X509_REQ *read_pem(struct slice pem) {
    static const char begin[] = "-----BEGIN CERTIFICATE REQUEST-----";
    static const char end[] = "-----END CERTIFICATE REQUEST-----";
    if (pem.n > CSR_MAX_BYTES || memchr(pem.p, 0, pem.n)) return NULL;
    pem = slice_trim(pem);
    const char *stop = memmem(pem.p, pem.n, end, sizeof end - 1);
    if (!slice_starts(pem, begin) || !stop || stop + sizeof end - 1 != pem.p + pem.n) return NULL;
    OWN(bio_p) BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    return bio ? PEM_read_bio_X509_REQ(bio, NULL, NULL, NULL) : NULL;
}

static bool key_strong(EVP_PKEY *key) {
    if (EVP_PKEY_is_a(key, "RSA")) return EVP_PKEY_get_bits(key) >= RSA_BITS_MIN;
    if (EVP_PKEY_is_a(key, "EC")) return EVP_PKEY_get_bits(key) >= EC_BITS_MIN;
    return EVP_PKEY_is_a(key, "ED25519");
}

/* As UTF-8; NULL when it cannot be written so, or holds a NUL. */
static const char *text_of(struct arena *a, const ASN1_STRING *s) {
    unsigned char *utf8 = NULL;
    int n = ASN1_STRING_to_UTF8(&utf8, s);
    const char *text = NULL;
    if (n >= 0 && !memchr(utf8, 0, (size_t)n)) text = arena_strn(a, slice_from(utf8, (size_t)n));
    OPENSSL_free(utf8);
    return text;
}

static int take_subject(struct arena *a, struct csr *c, struct err *err) {
    const X509_NAME *name = X509_REQ_get_subject_name(c->request);
    int n = X509_NAME_entry_count(name);
    if (n > CSR_NAMES_MAX) return bad(err, "the subject has too many parts");
    unsigned named = 0; /* of several names, others than we might read the last one */
    c->common_name = "";
    for (int i = 0; i < n; i++) {
        const X509_NAME_ENTRY *e = X509_NAME_get_entry(name, i);
        int nid = OBJ_obj2nid(X509_NAME_ENTRY_get_object(e));
        const char *text = text_of(a, X509_NAME_ENTRY_get_data(e));
        if (!text) return bad(err, "a name in the subject is no text");
        if (nid == NID_organizationName)
            *ARENA_PUSH(a, &c->organizations) = text;
        else if (nid == NID_commonName && named++)
            return bad(err, "the subject has more than one common name");
        else if (nid == NID_commonName)
            c->common_name = text;
    }
    return 0;
}

static void take_name(struct arena *a, struct csr *c, const GENERAL_NAME *n) {
    char text[INET6_ADDRSTRLEN];
    if (n->type == GEN_DNS) {
        const char *s = text_of(a, n->d.dNSName);
        if (s)
            *ARENA_PUSH(a, &c->dns) = s;
        else
            c->n_other_names++;
    } else if (n->type == GEN_IPADD &&
               (n->d.iPAddress->length == 4 || n->d.iPAddress->length == 16)) {
        int family = n->d.iPAddress->length == 4 ? AF_INET : AF_INET6;
        *ARENA_PUSH(a, &c->addresses) =
            arena_str(a, inet_ntop(family, n->d.iPAddress->data, text, sizeof text));
    } else {
        c->n_other_names++;
    }
}

static int take_alt_names(struct arena *a, struct csr *c, struct err *err) {
    STACK_OF(X509_EXTENSION) *extensions = X509_REQ_get_extensions(c->request);
    GENERAL_NAMES *names = X509V3_get_d2i(extensions, NID_subject_alt_name, NULL, NULL);
    int n = names ? sk_GENERAL_NAME_num(names) : 0;
    for (int i = 0; i < n && n <= CSR_NAMES_MAX; i++)
        take_name(a, c, sk_GENERAL_NAME_value(names, i));
    GENERAL_NAMES_free(names);
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    return n > CSR_NAMES_MAX ? bad(err, "too many alternative names") : 0;
}

int csr_parse(struct arena *a, struct slice pem, struct csr *ret, struct err *err) {
    OWN(req_p) X509_REQ *req = read_pem(pem);
    if (!req) return bad(err, "PEM block type must be CERTIFICATE REQUEST");
    EVP_PKEY *key = X509_REQ_get0_pubkey(req);
    if (!key || !key_strong(key)) return bad(err, "the key is too weak or of an unknown type");
    if (X509_REQ_verify(req, key) != 1) return bad(err, "the request is not signed by its key");
    struct csr c = {.request = req};
    int rc = take_subject(a, &c, err);
    if (rc == 0) rc = take_alt_names(a, &c, err);
    if (rc < 0) return rc;
    *ret = c;
    req = NULL;
    return 0;
}

void csr_done(struct csr *c) {
    X509_REQ_free(c->request);
    c->request = NULL;
}

bool csr_has_organization(const struct csr *c, const char *name) {
    for (size_t i = 0; i < c->organizations.n; i++)
        if (str_eq(c->organizations.v[i], name)) return true;
    return false;
}

/* ---- the signers ---- */

enum csr_signer csr_signer_of(const char *name) {
    static const char *const names[] = {
        "kubernetes.io/kube-apiserver-client", "kubernetes.io/kube-apiserver-client-kubelet",
        "kubernetes.io/kubelet-serving", "kubernetes.io/legacy-unknown"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq(names[i], name)) return (enum csr_signer)(i + 1);
    return 0;
}

unsigned csr_usage_bit(const char *name) {
    static const char *const names[] = {"digital signature", "key encipherment", "server auth",
                                        "client auth"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq(names[i], name)) return 1u << i;
    return CSR_OTHER_USAGE;
}

static bool is_node(const struct csr *c) {
    return c->organizations.n == 1 && str_eq(c->organizations.v[0], "system:nodes") &&
           str_starts(c->common_name, "system:node:") && c->common_name[sizeof "system:node:" - 1];
}

int csr_signable(const struct csr *c, enum csr_signer signer, unsigned usages, struct err *err) {
    static const struct {
        unsigned required, allowed;
        bool node;
    } table[] = {
        [CSR_SIGNER_CLIENT] = {CSR_CLIENT_AUTH,
                               CSR_CLIENT_AUTH | CSR_DIGITAL_SIGNATURE | CSR_KEY_ENCIPHERMENT,
                               false},
        [CSR_SIGNER_CLIENT_KUBELET] = {CSR_CLIENT_AUTH | CSR_DIGITAL_SIGNATURE,
                                       CSR_CLIENT_AUTH | CSR_DIGITAL_SIGNATURE |
                                           CSR_KEY_ENCIPHERMENT,
                                       true},
        [CSR_SIGNER_SERVING] = {CSR_SERVER_AUTH | CSR_DIGITAL_SIGNATURE,
                                CSR_SERVER_AUTH | CSR_DIGITAL_SIGNATURE | CSR_KEY_ENCIPHERMENT,
                                true},
        [CSR_SIGNER_LEGACY] = {0,
                               CSR_SERVER_AUTH | CSR_CLIENT_AUTH | CSR_DIGITAL_SIGNATURE |
                                   CSR_KEY_ENCIPHERMENT,
                               false},
    };
    if (signer < CSR_SIGNER_CLIENT || signer > CSR_SIGNER_LEGACY)
        return bad(err, "no signer of this cluster");
    if ((usages & table[signer].required) != table[signer].required ||
        usages & ~table[signer].allowed)
        return bad(err, "the usages are not those of the signer");
    if (csr_has_organization(c, "system:masters"))
        return bad(err, "no certificate is signed for the group system:masters");
    if (signer != CSR_SIGNER_SERVING && !*c->common_name)
        return bad(err, "the subject has no common name");
    if (table[signer].node && !is_node(c))
        return bad(err, "the subject must be CN=system:node:NAME, O=system:nodes and nothing else");
    if (table[signer].node && c->n_other_names)
        return bad(err, "only DNS names and IP addresses are allowed");
    size_t names = c->dns.n + c->addresses.n;
    if (signer == CSR_SIGNER_CLIENT_KUBELET && names)
        return bad(err, "a node's client certificate has no alternative names");
    if (signer == CSR_SIGNER_SERVING && !names)
        return bad(err, "a serving certificate needs an alternative name");
    return 0;
}
