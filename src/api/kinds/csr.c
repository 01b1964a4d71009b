/* CertificateSigningRequest: what can be checked without reading certificates. */
#include "api/kinds/kinds.h"

#define GROUP "certificates.k8s.io"
enum { EXPIRATION_MIN_S = 600 };

static const char *const usages[] = {"signing",
                                     "digital signature",
                                     "content commitment",
                                     "key encipherment",
                                     "key agreement",
                                     "data encipherment",
                                     "cert sign",
                                     "crl sign",
                                     "encipher only",
                                     "decipher only",
                                     "any",
                                     "server auth",
                                     "client auth",
                                     "code signing",
                                     "email protection",
                                     "s/mime",
                                     "ipsec end system",
                                     "ipsec tunnel",
                                     "ipsec user",
                                     "timestamping",
                                     "ocsp signing",
                                     "microsoft sgc",
                                     "netscape sgc"};

static void prepare(struct arena *a, void *obj, const void *old_obj) {
    struct certificates_v1_certificate_signing_request *r = obj;
    const struct certificates_v1_certificate_signing_request *old = old_obj;
    if (old)
        r->spec = old->spec;
    else
        r->status = (struct certificates_v1_certificate_signing_request_status){0};
}

static void usages_validate(const struct str_list *l, struct api_causes *causes) {
    OWN(map_done) struct map seen = {0};
    if (!l->n) cause_required(causes, "spec.usages", NULL);
    for (size_t i = 0; i < l->n; i++) {
        const char *at = path_of(causes, "spec.usages[%zu]", i);
        bool known = false;
        for (size_t j = 0; j < ARRAY_LEN(usages) && !known; j++) known = str_eq(usages[j], l->v[i]);
        if (!known) cause_not_supported(causes, at, l->v[i], usages, ARRAY_LEN(usages));
        if (map_seen(&seen, slice_of(str_or(l->v[i], "")))) cause_duplicate(causes, at, l->v[i]);
    }
}

/* domain.example/path, the domain fully qualified, at most 571 bytes in all. */
static void signer_validate(const char *name, struct api_causes *causes) {
    static const char at[] = "spec.signerName";
    const char *slash = name ? strchr(name, '/') : NULL;
    if (str_empty(name)) {
        cause_required(causes, at, NULL);
        return;
    }
    if (!slash || slash == name || !slash[1] || strlen(name) > 571) {
        cause_invalid(causes, at, name,
                      "must be a fully qualified domain and path of the form "
                      "'example.com/signer-name'");
        return;
    }
    const char *domain = arena_strn(causes->a, slice_from(name, (size_t)(slash - name)));
    name_validate(causes, at, NAME_DNS_SUBDOMAIN, domain);
    if (!strchr(domain, '.'))
        cause_invalid(causes, at, name,
                      "should be a domain with at least two segments separated by dots");
    name_validate(causes, at, NAME_DNS_SUBDOMAIN, slash + 1);
}

static bool decides(const char *type) {
    return str_eq(type, "Approved") || str_eq(type, "Denied") || str_eq(type, "Failed");
}

static const struct certificates_v1_certificate_signing_request_condition *
find(const struct certificates_v1_certificate_signing_request *r, const char *type) {
    for (size_t i = 0; i < r->status.conditions.n; i++)
        if (str_eq(r->status.conditions.v[i].type, type)) return &r->status.conditions.v[i];
    return NULL;
}

static void conditions_validate(const struct certificates_v1_certificate_signing_request *r,
                                struct api_causes *causes) {
    static const char *const any[] = {"False", "True", "Unknown"}, *const yes[] = {"True"};
    OWN(map_done) struct map types = {0};
    for (size_t i = 0; i < r->status.conditions.n; i++) {
        const struct certificates_v1_certificate_signing_request_condition *c =
            &r->status.conditions.v[i];
        const char *at = path_of(causes, "status.conditions[%zu].status", i);
        bool known = false;
        for (size_t j = 0; j < ARRAY_LEN(any); j++) known = known || str_eq(any[j], c->status);
        if (str_empty(c->type))
            cause_required(causes, path_of(causes, "status.conditions[%zu].type", i), NULL);
        if (str_empty(c->status))
            cause_required(causes, at, NULL);
        else if (decides(c->type) && !str_eq(c->status, "True"))
            cause_not_supported(causes, at, c->status, yes, 1);
        else if (!known)
            cause_not_supported(causes, at, c->status, any, 3);
        if (map_seen(&types, slice_of(str_or(c->type, ""))))
            cause_duplicate(causes, path_of(causes, "status.conditions[%zu].type", i), c->type);
    }
    if (find(r, "Approved") && find(r, "Denied"))
        cause_invalid(causes, "status.conditions", "Denied",
                      "Approved and Denied conditions are mutually exclusive");
}

