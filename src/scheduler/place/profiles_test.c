/* Profiles: what a configuration says, and what is wrong with it. */
#include "scheduler/plugins/fixture.h"

#define HEAD "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n"
#define PROFILE HEAD "profiles:\n- schedulerName: mine\n"
#define POD(more)                                                                                  \
    "{\"metadata\":{\"name\":\"p\",\"namespace\":\"d\"},\"spec\":{\"schedulerName\":\"mine\","     \
    "\"containers\":[{\"name\":\"c\",\"resources\":{\"requests\":{\"cpu\":\"1\",\"memory\":"       \
    "\"2Gi\"}}}]" more "}}"

static void two_nodes(struct snapshot *s) {
    given_node(s, "a", "", "");
    given_node(s, "b", "", "");
    given_pod(s, "1", POD(""), "b");
}

TEST(what_a_profile_does_not_say_is_as_in_the_default_one) {
    struct snapshot s = {0};
    two_nodes(&s);
    given_profiles(&s, PROFILE);
    const struct sched_profile *usual = sched_default_profile(), *mine = s.profiles->v;
    assert_string_equal(mine->name, "mine");
    assert_int_equal(mine->n, usual->n);
    for (size_t i = 0; i < mine->n; i++) assert_int_equal(mine->v[i].weight, usual->v[i].weight);
    expect_placed(&s, POD(""), "a");
    assert_null(sched_profile_named(s.profiles, "default-scheduler"));
    fixture_done(&s);
}

TEST(most_allocated_packs) {
    struct snapshot s = {0};
    two_nodes(&s);
    given_profiles(&s, PROFILE "  pluginConfig:\n"
                               "  - name: NodeResourcesFit\n"
                               "    args: {scoringStrategy: {type: MostAllocated}}\n");
    expect_placed(&s, POD(""), "b");
    fixture_done(&s);
}

TEST(a_shape_can_prefer_half_full_nodes) {
    struct snapshot s = {0};
    two_nodes(&s);
    given_node(&s, "c", "", "");
    for (int i = 0; i < 3; i++) given_pod(&s, (char[]){(char)('2' + i), 0}, POD(""), "c");
    given_profiles(&s, PROFILE
                   "  plugins: {score: {disabled: [{name: \"*\"}], enabled: [{name: "
                   "NodeResourcesFit}]}}\n"
                   "  pluginConfig:\n"
                   "  - name: NodeResourcesFit\n"
                   "    args:\n"
                   "      scoringStrategy:\n"
                   "        type: RequestedToCapacityRatio\n"
                   "        resources: [{name: cpu, weight: 3}]\n"
                   "        requestedToCapacityRatio:\n"
                   "          shape: [{utilization: 0, score: 0}, {utilization: 50, score: 10}, "
                   "{utilization: 100, score: 0}]\n");
    expect_placed(&s, POD(""), "b"); /* a: 25 %, b: 50 %, c: 100 % */
    fixture_done(&s);
}

TEST(plugins_can_be_taken_away_and_weighed) {
    struct snapshot s = {0};
    given_node(&s, "a", "", ",\"spec\":{\"taints\":[{\"key\":\"k\",\"effect\":\"NoSchedule\"}]}");
    given_profiles(&s, PROFILE);
    expect_placed(&s, POD(""), "0/1 nodes are available: 1 node(s) had untolerated taint {k: }.");
    given_profiles(&s, PROFILE "  plugins: {filter: {disabled: [{name: TaintToleration}]}}\n");
    expect_placed(&s, POD(""), "a");
    given_profiles(&s, PROFILE "  plugins: {multiPoint: {disabled: [{name: \"*\"}], enabled: "
                               "[{name: NodeName}, {name: ImageLocality, weight: 7}]}}\n");
    expect_placed(&s, POD(""), "a");
    assert_true(s.profiles->v->without_preemption);
    for (size_t i = 0; i < s.profiles->v->n; i++)
        if (s.profiles->v->v[i].score) assert_int_equal(s.profiles->v->v[i].weight, 7);
    fixture_done(&s);
}

