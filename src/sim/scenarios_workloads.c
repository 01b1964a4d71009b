/* Scenarios of workloads: made, scaled, changed, removed. */
#include "sim/kubelet.h"
#include "sim/plan.h"

#define META(kind_api, kind, name)                                                                 \
    "{\"apiVersion\":\"" kind_api "\",\"kind\":\"" kind "\",\"metadata\":{\"name\":\"" name "\"},"

static enum propagation any_policy(struct sim_plan *p) { return (enum propagation)draw(p, 0, 2); }

static const char *strategy(struct sim_plan *p) {
    if (draw_one_in(p, 6)) return "{\"type\":\"Recreate\"}";
    unsigned surge = (unsigned)draw(p, 0, 3), missing = (unsigned)draw(p, surge ? 0 : 1, 2);
    if (draw_one_in(p, 3))
        return arena_printf(p->a,
                            "{\"type\":\"RollingUpdate\",\"rollingUpdate\":{\"maxSurge\":\"%u%%\","
                            "\"maxUnavailable\":\"%u%%\"}}",
                            surge * 20, missing * 25);
    return arena_printf(p->a,
                        "{\"type\":\"RollingUpdate\",\"rollingUpdate\":{\"maxSurge\":%u,"
                        "\"maxUnavailable\":%u}}",
                        surge, missing);
}

/* How soon pods leave a node that does not answer. */
static const char *impatience(struct sim_plan *p) {
    static const char text[] =
        "\"tolerations\":[{\"key\":\"node.kubernetes.io/unreachable\",\"operator\":\"Exists\","
        "\"effect\":\"NoExecute\",\"tolerationSeconds\":5},{\"key\":"
        "\"node.kubernetes.io/not-ready\",\"operator\":\"Exists\",\"effect\":\"NoExecute\","
        "\"tolerationSeconds\":5}],";
    return draw_one_in(p, 2) ? text : "";
}

static void service(struct sim_plan *p, const char *app) {
    act_create(p,
               META("v1", "Service", "web") "\"spec\":{\"selector\":{\"app\":\"%s\"},\"ports\":[{"
                                            "\"port\":80}]}}",
               app);
}

static void deployment(struct sim_plan *p) {
    unsigned image = 1;
    const char *extra = impatience(p);
    if (draw_one_in(p, 2)) service(p, "web");
    act_create(p,
               META("apps/v1", "Deployment",
                    "web") "\"spec\":{\"replicas\":%u,\"minReadySeconds\":%u,\"strategy\":%s,"
                           "\"selector\":{\"matchLabels\":{\"app\":\"web\"}},\"template\":%s}}",
               (unsigned)draw(p, 0, 8), draw_one_in(p, 4) ? 3u : 0u, strategy(p),
               pod_template(p, "web", image, extra));
    for (uint64_t i = draw(p, 1, 5); i--;) {
        act_wait(p, 0);
        switch (draw(p, 0, 3)) {
        case 0:
            act_patch(p, "apps", "Deployment", "web", "{\"spec\":{\"replicas\":%u}}",
                      (unsigned)draw(p, 0, 9));
            break;
        case 1:
            act_patch(p, "apps", "Deployment", "web", "{\"spec\":{\"paused\":%s}}",
                      draw_one_in(p, 2) ? "true" : "false");
            break;
        default:
            image = draw_one_in(p, 3) ? 1 : image + 1;
            act_patch(p, "apps", "Deployment", "web", "{\"spec\":{\"template\":%s}}",
                      pod_template(p, "web", image, extra));
        }
    }
    act_wait(p, 0);
    if (draw_one_in(p, 4))
        act_delete(p, "apps", "Deployment", "web", any_policy(p));
    else
        act_patch(p, "apps", "Deployment", "web", "{\"spec\":{\"paused\":false}}");
}
SCENARIO(deployment, "deployment replicaset endpoints endpointslice garbage", deployment);

/* Pods that are there before their owner, and that stay when it goes. */
static void replicaset(struct sim_plan *p) {
    for (uint64_t i = draw(p, 0, 2); i--;)
        act_create(p,
                   "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"early-%u\","
                   "\"labels\":{\"app\":\"set\"}},%s",
                   (unsigned)i, strstr(pod_template(p, "set", 1, ""), "\"spec\""));
    act_create(p,
               META("apps/v1", "ReplicaSet",
                    "set") "\"spec\":{\"replicas\":%u,\"selector\":{\"matchLabels\":{\"app\":"
                           "\"set\"}},\"template\":%s}}",
               (unsigned)draw(p, 2, 8), pod_template(p, "set", 1, ""));
    for (uint64_t i = draw(p, 0, 3); i--;) {
        act_wait(p, 0);
        act_patch(p, "apps", "ReplicaSet", "set", "{\"spec\":{\"replicas\":%u}}",
                  (unsigned)draw(p, 2, 9));
    }
    act_wait(p, 90);
    if (draw_one_in(p, 3)) act_delete(p, "apps", "ReplicaSet", "set", any_policy(p));
}
SCENARIO(replicaset, "replicaset garbage", replicaset);

