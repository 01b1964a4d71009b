/* Any configuration of profiles: it is taken or refused with a sentence; what is taken has plugins
 * in order, each once, and a name. */
#include "base/own.h"
#include "fuzz/fuzz.h"
#include "scheduler/place/profiles.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct sched_profiles *p = NULL;
    struct err err = {0};
    if (sched_profiles_parse(slice_from(data, size), &p, &err) < 0) {
        FUZZ_ASSERT(*err.text);
        return 0;
    }
    FUZZ_ASSERT(p->n);
    for (size_t i = 0; i < p->n; i++) {
        FUZZ_ASSERT(!str_empty(p->v[i].name) && p->v[i].n <= SCHED_PLUGINS_MAX);
        for (size_t j = 1; j < p->v[i].n; j++)
            FUZZ_ASSERT(p->v[i].v[j].plugin->order >= p->v[i].v[j - 1].plugin->order &&
                        p->v[i].v[j].plugin != p->v[i].v[j - 1].plugin);
    }
    sched_profiles_free(p);
    return 0;
}
