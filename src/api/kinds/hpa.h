/* HorizontalPodAutoscaler: what its files share. Private to src/api/kinds. */
#pragma once

#include "api/kinds/kinds.h"

/* "cpu: 20%/80%", "<unknown>/100": present and wanted values, as kubectl lists them. */
const char *hpa_targets_text(struct arena *a,
                             const struct autoscaling_v2_horizontal_pod_autoscaler *h);
