/* The admission plugins for pods. */
#pragma once

#include "server/admission/admission.h"

int pod_priority(struct admission *ad);
int pod_service_account(struct admission *ad);
int pod_default_tolerations(struct admission *ad);
