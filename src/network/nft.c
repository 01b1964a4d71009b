#include "network/nft.h"

#include <dlfcn.h>
#include <nftables/libnftables.h>
#include <stdlib.h>
#include <string.h>

struct nft {
    void *library;
    struct nft_ctx *ctx;
    __typeof__(nft_ctx_new) *ctx_new;
    __typeof__(nft_ctx_free) *ctx_free;
    __typeof__(nft_ctx_buffer_error) *buffer_error;
    __typeof__(nft_ctx_get_error_buffer) *get_error;
    __typeof__(nft_run_cmd_from_buffer) *run;
};

int nft_open(struct nft **ret, struct err *err) {
    struct nft *n = calloc(1, sizeof *n);
    if (!n) abort();
    n->library = dlopen("libnftables.so.1", RTLD_NOW | RTLD_LOCAL);
    const struct {
        const char *name;
        void **slot;
    } symbols[] = {{"nft_ctx_new", (void **)&n->ctx_new},
                   {"nft_ctx_free", (void **)&n->ctx_free},
                   {"nft_ctx_buffer_error", (void **)&n->buffer_error},
                   {"nft_ctx_get_error_buffer", (void **)&n->get_error},
                   {"nft_run_cmd_from_buffer", (void **)&n->run}};
    for (size_t i = 0; n->library && i < sizeof symbols / sizeof symbols[0]; i++) {
        *symbols[i].slot = dlsym(n->library, symbols[i].name);
        if (!*symbols[i].slot) {
            dlclose(n->library);
            n->library = NULL;
        }
    }
    if (!n->library) {
        free(n);
        return err_set(err, ERR_INTERNAL,
                       "libnftables.so.1 is missing: install the package libnftables1");
    }
    n->ctx = n->ctx_new(0);
    if (!n->ctx) abort();
    n->buffer_error(n->ctx);
    *ret = n;
    return 0;
}

void nft_close(struct nft *n) {
    if (!n) return;
    n->ctx_free(n->ctx);
    dlclose(n->library);
    free(n);
}

int nft_run(struct nft *n, const char *commands, struct err *err) {
    if (n->run(n->ctx, commands) == 0) return 0;
    return err_set(err, ERR_INTERNAL, "nftables refused a transaction: %.600s",
                   n->get_error(n->ctx));
}
