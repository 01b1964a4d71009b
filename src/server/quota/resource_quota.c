/*
 * ResourceQuota: a write that would use more than a quota of its namespace allows is refused. Runs
 * last, so that what it promises is sent to the store in the same turn of the loop.
 */
#include "base/own.h"
#include "server/quota/ledger.h"

static bool is(const struct admission *ad, const char *plural) {
    return !*ad->kind->group && str_eq(ad->kind->plural, plural);
}

static void on_settled(struct admission *ad, bool stored, void *user) {
    struct quota_space *s = quota_release(user);
    if (s) quota_ledger_tidy(s);
}

static void promise(struct admission *ad, struct quota_space *s, const struct quota_usage *u) {
    struct quota_promise *p = ARENA_NEW(ad->a, struct quota_promise);
    p->usage = *u;
    p->key = arena_printf(ad->a, "%s%s", ad->kind->store_prefix + 1, ad->name);
    quota_promise(s, p);
    admission_on_settled(ad, on_settled, p);
}

static int resource_quota(struct admission *ad) {
    struct quota_space *s = *ad->ns ? quota_ledger_space(ad->ns) : NULL;
    if (!s) return ADMISSION_OK;
    bool update = ad->operation == ADMIT_UPDATE;
    if (update && !is(ad, "services") && !is(ad, "persistentvolumeclaims")) return ADMISSION_OK;
    if (str_eq(ad->kind->plural, "events")) return ADMISSION_OK; /* never limited upstream */
    const char *group = ad->kind->group, *plural = ad->kind->plural;
    int64_t now_ns = loop_wall_ns(ad->api->loop);
    struct quota_usage u, before;
    quota_ledger_watch(ad->kind);
    quota_usage_of(ad->a, group, plural, ad->object, now_ns, &u);
    if (update) {
        quota_usage_of(ad->a, group, plural, ad->old, now_ns, &before);
        quota_amounts_subtract(&u.amounts, &before.amounts);
    }
    const struct core_v1_pod_spec *pod =
        is(ad, "pods") ? &((const struct core_v1_pod *)(const void *)ad->object)->spec : NULL;
    const char *why = quota_refusal(s, ad->a, &u, &u.amounts, pod);
    if (why) return admission_forbid(ad, why);
    if (!ad->dry_run) promise(ad, s, &u);
    return ADMISSION_OK;
}

static const struct admission_plugin plugin = {.name = "ResourceQuota",
                                               .order = ORDER_RESOURCE_QUOTA,
                                               .operations = ADMIT_CREATE | ADMIT_UPDATE,
                                               .validate = resource_quota,
                                               .start = quota_ledger_start};
ADMISSION_PLUGIN(plugin);
