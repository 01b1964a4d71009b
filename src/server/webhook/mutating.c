/*
 * MutatingAdmissionWebhook: one webhook after the other, each sees what the ones before it made.
 * When one has changed the object, all plugins run once more, and of the webhooks those that asked
 * for it (reinvocationPolicy) and have not seen the last change.
 */
#include "api/patch/patch.h"
#include "base/own.h"
#include "server/auth/audit.h"
#include "server/media/convert.h"
#include "server/webhook/ask.h"

struct webhook_run {
    struct admission *ad;
    struct webhooks *hooks;
    size_t next;
    unsigned changes; /* so far */
    unsigned *seen;   /* by webhook: changes it knows of, + 1; 0: it was not asked */
    bool again;       /* the second pass */
    struct question question;
};

/* ---- patches ---- */

/* What a webhook can never change: where the object is, and which one. */
static void keep_identity(struct api_object *to, const struct api_object *from) {
    to->api_version = from->api_version;
    to->kind = from->kind;
    to->metadata.name = from->metadata.name;
    to->metadata.generate_name = from->metadata.generate_name;
    to->metadata.namespace = from->metadata.namespace;
    to->metadata.uid = from->metadata.uid;
    to->metadata.resource_version = from->metadata.resource_version;
    to->metadata.creation_timestamp = from->metadata.creation_timestamp;
    to->metadata.deletion_timestamp = from->metadata.deletion_timestamp;
    to->metadata.deletion_grace_period_seconds = from->metadata.deletion_grace_period_seconds;
    to->metadata.generation = from->metadata.generation;
}

/* The object in the form of k → in the form that is stored. */
static int take_object(struct admission *ad, const struct api_kind *k, struct slice json,
                       struct err *err) {
    struct api_object *o;
    if (api_object_decode(ad->a, k, json, &o, err) < 0) return -1;
    const struct api_kind *stored = ad->object_kind ? k : storage_kind(k);
    if (stored != k) o = api_convert(ad->a, k, stored, o);
    keep_identity(o, ad->object);
    ad->object = o;
    ad->defaults_again = true;
    return 0;
}

static int apply(struct webhook_run *run, struct question *q) {
    struct admission *ad = run->ad;
    OWN(json_decref_p) json_t *before = NULL, *after = NULL;
    struct err err = {0};
    if (!q->verdict.patch.n) return 0;
    if (!ad->object)
        return err_set(&ad->err, ERR_INTERNAL,
                       "Internal error occurred: admission webhook \"%s\" attempted to modify the "
                       "object, which is not supported for this operation",
                       q->hook->name);
    const struct api_kind *k = ad->object_kind ? ad->object_kind : q->review.kind;
    int r = patch_parse(q->review.object, &before, &err);
    if (r == 0) r = patch_json(before, q->verdict.patch, &after, &err);
    if (r == 0 && !json_equal(before, after)) {
        OWN(free_p) char *text = json_dumps(after, JSON_COMPACT);
        if (!text) abort();
        r = take_object(ad, k, slice_of(text), &err);
        if (r == 0) run->changes++;
    }
    if (r < 0)
        return err_set(&ad->err, ERR_INTERNAL,
                       "Internal error occurred: admission webhook \"%s\": %s", q->hook->name,
                       err.text);
    return 0;
}

/* ---- what the audit log is told ---- */

static void annotate(struct question *q, const char *what, const char *rest, struct slice json) {
    struct admission *ad = q->review.ad;
    OWN(buf_done) struct buf b = {0};
    buf_str(&b, "{\"configuration\":");
    buf_json_str(&b, slice_of(q->hook->configuration));
    buf_str(&b, ",\"webhook\":");
    buf_json_str(&b, slice_of(q->hook->name));
    buf_str(&b, rest);
    buf_slice(&b, json);
    buf_str(&b, str_eq(what, "patch") ? ",\"patchType\":\"JSONPatch\"}" : "}");
    audit_annotate(ad->c,
                   arena_printf(ad->a, "%s.webhook.admission.k8s.io/round_%u_index_%u", what,
                                q->round, q->index),
                   arena_strn(ad->a, buf_view(&b)));
}

static void tell_audit(struct question *q, bool mutated, bool patched) {
    annotate(q, "mutation", ",\"mutated\":", mutated ? SLICE("true") : SLICE("false"));
    if (patched && audit_holds_bodies(q->review.ad->c))
        annotate(q, "patch", ",\"patch\":", q->verdict.patch);
}

/* ---- one after the other ---- */

static int step(struct webhook_run *run);

static void on_done(struct question *q) {
    struct webhook_run *run = q->user;
    struct admission *ad = run->ad;
    int answer = question_settle(q, ad);
    unsigned before = run->changes;
    bool asked = answer == 0 && q->outcome == 0;
    if (asked) answer = apply(run, q);
    tell_audit(q, run->changes > before, asked && answer == 0 && q->verdict.patch.n);
    run->seen[q->hook - run->hooks->list.v] = run->changes + 1;
    if (answer == 0) answer = step(run);
    if (answer != ADMISSION_LATER) admission_resume(ad, answer);
}

static bool has_turn(const struct webhook_run *run, size_t i) {
    if (!run->again) return true;
    return run->hooks->list.v[i].reinvoke && run->seen[i] && run->seen[i] <= run->changes;
}

/* On to the next that wants to be asked. ADMISSION_LATER, ADMISSION_OK or < 0. */
static int step(struct webhook_run *run) {
    struct admission *ad = run->ad;
    while (run->next < run->hooks->list.n) {
        size_t i = run->next++;
        struct webhook *h = &run->hooks->list.v[i];
        int answer;
        const struct api_kind *k = has_turn(run, i) ? question_wanted(h, ad, &answer) : NULL;
        if (!k) {
            if (has_turn(run, i) && answer < 0) return answer;
            continue;
        }
        run->question = (struct question){
            .hook = h, .done = on_done, .user = run, .round = run->again, .index = (unsigned)i};
        review_init(&run->question.review, ad, k);
        question_ask(&run->question, ad);
        return ADMISSION_LATER;
    }
    if (run->changes && !run->again) {
        run->again = true;
        run->next = 0;
        ad->next = 0; /* every plugin sees the object as it is now */
        return ADMISSION_OK;
    }
    return ADMISSION_OK;
}

static void settled(struct admission *ad, bool stored, void *user) { webhooks_unref(user); }

static int mutate(struct admission *ad) {
    struct webhook_run *run = ad->webhooks;
    if (!run) {
        struct webhooks *hooks = match_exempt(ad) ? NULL : webhooks_get(ad->api, true);
        if (!hooks) return ADMISSION_OK;
        run = ad->webhooks = ARENA_NEW(ad->a, struct webhook_run);
        *run = (struct webhook_run){.ad = ad, .hooks = hooks};
        run->seen = ARENA_ARRAY(ad->a, unsigned, hooks->list.n);
        admission_on_settled(ad, settled, hooks);
    }
    return step(run);
}

static const struct admission_plugin mutating_webhooks = {
    .name = "MutatingAdmissionWebhook",
    .order = ORDER_MUTATING_WEBHOOK,
    .operations = ADMIT_CREATE | ADMIT_UPDATE | ADMIT_DELETE | ADMIT_CONNECT,
    .subresources = true,
    .mutate = mutate};
ADMISSION_PLUGIN(mutating_webhooks);
