/* What people declare of messaging as one text: an address and a pod's annotation. Whatever is
 * taken has a canonical form that means the same, and never leaves its directory. */
#include <string.h>

#include "api/rules/topology_grant.h"
#include "base/own.h"
#include "fuzz/fuzz.h"
#include "proto/sp/address.h"

static void address(const char *text, bool listen) {
    struct sp_address a, again;
    char canonical[640], twice[640];
    if (sp_address_parse(text, listen, &a, NULL) < 0) return;
    sp_address_text(&a, canonical, sizeof canonical);
    FUZZ_ASSERT(sp_address_parse(canonical, listen, &again, NULL) == 0);
    sp_address_text(&again, twice, sizeof twice);
    FUZZ_ASSERT(strcmp(canonical, twice) == 0);
    FUZZ_ASSERT(sp_address_reaches(&a, &again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    OWN(arena_free_p) struct arena *a = arena_new();
    const char *text = arena_strn(a, slice_from(data, size));
    struct topology_grants grants;
    address(text, true);
    address(text, false);
    if (topology_grants_parse(a, text, &grants, NULL) < 0) return 0;
    FUZZ_ASSERT(grants.n <= TOPOLOGY_GRANTS_MAX);
    for (size_t i = 0; i < grants.n; i++) {
        FUZZ_ASSERT(*grants.v[i].topology && *grants.v[i].roles);
        FUZZ_ASSERT(!strchr(grants.v[i].topology, '/') && grants.v[i].topology[0] != '.');
    }
    return 0;
}
