#include "sp/patterns/fan_out.h"

#include <errno.h>

int sp_fan_out(struct sp_message *m, struct sp_pipe *const *to, size_t n) {
    bool held_up = false;
    for (size_t i = 0; i < n; i++) {
        if (to[i]->out.limits->policy != SP_BLOCK || to[i]->closing || sp_pipe_has_room(to[i]))
            continue;
        if (to[i]->closing) continue; /* it was found to be gone just now */
        sp_pipe_blocks(to[i]);
        held_up = true;
    }
    if (held_up) return -EAGAIN;
    for (size_t i = 0; i < n; i++)
        if (!to[i]->closing && sp_pipe_send(to[i], m) == SP_PUT_FULL) to[i]->counters.dropped++;
    return 0;
}
