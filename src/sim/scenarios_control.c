/* Scenarios of what acts by clock, load or policy: cron, autoscaling, budgets, daemons, taints. */
#include "sim/faults.h"
#include "sim/kubelet.h"
#include "sim/plan.h"

static void web(struct sim_plan *p, unsigned replicas, const char *template) {
    act_create(p,
               "{\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\",\"metadata\":{\"name\":\"web\"}"
               ",\"spec\":{\"replicas\":%u,\"selector\":{\"matchLabels\":{\"app\":\"web\"}},"
               "\"template\":%s}}",
               replicas, template);
}

/* Every minute, until it is suspended. Where clocks go back it might never come to run. When a node
 * has lost its power a Job may be replaced before it could end: then nothing stays to be compared.
 */
static void cron(struct sim_plan *p) {
    static const char *const policies[] = {"Allow", "Forbid", "Replace"};
    unsigned runs_ms = (unsigned)draw(p, 1000, 20000);
    const char *policy = policies[draw(p, 0, 2)];
    bool replaces = str_eq(policy, "Replace");
    p->no_faults |= 1u << FAULT_CLOCK;
    act_create(p,
               "{\"apiVersion\":\"batch/v1\",\"kind\":\"CronJob\",\"metadata\":{\"name\":\"tick\"},"
               "\"spec\":{\"schedule\":\"* * * * *\",\"concurrencyPolicy\":\"%s\","
               "\"successfulJobsHistoryLimit\":1,\"failedJobsHistoryLimit\":0,\"jobTemplate\":{"
               "\"spec\":{\"backoffLimit\":1000,\"template\":{\"metadata\":{\"annotations\":{"
               "\"" SIM_RUNS_MS "\":\"%u\"}},\"spec\":{\"restartPolicy\":\"Never\",\"containers\":["
               "{\"name\":\"c\",\"image\":\"i\"}]}}}}}}",
               policy, runs_ms);
    act_wait(p, draw(p, 130, 260));
    act_patch(p, "batch", "CronJob", "tick", "{\"spec\":{\"suspend\":true}}");
    act_wait(p, 0);
    if (draw_one_in(p, 3) || replaces)
        act_delete(p, "batch", "CronJob", "tick", (enum propagation)draw(p, 0, 2));
}
SCENARIO(cron, "cronjob job garbage", cron);

/* The load decides: to the most or to the least. */
static void autoscaled(struct sim_plan *p) {
    bool busy = draw_one_in(p, 2);
    const char *template = arena_printf(
        p->a,
        "{\"metadata\":{\"labels\":{\"app\":\"web\"},\"annotations\":{\"" SIM_USES_MILLI
        "\":\"%u\"}},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\",\"resources\":{"
        "\"requests\":{\"cpu\":\"100m\"}}}]}}",
        busy ? 100u : 10u);
    unsigned most = (unsigned)draw(p, 4, 7), least = (unsigned)draw(p, 1, 2);
    web(p, 3, template);
    act_create(p,
               "{\"apiVersion\":\"autoscaling/v2\",\"kind\":\"HorizontalPodAutoscaler\","
               "\"metadata\":{\"name\":\"web\"},\"spec\":{\"scaleTargetRef\":{\"apiVersion\":"
               "\"apps/v1\",\"kind\":\"Deployment\",\"name\":\"web\"},\"minReplicas\":%u,"
               "\"maxReplicas\":%u,\"metrics\":[{\"type\":\"Resource\",\"resource\":{\"name\":"
               "\"cpu\",\"target\":{\"type\":\"Utilization\",\"averageUtilization\":50}}}]}}",
               least, most);
    act_wait(p, 120);
}
SCENARIO(autoscaled, "horizontalpodautoscaler deployment replicaset", autoscaled);

