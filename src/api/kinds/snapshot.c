/* snapshot.storage.k8s.io: validation, Table columns. */
#include <inttypes.h>

#include "api/kinds/kinds.h"

static void snapshot_prepare(struct arena *a, void *obj, const void *old) {
    struct snapshot_v1_volume_snapshot *s = obj;
    if (!old) s->status = NULL;
}

/* Exactly one of two texts, which stay as they are. */
static void either_validate(const char *const field[2], const char *const now[2],
                            const char *const was[2], const char *path, struct api_causes *causes) {
    if (!!now[0] == !!now[1])
        cause_invalid(causes, path, "",
                      path_of(causes, "exactly one of %s and %s must be set", field[0], field[1]));
    for (size_t i = 0; i < 2; i++) {
        const char *at = path_of(causes, "%s.%s", path, field[i]);
        if (now[i] && !*now[i]) cause_required(causes, at, NULL);
        if (was && !str_eq(str_or(now[i], ""), str_or(was[i], "")))
            cause_invalid(causes, at, str_or(now[i], ""),
                          path_of(causes, "%s is immutable", field[i]));
    }
}

static void snapshot_validate(const void *obj, const void *old_obj, const char *subresource,
                              struct api_causes *causes) {
    static const char *const fields[] = {"persistentVolumeClaimName", "volumeSnapshotContentName"};
    const struct snapshot_v1_volume_snapshot *s = obj, *old = old_obj;
    const char *const now[] = {s->spec.source.persistent_volume_claim_name,
                               s->spec.source.volume_snapshot_content_name};
    const char *const was[] = {old ? old->spec.source.persistent_volume_claim_name : NULL,
                               old ? old->spec.source.volume_snapshot_content_name : NULL};
    either_validate(fields, now, old ? was : NULL, "spec.source", causes);
    if (s->spec.volume_snapshot_class_name && !*s->spec.volume_snapshot_class_name)
        cause_invalid(causes, "spec.volumeSnapshotClassName", "",
                      "volumeSnapshotClassName must not be the empty string when set");
}

static const struct api_column snapshot_columns[] = {
    COLUMN_NAME,
    COLUMN("ReadyToUse", "Whether volumes can be made from it."),
    COLUMN("SourcePVC", "Claim whose volume was taken."),
    COLUMN("SourceSnapshotContent", "VolumeSnapshotContent that was there already."),
    COLUMN("RestoreSize", "How large a volume made from it must be."),
    COLUMN("SnapshotClass", "Its VolumeSnapshotClass."),
    COLUMN("SnapshotContent", "VolumeSnapshotContent behind it."),
    COLUMN("CreationTime", "Time since the moment whose state it is."),
    COLUMN_AGE,
};

static const char *ready_text(const bool *ready) { return !ready ? "" : *ready ? "true" : "false"; }

static void snapshot_row(struct arena *a, const void *obj, int64_t now_ns, struct api_cell *cells) {
    static const struct snapshot_v1_volume_snapshot_status none;
    const struct snapshot_v1_volume_snapshot *s = obj;
    const struct snapshot_v1_volume_snapshot_status *status = s->status ? s->status : &none;
    cells[0] = cell_text(s->metadata.name);
    cells[1] = cell_text(ready_text(status->ready_to_use));
    cells[2] = cell_text(s->spec.source.persistent_volume_claim_name);
    cells[3] = cell_text(s->spec.source.volume_snapshot_content_name);
    cells[4] = cell_text(status->restore_size);
    cells[5] = cell_text(s->spec.volume_snapshot_class_name);
    cells[6] = cell_text(status->bound_volume_snapshot_content_name);
    cells[7] = cell_text(status->creation_time ? time_since(a, status->creation_time, now_ns) : "");
    cells[8] = cell_age(a, &s->metadata, now_ns);
}

static const struct api_behavior snapshot_behavior = {
    .group = "snapshot.storage.k8s.io",
    .kind = "VolumeSnapshot",
    .prepare = snapshot_prepare,
    .validate = snapshot_validate,
    .columns = snapshot_columns,
    .n_columns = ARRAY_LEN(snapshot_columns),
    .row = snapshot_row,
};
API_BEHAVIOR(snapshot_behavior);

