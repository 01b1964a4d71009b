#include <string.h>

#include "api/kinds/kinds_test.h"
#include "base/buf.h"
#include "base/slice.h"

/* A manifest, what of it to change for the second version (NULL: there is none), and the causes. */
#define META "'metadata':{'name':'x','namespace':'n'}"
#define POD(policy)                                                                                \
    "{'metadata':{'labels':{'a':'b'}},'spec':{" policy "'containers':[{'name':'c','image':'i'}]}}"
#define NEVER "'restartPolicy':'Never',"

TEST(statefulset_defaults) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct apps_v1_stateful_set *s = (void *)test_load(
        a, "apps/v1", "StatefulSet",
        "{" META ",'spec':{'serviceName':'s','selector':{'matchLabels':{'a':'b'}},'template':" POD(
            "") ",'volumeClaimTemplates':[{'metadata':{'name':'d'}}]}}");
    assert_string_equal(s->spec.pod_management_policy, "OrderedReady");
    assert_int_equal(*s->spec.update_strategy.rolling_update->partition, 0);
    assert_string_equal(s->spec.persistent_volume_claim_retention_policy->when_scaled, "Retain");
    assert_string_equal(s->spec.volume_claim_templates.v[0].kind, "PersistentVolumeClaim");
    assert_string_equal(s->spec.volume_claim_templates.v[0].status.phase, "Pending");
    assert_string_equal(s->spec.volume_claim_templates.v[0].spec.volume_mode, "Filesystem");
}

TEST(daemonset_defaults) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct apps_v1_daemon_set *d = (void *)test_load(
        a, "apps/v1", "DaemonSet",
        "{" META ",'spec':{'selector':{'matchLabels':{'a':'b'}},'template':" POD("") "}}");
    assert_int_equal(d->spec.update_strategy.rolling_update->max_unavailable.i, 1);
    assert_int_equal(d->spec.update_strategy.rolling_update->max_surge.kind, IOS_INT);
    assert_int_equal(*d->spec.revision_history_limit, 10);
}

TEST(job_defaults_depend_on_each_other) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct batch_v1_job *j =
        (void *)test_load(a, "batch/v1", "Job", "{" META ",'spec':{'template':" POD(NEVER) "}}");
    assert_int_equal(*j->spec.completions, 1);
    assert_int_equal(*j->spec.parallelism, 1);
    assert_int_equal(*j->spec.backoff_limit, 6);
    assert_string_equal(j->spec.pod_replacement_policy, "TerminatingOrFailed");
    assert_string_equal(str_map_get(&j->metadata.labels, "a"), "b");
    j = (void *)test_load(a, "batch/v1", "Job",
                          "{" META ",'spec':{'parallelism':3,'backoffLimitPerIndex':1,"
                          "'podFailurePolicy':{'rules':[]},'template':" POD(NEVER) "}}");
    assert_null(j->spec.completions);
    assert_int_equal(*j->spec.backoff_limit, INT32_MAX);
    assert_string_equal(j->spec.pod_replacement_policy, "Failed");
}

TEST(cronjob_gives_its_jobs_no_defaults) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct batch_v1_cron_job *c = (void *)test_load(
        a, "batch/v1", "CronJob",
        "{" META
        ",'spec':{'schedule':'@daily','jobTemplate':{'spec':{'template':" POD(NEVER) "}}}}");
    assert_null(c->spec.job_template.spec.completions);
    assert_null(c->spec.job_template.spec.completion_mode);
    assert_null(c->spec.job_template.spec.suspend);
    assert_string_equal(c->spec.concurrency_policy, "Allow");
    assert_int_equal(*c->spec.successful_jobs_history_limit, 3);
}

