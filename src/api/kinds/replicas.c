/* What ReplicaSet, ReplicationController and StatefulSet have in common: counts in their status,
 * and the table of the first two. */
#include "api/kinds/kinds.h"

void replica_counts_validate(int32_t replicas, const struct replica_count *counts, size_t n,
                             struct api_causes *causes) {
    for (size_t i = 0; i < n; i++)
        if (counts[i].value > replicas)
            cause_invalid_int(causes, counts[i].field, counts[i].value,
                              "cannot be greater than status.replicas");
}

void replica_status_validate(int32_t replicas, int32_t labeled, int32_t ready, int32_t available,
                             struct api_causes *causes) {
    const struct replica_count counts[] = {{"status.fullyLabeledReplicas", labeled},
                                           {"status.readyReplicas", ready},
                                           {"status.availableReplicas", available}};
    replica_counts_validate(replicas, counts, ARRAY_LEN(counts), causes);
    if (available > ready)
        cause_invalid_int(causes, "status.availableReplicas", available,
                          "cannot be greater than readyReplicas");
}

const struct api_column replica_columns[REPLICA_COLUMNS] = {
    COLUMN_NAME,
    COLUMN_INT("Desired", "Number of desired pods."),
    COLUMN_INT("Current", "Number of pods that exist."),
    COLUMN_INT("Ready", "Number of pods that are ready."),
    COLUMN_AGE,
    COLUMN_WIDE("Containers", "Names of each container in the template."),
    COLUMN_WIDE("Images", "Images referenced by each container in the template."),
    COLUMN_WIDE("Selector", "Label selector for the pods."),
};

const char *const replica_fields[] = {"status.replicas", NULL};

const char *replica_field(struct arena *a, const char *path, int32_t replicas) {
    return str_eq(path, replica_fields[0]) ? arena_printf(a, "%d", replicas) : NULL;
}
