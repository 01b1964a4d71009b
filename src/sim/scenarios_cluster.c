/* Scenarios of everything around the workloads: namespaces, owners, services, nodes, volumes. */
#include "sim/plan.h"

static void config_map(struct sim_plan *p, const char *name, const char *owner) {
    const char *json = arena_printf(
        p->a, "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"%s\"}}",
        name);
    if (owner)
        act_create_owned(p, owner, "%s", json);
    else
        act_create(p, "%s", json);
}

/* A tree of owners; its root goes, by any policy. */
static void owners(struct sim_plan *p) {
    config_map(p, "root", NULL);
    unsigned n = (unsigned)draw(p, 1, 4);
    for (unsigned i = 0; i < n; i++) {
        const char *child = arena_printf(p->a, "child-%u", i);
        config_map(p, child, "/ConfigMap/root");
        for (uint64_t j = draw(p, 0, 2); j--;)
            config_map(p, arena_printf(p->a, "leaf-%u-%u", i, (unsigned)j),
                       arena_printf(p->a, "/ConfigMap/%s", child));
    }
    act_wait(p, 0);
    act_delete(p, "", "ConfigMap", "root", (enum propagation)draw(p, 0, 3));
    act_wait(p, 0);
}
SCENARIO(owners, "garbage", owners);

static void namespace_ends(struct sim_plan *p) {
    config_map(p, "one", NULL);
    act_create(p,
               "{\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\",\"metadata\":{\"name\":\"web\"}"
               ",\"spec\":{\"replicas\":%u,\"selector\":{\"matchLabels\":{\"app\":\"web\"}},"
               "\"template\":%s}}",
               (unsigned)draw(p, 0, 4), pod_template(p, "web", 1, ""));
    act_wait(p, 0);
    act_delete(p, "", "Namespace", p->ns, PROPAGATE_DEFAULT);
    act_wait(p, 60);
}
SCENARIO(namespace_ends, "namespace serviceaccount deployment replicaset garbage", namespace_ends);

static void default_account(struct sim_plan *p) {
    act_wait(p, 0);
    act_delete(p, "", "ServiceAccount", "default", PROPAGATE_DEFAULT);
    act_wait(p, 0);
}
SCENARIO(default_account, "serviceaccount", default_account);

/* A Service without selector: its Endpoints are a user's. */
static void mirrored(struct sim_plan *p) {
    act_create(p, "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"outside\"},"
                  "\"spec\":{\"ports\":[{\"port\":80}]}}");
    act_create(p,
               "{\"apiVersion\":\"v1\",\"kind\":\"Endpoints\",\"metadata\":{\"name\":\"outside\"},"
               "\"subsets\":[{\"addresses\":[{\"ip\":\"192.0.2.%u\"}],\"ports\":[{\"port\":8080}]}]"
               "}",
               (unsigned)draw(p, 1, 200));
    act_wait(p, 0);
    if (draw_one_in(p, 2)) {
        act_patch(p, "", "Endpoints", "outside",
                  "{\"subsets\":[{\"addresses\":[{\"ip\":\"192.0.2.201\"},{\"ip\":\"192.0.2.202\"}]"
                  ",\"ports\":[{\"port\":8080}]}]}");
        act_wait(p, 0);
    }
    if (draw_one_in(p, 2)) act_delete(p, "", "Service", "outside", PROPAGATE_DEFAULT);
    act_wait(p, 0);
}
SCENARIO(mirrored, "endpointslice-mirror endpointslice endpoints garbage", mirrored);

/* A claim is removed while a pod uses it, then the pod goes. */
static void claim_in_use(struct sim_plan *p) {
    act_create(p, "{\"apiVersion\":\"v1\",\"kind\":\"PersistentVolumeClaim\",\"metadata\":{"
                  "\"name\":\"data\"},\"spec\":{\"accessModes\":[\"ReadWriteOnce\"],\"resources\":"
                  "{\"requests\":{\"storage\":\"1Gi\"}}}}");
    act_create(p, "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"user\"},"
                  "\"spec\":{\"nodeName\":\"node-0\",\"containers\":[{\"name\":\"c\",\"image\":"
                  "\"i\"}],\"volumes\":[{\"name\":\"v\",\"persistentVolumeClaim\":{\"claimName\":"
                  "\"data\"}}]}}");
    act_wait(p, 0);
    act_delete(p, "", "PersistentVolumeClaim", "data", PROPAGATE_DEFAULT);
    act_wait(p, 0);
    act_delete(p, "", "Pod", "user", PROPAGATE_DEFAULT);
    act_wait(p, 0);
}
SCENARIO(claim_in_use, "claim-protection", claim_in_use);

