/* The reader and jansson accept the same texts (up to depth, NUL and numbers beyond 64 bits), and
 * the raw copy reads back to the same tree. */
#include <stdlib.h>

#include "base/own.h"
#include "proto/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void decref_p(json_t **v) { json_decref(*v); }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct json_reader r;
    struct slice text = slice_from(data, size);
    OWN(buf_done) struct buf raw = {0};
    if (memchr(data, 0, size)) return 0; /* jansson takes it for the end */
    json_reader_init(&r, text);
    bool accepted = json_read_raw(&r, &raw) == 0 && json_end(&r) == 0;
    json_error_t why;
    OWN(decref_p) json_t *tree = json_loadb(text.p, text.n, JSON_DECODE_ANY, &why);
    if (tree && !accepted && r.depth < 64) abort();
    if (!tree && accepted && json_error_code(&why) != json_error_numeric_overflow) abort();
    if (!tree || !accepted) return 0;
    OWN(decref_p) json_t *again = json_loadb(raw.p, raw.n, JSON_DECODE_ANY, &why);
    if (!again || !json_equal(tree, again)) abort();
    return 0;
}
