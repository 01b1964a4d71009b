/* hostPath: a path of the machine; the broker checks its type and mounts it. */
#include "base/own.h"
#include "node/volumes/volumes.h"

static const struct {
    const char *name;
    enum broker_host_path type;
} types[] = {
    {"", BROKER_HOST_ANY},
    {"DirectoryOrCreate", BROKER_HOST_DIRECTORY_OR_CREATE},
    {"Directory", BROKER_HOST_DIRECTORY},
    {"FileOrCreate", BROKER_HOST_FILE_OR_CREATE},
    {"File", BROKER_HOST_FILE},
    {"Socket", BROKER_HOST_SOCKET},
    {"CharDevice", BROKER_HOST_CHAR_DEVICE},
    {"BlockDevice", BROKER_HOST_BLOCK_DEVICE},
};

static bool handles(const struct core_v1_volume *v) { return v->host_path; }

int host_path_render(const struct core_v1_host_path_volume_source *s, struct volume_result *ret,
                     struct err *err) {
    ret->host = true;
    ret->host_path = s->path;
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        if (!str_eq(types[i].name, s->type ? s->type : "")) continue;
        ret->host_type = types[i].type;
        return 0;
    }
    return err_set(err, ERR_INVALID, "hostPath type \"%s\" is unknown", s->type);
}

static int render(struct arena *a, const struct volume_input *in, struct volume_result *ret,
                  struct err *err) {
    return host_path_render(in->volume->host_path, ret, err);
}

static const struct volume_driver driver = {"hostPath", handles, render};
VOLUME_DRIVER(driver);