static const struct api_column class_columns[] = {
    COLUMN_NAME,
    COLUMN("Driver", "The CSI driver that takes them."),
    COLUMN("DeletionPolicy", "What happens to the stored state when its VolumeSnapshot is gone."),
    COLUMN_AGE,
};

static void class_row(struct arena *a, const void *obj, int64_t now_ns, struct api_cell *cells) {
    const struct snapshot_v1_volume_snapshot_class *c = obj;
    cells[0] = cell_text(c->metadata.name);
    cells[1] = cell_text(c->driver);
    cells[2] = cell_text(c->deletion_policy);
    cells[3] = cell_age(a, &c->metadata, now_ns);
}

static const struct api_behavior class_behavior = {
    .group = "snapshot.storage.k8s.io",
    .kind = "VolumeSnapshotClass",
    .columns = class_columns,
    .n_columns = ARRAY_LEN(class_columns),
    .row = class_row,
};
API_BEHAVIOR(class_behavior);

static void content_prepare(struct arena *a, void *obj, const void *old) {
    struct snapshot_v1_volume_snapshot_content *c = obj;
    if (!old) c->status = NULL;
}

static void content_validate(const void *obj, const void *old_obj, const char *subresource,
                             struct api_causes *causes) {
    static const char *const fields[] = {"volumeHandle", "snapshotHandle"};
    const struct snapshot_v1_volume_snapshot_content *c = obj, *old = old_obj;
    const char *const now[] = {c->spec.source.volume_handle, c->spec.source.snapshot_handle};
    const char *const was[] = {old ? old->spec.source.volume_handle : NULL,
                               old ? old->spec.source.snapshot_handle : NULL};
    either_validate(fields, now, old ? was : NULL, "spec.source", causes);
    if (str_empty(c->spec.volume_snapshot_ref.name) ||
        str_empty(c->spec.volume_snapshot_ref.namespace))
        cause_invalid(causes, "spec.volumeSnapshotRef", "",
                      "both spec.volumeSnapshotRef.name and spec.volumeSnapshotRef.namespace must "
                      "be set");
}

static const struct api_column content_columns[] = {
    COLUMN_NAME,
    COLUMN("ReadyToUse", "Whether volumes can be made from it."),
    COLUMN("RestoreSize", "How many bytes a volume made from it must have."),
    COLUMN("DeletionPolicy", "What happens to the stored state when its VolumeSnapshot is gone."),
    COLUMN("Driver", "The CSI driver."),
    COLUMN("VolumeSnapshotClass", "VolumeSnapshotClass it was made by."),
    COLUMN("VolumeSnapshot", "VolumeSnapshot it is bound to."),
    COLUMN("VolumeSnapshotNamespace", "Namespace of that."),
    COLUMN_AGE,
};

static void content_row(struct arena *a, const void *obj, int64_t now_ns, struct api_cell *cells) {
    static const struct snapshot_v1_volume_snapshot_content_status none;
    const struct snapshot_v1_volume_snapshot_content *c = obj;
    const struct snapshot_v1_volume_snapshot_content_status *s = c->status ? c->status : &none;
    cells[0] = cell_text(c->metadata.name);
    cells[1] = cell_text(ready_text(s->ready_to_use));
    cells[2] = cell_text(s->restore_size ? arena_printf(a, "%" PRId64, *s->restore_size) : "");
    cells[3] = cell_text(c->spec.deletion_policy);
    cells[4] = cell_text(c->spec.driver);
    cells[5] = cell_text(c->spec.volume_snapshot_class_name);
    cells[6] = cell_text(c->spec.volume_snapshot_ref.name);
    cells[7] = cell_text(c->spec.volume_snapshot_ref.namespace);
    cells[8] = cell_age(a, &c->metadata, now_ns);
}

static const struct api_behavior content_behavior = {
    .group = "snapshot.storage.k8s.io",
    .kind = "VolumeSnapshotContent",
    .prepare = content_prepare,
    .validate = content_validate,
    .columns = content_columns,
    .n_columns = ARRAY_LEN(content_columns),
    .row = content_row,
};
API_BEHAVIOR(content_behavior);
