/*
 * The Pod Security Standards (kubernetes.io, "Pod Security Standards"; KEP-2579): which controls a
 * pod breaks at a level and version. Pure. Names, order and sentences of the controls are those
 * that clients know.
 */
#pragma once

#include "api/types.h"

enum pod_security_level { POD_SECURITY_PRIVILEGED, POD_SECURITY_BASELINE, POD_SECURITY_RESTRICTED };
enum { POD_SECURITY_LATEST = -1 };

struct pod_security {
    enum pod_security_level level;
    int minor; /* of version v1.MINOR, or POD_SECURITY_LATEST */
};

/* All broken controls, "reason (detail), reason (detail)", in the arena; NULL: none. reasons_only
 * leaves the details out. */
const char *pod_security_violations(struct arena *a, struct pod_security p,
                                    const struct meta_v1_object_meta *meta,
                                    const struct core_v1_pod_spec *spec, bool reasons_only);

/* "baseline:v1.31" */
const char *pod_security_text(struct arena *a, struct pod_security p);

/* What the labels of a namespace ask for. */
struct pod_security_policy {
    struct pod_security enforce, audit, warn;
};
/* Bad labels become causes (may be NULL); the policy is then the strict one for enforce, none for
 * audit and warn. */
void pod_security_policy_parse(const struct str_map *labels, struct pod_security_policy *ret,
                               struct api_causes *causes);
bool pod_security_equal(struct pod_security x, struct pod_security y);
