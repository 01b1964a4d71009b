/* atoll why: why a pod is where it is, or nowhere. Takes the decision again, by the scheduler's own
 * code, on what the API shows now. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "api/rules/pods.h"
#include "base/own.h"
#include "cli/api_get.h"
#include "cli/verb.h"
#include "cli/why.h"
#include "client/path.h"
#include "scheduler/place/profiles.h"
#include "scheduler/snapshot/sources.h"

static const struct api_kind *kind(const char *group, const char *version, const char *name) {
    return api_kind_by_name(group, version, name);
}

static int take_pod(void *user, const struct api_object *o) {
    struct why *w = user;
    const struct core_v1_pod *p = (const struct core_v1_pod *)o;
    if (str_eq(p->metadata.uid, w->pod->metadata.uid) || pod_is_terminal(p)) return 0;
    if (!str_empty(p->spec.node_name))
        snapshot_add_pod(&w->snapshot, p, p->spec.node_name);
    else if (!str_empty(p->status.nominated_node_name))
        snapshot_nominate(&w->snapshot, p, p->status.nominated_node_name);
    if (str_empty(p->spec.node_name) && !p->spec.scheduling_gates.n && !pod_is_terminating(p))
        gang_wait(&w->snapshot, p->metadata.namespace, &p->metadata.labels, p->metadata.uid);
    return 0;
}

static int take_node(void *user, const struct api_object *o) {
    snapshot_put_node(&((struct why *)user)->snapshot, (const struct core_v1_node *)o);
    return 0;
}

static int take_budget(void *user, const struct api_object *o) {
    budgets_put(&((struct why *)user)->budgets, (const struct policy_v1_pod_disruption_budget *)o);
    return 0;
}

struct taking {
    struct why *w;
    const struct sched_source *source;
};

static int take_other(void *user, const struct api_object *o) {
    const struct taking *t = user;
    t->source->put(&t->w->snapshot, o);
    return 0;
}

static int take_event(void *user, const struct api_object *o) {
    struct why *w = user;
    const struct core_v1_event *e = (const struct core_v1_event *)o;
    if (!str_eq(e->reason, "FailedScheduling")) return 0;
    w->tries += MAX_OF(e->count, 1);
    const char *at = str_or(e->last_timestamp, e->metadata.creation_timestamp);
    if (!w->last_try || (at && strcmp(at, w->last_try) > 0)) w->last_try = arena_str(w->a, at);
    return 0;
}

static int get(struct why *w, const char *kind_name, const char *namespace, const char *name,
               const void *ret, struct err *err) {
    OWN(buf_done) struct buf path = {0};
    const struct api_kind *k = kind("", "v1", kind_name);
    struct api_object *o;
    struct slice json;
    api_path(&path, k, namespace, name, NULL);
    int rc = cli_api_get(w->root, w->a, path.p, &json, err);
    if (rc == 0) rc = api_object_decode(w->a, k, json, &o, err);
    if (rc == 0) memcpy((void *)ret, &o, sizeof o);
    return rc;
}

/* Without a configuration, or with a wrong one, the default profile holds, as far as one can know.
 */
static int take_profiles(struct why *w, struct sched_profiles **ret, struct err *err) {
    const struct core_v1_config_map *map = NULL;
    int rc =
        get(w, "ConfigMap", SCHED_CONFIGURATION_NAMESPACE, SCHED_CONFIGURATION_NAME, &map, err);
    if (rc < 0) return err->reason == ERR_NOT_FOUND ? 0 : rc;
    if (sched_profiles_of(map, ret, err) < 0)
        w->profiles_error =
            arena_printf(w->a, "%s%s%s", err->field, *err->field ? ": " : "", err->text);
    return 0;
}

static int gather(struct why *w, const char *namespace, const char *name,
                  struct sched_profiles **profiles, struct err *err) {
    const char *root = w->root;
    int rc = get(w, "Pod", namespace, name, &w->pod, err);
    if (rc == 0) rc = take_profiles(w, profiles, err);
    if (rc == 0) snapshot_use_profiles(&w->snapshot, *profiles);
    if (rc == 0) rc = cli_api_list(root, kind("", "v1", "Node"), NULL, NULL, take_node, w, err);
    for (const struct sched_source *s = sched_sources; rc == 0 && s->kind; s++)
        rc = cli_api_list(root, kind(s->group, s->version, s->kind), NULL, NULL, take_other,
                          &(struct taking){w, s}, err);
    if (rc == 0) rc = cli_api_list(root, kind("", "v1", "Pod"), NULL, NULL, take_pod, w, err);
    if (rc == 0)
        rc = cli_api_list(root, kind("policy", "v1", "PodDisruptionBudget"), NULL, NULL,
                          take_budget, w, err);
    const char *about =
        arena_printf(w->a, "involvedObject.uid=%s", rc == 0 ? w->pod->metadata.uid : "");
    if (rc == 0)
        rc = cli_api_list(root, kind("", "v1", "Event"), namespace, about, take_event, w, err);
    return rc;
}

static int explain(struct why *w, const char *namespace, const char *name, bool json,
                   struct err *err) {
    struct sched_profiles *profiles = NULL;
    int rc = gather(w, namespace, name, &profiles, err);
    if (rc == 0) {
        struct core_v1_pod *question = ARENA_NEW(w->a, struct core_v1_pod);
        *question = *w->pod;
        w->other_scheduler = !sched_profile_named(profiles, w->pod->spec.scheduler_name);
        question->spec.node_name = NULL; /* as if it had to be placed now */
        gang_wait(&w->snapshot, question->metadata.namespace, &question->metadata.labels,
                  question->metadata.uid);
        w->explanation = sched_explain(w->a, &w->snapshot, &w->budgets, question);
        (json ? why_print_json : why_print_text)(w);
    }
    snapshot_done(&w->snapshot);
    budgets_done(&w->budgets);
    sched_profiles_free(profiles);
    return rc;
}

static int why_run(const struct verb *v, int argc, char **argv) {
    const char *namespace = NULL, *output = NULL;
    struct cli_args args;
    struct err err = {0};
    OWN(arena_free_p) struct arena *a = arena_new();
    struct why w = {.a = a};
    const struct cli_option options[] = {
        {"-n", "NAMESPACE", "namespace of the pod; default: default", &namespace, NULL},
        {"-o", "json", "machine-readable output, with every node", &output, NULL},
        {"--all", NULL, "every node, not only the first ones", NULL, &w.all},
    };
    int status = cli_parse(v, argc, argv, options, ARRAY_LEN(options), 1, &args);
    if (status != CLI_CONTINUE) return status;
    if (output && !str_eq(output, "json")) return cli_usage(v, "-o: only json is known");
    if (args.n_words != 1) return cli_usage(v, "want the name of a pod");
    status = cli_root(v, &args, a, &w.root);
    if (status != CLI_CONTINUE) return status;
    const char *name = args.words[0], *slash = strchr(name, '/');
    if (slash && strncmp(name, "pod/", 4) != 0 && strncmp(name, "pods/", 5) != 0)
    namespace = arena_strn(a, slice_from(name, (size_t)(slash - name)));
    if (slash) name = slash + 1;
    if (explain(&w, str_or(namespace, "default"), name, output, &err) < 0) return cli_err(v, &err);
    return 0;
}

static const struct verb why_verb = {"why", "POD [-n NAMESPACE] [-o json] [--all]",
                                     "explain where a pod runs, or why it runs nowhere", why_run};
VERB(why_verb);
