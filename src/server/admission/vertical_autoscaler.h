/* The VerticalPodAutoscaler's part in admission: pods that are made ask for what is recommended. */
#pragma once

#include "server/admission/plugin.h"

/* ad->object is a pod that is being created. */
int vertical_autoscaler_mutate(struct admission *ad);
