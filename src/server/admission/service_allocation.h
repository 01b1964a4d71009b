/* Cluster addresses and node ports of Services: given out between validation and the store. */
#pragma once

#include "server/admission/plugin.h"

/* Does nothing for other kinds. Causes for a 422. */
void service_allocate(struct admission *ad, struct api_causes *causes);
