#include "server/webhook/ask.h"

#include "base/log.h"
#include "base/own.h"
#include "server/auth/audit.h"
#include "server/egress/call.h"

enum { SHOWN_BYTES_MAX = 256 };

const struct api_kind *question_wanted(struct webhook *h, struct admission *ad, int *ret_answer) {
    *ret_answer = ADMISSION_OK;
    if (!match_namespace(ad, h->namespaces) || !match_object(ad, h->objects)) return NULL;
    const struct api_kind *k = match_rules(h->rules, h->n_rules, ad, h->equivalent);
    if (!k || !h->conditions) return k;
    OWN(buf_done) struct buf request = {0};
    struct review r;
    const char *problem = "";
    review_init(&r, ad, k);
    review_request(&request, &r, false);
    int holds =
        webhook_conditions_hold(h->conditions, ad, buf_view(&request), r.object, r.old, &problem);
    if (holds > 0) return k;
    if (holds < 0 && !h->fail_open) *ret_answer = admission_forbid(ad, problem);
    return NULL;
}

/* ---- the call ---- */

static int target_of(const struct webhook *h, struct admission *ad, struct egress_target *ret,
                     struct err *err) {
    int r = h->url ? egress_target_url(ad->a, h->url, false, ret, err)
                   : egress_target_service(ad->api, ad->a, h->service_ns, h->service_name,
                                           h->service_port, h->service_path, ret, err);
    if (r < 0) return r;
    ret->ca_pem = h->ca_pem;
    ret->path = arena_printf(ad->a, "%s%stimeout=%us", ret->path,
                             strchr(ret->path, '?') ? "&" : "?", h->timeout_s);
    return 0;
}

static void unasked(struct question *q, const char *why) {
    const struct webhook *h = q->hook;
    q->outcome = h->fail_open ? 1 : -1;
    if (h->fail_open) log_warn("webhook_failed_open", "webhook=%s why=%s", h->name, why);
    err_set(&q->err, ERR_INTERNAL, "Internal error occurred: failed calling webhook \"%s\": %s",
            h->name, why);
}

/* As client-go words a status that is no success. */
static const char *status_text(struct arena *a, const struct egress_result *r) {
    if (r->status == 404) return "the server could not find the requested resource";
    if (r->status >= 500 || r->status < 400)
        return arena_printf(a,
                            "an error on the server (\"%.*s\") has prevented the request from "
                            "succeeding",
                            (int)MIN_OF(r->body.n, SHOWN_BYTES_MAX), str_or(r->body.p, ""));
    return "the server rejected our request for an unknown reason";
}

static void on_answer(void *user, const struct egress_result *r) {
    struct question *q = user;
    struct arena *a = q->review.ad->a;
    struct err err = {0};
    if (r->err.reason != ERR_NONE)
        unasked(q, arena_printf(a, "failed to call webhook: %s", r->err.text));
    else if (r->status < 200 || r->status > 299)
        unasked(q, arena_printf(a, "failed to call webhook: %s", status_text(a, r)));
    else if (verdict_decode(a, r->body, q->hook, q->review.uid, &q->verdict, &err) < 0)
        unasked(q, err.text);
    q->done(q);
}

/* Nothing can be sent: told from the loop like everything else. */
static void on_unasked(void *user) {
    struct question *q = user;
    q->done(q);
}

void question_ask(struct question *q, struct admission *ad) {
    struct webhook *h = q->hook;
    struct egress_target t;
    struct err err = {0};
    const char *why = h->broken;
    if (!why && !h->version)
        why = "webhook does not accept known AdmissionReview versions "
              "(v1, v1beta1)";
    if (!why && target_of(h, ad, &t, &err) < 0)
        why = arena_printf(ad->a, "failed to call webhook: %s", err.text);
    if (why) {
        unasked(q, why);
        loop_defer(ad->api->loop, on_unasked, q);
        return;
    }
    OWN(buf_done) struct buf body = {0};
    review_encode(&body, &q->review, h->version);
    struct http_header v[] = {{"accept", "application/json"}};
    egress_call(ad->api,
                &(struct egress_request){.target = &t,
                                         .method = "POST",
                                         .body = buf_view(&body),
                                         .headers = &(struct http_headers){v, 1},
                                         .timeout_ms = h->timeout_s * 1000},
                on_answer, q);
}

int question_settle(const struct question *q, struct admission *ad) {
    const struct verdict *v = &q->verdict;
    if (q->outcome > 0) {
        audit_annotate(
            ad->c,
            arena_printf(ad->a, "failed-open.%s.webhook.admission.k8s.io/round_%u_index_%u",
                         q->hook->mutating ? "mutation" : "validating", q->round, q->index),
            q->hook->name);
        return 0;
    }
    if (q->outcome < 0) {
        ad->err = q->err;
        return -1;
    }
    for (size_t i = 0; i < v->warnings.n; i++)
        *ARENA_PUSH(ad->a, &ad->c->warnings) = v->warnings.v[i];
    for (size_t i = 0; i < v->annotations.n; i++)
        audit_annotate(ad->c, v->annotations.v[i].key, v->annotations.v[i].value);
    if (v->allowed) return 0;
    ad->refusal = v->status;
    ad->refusal_code = v->code;
    return err_set(&ad->err, v->reason, "%s", v->message);
}
