#include "image/manifest.h"

#include <string.h>
#include <sys/utsname.h>

#include "base/limits.h"
#include "base/own.h"
#include "image/reference.h"
#include "proto/json.h"

static void json_free(json_t **j) { json_decref(*j); }

const char *image_architecture(void) {
    static const struct {
        const char *machine, *oci;
    } names[] = {{"x86_64", "amd64"},
                 {"aarch64", "arm64"},
                 {"riscv64", "riscv64"},
                 {"ppc64le", "ppc64le"},
                 {"s390x", "s390x"}};
    struct utsname u;
    uname(&u);
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strcmp(u.machine, names[i].machine) == 0) return names[i].oci;
    return "unknown";
}

static const char *text(struct arena *a, const json_t *o, const char *key) {
    const char *s = json_string_value(json_object_get(o, key));
    return s ? arena_str(a, s) : "";
}

static int parse_blob(struct arena *a, const json_t *o, struct image_blob *ret, struct err *err) {
    json_int_t size = json_integer_value(json_object_get(o, "size"));
    ret->digest = text(a, o, "digest");
    if (!image_digest_valid(ret->digest) || size < 0)
        return err_set(err, ERR_INVALID,
                       "the manifest holds an invalid descriptor (digest \"%.80s\")", ret->digest);
    ret->size_bytes = (uint64_t)size;
    return 0;
}

static int choose(struct arena *a, const json_t *manifests, struct image_manifest *ret,
                  struct err *err) {
    OWN(buf_done) struct buf seen = {0};
    size_t i;
    json_t *m;
    json_array_foreach(manifests, i, m) {
        const json_t *platform = json_object_get(m, "platform");
        const char *os = text(a, platform, "os"), *arch = text(a, platform, "architecture");
        /* A layout without platforms holds one image: ours to try. */
        if (!platform || (str_eq(os, "linux") && str_eq(arch, image_architecture())))
            return parse_blob(a, m, &ret->chosen, err);
        buf_printf(&seen, "%s%s/%s", seen.n ? ", " : "", os, arch);
    }
    return err_set(err, ERR_NOT_FOUND, "no image for linux/%s (there is: %s)", image_architecture(),
                   seen.n ? seen.p : "none");
}

int image_manifest_parse(struct arena *a, struct slice json, struct image_manifest *ret,
                         struct err *err) {
    OWN(json_free) json_t *doc = NULL;
    *ret = (struct image_manifest){0};
    if (json.n > LIMIT_IMAGE_MANIFEST_BYTES)
        return err_set(err, ERR_TOO_LARGE, "the manifest is too large");
    if (json_parse(json, &doc, err) < 0) return err_wrap(err, "the manifest is not valid");
    const json_t *manifests = json_object_get(doc, "manifests"),
                 *layers = json_object_get(doc, "layers");
    if (json_is_array(manifests)) {
        ret->is_index = true;
        return choose(a, manifests, ret, err);
    }
    if (!json_is_array(layers) || json_array_size(layers) > LIMIT_IMAGE_LAYERS)
        return err_set(err, ERR_INVALID, "the manifest has no layers, or more than %d",
                       LIMIT_IMAGE_LAYERS);
    int r = parse_blob(a, json_object_get(doc, "config"), &ret->config, err);
    ret->n_layers = json_array_size(layers);
    ret->layers = ARENA_ARRAY(a, struct image_blob, ret->n_layers);
    for (size_t i = 0; r == 0 && i < ret->n_layers; i++)
        r = parse_blob(a, json_array_get(layers, i), &ret->layers[i], err);
    return r;
}

static uint32_t text_list(struct arena *a, const json_t *list, const char ***ret) {
    size_t n = json_array_size(list);
    *ret = ARENA_ARRAY(a, const char *, n);
    for (size_t i = 0; i < n; i++) {
        const char *s = json_string_value(json_array_get(list, i));
        (*ret)[i] = arena_str(a, s ? s : "");
    }
    return (uint32_t)n;
}

static int parse_layers(struct arena *a, const json_t *ids, struct image_info *info,
                        struct err *err) {
    if (json_array_size(ids) > LIMIT_IMAGE_LAYERS)
        return err_set(err, ERR_INVALID, "the image has too many layers");
    info->n_layers = text_list(a, ids, &info->layers);
    for (uint32_t i = 0; i < info->n_layers; i++) {
        if (!image_digest_valid(info->layers[i]))
            return err_set(err, ERR_INVALID, "the image configuration holds an invalid diff id");
        info->layers[i] += strlen("sha256:");
    }
    return 0;
}

int image_config_parse(struct arena *a, struct slice json, struct image_info *info,
                       struct err *err) {
    OWN(json_free) json_t *doc = NULL;
    if (json.n > LIMIT_IMAGE_MANIFEST_BYTES)
        return err_set(err, ERR_TOO_LARGE, "the image configuration is too large");
    if (json_parse(json, &doc, err) < 0)
        return err_wrap(err, "the image configuration is not valid");
    const char *os = text(a, doc, "os"), *arch = text(a, doc, "architecture");
    if (!str_eq(str_or(os, "linux"), "linux") ||
        !str_eq(str_or(arch, image_architecture()), image_architecture()))
        return err_set(err, ERR_INVALID, "the image is for %s/%s; this machine is linux/%s", os,
                       arch, image_architecture());
    const json_t *c = json_object_get(doc, "config");
    info->n_entrypoint = text_list(a, json_object_get(c, "Entrypoint"), &info->entrypoint);
    info->n_cmd = text_list(a, json_object_get(c, "Cmd"), &info->cmd);
    info->n_env = text_list(a, json_object_get(c, "Env"), &info->env);
    info->working_dir = text(a, c, "WorkingDir");
    info->user = text(a, c, "User");
    info->stop_signal = text(a, c, "StopSignal");
    return parse_layers(a, json_object_get(json_object_get(doc, "rootfs"), "diff_ids"), info, err);
}
