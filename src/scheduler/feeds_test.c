/* The feeds, with informers that are only functions: what they tell reaches the core, pods that
 * wait are looked at when it may help them, and a wrong configuration leaves the last one. */
#include "scheduler/feeds.h"

#include <stdlib.h>

#include "base/own.h"
#include "base/test.h"
#include "scheduler/place/profiles.h"
#include "scheduler/snapshot/sources.h"

/* ---- instead of the client ---- */

struct informer {
    const struct api_kind *kind;
    const char *fields;
    const struct api_keep *keep;
    informer_fn *fn;
    void *user;
    bool synced;
};
static struct informer *made[40];
static size_t n_made, n_freed, n_again;
static const char *said;
static struct core_v1_pod *waiting; /* the only pod the informer of pods has */

struct informer *informer_new(struct api_client *c, const struct api_kind *k,
                              const char *field_selector, const char *label_selector,
                              informer_fn *fn, void *user) {
    (void)c;
    struct informer *i = calloc(1, sizeof *i);
    if (!i || !k || label_selector || n_made == ARRAY_LEN(made)) abort();
    *i = (struct informer){.kind = k, .fields = field_selector, .fn = fn, .user = user};
    return made[n_made++] = i;
}
void informer_free(struct informer *i) {
    n_freed++;
    free(i);
}
void informer_keep(struct informer *i, const struct api_keep *keep) { i->keep = keep; }
bool informer_synced(const struct informer *i) { return i->synced; }
const struct api_object *informer_get(const struct informer *i, const char *ns, const char *name) {
    (void)i, (void)ns, (void)name;
    return (const struct api_object *)waiting;
}
const struct api_object *informer_next(const struct informer *i, size_t *at) {
    (void)i;
    return (*at)++ ? NULL : (const struct api_object *)waiting;
}
void event_record(struct event_recorder *r, const struct api_object *about, const char *type,
                  const char *reason, const char *fmt, ...) {
    (void)r, (void)about, (void)type, (void)fmt;
    said = reason;
}
uint64_t loop_now_ms(const struct loop *l) {
    (void)l;
    return 1000;
}

/* ---- a service that is only its feeds ---- */

static void again(uint64_t delay_ms) {
    assert_int_equal(delay_ms, 0);
    n_again++;
}

struct service {
    struct informer pods;
    struct sched_core core;
    struct acts acts;
    struct feeds *feeds;
    struct arena *a;
};

static void begin(struct service *s) {
    *s = (struct service){.pods = {.synced = true}, .a = arena_new()};
    s->acts = (struct acts){.pods = &s->pods, .core = &s->core};
    n_made = n_freed = n_again = 0;
    said = "";
    waiting = NULL;
    s->feeds = feeds_new(NULL, &s->acts, again);
}

static void end(struct service *s) {
    core_done(&s->core);
    feeds_free(s->feeds);
    assert_int_equal(n_freed, n_made);
    arena_free(s->a);
}

static struct informer *informer_of(const char *kind) {
    for (size_t i = 0; i < n_made; i++)
        if (str_eq(made[i]->kind->kind, kind)) return made[i];
    fail_msg("nobody watches %s", kind);
    return NULL;
}

static struct api_object *decoded(struct service *s, const char *group, const char *kind,
                                  const char *json) {
    struct api_object *o;
    assert_int_equal(
        api_object_decode(s->a, api_kind_by_name(group, "v1", kind), slice_of(json), &o, NULL), 0);
    return o;
}

static void tell(const char *kind, enum informer_event e, const struct api_object *now) {
    struct informer *i = informer_of(kind);
    i->fn(i->user, e, now, NULL);
}

TEST(feeds_watch_every_source_with_what_it_keeps_but_those_of_the_core) {
    struct service s;
    size_t n = 0;
    begin(&s);
    for (const struct sched_source *x = sched_sources; x->kind; x++) {
        if (x->by_core) continue;
        assert_ptr_equal(informer_of(x->kind)->keep, x->keep);
        n++;
    }
    assert_int_equal(n_made, n + 1);
    assert_string_equal(informer_of("ConfigMap")->fields,
                        "metadata.namespace=" SCHED_CONFIGURATION_NAMESPACE
                        ",metadata.name=" SCHED_CONFIGURATION_NAME);
    end(&s);
}

