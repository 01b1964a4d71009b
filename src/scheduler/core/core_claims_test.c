/* A pod whose claim waits for it: room and a node for the claim first, the binding when that is
 * bound. */
#include "scheduler/core/fixture.h"
#include "scheduler/plugins/fixture.h"

#define CLAIM(more, phase)                                                                         \
    "{\"apiVersion\":\"v1\",\"kind\":\"PersistentVolumeClaim\",\"metadata\":{\"name\":\"data\","   \
    "\"namespace\":\"d\"},\"spec\":{\"storageClassName\":\"late\"" more "},\"status\":{"           \
    "\"phase\":\"" phase "\"}}"
#define WITH_CLAIM                                                                                 \
    ",\"volumes\":[{\"name\":\"v\",\"persistentVolumeClaim\":{\"claimName\":\"data\"}}]"

TEST(a_pod_is_bound_when_the_claim_that_waited_for_it_is) {
    struct cluster c;
    cluster_init(&c);
    cluster_node(&c, "n", "");
    given(&c.core.snapshot,
          "{\"apiVersion\":\"storage.k8s.io/v1\",\"kind\":\"StorageClass\",\"metadata\":{\"name\":"
          "\"late\"},\"provisioner\":\"csi.example\",\"volumeBindingMode\":"
          "\"WaitForFirstConsumer\"}");
    given(&c.core.snapshot, CLAIM("", "Pending"));
    cluster_pod(&c, "p", "3", 0, "", WITH_CLAIM);
    cluster_expect(&c, "nominate p n\n");
    cluster_pod(&c, "other", "3", 0, "", ""); /* that room is taken */
    cluster_expect(&c, "");
    given(&c.core.snapshot,
          "{\"apiVersion\":\"v1\",\"kind\":\"PersistentVolume\",\"metadata\":{\"name\":\"made\"}}");
    given(&c.core.snapshot, CLAIM(",\"volumeName\":\"made\"", "Bound"));
    cluster_pass(&c, 2000);
    core_wake_all(&c.core, c.now_ms);
    cluster_expect(&c, "bind p n\n");
    cluster_done(&c);
}

TEST(a_pod_that_was_made_smaller_lets_another_in) {
    struct cluster c;
    cluster_init(&c);
    cluster_node(&c, "n", "");
    cluster_runs(&c, "large", "3", 0, "", "n");
    cluster_pod(&c, "p", "2", 0, "", "");
    cluster_expect(&c, "");
    cluster_runs(&c, "large", "2", 0, "", "n");
    cluster_pass(&c, 2000);
    cluster_expect(&c, "bind p n\n");
    cluster_done(&c);
}
