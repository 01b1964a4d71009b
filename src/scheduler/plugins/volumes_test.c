/* Placement by storage: bound claims, claims that wait for their pod, zones, exclusive claims and
 * disks, limits of drivers. */
#include "scheduler/plugins/fixture.h"

#define CLAIM(name, spec, phase)                                                                   \
    "{\"apiVersion\":\"v1\",\"kind\":\"PersistentVolumeClaim\",\"metadata\":{\"name\":\"" name     \
    "\",\"namespace\":\"d\"},\"spec\":{\"accessModes\":[\"ReadWriteOnce\"],\"resources\":{"        \
    "\"requests\":{\"storage\":\"5Gi\"}}" spec "},\"status\":{\"phase\":\"" phase "\"}}"
#define VOLUME(name, labels, spec)                                                                 \
    "{\"apiVersion\":\"v1\",\"kind\":\"PersistentVolume\",\"metadata\":{\"name\":\"" name          \
    "\",\"labels\":{" labels "}},\"spec\":{\"accessModes\":[\"ReadWriteOnce\"]" spec "}}"
#define ON(node)                                                                                   \
    ",\"nodeAffinity\":{\"required\":{\"nodeSelectorTerms\":[{\"matchExpressions\":[{\"key\":"     \
    "\"kubernetes.io/hostname\",\"operator\":\"In\",\"values\":[\"" node "\"]}]}]}}"
#define CLASS(name, provisioner, more)                                                             \
    "{\"apiVersion\":\"storage.k8s.io/"                                                            \
    "v1\",\"kind\":\"StorageClass\",\"metadata\":{\"name\":\"" name                                \
    "\"},\"provisioner\":\"" provisioner "\"" more "}"
#define WAITS ",\"volumeBindingMode\":\"WaitForFirstConsumer\""

static void two_nodes(struct snapshot *s) {
    given_node(s, "a", "\"topology.kubernetes.io/zone\":\"z1\",", "");
    given_node(s, "b", "\"topology.kubernetes.io/zone\":\"z2\",", "");
}

TEST(a_claim_that_is_not_there_or_not_bound_keeps_the_pod) {
    struct snapshot s = {0};
    two_nodes(&s);
    expect_placed(&s, CLAIMING("p", "c"),
                  "0/2 nodes are available: persistentvolumeclaim \"c\" not found.");
    given(&s, CLAIM("c", "", "Pending"));
    expect_placed(&s, CLAIMING("p", "c"),
                  "0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims.");
    given(&s, CLAIM("c", ",\"volumeName\":\"v\"", "Bound"));
    expect_placed(&s, CLAIMING("p", "c"),
                  "0/2 nodes are available: 2 node(s) unavailable due to one or more pvc(s) bound "
                  "to non-existent pv(s).");
    given(&s, VOLUME("v", "", ""));
    expect_placed(&s, CLAIMING("p", "c"), "a");
    fixture_done(&s);
}

TEST(a_bound_volume_ties_the_pod_to_its_nodes) {
    struct snapshot s = {0};
    two_nodes(&s);
    given(&s, CLAIM("c", ",\"volumeName\":\"v\"", "Bound"));
    given(&s, VOLUME("v", "", ON("b")));
    expect_placed(&s, CLAIMING("p", "c"), "b");
    given(&s, VOLUME("v", "", ON("x")));
    expect_placed(&s, CLAIMING("p", "c"),
                  "0/2 nodes are available: 2 node(s) had volume node affinity conflict.");
    given(&s, VOLUME("v", "\"topology.kubernetes.io/zone\":\"z0__z2\"", ""));
    expect_placed(&s, CLAIMING("p", "c"), "b");
    given(&s, VOLUME("v", "\"topology.kubernetes.io/zone\":\"z\"", ""));
    expect_placed(&s, CLAIMING("p", "c"),
                  "0/2 nodes are available: 2 node(s) had no available volume zone.");
    fixture_done(&s);
}