static void volume_in_use(struct sim_plan *p) {
    const char *name = arena_printf(p->a, "volume-%s", p->ns);
    act_create(p,
               "{\"apiVersion\":\"v1\",\"kind\":\"PersistentVolume\",\"metadata\":{\"name\":\"%s\"}"
               ",\"spec\":{\"capacity\":{\"storage\":\"1Gi\"},\"accessModes\":[\"ReadWriteOnce\"],"
               "\"hostPath\":{\"path\":\"/v\"}}}",
               name);
    act_wait(p, 0);
    act_delete(p, "", "PersistentVolume", name, PROPAGATE_DEFAULT);
    act_wait(p, 0);
}
SCENARIO(volume_in_use, "volume-protection", volume_in_use);

/* Pods on a node that never was, and pods removed before they have one. */
static void lost_pods(struct sim_plan *p) {
    act_create(p, "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"lost\"},"
                  "\"spec\":{\"nodeName\":\"nowhere\",\"containers\":[{\"name\":\"c\",\"image\":"
                  "\"i\"}]}}");
    act_create(p, "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"waiting\","
                  "\"finalizers\":[\"example.com/hold\"]},\"spec\":{\"nodeSelector\":{\"no\":"
                  "\"such\"},\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}");
    act_wait(p, 0);
    act_delete(p, "", "Pod", "waiting", PROPAGATE_DEFAULT);
    act_wait(p, 0);
    act_patch(p, "", "Pod", "waiting", "{\"metadata\":{\"finalizers\":null}}");
    act_wait(p, 0);
}
SCENARIO(lost_pods, "pod-gc node-lifecycle", lost_pods);

/* A deployment while nodes are closed and opened again. */
static void cordon(struct sim_plan *p) {
    act_create(p,
               "{\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\",\"metadata\":{\"name\":\"web\"}"
               ",\"spec\":{\"replicas\":%u,\"selector\":{\"matchLabels\":{\"app\":\"web\"}},"
               "\"template\":%s}}",
               (unsigned)draw(p, 2, 6), pod_template(p, "web", 1, ""));
    act_wait(p, 0);
    const char *ns = p->ns;
    p->ns = NULL;
    act_patch(p, "", "Node", "node-1", "{\"spec\":{\"unschedulable\":true}}");
    p->ns = ns;
    act_wait(p, 0);
    act_patch(p, "apps", "Deployment", "web", "{\"spec\":{\"template\":%s}}",
              pod_template(p, "web", 2, ""));
    act_wait(p, 0);
    p->ns = NULL;
    act_patch(p, "", "Node", "node-1", "{\"spec\":{\"unschedulable\":null}}");
    p->ns = ns;
}
SCENARIO(cordon, "node-lifecycle deployment replicaset", cordon);

/* More pods than a quota lets in, until it lets them. */
static void quota(struct sim_plan *p) {
    act_create(p,
               "{\"apiVersion\":\"v1\",\"kind\":\"ResourceQuota\",\"metadata\":{\"name\":\"few\"},"
               "\"spec\":{\"hard\":{\"pods\":\"%u\"}}}",
               (unsigned)draw(p, 1, 3));
    act_create(p,
               "{\"apiVersion\":\"apps/v1\",\"kind\":\"ReplicaSet\",\"metadata\":{\"name\":\"many\""
               "},\"spec\":{\"replicas\":%u,\"selector\":{\"matchLabels\":{\"app\":\"many\"}},"
               "\"template\":%s}}",
               (unsigned)draw(p, 4, 7), pod_template(p, "many", 1, ""));
    act_wait(p, 30);
    act_patch(p, "", "ResourceQuota", "few", "{\"spec\":{\"hard\":{\"pods\":\"50\"}}}");
    act_wait(p, 60);
}
SCENARIO(quota, "replicaset", quota);
