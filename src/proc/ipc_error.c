/* Errors as messages. */
#include "base/own.h"
#include "base/pack.h"
#include "proc/ipc.h"

void ipc_send_error(struct ipc *c, uint32_t id, const struct err *err) {
    OWN(buf_done) struct buf b = {0};
    pack_u16(&b, (uint16_t)err->reason);
    pack_str(&b, err->field);
    pack_str(&b, err->text);
    ipc_send(c, IPC_ERROR, id, buf_view(&b), NULL, 0);
}

int ipc_decode_error(struct slice body, struct err *err) {
    OWN(arena_free_p) struct arena *a = arena_new();
    struct unpack u = unpack_init(body);
    uint16_t reason = unpack_u16(&u);
    const char *field = unpack_str(&u, a), *text = unpack_str(&u, a);
    if (unpack_end(&u) < 0 || reason == ERR_NONE || reason >= ERR_REASON_COUNT)
        return err_set(err, ERR_INTERNAL, "malformed error message from a service");
    return err_field(err, (enum err_reason)reason, field, "%s", text);
}
