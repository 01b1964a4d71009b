/*
 * One webhook asked about one request. Does what both passes have in common: whether it is to be
 * asked, the call, what its answer or its silence means under its failure policy.
 */
#pragma once

#include "server/webhook/review.h"

struct question;
typedef void question_fn(struct question *q);

struct question {
    struct webhook *hook;
    struct review review;
    question_fn *done; /* from the loop */
    void *user;
    unsigned round, index; /* of the call, as audit annotations count them */
    /* When it is done: 0 = verdict holds; < 0 = err says why it could not be asked, and the policy
     * is Fail; 1 = the same, and the policy is Ignore. */
    int outcome;
    struct verdict verdict;
    struct err err;
};

/* The form of the resource by which the webhook is to be asked; NULL: not at all, then *ret_answer
 * is ADMISSION_OK or < 0 with ad->err (its conditions could not be worked out). */
const struct api_kind *question_wanted(struct webhook *h, struct admission *ad, int *ret_answer);
/* Asks; q lives in the request's arena. */
void question_ask(struct question *q, struct admission *ad);
/* What the verdict means for the request: warnings are passed on; < 0 with ad->err and refusal. */
int question_settle(const struct question *q, struct admission *ad);