TEST(a_claim_that_waits_for_its_pod_goes_where_a_volume_is_or_can_be_made) {
    static const char none[] = "0/2 nodes are available: 2 node(s) didn't find available "
                               "persistent volumes to bind.";
    struct snapshot s = {0};
    two_nodes(&s);
    given(&s, CLASS("local", "kubernetes.io/no-provisioner", WAITS));
    given(&s, CLAIM("c", ",\"storageClassName\":\"local\"", "Pending"));
    expect_placed(&s, CLAIMING("p", "c"), none);
#define LOCAL(size) ",\"storageClassName\":\"local\",\"capacity\":{\"storage\":\"" size "\"}"
    given(&s, VOLUME("small", "", LOCAL("1Gi") ON("a")));
    expect_placed(&s, CLAIMING("p", "c"), none);
    given(&s, VOLUME("large", "", LOCAL("9Gi") ON("b")));
    expect_placed(&s, CLAIMING("p", "c"), "b");
    given(&s, VOLUME("large", "",
                     LOCAL("9Gi") ON("b") ",\"claimRef\":{\"namespace\":\"d\",\"name\":\"x\"}"));
    expect_placed(&s, CLAIMING("p", "c"), none);
    given(&s, CLASS("local", "csi.example",
                    WAITS ",\"allowedTopologies\":[{\"matchLabelExpressions\":[{\"key\":"
                          "\"topology.kubernetes.io/zone\",\"values\":[\"z2\"]}]}]"));
    expect_placed(&s, CLAIMING("p", "c"), "b");
    fixture_done(&s);
}

TEST(a_volume_is_made_where_its_driver_has_told_of_enough_room) {
#define ROOM(zone, size)                                                                           \
    "{\"apiVersion\":\"storage.k8s.io/"                                                            \
    "v1\",\"kind\":\"CSIStorageCapacity\",\"metadata\":{\"name\":"                                 \
    "\"" zone "\",\"namespace\":\"d\"},\"storageClassName\":\"late\",\"capacity\":\"" size         \
    "\",\"nodeTopology\":{\"matchLabels\":{\"topology.kubernetes.io/zone\":\"" zone "\"}}}"
    struct snapshot s = {0};
    two_nodes(&s);
    given(&s, CLASS("late", "csi.example", WAITS));
    given(&s, CLAIM("c", ",\"storageClassName\":\"late\"", "Pending"));
    expect_placed(&s, CLAIMING("p", "c"), "a");
    given(&s, "{\"apiVersion\":\"storage.k8s.io/v1\",\"kind\":\"CSIDriver\",\"metadata\":{\"name\":"
              "\"csi.example\"},\"spec\":{\"storageCapacity\":true}}");
    expect_placed(&s, CLAIMING("p", "c"),
                  "0/2 nodes are available: 2 node(s) did not have enough free storage.");
    given(&s, ROOM("z1", "1Gi"));
    given(&s, ROOM("z2", "7Gi"));
    expect_placed(&s, CLAIMING("p", "c"), "b");
    fixture_done(&s);
}

TEST(a_claim_for_one_pod_is_for_one_pod_of_the_cluster) {
    struct snapshot s = {0};
    two_nodes(&s);
    given(&s, "{\"apiVersion\":\"v1\",\"kind\":\"PersistentVolumeClaim\",\"metadata\":{\"name\":"
              "\"c\",\"namespace\":\"d\"},\"spec\":{\"accessModes\":[\"ReadWriteOncePod\"],"
              "\"volumeName\":\"v\"},\"status\":{\"phase\":\"Bound\"}}");
    given(&s, VOLUME("v", "", ""));
    given_pod(&s, "1", CLAIMING("q", "c"), "a");
    expect_placed(&s, CLAIMING("p", "c"),
                  "0/2 nodes are available: 2 node has pod using PersistentVolumeClaim with the "
                  "same name and ReadWriteOncePod access mode.");
    snapshot_remove_pod(&s, "1");
    expect_placed(&s, CLAIMING("p", "c"), "a");
    fixture_done(&s);
}