/* What is decided stays decided; /status cannot decide. */
static void decisions_validate(const struct certificates_v1_certificate_signing_request *r,
                               const struct certificates_v1_certificate_signing_request *old,
                               const char *subresource, struct api_causes *causes) {
    static const char *const types[] = {"Approved", "Denied", "Failed"};
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        bool now = find(r, types[i]), was = find(old, types[i]);
        if (was && !now)
            cause_forbidden(
                causes, "status.conditions",
                path_of(causes, "updates may not remove a condition of type \"%s\"", types[i]));
        if (!was && now && str_eq(subresource, "status") && i < 2)
            cause_forbidden(
                causes, "status.conditions",
                path_of(causes, "updates may not add a condition of type \"%s\"", types[i]));
    }
    if (!str_empty(old->status.certificate) &&
        !str_eq(old->status.certificate, r->status.certificate))
        cause_forbidden(causes, "status.certificate",
                        "updates may not change an existing certificate");
}

static void validate(const void *obj, const void *old, const char *subresource,
                     struct api_causes *causes) {
    const struct certificates_v1_certificate_signing_request *r = obj;
    if (str_empty(r->spec.request)) cause_required(causes, "spec.request", NULL);
    usages_validate(&r->spec.usages, causes);
    signer_validate(r->spec.signer_name, causes);
    if (!old && str_eq(r->spec.signer_name, "kubernetes.io/legacy-unknown"))
        cause_invalid(causes, "spec.signerName", r->spec.signer_name,
                      "the legacy signerName is not allowed via this API version");
    if (r->spec.expiration_seconds && *r->spec.expiration_seconds < EXPIRATION_MIN_S)
        cause_invalid_int(causes, "spec.expirationSeconds", *r->spec.expiration_seconds,
                          "may not specify a duration less than 600 seconds (10 minutes)");
    conditions_validate(r, causes);
    if (old) decisions_validate(r, old, subresource, causes);
}

static const struct api_column columns[] = {
    COLUMN_NAME,
    COLUMN_AGE,
    COLUMN("SignerName", "Who is to sign."),
    COLUMN("Requestor", "Who asks."),
    COLUMN("RequestedDuration", "How long the certificate should be good for."),
    COLUMN("Condition", "What became of the request."),
};

static void row(struct arena *a, const void *obj, int64_t now_ns, struct api_cell *cells) {
    const struct certificates_v1_certificate_signing_request *r = obj;
    OWN(buf_done) struct buf state = {0};
    for (size_t i = 0; i < r->status.conditions.n; i++)
        if (decides(r->status.conditions.v[i].type))
            text_join(&state, ",", r->status.conditions.v[i].type);
    if (!state.n) buf_str(&state, "Pending");
    if (!str_empty(r->status.certificate)) text_join(&state, ",", "Issued");
    cells[0] = cell_text(r->metadata.name);
    cells[1] = cell_age(a, &r->metadata, now_ns);
    cells[2] = cell_or_none(r->spec.signer_name);
    cells[3] = cell_text(r->spec.username);
    cells[4] = cell_or_none(r->spec.expiration_seconds
                                ? human_duration(a, *r->spec.expiration_seconds * 1000000000LL)
                                : NULL);
    cells[5] = cell_text(arena_strn(a, buf_view(&state)));
}

static const char *field(struct arena *a, const void *obj, const char *path) {
    const struct certificates_v1_certificate_signing_request *r = obj;
    return str_eq(path, "spec.signerName") ? str_or(r->spec.signer_name, "") : NULL;
}
static const char *const fields[] = {"spec.signerName", NULL};

static const struct api_behavior csr_behavior = {.group = GROUP,
                                                 .kind = "CertificateSigningRequest",
                                                 .prepare = prepare,
                                                 .validate = validate,
                                                 .columns = columns,
                                                 .n_columns = ARRAY_LEN(columns),
                                                 .row = row,
                                                 .field = field,
                                                 .fields = fields};
API_BEHAVIOR(csr_behavior);