TEST(feeds_are_synced_when_all_of_them_are) {
    struct service s;
    begin(&s);
    for (size_t i = 0; i < n_made; i++) {
        assert_false(feeds_synced(s.feeds));
        made[i]->synced = true;
    }
    assert_true(feeds_synced(s.feeds));
    end(&s);
}

TEST(feeds_tell_the_snapshot_and_look_again_when_it_may_help) {
    static const char json[] = "{\"metadata\":{\"name\":\"n\",\"labels\":{\"team\":\"t\"}}}";
    static const char service_json[] = "{\"metadata\":{\"name\":\"n\",\"namespace\":\"d\"}}";
    struct service s;
    begin(&s);
    struct api_object *o = decoded(&s, "", "Namespace", json);
    tell("Namespace", INFORMER_ADDED, o);
    assert_int_equal(s.core.snapshot.namespaces.n, 1);
    assert_int_equal(n_again, 1);
    tell("Namespace", INFORMER_MODIFIED, o); /* the same */
    assert_int_equal(n_again, 1);
    tell("Service", INFORMER_ADDED, decoded(&s, "", "Service", service_json)); /* never helps */
    assert_int_equal(n_again, 1);
    tell("Namespace", INFORMER_DELETED, o);
    assert_int_equal(s.core.snapshot.namespaces.n, 0);
    assert_int_equal(n_again, 1);
    tell("Namespace", INFORMER_SYNCED, NULL);
    assert_int_equal(n_again, 2);
    end(&s);
}

#define CONFIGURATION(text)                                                                        \
    "{\"metadata\":{\"name\":\"c\",\"namespace\":\"n\"},\"data\":{\"" SCHED_CONFIGURATION_KEY      \
    "\":\"apiVersion: kubescheduler.config.k8s.io/v1\\nkind: KubeSchedulerConfiguration\\n" text   \
    "\"}}"

TEST(feeds_a_configuration_holds_until_a_valid_one_comes_or_it_goes) {
    struct service s;
    begin(&s);
    const struct snapshot *snapshot = &s.core.snapshot;
    struct api_object *good =
        decoded(&s, "", "ConfigMap", CONFIGURATION("profiles:\\n- schedulerName: mine\\n"));
    struct api_object *bad =
        decoded(&s, "", "ConfigMap", CONFIGURATION("profiles:\\n- nonsense: 1\\n"));
    assert_null(snapshot->profiles);
    tell("ConfigMap", INFORMER_ADDED, good);
    assert_string_equal(said, "Configured");
    assert_non_null(sched_profile_named(snapshot->profiles, "mine"));
    tell("ConfigMap", INFORMER_MODIFIED, bad);
    assert_string_equal(said, "InvalidConfiguration");
    assert_non_null(sched_profile_named(snapshot->profiles, "mine"));
    tell("ConfigMap", INFORMER_DELETED, good);
    assert_null(snapshot->profiles);
    end(&s);
}

TEST(feeds_pods_of_a_profile_that_comes_are_looked_at) {
    static const char json[] =
        "{\"metadata\":{\"name\":\"p\",\"namespace\":\"d\",\"uid\":\"u\"},\"spec\":{"
        "\"schedulerName\":\"mine\",\"containers\":[{\"name\":\"c\"}]}}";
    struct service s;
    begin(&s);
    waiting = (struct core_v1_pod *)decoded(&s, "", "Pod", json);
    core_put_pod(&s.core, waiting, true, 1000);
    assert_null(queue_get(&s.core.queue, "u")); /* nobody's */
    tell("ConfigMap", INFORMER_ADDED,
         decoded(&s, "", "ConfigMap", CONFIGURATION("profiles:\\n- schedulerName: mine\\n")));
    assert_non_null(queue_get(&s.core.queue, "u"));
    assert_true(n_again > 0);
    end(&s);
}
