/* CRC-32C of stored rows: damage on the disk is found when a row is read. */
#include <stdbool.h>

#include "store/backend.h"

enum { CRC32C_POLYNOMIAL_BITS = 8 };
static const uint32_t polynomial = 0x82f63b78; /* 0x1edc6f41 reflected */

static uint32_t crc_table(uint32_t crc, const unsigned char *p, size_t n) {
    static uint32_t table[256];
    if (!table[1]) {
        for (uint32_t i = 0; i < 256; i++) {
            uint32_t c = i;
            for (int k = 0; k < CRC32C_POLYNOMIAL_BITS; k++)
                c = c & 1 ? c >> 1 ^ polynomial : c >> 1;
            table[i] = c;
        }
    }
    while (n--) crc = crc >> 8 ^ table[(crc ^ *p++) & 0xff];
    return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc_hardware(uint32_t crc, const unsigned char *p,
                                                               size_t n) {
    uint64_t c = crc;
    for (; n >= 8; n -= 8, p += 8) {
        uint64_t v;
        memcpy(&v, p, 8);
        c = __builtin_ia32_crc32di(c, v);
    }
    crc = (uint32_t)c;
    while (n--) crc = __builtin_ia32_crc32qi(crc, *p++);
    return crc;
}
#endif

uint32_t crc32c(uint32_t crc, const void *p, size_t n) {
    crc = ~crc;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2")) return ~crc_hardware(crc, p, n);
#endif
    return ~crc_table(crc, p, n);
}
