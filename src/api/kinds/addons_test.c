/* Kinds that are add-ons elsewhere: PodGroup, ElasticQuota, DeschedulerPolicy, autoscalers of
 * amounts. */
#include "api/kinds/kinds_test.h"

#define META "'metadata':{'name':'x','namespace':'n'}"
#define SCHEDULING "scheduling.x-k8s.io/v1alpha1"

TEST(groups_and_lent_quotas_say_what_is_wrong) {
    static const struct validation cases[] = {
        {SCHEDULING, "PodGroup", "{" META ",'spec':{'minMember':1}}", ""},
        {SCHEDULING, "PodGroup", "{" META ",'spec':{'minResources':{'cpu':'-1'}}}",
         "spec.minMember: Invalid value: 0: must be greater than 0\n"
         "spec.minResources[cpu]: Invalid value: \"-1\": must be greater than or equal to 0"},
        {SCHEDULING, "PodGroup", "{" META ",'spec':{'minMember':-2}}",
         "spec.minMember: Invalid value: -2: must be greater than 0"},
        {SCHEDULING, "ElasticQuota",
         "{" META ",'spec':{'min':{'cpu':'2','memory':'1Gi'},'max':{'cpu':'2'}}}", ""},
        {SCHEDULING, "ElasticQuota",
         "{" META ",'spec':{'min':{'cpu':'3'},'max':{'cpu':'2','no/o/d':'1'}}}",
         "spec.max[no/o/d]: Invalid value: \"no/o/d\": a qualified name must consist of "
         "alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
         "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
         "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and "
         "'/' (e.g. 'example.com/MyName')\n"
         "spec.min[cpu]: Invalid value: \"3\": must be less than or equal to spec.max[cpu]"},
    };
    test_validations(cases, ARRAY_LEN(cases));
}

#define POLICY(spec) "{'metadata':{'name':'x'},'spec':{" spec "}}"
#define DESCHEDULING "descheduling.atoll.dev/v1alpha1"

TEST(descheduler_says_what_is_wrong) {
    static const struct validation cases[] = {
        {DESCHEDULING, "DeschedulerPolicy",
         POLICY("'strategies':{'lowNodeUtilization':{'thresholds':{'cpu':'20'},"
                "'targetThresholds':{'cpu':'50'}}}"),
         ""},
        {DESCHEDULING, "DeschedulerPolicy",
         POLICY("'strategies':{'lowNodeUtilization':{'thresholds':{'cpu':'60','pods':'101'},"
                "'targetThresholds':{'cpu':'50','memory':'5'}}}"),
         "spec.strategies.lowNodeUtilization.thresholds[pods]: Invalid value: \"101\": must be "
         "between 0 and 100, inclusive\n"
         "spec.strategies.lowNodeUtilization.thresholds[cpu]: Invalid value: \"60\": must not be "
         "greater than in targetThresholds\n"
         "spec.strategies.lowNodeUtilization.targetThresholds[pods]: Required value: must name "
         "the resources of thresholds\n"
         "spec.strategies.lowNodeUtilization.thresholds[memory]: Required value: must name the "
         "resources of targetThresholds"},
        {DESCHEDULING, "DeschedulerPolicy",
         POLICY("'strategies':{'lowNodeUtilization':{}},'intervalSeconds':1"),
         "spec.intervalSeconds: Invalid value: 1: must be greater than or equal to 5\n"
         "spec.strategies.lowNodeUtilization.thresholds: Required value: names at least one "
         "resource\n"
         "spec.strategies.lowNodeUtilization.targetThresholds: Required value: names at least one "
         "resource"},
    };
    test_validations(cases, ARRAY_LEN(cases));
}

TEST(autoscaler_of_amounts_says_what_is_wrong) {
    static const struct validation cases[] = {
        {"autoscaling.k8s.io/v1", "VerticalPodAutoscaler", "{" META ",'spec':{}}",
         "spec.targetRef: Required value"},
        {"autoscaling.k8s.io/v1", "VerticalPodAutoscaler",
         "{" META ",'spec':{'targetRef':{'kind':'Deployment','name':'d'},'resourcePolicy':{"
         "'containerPolicies':[{'containerName':'c','mode':'Off','controlledValues':"
         "'RequestsAndLimits','minAllowed':{'cpu':'2'},'maxAllowed':{'cpu':'1'},"
         "'controlledResources':['gpu']}]}}}",
         "spec.resourcePolicy.containerPolicies[0].maxAllowed: Invalid value: \"1\": max resource "
         "for cpu is lower than min\n"
         "spec.resourcePolicy.containerPolicies[0].controlledResources[0]: Unsupported value: "
         "\"gpu\": supported values: \"cpu\", \"memory\"\n"
         "spec.resourcePolicy.containerPolicies[0].controlledValues: Invalid value: "
         "\"RequestsAndLimits\": controlledValues shouldn't be specified if container scaling mode "
         "is off"},
    };
    test_validations(cases, ARRAY_LEN(cases));
}

TEST(rows_of_add_ons) {
    static const struct {
        const char *api_version, *kind, *json, *row;
    } cases[] = {
        {SCHEDULING, "PodGroup",
         "{" META ",'spec':{'minMember':3},'status':{'phase':'Running','scheduled':3,'running':2,"
         "'failed':1}}",
         "x|Running|3|3|2|0|1|<unknown>"},
        {SCHEDULING, "ElasticQuota",
         "{" META ",'spec':{'min':{'cpu':'2','memory':'1Gi'}},'status':{'used':{'cpu':'500m'}}}",
         "x|cpu: 500m|cpu: 2, memory: 1Gi|<none>|<unknown>"},
        {DESCHEDULING, "DeschedulerPolicy",
         "{'metadata':{'name':'x'},'spec':{'dryRun':true},'status':{'lastPassTime':"
         "'2023-11-14T22:12:20Z','candidates':4,'evictions':2,'totalEvictions':9}}",
         "x|False|True|60s|4|2|9|<unknown>"},
        {"autoscaling.k8s.io/v1", "VerticalPodAutoscaler",
         "{" META ",'spec':{'targetRef':{'kind':'Deployment','name':'d'}},'status':{"
         "'recommendation':{'containerRecommendations':[{'containerName':'c','target':{'cpu':"
         "'25m','memory':'250Mi'}}]},'conditions':[{'type':'RecommendationProvided','status':"
         "'True'}]}}",
         "x||25m|250Mi|True|<unknown>"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        OWN(arena_free_p) struct arena *a = arena_new();
        struct api_object *o = test_load(a, cases[i].api_version, cases[i].kind, cases[i].json);
        assert_string_equal(test_row(a, cases[i].api_version, cases[i].kind, o), cases[i].row);
    }
}
