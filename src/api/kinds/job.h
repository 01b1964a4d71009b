/* What Job and CronJob have in common. Private to src/api/kinds. */
#pragma once

#include "api/kinds/kinds.h"

/* All but the selector. */
void job_spec_validate(const struct batch_v1_job_spec *s, const char *path,
                       struct api_causes *causes);