TEST(workloads_say_what_is_wrong) {
    static const struct validation cases[] = {
        {"apps/v1", "StatefulSet",
         "{" META
         ",'spec':{'serviceName':'s','selector':{'matchLabels':{'a':'c'}},'updateStrategy':"
         "{'type':'OnDelete','rollingUpdate':{'partition':1}},'template':" POD(NEVER) "}}",
         "spec.template.metadata.labels: Invalid value: {\"a\":\"b\"}: `selector` does not match "
         "template `labels`\n"
         "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: "
         "\"Always\"\n"
         "spec.updateStrategy.rollingUpdate: Invalid value: {\"partition\":1}: only allowed for "
         "updateStrategy 'RollingUpdate'"},
        {"apps/v1", "DaemonSet",
         "{" META ",'spec':{'selector':{'matchLabels':{'a':'b'}},'updateStrategy':{'rollingUpdate':"
         "{'maxUnavailable':0}},'template':" POD("") "}}",
         "spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: 0: cannot be 0 when "
         "maxSurge is 0"},
        {"apps/v1", "DaemonSet",
         "{" META ",'spec':{'selector':{'matchLabels':{'a':'b'}},'updateStrategy':{'rollingUpdate':"
         "{'maxUnavailable':1,'maxSurge':'10%'}},'template':" POD("") "}}",
         "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: \"10%\": may not be set when "
         "maxUnavailable is non-zero"},
        {"apps/v1", "ControllerRevision", "{" META ",'revision':1}",
         "data: Required value: data is mandatory"},
        {"v1", "ReplicationController",
         "{" META ",'spec':{'selector':{'a':'c'},'template':" POD("") "}}",
         "spec.template.metadata.labels: Invalid value: {\"a\":\"b\"}: `selector` does not match "
         "template `labels`"},
        {"v1", "ReplicationController", "{" META ",'spec':{}}",
         "spec.selector: Required value\nspec.template: Required value"},
        {"batch/v1", "CronJob",
         "{" META
         ",'spec':{'schedule':'TZ=UTC * * * * *','timeZone':'Nowhere/At_all','jobTemplate':"
         "{'spec':{'manualSelector':true,'template':" POD("") "}}}}",
         "spec.schedule: Invalid value: \"TZ=UTC * * * * *\": cannot use both timeZone field and "
         "TZ "
         "or CRON_TZ in schedule\n"
         "spec.timeZone: Invalid value: \"Nowhere/At_all\": unknown time zone Nowhere/At_all\n"
         "spec.jobTemplate.spec.template.spec.restartPolicy: Required value: valid values: "
         "\"OnFailure\", \"Never\"\n"
         "spec.jobTemplate.spec.manualSelector: Unsupported value: \"true\": supported values: "
         "\"nil\", \"false\""},
    };
    test_validations(cases, ARRAY_LEN(cases));
}

#define JOB(fields)                                                                                \
    "{'metadata':{'name':'x','namespace':'n'},'spec':{'manualSelector':true,'selector':"           \
    "{'matchLabels':{'a':'b'}},'completionMode':'Indexed','completions':4," fields                 \
    "'template':" POD(NEVER) "}}"

