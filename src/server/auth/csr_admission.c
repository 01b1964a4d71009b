/*
 * CertificateSigningRequests on their way in: who asks is written by the system; who approves or
 * signs needs a permission on the signer; nobody gets a certificate of system:masters.
 */
#include "base/own.h"
#include "proto/csr.h"
#include "server/admission/plugin.h"
#include "server/auth/authz.h"
#include "server/media/body.h"

#define GROUP "certificates.k8s.io"
typedef struct certificates_v1_certificate_signing_request csr_object;
typedef struct certificates_v1_certificate_signing_request_condition csr_condition;

static int read_request(struct admission *ad, const csr_object *r, struct csr *ret) {
    OWN(buf_done) struct buf pem = {0};
    struct err why;
    if (buf_unbase64(&pem, slice_of(str_or(r->spec.request, ""))) < 0)
        err_set(&why, ERR_INVALID, "not base64");
    else if (csr_parse(ad->a, buf_view(&pem), ret, &why) == 0)
        return 0;
    struct api_causes causes = {.a = ad->a};
    cause_invalid(&causes, "spec.request", "<request>", why.text);
    reply_invalid(ad->c, ad->name, &causes);
    return ADMISSION_ANSWERED;
}

/* ---- mutating ---- */

static const csr_condition *find(const csr_object *r, const char *type) {
    for (size_t i = 0; i < r->status.conditions.n; i++)
        if (str_eq(r->status.conditions.v[i].type, type)) return &r->status.conditions.v[i];
    return NULL;
}

static void stamp(struct admission *ad, csr_object *r, const csr_object *old) {
    const char *now = time_now(ad->c);
    for (size_t i = 0; i < r->status.conditions.n; i++) {
        csr_condition *c = &r->status.conditions.v[i];
        const csr_condition *was = find(old, c->type);
        if (str_empty(c->last_update_time)) c->last_update_time = now;
        if (was && str_eq(was->status, c->status))
            c->last_transition_time = was->last_transition_time;
        if (str_empty(c->last_transition_time)) c->last_transition_time = now;
    }
}

static int mutate(struct admission *ad) {
    csr_object *r = (void *)ad->object;
    const csr_object *old = (const void *)ad->old;
    const struct user *u = &ad->c->user;
    if (!old) {
        r->spec.username = u->name;
        r->spec.uid = u->uid;
        r->spec.groups = u->groups;
        r->spec.extra = u->extra;
        return ADMISSION_OK;
    }
    if (!*ad->subresource) return ADMISSION_OK;
    r->spec = old->spec;
    if (str_eq(ad->subresource, "approval")) r->status.certificate = old->status.certificate;
    stamp(ad, r, old);
    return ADMISSION_OK;
}

/* ---- CertificateApproval, CertificateSigning ---- */

static bool may_on(struct admission *ad, const char *verb, const char *signer) {
    struct attributes at = {.verb = verb,
                            .group = GROUP,
                            .resource = "signers",
                            .subresource = "",
                            .name = signer,
                            .ns = ""};
    return authz_allows(ad->api->authz, &ad->c->user, &at);
}

/* On the signer itself, or on all of its domain: example.com/… */
static int must_be_allowed(struct admission *ad, const char *verb, const char *doing) {
    const char *signer = str_or(((const csr_object *)(const void *)ad->old)->spec.signer_name, "");
    const char *slash = strchr(signer, '/');
    const char *domain =
        slash ? arena_printf(ad->a, "%.*s/*", (int)(slash - signer), signer) : signer;
    if (may_on(ad, verb, signer) || may_on(ad, verb, domain)) return ADMISSION_OK;
    return admission_forbid(ad, arena_printf(ad->a,
                                             "user not permitted to %s requests with signerName "
                                             "\"%s\"",
                                             doing, signer));
}

static int approval_validate(struct admission *ad) {
    if (!str_eq(ad->subresource, "approval")) return ADMISSION_OK;
    return must_be_allowed(ad, "approve", "approve");
}

static int signing_validate(struct admission *ad) {
    const csr_object *r = (const void *)ad->object, *old = (const void *)ad->old;
    if (!str_eq(ad->subresource, "status")) return ADMISSION_OK;
    bool same = str_eq(r->status.certificate, old->status.certificate) &&
                r->status.conditions.n == old->status.conditions.n;
    for (size_t i = 0; same && i < r->status.conditions.n; i++)
        same = api_equal(&certificates_v1_certificate_signing_request_condition_type,
                         &r->status.conditions.v[i], &old->status.conditions.v[i]);
    return same ? ADMISSION_OK : must_be_allowed(ad, "sign", "sign");
}

/* ---- CertificateSubjectRestriction ---- */

static int subject_validate(struct admission *ad) {
    const csr_object *r = (const void *)ad->object;
    struct csr c;
    int rc = read_request(ad, r, &c);
    if (rc != 0) return rc;
    bool masters = csr_has_organization(&c, "system:masters");
    csr_done(&c);
    if (!masters || !str_eq(r->spec.signer_name, "kubernetes.io/kube-apiserver-client"))
        return ADMISSION_OK;
    return admission_forbid(ad, "use of kubernetes.io/kube-apiserver-client signer with "
                                "system:masters group is not allowed");
}

#define PLUGIN(sym, title, at_order, when, sub, pass, fn)                                          \
    static const struct admission_plugin sym = {.name = title,                                     \
                                                .order = at_order,                                 \
                                                .operations = when,                                \
                                                .group = GROUP,                                    \
                                                .plural = "certificatesigningrequests",            \
                                                .subresources = sub,                               \
                                                .pass = fn};                                       \
    ADMISSION_PLUGIN(sym)

PLUGIN(csr_identity, "CertificateRequestor", ORDER_NAMESPACE_LIFECYCLE, ADMIT_CREATE | ADMIT_UPDATE,
       true, mutate, mutate);
PLUGIN(csr_approval, "CertificateApproval", ORDER_CERTIFICATE_APPROVAL, ADMIT_UPDATE, true,
       validate, approval_validate);
PLUGIN(csr_signing, "CertificateSigning", ORDER_CERTIFICATE_SIGNING, ADMIT_UPDATE, true, validate,
       signing_validate);
PLUGIN(csr_subject, "CertificateSubjectRestriction", ORDER_CERTIFICATE_SUBJECT_RESTRICTION,
       ADMIT_CREATE, false, validate, subject_validate);