TEST(a_profile_adds_affinity_to_its_pods) {
    struct snapshot s = {0};
    two_nodes(&s);
    given_node(&s, "c", "\"disk\":\"fast\",", "");
    given_profiles(&s, PROFILE
                   "- schedulerName: other\n"
                   "  pluginConfig:\n"
                   "  - name: NodeAffinity\n"
                   "    args:\n"
                   "      addedAffinity:\n"
                   "        requiredDuringSchedulingIgnoredDuringExecution:\n"
                   "          nodeSelectorTerms:\n"
                   "          - matchExpressions: [{key: disk, operator: In, values: [fast]}]\n");
    given_pod(&s, "9", POD(""), "c");
    expect_placed(&s, POD(""), "a");
    expect_placed(&s, POD(",\"schedulerName\":\"other\""), "c");
    fixture_done(&s);
}

TEST(ignored_resources_need_not_fit) {
    static const char pod[] =
        "{\"metadata\":{\"name\":\"p\",\"namespace\":\"d\"},\"spec\":{\"schedulerName\":\"mine\","
        "\"containers\":[{\"name\":\"c\",\"resources\":{\"requests\":{\"x.example/y\":\"1\"}}}]}}";
    struct snapshot s = {0};
    given_node(&s, "a", "", "");
    expect_placed(&s, pod, "0/1 nodes are available: 1 Insufficient x.example/y.");
    given_profiles(&s, PROFILE "  pluginConfig:\n"
                               "  - {name: NodeResourcesFit, args: {ignoredResourceGroups: "
                               "[x.example]}}\n");
    expect_placed(&s, pod, "a");
    fixture_done(&s);
}

TEST(a_wrong_configuration_names_its_field) {
    static const struct {
        const char *yaml, *want;
    } cases[] = {
        {HEAD "profiles:\n- {}\n", "profiles[0].schedulerName: Required value"},
        {PROFILE "- schedulerName: mine\n", "profiles[1].schedulerName: Duplicate value: \"mine\""},
        {PROFILE "  plugins: {score: {enabled: [{name: Nonsense}]}}\n",
         "profiles[0].plugins.score.enabled[0].name: Invalid value: \"Nonsense\": no plugin has "
         "that name"},
        {PROFILE "  pluginConfig: [{name: NodeName, args: {x: 1}}]\n",
         "profiles[0].pluginConfig[0].args: Forbidden: NodeName takes no arguments"},
        {PROFILE "  pluginConfig: [{name: NodeResourcesFit, args: {scoringStrategy: {type: Best}}}]"
                 "\n",
         "profiles[0].pluginConfig[0].args.scoringStrategy.type: Unsupported value: \"Best\": "
         "supported values: \"LeastAllocated\", \"MostAllocated\", \"RequestedToCapacityRatio\""},
        {PROFILE "  pluginConfig: [{name: NodeResourcesFit, args: {scoringStrategy: {type: "
                 "RequestedToCapacityRatio}}}]\n",
         "profiles[0].pluginConfig[0].args.scoringStrategy.requestedToCapacityRatio.shape: "
         "Required "
         "value: at least one point must be specified"},
        {PROFILE "  pluginConfig: [{name: NodeResourcesFit, args: {scoringStrategy: {type: "
                 "RequestedToCapacityRatio, requestedToCapacityRatio: {shape: [{utilization: 50, "
                 "score: 1}, {utilization: 50, score: 2}]}}}}]\n",
         "profiles[0].pluginConfig[0].args.scoringStrategy.requestedToCapacityRatio.shape[1]."
         "utilization: Invalid value: 50: utilization values must be sorted in increasing order"},
        {PROFILE "  pluginConfig: [{name: PodTopologySpread, args: {defaultConstraints: [{maxSkew: "
                 "1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway}]}}]\n",
         "profiles[0].pluginConfig[0].args.defaultingType: Invalid value: \"System\": when "
         ".defaultConstraints are not empty, it must be List"},
        {HEAD "extenders: [{urlPrefix: x}]\n", "extenders: Forbidden: extenders are not supported"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) expect_wrong(cases[i].yaml, cases[i].want);
}