TEST(job_policies_say_what_is_wrong) {
    static const struct validation cases[] = {
        {"batch/v1", "Job", JOB("'maxFailedIndexes':5,'backoffLimitPerIndex':1,"),
         "spec.maxFailedIndexes: Invalid value: 5: must be less than or equal to completions"},
        {"batch/v1", "Job",
         JOB("'podFailurePolicy':{'rules':[{'action':'FailIndex','onExitCodes':{'containerName':'z'"
             ","
             "'operator':'In','values':[3,2,0]}}]},"),
         "spec.podFailurePolicy.rules[0].action: Invalid value: \"FailIndex\": requires the "
         "backoffLimitPerIndex to be set\n"
         "spec.podFailurePolicy.rules[0].onExitCodes.containerName: Invalid value: \"z\": must be "
         "one "
         "of the container or initContainer names in the pod template\n"
         "spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: []: must be ordered"},
        {"batch/v1", "Job",
         JOB("'successPolicy':{'rules':[{'succeededIndexes':'0-1,3','succeededCount':4}]},"),
         "spec.successPolicy.rules[0].succeededCount: Invalid value: 4: must be less than or equal "
         "to "
         "3 (the number of indexes in the specified succeededIndexes field)"},
        {"batch/v1", "Job", JOB("'successPolicy':{'rules':[{'succeededIndexes':'1-9'}]},"),
         "spec.successPolicy.rules[0].succeededIndexes: Invalid value: \"1-9\": error parsing "
         "succeededIndexes: cannot convert to the list of indexes"},
        {"batch/v1", "Job", JOB("'managedBy':'me',"),
         "spec.managedBy: Invalid value: \"me\": must be a domain-prefixed path (such as "
         "\"acme.io/foo\")"},
        {"batch/v1", "Job",
         "{'metadata':{'name':'x','namespace':'n','uid':'u'},'spec':{'selector':{'matchLabels':{'a'"
         ":"
         "'b'}},'template':{'metadata':{'labels':{'a':'b','batch.kubernetes.io/controller-uid':'u',"
         "'batch.kubernetes.io/job-name':'x'}},'spec':{'restartPolicy':'Never','containers':[{"
         "'name':'c','image':'i'}]}}}}",
         "spec.selector: Invalid value: {\"matchLabels\":{\"a\":\"b\"}}: `selector` not "
         "auto-generated"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) test_validations(&cases[i], 1);
}

/* What upstream fills in for pods is not filled in for templates. */
TEST(templates_stay_as_they_were_written) {
    static const char *const deployment =
        "{" META ",'spec':{'selector':{'matchLabels':{'a':'b'}},'template':{'metadata':{'labels':{"
        "'a':'b'}},'spec':{'hostNetwork':true,'containers':[{'name':'c','image':'i','ports':[{"
        "'containerPort':80}]}]}}}}";
    OWN(arena_free_p) struct arena *a = arena_new();
    struct api_object *o = test_load(a, "apps/v1", "Deployment", deployment);
    const struct core_v1_pod_spec *spec =
        &((struct apps_v1_deployment *)(void *)o)->spec.template.spec;
    assert_null(spec->enable_service_links);
    assert_int_equal(spec->containers.v[0].ports.v[0].host_port, 0);
    assert_string_equal(test_causes(a, "apps/v1", "Deployment", o, NULL), "");
}

TEST(rows_of_workloads) {
    OWN(arena_free_p) struct arena *a = arena_new();
    assert_string_equal(
        test_row(
            a, "batch/v1", "Job",
            test_load(a, "batch/v1", "Job",
                      "{'metadata':{'name':'x','creationTimestamp':'2023-11-14T22:12:20Z'},"
                      "'spec':{'completions':3,'template':" POD(
                          NEVER) "},'status':{'succeeded':1,'startTime':'2023-11-14T22:12:30Z'}}")),
        "x|Running|1/3|50s|60s|c|i|<none>");
    assert_string_equal(
        test_row(a, "batch/v1", "CronJob",
                 test_load(a, "batch/v1", "CronJob",
                           "{'metadata':{'name':'x','creationTimestamp':'2023-11-14T22:12:20Z'},"
                           "'spec':{'schedule':'@daily','jobTemplate':{'spec':{'template':" POD(
                               NEVER) "}}}}")),
        "x|@daily|<none>|False|0|<none>|60s|c|i|<none>");
}

TEST(a_status_write_leaves_the_labels_of_a_deployment) {
    const struct api_kind *k = api_kind_by_name("apps", "v1", "Deployment");
    struct str_pair was[] = {{"app", "web"}}, sent[] = {{"app", "other"}};
    struct apps_v1_deployment old = {.metadata.labels = {was, 1}},
                              now = {.metadata.labels = {sent, 1}};
    api_kind_behavior(k)->prepare_subresource(NULL, &now, &old, "status");
    assert_string_equal(str_map_get(&now.metadata.labels, "app"), "web");
    now.metadata.labels = (struct str_map){sent, 1};
    api_kind_behavior(k)->prepare_subresource(NULL, &now, &old, "scale");
    assert_string_equal(str_map_get(&now.metadata.labels, "app"), "other");
}
