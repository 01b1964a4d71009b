/* Arguments of PodTopologySpread, which are needed when a pod becomes a question (query.c). */
#pragma once

#include "scheduler/place/plugin.h"

struct spread_args {
    struct core_v1_topology_spread_constraint_list defaults; /* without selectors */
    bool system; /* the built-in ones: a node may lack their labels */
};
