/* The frames on an attach stream (BROKER_ATTACH): shim/protocol.h, for those who get its
 * descriptor. */
#pragma once

#include "../../shim/protocol.h"
