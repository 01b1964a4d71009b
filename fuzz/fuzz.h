/* What the fuzz targets share: the entry point's prototype and an assertion that stays in release
 * builds. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_ASSERT(condition)                                                                     \
    do {                                                                                           \
        if (!(condition)) abort();                                                                 \
    } while (0)
