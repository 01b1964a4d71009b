/*
 * ValidatingAdmissionWebhook: all webhooks that are to be asked are asked at once; the request is
 * refused by the first, in their order, that refused.
 */
#include "server/webhook/ask.h"

struct validation {
    struct admission *ad;
    struct question *questions;
    size_t n, waiting;
};

static void on_done(struct question *q) {
    struct validation *v = q->user;
    if (--v->waiting) return;
    struct admission *ad = v->ad;
    int answer = ADMISSION_OK;
    for (size_t i = 0; i < v->n && answer == ADMISSION_OK; i++)
        answer = question_settle(&v->questions[i], ad);
    admission_resume(ad, answer);
}

static void settled(struct admission *ad, bool stored, void *user) { webhooks_unref(user); }

static int validate(struct admission *ad) {
    struct webhooks *hooks = match_exempt(ad) ? NULL : webhooks_get(ad->api, false);
    if (!hooks) return ADMISSION_OK;
    struct validation *v = ARENA_NEW(ad->a, struct validation);
    *v = (struct validation){.ad = ad};
    admission_on_settled(ad, settled, hooks);
    v->questions = ARENA_ARRAY(ad->a, struct question, hooks->list.n);
    int answer = ADMISSION_OK;
    for (size_t i = 0; i < hooks->list.n && answer == ADMISSION_OK; i++) {
        struct webhook *h = &hooks->list.v[i];
        const struct api_kind *k = question_wanted(h, ad, &answer);
        if (!k) continue;
        unsigned index = (unsigned)v->n;
        struct question *q = &v->questions[v->n++];
        *q = (struct question){.hook = h, .done = on_done, .user = v, .index = index};
        review_init(&q->review, ad, k);
    }
    if (answer < 0 || !v->n) return answer;
    v->waiting = v->n; /* nobody answers before this returns */
    for (size_t i = 0; i < v->n; i++) question_ask(&v->questions[i], ad);
    return ADMISSION_LATER;
}

static const struct admission_plugin validating_webhooks = {
    .name = "ValidatingAdmissionWebhook",
    .order = ORDER_VALIDATING_WEBHOOK,
    .operations = ADMIT_CREATE | ADMIT_UPDATE | ADMIT_DELETE | ADMIT_CONNECT,
    .subresources = true,
    .validate = validate};
ADMISSION_PLUGIN(validating_webhooks);
