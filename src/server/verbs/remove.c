#include "server/verbs/remove.h"

#include "api/custom/custom.h"
#include "base/own.h"
#include "base/times.h"
#include "server/admission/plugin.h"
#include "server/custom/definitions.h"
#include "server/media/body.h"

enum { ATTEMPTS_MAX = 8 };

struct removal {
    struct api *api;
    const struct api_kind *kind; /* held: a definition may be replaced meanwhile */
    char *ns, *name, *uid, *version;
    struct remove_options o;
    remove_fn *done;
    void *user;
    unsigned attempts;
    bool gone; /* what the write under way does */
    /* One attempt. */
    struct arena *arena;
    struct object *current;
    struct api_object *object;
    struct admission *admission;
    struct str_list warnings; /* of the asker, from before */
    bool *asking;             /* remove_object's, while it has not returned */
};

static void attempt(struct removal *r);

static void settle(struct removal *r, bool stored) {
    if (r->admission) admission_settle(r->admission, stored);
    r->admission = NULL;
    object_unref(r->current);
    r->current = NULL;
}

static void finish(struct removal *r, struct slice json, bool gone, const struct err *err) {
    remove_fn *done = r->done;
    void *user = r->user;
    struct arena *a = r->arena;
    const struct api_kind *kind = r->kind;
    settle(r, !err && !r->o.dry_run);
    free(r->ns);
    free(r->name);
    free(r->uid);
    free(r->version);
    free(r);
    done(user, json, gone, err);
    arena_free(a);
    custom_kind_unref(kind);
}

static void on_written(void *user, struct slice json, const struct err *err) {
    struct removal *r = user;
    bool again = err && (err->reason == ERR_CONFLICT || err->reason == ERR_NOT_FOUND);
    if (again && !r->o.once && ++r->attempts < ATTEMPTS_MAX) {
        settle(r, false);
        attempt(r);
    } else {
        finish(r, json, r->gone && !err, err);
    }
}

static int check_preconditions(struct removal *r, const struct meta_v1_object_meta *m,
                               struct err *err) {
    if (r->uid && !str_eq(r->uid, m->uid))
        return err_set(err, ERR_CONFLICT,
                       "Precondition failed: UID in precondition: %s, UID in object meta: %s",
                       r->uid, str_or(m->uid, ""));
    if (r->version && !str_eq(r->version, m->resource_version))
        return err_set(err, ERR_CONFLICT,
                       "Precondition failed: ResourceVersion in precondition: %s, ResourceVersion "
                       "in object meta: %s",
                       r->version, m->resource_version);
    return 0;
}

static enum deletion_outcome decide(struct removal *r) {
    bool definition = str_eq(r->kind->plural, "customresourcedefinitions");
    const struct deletion d = {.grace_s = r->o.grace_s,
                               .policy = r->o.policy,
                               .finalizer = definition ? DEFINITION_FINALIZER : NULL};
    return deletion_apply(r->arena, r->kind, r->object, &d, loop_wall_ns(r->api->loop));
}

/* Admitted: the object goes. */
static void carry_out(struct removal *r) {
    enum deletion_outcome what = decide(r);
    r->gone = what == DELETION_NOW;
    if (what == DELETION_NOTHING || r->o.dry_run) {
        OWN(buf_done) struct buf json = {0};
        object_encode_at(&json, r->kind, r->object, r->current->revision);
        finish(r, buf_view(&json), r->gone, NULL);
        return;
    }
    enum store_op op = r->gone ? STORE_DELETE : STORE_UPDATE;
    commit_submit(r->api, &(struct commit){op, r->kind, r->object, r->current->revision},
                  on_written, r);
}

/* What plugins warned of outlives the attempt. */
static void keep_warnings(struct removal *r) {
    struct call *c = r->o.asker;
    struct str_list fresh = c->warnings;
    c->warnings = r->warnings;
    for (size_t i = 0; i < fresh.n; i++)
        *ARENA_PUSH(c->a, &c->warnings) = arena_str(c->a, fresh.v[i]);
}

static void on_asked(struct admission *ad, int answer) {
    struct removal *r = ad->user;
    if (r->asking) *r->asking = false;
    r->asking = NULL;
    if (answer == ADMISSION_ANSWERED) {
        struct err none = {0};
        finish(r, SLICE(""), false, &none);
        return;
    }
    keep_warnings(r);
    if (answer == ADMISSION_OK) {
        carry_out(r);
    } else if (ad->refusal.n) { /* the plugin's own Status, whole */
        struct err none = {0};
        admission_reply(ad, answer);
        finish(r, SLICE(""), false, &none);
    } else {
        struct err err = ad->err;
        finish(r, SLICE(""), false, &err);
    }
}

static void ask(struct removal *r) {
    struct call *c = r->o.asker;
    struct admission *ad = ARENA_NEW(r->arena, struct admission);
    *ad = (struct admission){.c = c,
                             .api = r->api,
                             .a = r->arena,
                             .operation = ADMIT_DELETE,
                             .kind = r->kind,
                             .old = r->object,
                             .current = r->current,
                             .subresource = "",
                             .ns = r->ns,
                             .name = r->name,
                             .dry_run = r->o.dry_run,
                             .user = r};
    r->admission = ad;
    r->warnings = c->warnings;
    c->warnings = (struct str_list){0};
    if (r->asking) *r->asking = true;
    admission_ask(ad, on_asked);
}