#define DISK(name, read_only)                                                                      \
    "{\"metadata\":{\"name\":\"" name "\",\"namespace\":\"d\"},\"spec\":{\"containers\":[{"        \
    "\"name\":\"c\"}],\"volumes\":[{\"name\":\"v\",\"gcePersistentDisk\":{\"pdName\":\"x\","       \
    "\"readOnly\":" read_only "}}]}}"

TEST(a_disk_is_written_by_one_pod_of_a_node) {
    struct snapshot s = {0};
    two_nodes(&s);
    given_pod(&s, "1", DISK("q", "true"), "b");
    given_pod(&s, "2", CLAIMING("r", "none"), "a");
    expect_placed(&s, DISK("p", "false"), "a");
    given_pod(&s, "3", DISK("t", "false"), "a");
    expect_placed(&s, DISK("p", "true"), "b");
    expect_placed(&s, DISK("p", "false"),
                  "0/2 nodes are available: 2 node(s) had no available disk.");
    fixture_done(&s);
}

TEST(a_node_takes_no_more_volumes_of_a_driver_than_it_can) {
#define CSI(handle) ",\"csi\":{\"driver\":\"csi.example\",\"volumeHandle\":\"" handle "\"}"
#define LIMIT(node, count)                                                                         \
    "{\"apiVersion\":\"storage.k8s.io/v1\",\"kind\":\"CSINode\",\"metadata\":{\"name\":\"" node    \
    "\"},\"spec\":{\"drivers\":[{\"name\":\"csi.example\",\"nodeID\":\"x\",\"allocatable\":{"      \
    "\"count\":" count "}}]}}"
    struct snapshot s = {0};
    two_nodes(&s);
    given(&s, CLAIM("c", ",\"volumeName\":\"v\"", "Bound"));
    given(&s, CLAIM("e", ",\"volumeName\":\"w\"", "Bound"));
    given(&s, VOLUME("v", "", CSI("1")));
    given(&s, VOLUME("w", "", CSI("2")));
    given(&s, LIMIT("a", "1"));
    given(&s, LIMIT("b", "0"));
    expect_placed(&s, CLAIMING("p", "c"), "a");
    given_pod(&s, "1", CLAIMING("q", "c"), "a");
    expect_placed(&s, CLAIMING("p", "c"), "a"); /* the same volume again */
    expect_placed(&s, CLAIMING("p", "e"),
                  "0/2 nodes are available: 2 node(s) exceed max volume count.");
    given(&s, LIMIT("b", "2"));
    expect_placed(&s, CLAIMING("p", "e"), "b");
    fixture_done(&s);
}

TEST(an_ephemeral_claim_must_be_of_the_pod_itself) {
#define MADE_FOR(uid)                                                                              \
    "{\"apiVersion\":\"v1\",\"kind\":\"PersistentVolumeClaim\",\"metadata\":{\"name\":\"p-v\","    \
    "\"namespace\":\"d\",\"ownerReferences\":[{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"name\":"   \
    "\"p\",\"uid\":\"" uid "\",\"controller\":true}]},\"spec\":{\"volumeName\":\"v\"},\"status\":" \
    "{\"phase\":\"Bound\"}}"
    static const char pod[] =
        "{\"metadata\":{\"name\":\"p\",\"namespace\":\"d\"},\"spec\":{\"containers\":[{\"name\":"
        "\"c\"}],\"volumes\":[{\"name\":\"v\",\"ephemeral\":{}}]}}";
    struct snapshot s = {0};
    two_nodes(&s);
    given(&s, VOLUME("v", "", ""));
    given(&s, MADE_FOR("old"));
    expect_placed(&s, pod,
                  "0/2 nodes are available: persistentvolumeclaim \"p-v\" was not created for "
                  "the pod.");
    given(&s, MADE_FOR("new"));
    expect_placed(&s, pod, "a");
    fixture_done(&s);
}
