/*
 * AdmissionReview (admission.k8s.io/v1, v1beta1) on the wire: what a webhook is asked, and what its
 * answer means. No I/O.
 */
#pragma once

#include "server/webhook/hooks.h"

struct review {
    struct admission *ad;
    const struct api_kind *kind; /* the form that the webhook's rule names */
    const char *uid;             /* of the question */
    struct slice object, old;    /* JSON in that form; empty: null */
};
/* object and old are encoded from ad in the form of kind, into the arena. */
void review_init(struct review *r, struct admission *ad, const struct api_kind *kind);
/* The AdmissionRequest; without its objects for match conditions. */
void review_request(struct buf *b, const struct review *r, bool with_objects);
/* The whole AdmissionReview of this version. */
void review_encode(struct buf *b, const struct review *r, const char *version);

struct verdict {
    bool allowed;
    struct slice patch;  /* a JSON patch; empty: none */
    struct slice status; /* a refusal: the Status for the client, whole */
    int code;            /* of that Status */
    enum err_reason reason;
    const char *message;
    struct str_list warnings;
    struct str_map annotations; /* for the audit event */
};
/* ERR_INTERNAL says what is wrong with the answer. Everything is in the arena. */
int verdict_decode(struct arena *a, struct slice body, const struct webhook *h, const char *uid,
                   struct verdict *ret, struct err *err);
