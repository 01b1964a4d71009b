/* Names of log directories. Pure. */
#include "node/pods/orphans.h"

enum { UID_MAX_BYTES = 64 };

bool orphans_log_name(const char *name, struct slice *ret_ns, struct slice *ret_pod,
                      struct slice *ret_uid) {
    struct slice rest = slice_of(name);
    if (!slice_cut(&rest, '_', ret_ns) || !slice_cut(&rest, '_', ret_pod)) return false;
    *ret_uid = rest;
    return ret_ns->n && ret_pod->n && rest.n && rest.n <= UID_MAX_BYTES;
}
