/* Whatever YAML is accepted comes out as JSON that the reader accepts. */
#include <stdlib.h>

#include "base/own.h"
#include "proto/json.h"
#include "proto/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int check(void *user, struct slice json) {
    struct json_reader r;
    json_reader_init(&r, json);
    if (json_skip(&r) < 0 || json_end(&r) < 0) abort();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    yaml_each_document(slice_from(data, size), check, NULL, NULL);
    return 0;
}
