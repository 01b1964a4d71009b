#include "cli/image_use.h"

#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "proc/mount_namespace.h"
#include "wire/broker.h"

static bool contains(struct slice text, const char *part) {
    size_t n = strlen(part);
    return n && text.n && memmem(text.p, text.n, part, n) != NULL;
}

const char *image_use_find(struct arena *a, struct slice mounts, const struct image_info *image) {
    static const char below[] = "/var/lib/atoll/pods/", kind[] = " - overlay ";
    struct slice line;
    while (image->n_layers && slice_cut(&mounts, '\n', &line)) {
        if (!contains(line, kind)) continue;
        const char *uid = memmem(line.p, line.n, below, sizeof below - 1);
        bool all = uid != NULL;
        for (uint32_t i = 0; all && i < image->n_layers; i++)
            all = contains(line, arena_printf(a, "/layers/%s", image->layers[i]));
        if (!all) continue;
        uid += sizeof below - 1;
        const char *end = memchr(uid, '/', (size_t)(line.p + line.n - uid));
        if (end) return arena_strn(a, slice_from(uid, (size_t)(end - uid)));
    }
    return NULL;
}

static void file_read(const char *path, struct buf *ret) {
    char piece[4096];
    OWN(fclose_p) FILE *f = fopen(path, "re");
    for (size_t n; f && (n = fread(piece, 1, sizeof piece, f)) > 0;) buf_append(ret, piece, n);
}

const char *image_use_pod(struct arena *a, const char *root, const struct image_info *image) {
    OWN(buf_done) struct buf mounts = {0}, text = {0};
    struct broker_pod pod;
    const char *mnt = arena_printf(a, "%s/run/atoll/mnt", root);
    if (mount_namespace_exists(mnt))
        mount_namespace_enter(arena_printf(a, "%s/namespace", mnt), NULL);
    file_read("/proc/self/mountinfo", &mounts);
    const char *uid = image_use_find(a, buf_view(&mounts), image);
    if (!uid) return NULL;
    file_read(arena_printf(a, "%s/run/atoll/pods/%s/pod", root, uid), &text);
    if (broker_pod_unpack(buf_view(&text), a, &pod) < 0) return uid;
    return arena_printf(a, "%s/%s", pod.pod_namespace, pod.name);
}
