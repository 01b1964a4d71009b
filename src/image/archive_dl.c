#include "image/archive_dl.h"

#include <dlfcn.h>
#include <stddef.h>

#include "base/own.h"

struct symbol {
    const char *name;
    size_t offset;
};

static int load(const char *file, const char *package, const struct symbol *symbols, size_t n,
                void *table, struct err *err) {
    void *library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return err_set(err, ERR_INTERNAL, "%s is missing: install the package %s", file, package);
    for (size_t i = 0; i < n; i++) {
        void *p = dlsym(library, symbols[i].name);
        if (!p) return err_set(err, ERR_INTERNAL, "%s lacks %s", file, symbols[i].name);
        *(void **)((char *)table + symbols[i].offset) = p;
    }
    return 0;
}

#define ARCHIVE_SYMBOL(f) {#f, offsetof(struct archive_library, f##_p)},
#define CURL_SYMBOL(f) {#f, offsetof(struct curl_library, f##_p)},

int archive_library_load(const struct archive_library **ret, struct err *err) {
    static const struct symbol symbols[] = {ARCHIVE_FUNCTIONS(ARCHIVE_SYMBOL)};
    static struct archive_library table;
    int r = table.archive_read_new_p ? 0
                                     : load("libarchive.so.13", "libarchive13", symbols,
                                            ARRAY_LEN(symbols), &table, err);
    if (r == 0) *ret = &table;
    return r;
}

int curl_library_load(const struct curl_library **ret, struct err *err) {
    static const struct symbol symbols[] = {CURL_FUNCTIONS(CURL_SYMBOL)};
    static struct curl_library table;
    int r = table.curl_easy_init_p
                ? 0
                : load("libcurl.so.4", "libcurl4", symbols, ARRAY_LEN(symbols), &table, err);
    if (r == 0) *ret = &table;
    return r;
}
