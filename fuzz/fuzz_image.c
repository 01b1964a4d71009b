/* Image references, manifests and configurations: all from strangers. The first byte chooses. */
#include "base/limits.h"
#include "base/own.h"
#include "fuzz/fuzz.h"
#include "image/manifest.h"
#include "image/reference.h"

static void reference(struct arena *a, struct slice s) {
    struct image_reference r, again;
    if (image_reference_parse(a, arena_strn(a, s), &r, NULL) < 0) return;
    const char *name = image_reference_name(a, &r);
    FUZZ_ASSERT(image_reference_parse(a, name, &again, NULL) == 0);
    FUZZ_ASSERT(str_eq(image_reference_name(a, &again), name));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    OWN(arena_free_p) struct arena *a = arena_new();
    if (!size) return 0;
    struct slice s = slice_from(data + 1, size - 1);
    struct image_manifest m;
    struct image_info info = {0};
    if (data[0] % 3 == 0)
        reference(a, s);
    else if (data[0] % 3 == 1) {
        if (image_manifest_parse(a, s, &m, NULL) == 0 && !m.is_index)
            FUZZ_ASSERT(m.n_layers <= LIMIT_IMAGE_LAYERS);
    } else if (image_config_parse(a, s, &info, NULL) == 0)
        for (uint32_t i = 0; i < info.n_layers; i++) FUZZ_ASSERT(strlen(info.layers[i]) == 64);
    return 0;
}
