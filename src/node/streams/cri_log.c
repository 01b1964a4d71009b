#include "node/streams/cri_log.h"

#include <errno.h>

int cri_line_parse(struct slice line, struct cri_line *ret) {
    struct slice rest = line, stream, flags;
    if (!slice_cut(&rest, ' ', &ret->time) || !rest.p) return -EBADMSG;
    if (!slice_cut(&rest, ' ', &stream) || !rest.p) return -EBADMSG;
    ret->is_stderr = slice_is(stream, "stderr");
    if (!ret->is_stderr && !slice_is(stream, "stdout")) return -EBADMSG;
    if (!slice_cut(&rest, ' ', &flags)) return -EBADMSG;
    ret->partial = flags.n && flags.p[0] == 'P';
    ret->message = rest.p ? rest : slice_from("", 0);
    return ret->time.n < 20 ? -EBADMSG : 0;
}
