/* From Services and EndpointSlices (as the informers hold them) to the wanted rules. */
#pragma once

#include "client/client.h"
#include "network/rules.h"

/* Adds every port of every Service to `out`. Ready endpoints are used; when none is ready, those
 * that still serve while they terminate (KEP-1669). */
void services_to_rules(const struct informer *services, const struct informer *slices,
                       struct rules *out);
