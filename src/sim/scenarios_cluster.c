/* Scenarios of everything around the workloads: namespaces, owners, services, nodes, volumes. */
#include "sim/faults.h"
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
SCENARIO(volume_in_use, "volume-protection volume-binder", volume_in_use);

static void volume(struct sim_plan *p, unsigned i, const char *class, const char *more) {
    act_create(p,
               "{\"apiVersion\":\"v1\",\"kind\":\"PersistentVolume\",\"metadata\":{\"name\":"
               "\"volume-%s-%u\",\"labels\":{\"i\":\"%u\"}},\"spec\":{\"capacity\":{\"storage\":"
               "\"1Gi\"},\"accessModes\":[\"ReadWriteOnce\"],\"hostPath\":{\"path\":\"/v\"},"
               "\"storageClassName\":\"%s\"%s}}",
               p->ns, i, i, class, more);
}

static void claim(struct sim_plan *p, unsigned i, const char *class, const char *more) {
    act_create(p,
               "{\"apiVersion\":\"v1\",\"kind\":\"PersistentVolumeClaim\",\"metadata\":{\"name\":"
               "\"claim-%u\"},\"spec\":{\"accessModes\":[\"ReadWriteOnce\"],\"resources\":{"
               "\"requests\":{\"storage\":\"1Gi\"}},\"storageClassName\":\"%s\"%s}}",
               i, class, more);
}

/* Claims and volumes that find each other: by label, by the claim's choice, by the volume's. Some
 * go again. */
static void claims(struct sim_plan *p) {
    unsigned n = (unsigned)draw(p, 2, 5);
    const char *class = p->ns;
    for (unsigned i = 0; i < n; i++) {
        uint64_t tie = draw(p, 0, 2);
        const char *policy = draw_one_in(p, 3) ? "Delete" : "Retain";
        bool claim_first = draw_one_in(p, 2);
        const char *volume_more = arena_printf(
            p->a, ",\"persistentVolumeReclaimPolicy\":\"%s\"%s", policy,
            tie == 0
                ? arena_printf(p->a, ",\"claimRef\":{\"namespace\":\"%s\",\"name\":\"claim-%u\"}",
                               p->ns, i)
                : "");
        const char *claim_more =
            tie == 1 ? arena_printf(p->a, ",\"volumeName\":\"volume-%s-%u\"", p->ns, i)
                     : arena_printf(p->a, ",\"selector\":{\"matchLabels\":{\"i\":\"%u\"}}", i);
        if (claim_first) claim(p, i, class, claim_more);
        volume(p, i, class, volume_more);
        if (!claim_first) claim(p, i, class, claim_more);
    }
    act_wait(p, 0);
    unsigned gone = (unsigned)draw(p, 0, n);
    for (unsigned i = 0; i < gone; i++)
        act_delete(p, "", "PersistentVolumeClaim", arena_printf(p->a, "claim-%u", i),
                   PROPAGATE_DEFAULT);
    act_wait(p, 0);
    for (unsigned i = 0; i < gone; i++) /* whether they were ever bound is chance */
        act_delete(p, "", "PersistentVolume", arena_printf(p->a, "volume-%s-%u", p->ns, i),
                   PROPAGATE_DEFAULT);
    act_wait(p, 0);
}
SCENARIO(claims, "claim-binder volume-binder claim-protection", claims);

/* Claims that wait for their pod's node, and one that is made with its pod. */
static void claims_of_pods(struct sim_plan *p) {
    p->no_faults |= 1u << FAULT_POWER | 1u << FAULT_PARTITION; /* nobody makes the pod again */
    act_create(p,
               "{\"apiVersion\":\"storage.k8s.io/v1\",\"kind\":\"StorageClass\",\"metadata\":{"
               "\"name\":\"late-%s\"},\"provisioner\":\"kubernetes.io/no-provisioner\","
               "\"volumeBindingMode\":\"WaitForFirstConsumer\"}",
               p->ns);
    const char *class = arena_printf(p->a, "late-%s", p->ns);
    claim(p, 0, class, ",\"selector\":{\"matchLabels\":{\"i\":\"0\"}}");
    volume(p, 0, class, "");
    volume(p, 1, class,
           arena_printf(p->a, ",\"claimRef\":{\"namespace\":\"%s\",\"name\":\"user-own\"}", p->ns));
    act_wait(p, 0);
    act_create(
        p,
        "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"user\"},\"spec\":{"
        "\"tolerations\":[{\"operator\":\"Exists\"}]," /* nobody makes it again */
        "\"containers\":[{\"name\":\"c\",\"image\":\"i\"}],\"volumes\":[{\"name\":\"v\","
        "\"persistentVolumeClaim\":{\"claimName\":\"claim-0\"}},{\"name\":\"own\","
        "\"ephemeral\":{\"volumeClaimTemplate\":{\"spec\":{\"accessModes\":[\"ReadWriteOnce\"],"
        "\"resources\":{\"requests\":{\"storage\":\"1Gi\"}},\"storageClassName\":\"%s\"}}}}]}}",
        class);
    act_wait(p, 60);
    if (draw_one_in(p, 2)) act_delete(p, "", "Pod", "user", PROPAGATE_DEFAULT);
    act_wait(p, 0);
}
SCENARIO(claims_of_pods, "claim-binder volume-binder ephemeral-claims garbage", claims_of_pods);

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