static void replicationcontroller(struct sim_plan *p) {
    act_create(p,
               META("v1", "ReplicationController",
                    "rc") "\"spec\":{\"replicas\":%u,\"selector\":{\"app\":\"rc\"},\"template\":%s"
                          "}}",
               (unsigned)draw(p, 0, 6), pod_template(p, "rc", 1, ""));
    if (draw_one_in(p, 2)) service(p, "rc");
    for (uint64_t i = draw(p, 0, 3); i--;) {
        act_wait(p, 0);
        act_patch(p, "", "ReplicationController", "rc", "{\"spec\":{\"replicas\":%u}}",
                  (unsigned)draw(p, 0, 6));
    }
    act_wait(p, 0);
    if (draw_one_in(p, 3)) act_delete(p, "", "ReplicationController", "rc", any_policy(p));
}
SCENARIO(replicationcontroller, "replicationcontroller endpoints endpointslice garbage",
         replicationcontroller);

static void statefulset(struct sim_plan *p) {
    unsigned image = 1;
    const char *extra = impatience(p);
    act_create(p,
               META("v1", "Service", "db") "\"spec\":{\"clusterIP\":\"None\",\"selector\":{\"app\":"
                                           "\"db\"},\"ports\":[{\"port\":5432}]}}");
    act_create(p,
               META("apps/v1", "StatefulSet",
                    "db") "\"spec\":{\"replicas\":%u,\"serviceName\":\"db\",\"podManagementPolicy\""
                          ":\"%s\",\"updateStrategy\":{\"type\":\"%s\"},\"selector\":{"
                          "\"matchLabels\":{\"app\":\"db\"}},\"template\":%s}}",
               (unsigned)draw(p, 1, 5), draw_one_in(p, 2) ? "Parallel" : "OrderedReady",
               draw_one_in(p, 5) ? "OnDelete" : "RollingUpdate",
               pod_template(p, "db", image, extra));
    for (uint64_t i = draw(p, 0, 3); i--;) {
        act_wait(p, 0);
        if (draw_one_in(p, 2))
            act_patch(p, "apps", "StatefulSet", "db", "{\"spec\":{\"replicas\":%u}}",
                      (unsigned)draw(p, 0, 5));
        else
            act_patch(
                p, "apps", "StatefulSet", "db",
                "{\"spec\":{\"updateStrategy\":{\"type\":\"RollingUpdate\"},\"template\":%s}}",
                pod_template(p, "db", ++image, extra));
    }
    act_wait(p, 0);
    act_patch(p, "apps", "StatefulSet", "db",
              "{\"spec\":{\"updateStrategy\":{\"type\":\"RollingUpdate\"}}}");
    act_wait(p, 0);
    if (draw_one_in(p, 4)) act_delete(p, "apps", "StatefulSet", "db", any_policy(p));
}
SCENARIO(statefulset, "statefulset endpoints endpointslice garbage", statefulset);

/* Pods of the Job run for some seconds. Failures of nodes must not use up its patience. */
static void job(struct sim_plan *p) {
    bool indexed = draw_one_in(p, 2), forever = draw_one_in(p, 4);
    unsigned completions = (unsigned)draw(p, 1, 8);
    act_create(
        p,
        META("batch/v1", "Job",
             "work") "\"spec\":{\"completions\":%u,\"parallelism\":%u,\"backoffLimit\":1000,"
                     "\"completionMode\":\"%s\",\"suspend\":%s,%s\"template\":{\"metadata\":{"
                     "\"annotations\":{\"" SIM_RUNS_MS "\":\"%u\"}},\"spec\":{\"restartPolicy\":"
                     "\"Never\",\"containers\":[{\"name\":\"c\",\"image\":\"i\",\"resources\":{"
                     "\"requests\":{\"cpu\":\"50m\"}}}]}}}}",
        completions, (unsigned)draw(p, 1, 5), indexed ? "Indexed" : "NonIndexed",
        forever ? "true" : "false", draw_one_in(p, 4) ? "\"ttlSecondsAfterFinished\":30," : "",
        (unsigned)draw(p, 500, 20000));
    for (uint64_t i = draw(p, 0, 2); i--;) {
        act_wait(p, 0);
        act_patch(p, "batch", "Job", "work", "{\"spec\":{\"suspend\":%s}}",
                  draw_one_in(p, 2) ? "true" : "false");
    }
    act_wait(p, 0);
    act_patch(p, "batch", "Job", "work", "{\"spec\":{\"suspend\":false,\"parallelism\":%u}}",
              (unsigned)draw(p, 1, 6));
    act_wait(p, 0);
    if (draw_one_in(p, 6)) act_delete(p, "batch", "Job", "work", PROPAGATE_BACKGROUND);
}
SCENARIO(job, "job ttl-after-finished garbage", job);

/* One that can only fail. */
static void failing_job(struct sim_plan *p) {
    act_create(p,
               META("batch/v1", "Job",
                    "bad") "\"spec\":{\"completions\":2,\"parallelism\":2,\"backoffLimit\":%u,"
                           "\"template\":{\"metadata\":{\"annotations\":{\"" SIM_RUNS_MS
                           "\":\"1000\",\"" SIM_EXIT "\":\"3\"}},\"spec\":{\"restartPolicy\":"
                           "\"Never\",\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}}}",
               (unsigned)draw(p, 0, 3));
    act_wait(p, 200);
    if (draw_one_in(p, 2)) act_delete(p, "batch", "Job", "bad", any_policy(p));
}
SCENARIO(failing_job, "job garbage", failing_job);