static void attempt(struct removal *r) {
    struct err err = {0};
    struct object *current = resource_get(cache_of_kind(&r->api->cache, r->kind), r->ns, r->name);
    arena_free(r->arena);
    r->arena = arena_new();
    if (!current) {
        err_set(&err, ERR_NOT_FOUND, "\"%s\" not found", r->name);
        finish(r, SLICE(""), false, &err);
        return;
    }
    r->current = object_ref(current);
    if (api_object_decode(r->arena, r->kind, object_json(current), &r->object, &err) < 0 ||
        check_preconditions(r, &r->object->metadata, &err) < 0)
        finish(r, SLICE(""), false, &err);
    else if (r->o.asker)
        ask(r);
    else
        carry_out(r);
}

static char *copy(const char *s) {
    if (!s) return NULL;
    char *out = strdup(s);
    if (!out) abort();
    return out;
}

bool remove_object(struct api *api, const struct api_kind *storage, const char *ns,
                   const char *name, const struct remove_options *o, remove_fn *done, void *user) {
    struct removal *r = calloc(1, sizeof *r);
    if (!r) abort();
    *r = (struct removal){.api = api,
                          .kind = storage,
                          .ns = copy(ns),
                          .name = copy(name),
                          .uid = copy(o->uid),
                          .version = copy(o->resource_version),
                          .o = *o,
                          .done = done,
                          .user = user};
    custom_kind_ref(storage);
    bool asking = false;
    r->asking = o->asker ? &asking : NULL;
    attempt(r);
    if (asking) r->asking = NULL; /* it is still there */
    return asking;
}

/* ---- DeleteOptions ---- */

static int take_policy(struct remove_options *o, const char *policy, struct err *err) {
    static const char *const names[] = {"", "Background", "Foreground", "Orphan"};
    for (size_t i = 1; i < ARRAY_LEN(names); i++) {
        if (!str_eq(policy, names[i])) continue;
        o->policy = i;
        return 0;
    }
    return err_field(err, ERR_INVALID, "propagationPolicy",
                     "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported "
                     "value: \"%s\": supported values: \"Foreground\", \"Background\", \"Orphan\"",
                     policy);
}

/* The older form of a policy. */
static int take_orphans(struct remove_options *o, bool orphans, const char *policy,
                        struct err *err) {
    o->policy = orphans ? PROPAGATE_ORPHAN : PROPAGATE_BACKGROUND;
    if (str_empty(policy)) return 0;
    return err_field(err, ERR_INVALID, "propagationPolicy",
                     "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Invalid value: "
                     "\"%s\": orphanDependents and deletionPropagation cannot be both set",
                     policy);
}

static int take_query(struct call *c, struct remove_options *o, struct err *err) {
    const char *grace = http_query_get(&c->r->query, "gracePeriodSeconds");
    const char *policy = http_query_get(&c->r->query, "propagationPolicy");
    const char *orphans = http_query_get(&c->r->query, "orphanDependents");
    uint64_t seconds;
    if (!str_empty(grace)) {
        if (slice_u64(slice_of(grace), &seconds) < 0 || seconds > INT32_MAX)
            return err_set(err, ERR_BAD_REQUEST, "gracePeriodSeconds: \"%s\" is not a number ≥ 0",
                           grace);
        o->grace_s = (int64_t)seconds;
    }
    if (!str_empty(orphans) && take_orphans(o, str_eq(orphans, "true"), policy, err) < 0)
        return err_code(err->reason);
    return str_empty(policy) ? 0 : take_policy(o, policy, err);
}

int64_t remove_grace_s(int64_t asked_s) { return asked_s < 0 ? 1 : MIN_OF(asked_s, INT32_MAX); }

int remove_dry_run(const struct str_list *asked, bool *ret, struct err *err) {
    for (size_t i = 0; i < asked->n; i++) {
        if (!str_eq(asked->v[i], "All"))
            return err_field(
                err, ERR_INVALID, "dryRun",
                "DeleteOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: "
                "\"%s\": supported values: \"All\"",
                str_or(asked->v[i], ""));
        *ret = true;
    }
    return 0;
}

/* Every group calls them by its own version. */
static int check_kind(const struct meta_v1_delete_options *d, struct err *err) {
    if (str_empty(d->kind) || str_eq(d->kind, "DeleteOptions")) return 0;
    return err_set(err, ERR_BAD_REQUEST,
                   "%s in version \"%s\" cannot be handled as a DeleteOptions: unknown conversion",
                   d->kind, str_or(d->api_version, ""));
}

static int take_body(struct call *c, struct remove_options *o, struct err *err) {
    struct slice json;
    if (!slice_trim(c->r->body).n) return 0;
    int rc = body_json(c, &json, err);
    void *p;
    if (rc == 0) rc = api_decode(c->a, &meta_v1_delete_options_type, json, NULL, &p, err);
    if (rc < 0) return rc;
    const struct meta_v1_delete_options *d = p;
    if ((rc = check_kind(d, err)) < 0 || (rc = remove_dry_run(&d->dry_run, &o->dry_run, err)) < 0)
        return rc;
    if (d->grace_period_seconds) o->grace_s = remove_grace_s(*d->grace_period_seconds);
    if (d->preconditions) {
        o->uid = d->preconditions->uid;
        o->resource_version = d->preconditions->resource_version;
    }
    if (d->orphan_dependents &&
        (rc = take_orphans(o, *d->orphan_dependents, d->propagation_policy, err)) < 0)
        return rc;
    return str_empty(d->propagation_policy) ? 0 : take_policy(o, d->propagation_policy, err);
}

int remove_options_parse(struct call *c, struct remove_options *ret, struct err *err) {
    *ret = (struct remove_options){.grace_s = -1};
    int rc = body_options(c, err);
    if (rc == 0) rc = take_query(c, ret, err);
    if (rc == 0) rc = take_body(c, ret, err);
    if (c->dry_run) ret->dry_run = true;
    return rc;
}
