/* One message to many, as publish/subscribe and the bus send it. */
#pragma once

#include "sp/pipe.h"

/* By each one's policy; the reference stays with the caller. -EAGAIN: one whose policy is block has
 * no room, and nobody has got it. Who blocks has his time limited from then on. */
int sp_fan_out(struct sp_message *m, struct sp_pipe *const *to, size_t n);
