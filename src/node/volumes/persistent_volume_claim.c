/* persistentVolumeClaim and ephemeral: what the claim is bound to. Volumes that are paths of the
 * machine can be mounted, and those that this system has made itself. */
#include <errno.h>

#include "api/rules/claims.h"
#include "node/volumes/volumes.h"

static bool handles(const struct core_v1_volume *v) {
    return v->persistent_volume_claim || v->ephemeral;
}

static int render(struct arena *a, const struct volume_input *in, struct volume_result *ret,
                  struct err *err) {
    const struct core_v1_volume *v = in->volume;
    const struct core_v1_persistent_volume *pv = NULL;
    const char *claim =
        v->ephemeral ? arena_printf(a, "%s-%s", in->facts->pod->metadata.name, str_or(v->name, ""))
                     : str_or(v->persistent_volume_claim->claim_name, "");
    int rc = in->source->claim(in->source->user, claim, v->ephemeral, &pv, err);
    if (rc < 0) return rc;
    if (str_eq(pv->spec.volume_mode, "Block"))
        return err_set(err, ERR_INVALID,
                       "volume %s has volumeMode Block, but is specified in "
                       "volumeMounts",
                       pv->metadata.name);
    ret->read_only = v->persistent_volume_claim && v->persistent_volume_claim->read_only;
    if (volume_is_local_to(pv, in->facts->node_name) && pv->spec.local) {
        ret->local = pv->metadata.name;
        return 0;
    }
    ret->host = true;
    if (pv->spec.host_path) return host_path_render(pv->spec.host_path, ret, err);
    if (!pv->spec.local) return err_set(err, ERR_INVALID, "no volume plugin matched");
    ret->host_path = pv->spec.local->path;
    ret->host_type = BROKER_HOST_DIRECTORY;
    return 0;
}

static const struct volume_driver driver = {"persistentVolumeClaim", handles, render};
VOLUME_DRIVER(driver);
