/* GET /: the paths that are no objects. */
#pragma once

#include "server/api.h"

void discovery_index(struct call *c);