/* Users evict pods under a budget, and may not always. */
static void budget(struct sim_plan *p) {
    unsigned replicas = (unsigned)draw(p, 2, 6);
    web(p, replicas, pod_template(p, "web", 1, ""));
    act_create(p,
               "{\"apiVersion\":\"policy/v1\",\"kind\":\"PodDisruptionBudget\",\"metadata\":{"
               "\"name\":\"web\"},\"spec\":{\"%s\":%u,\"selector\":{\"matchLabels\":{\"app\":"
               "\"web\"}}}}",
               draw_one_in(p, 2) ? "minAvailable" : "maxUnavailable", (unsigned)draw(p, 1, 2));
    act_wait(p, 20);
    for (uint64_t i = draw(p, 2, 8); i--;) {
        act_evict(p, "web-");
        if (draw_one_in(p, 2)) act_wait(p, draw(p, 1, 20));
    }
    act_wait(p, 0);
}
SCENARIO(budget, "disruption stale-disruption deployment replicaset", budget);

static void daemons(struct sim_plan *p) {
    unsigned image = 1;
    bool surge = draw_one_in(p, 3);
    act_create(p,
               "{\"apiVersion\":\"apps/v1\",\"kind\":\"DaemonSet\",\"metadata\":{\"name\":\"agent\""
               "},\"spec\":{\"selector\":{\"matchLabels\":{\"app\":\"agent\"}},\"updateStrategy\":{"
               "\"type\":\"RollingUpdate\",\"rollingUpdate\":{\"maxSurge\":%u,\"maxUnavailable\":%u"
               "}},\"template\":%s}}",
               surge ? 1u : 0u, surge ? 0u : (unsigned)draw(p, 1, 2),
               pod_template(p, "agent", image, ""));
    for (uint64_t i = draw(p, 0, 3); i--;) {
        act_wait(p, 0);
        act_patch(p, "apps", "DaemonSet", "agent", "{\"spec\":{\"template\":%s}}",
                  pod_template(p, "agent", ++image, ""));
    }
    act_wait(p, 0);
    if (draw_one_in(p, 4))
        act_delete(p, "apps", "DaemonSet", "agent", (enum propagation)draw(p, 0, 2));
}
SCENARIO(daemons, "daemonset garbage", daemons);

static void on_node(struct sim_plan *p, const char *patch) {
    const char *ns = p->ns;
    p->ns = NULL;
    act_patch(p, "", "Node", "node-1", "%s", patch);
    p->ns = ns;
}

/* A node that nobody may use any more, for a while. */
static void tainted(struct sim_plan *p) {
    web(p, (unsigned)draw(p, 2, 6), pod_template(p, "web", 1, ""));
    act_wait(p, 0);
    on_node(p, "{\"metadata\":{\"labels\":{\"shut\":\"yes\"}}}");
    on_node(p, "{\"spec\":{\"taints\":[{\"key\":\"shut\",\"effect\":\"NoExecute\"}]}}");
    act_wait(p, 0);
    on_node(p, "{\"spec\":{\"taints\":null}}");
    on_node(p, "{\"metadata\":{\"labels\":{\"shut\":null}}}");
    act_wait(p, 0);
}
SCENARIO(tainted, "taint-eviction node-lifecycle node-lifecycle-pods node-ttl deployment", tainted);

/* The descheduler empties a node that got a taint, while users do as they like. */
static void descheduled(struct sim_plan *p) {
    const char *ns = p->ns, *policy = arena_printf(p->a, "policy-%s", p->ns);
    web(p, (unsigned)draw(p, 2, 5), pod_template(p, "web", 1, ""));
    act_wait(p, 0);
    unsigned cooldown_s = (unsigned)draw(p, 0, 20), interval_s = (unsigned)draw(p, 5, 30);
    p->ns = NULL;
    act_create(p,
               "{\"apiVersion\":\"descheduling.atoll.dev/v1alpha1\",\"kind\":"
               "\"DeschedulerPolicy\",\"metadata\":{\"name\":\"%s\"},\"spec\":{"
               "\"intervalSeconds\":%u,\"cooldownSeconds\":%u,\"minPodAgeSeconds\":0,"
               "\"strategies\":{\"nodeTaints\":{},\"duplicates\":{}}}}",
               policy, interval_s, cooldown_s);
    p->ns = ns;
    on_node(p, "{\"spec\":{\"taints\":[{\"key\":\"gone\",\"effect\":\"NoSchedule\"}]}}");
    act_wait(p, 0);
    if (draw_one_in(p, 2)) act_evict(p, "web-");
    act_wait(p, 0);
    on_node(p, "{\"spec\":{\"taints\":null}}");
    act_wait(p, 0);
    p->ns = NULL;
    act_delete(p, "descheduling.atoll.dev", "DeschedulerPolicy", policy, PROPAGATE_DEFAULT);
    p->ns = ns;
    act_wait(p, 0);
}
SCENARIO(descheduled, "descheduler deployment replicaset", descheduled);

/* Pods that have ended stay until there are too many, or their node has gone. */
static void ended_pods(struct sim_plan *p) {
    for (uint64_t i = draw(p, 1, 4); i--;)
        act_create(p,
                   "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"once-%u\","
                   "\"annotations\":{\"" SIM_RUNS_MS "\":\"1000\"}},\"spec\":{\"restartPolicy\":"
                   "\"Never\",\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}",
                   (unsigned)i);
    act_wait(p, 0);
    act_delete(p, "", "Pod", "once-0", PROPAGATE_DEFAULT);
    act_wait(p, 0);
}
SCENARIO(ended_pods, "pod-gc pod-gc-ended", ended_pods);

/* All of a gang or nobody. */
static void gang(struct sim_plan *p) {
    unsigned n = (unsigned)draw(p, 2, 5);
    act_create(p,
               "{\"apiVersion\":\"scheduling.x-k8s.io/v1alpha1\",\"kind\":\"PodGroup\",\"metadata\""
               ":{\"name\":\"gang\"},\"spec\":{\"minMember\":%u}}",
               n);
    for (unsigned i = 0; i < n; i++) {
        act_create(p,
                   "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"member-%u\","
                   "\"labels\":{\"scheduling.x-k8s.io/pod-group\":\"gang\"}},\"spec\":{"
                   "\"tolerations\":[{\"operator\":\"Exists\"}],\"containers\":[{\"name\":\"c\","
                   "\"image\":\"i\",\"resources\":{\"requests\":{\"cpu\":\"1\"}}}]}}",
                   i);
        if (draw_one_in(p, 3)) act_wait(p, draw(p, 1, 10));
    }
    act_wait(p, 60);
}
SCENARIO(gang, "podgroup", gang);

/* Recommendations are made and forgotten again; pods are not touched. */
static void right_sized(struct sim_plan *p) {
    const char *template = arena_printf(
        p->a,
        "{\"metadata\":{\"labels\":{\"app\":\"web\"},\"annotations\":{\"" SIM_USES_MILLI
        "\":\"%u\"}},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\",\"resources\":{"
        "\"requests\":{\"cpu\":\"100m\"}}}]}}",
        (unsigned)draw(p, 20, 400));
    web(p, (unsigned)draw(p, 1, 4), template);
    act_create(p, "{\"apiVersion\":\"autoscaling.k8s.io/v1\",\"kind\":\"VerticalPodAutoscaler\","
                  "\"metadata\":{\"name\":\"web\"},\"spec\":{\"targetRef\":{\"apiVersion\":"
                  "\"apps/v1\",\"kind\":\"Deployment\",\"name\":\"web\"},\"updatePolicy\":{"
                  "\"updateMode\":\"Off\"}}}");
    act_wait(p, draw(p, 90, 200));
    act_delete(p, "autoscaling.k8s.io", "VerticalPodAutoscaler", "web", PROPAGATE_BACKGROUND);
    act_wait(p, 0);
}
SCENARIO(right_sized, "verticalpodautoscaler vpa-updater deployment garbage", right_sized);
