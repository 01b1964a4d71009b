/* Image references and registry credentials (docker's config.json form). Pure. */
#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "base/own.h"
#include "node/images.h"

static struct slice without_digest(const char *ref) {
    const char *at = strchr(ref, '@');
    return slice_from(ref, at ? (size_t)(at - ref) : strlen(ref));
}

static bool has_tag(struct slice s) {
    for (size_t i = s.n; i-- > 0;) {
        if (s.p[i] == '/') return false;
        if (s.p[i] == ':') return true;
    }
    return false;
}

const char *image_policy(const struct core_v1_container *c) {
    if (c->image_pull_policy) return c->image_pull_policy;
    const char *ref = str_or(c->image, "");
    struct slice name = without_digest(ref);
    if (strchr(ref, '@')) return "IfNotPresent";
    bool latest = name.n > 7 && !memcmp(name.p + name.n - 7, ":latest", 7);
    return !has_tag(name) || latest ? "Always" : "IfNotPresent";
}

bool image_reference_valid(const char *ref) {
    if (str_empty(ref) || strlen(ref) > 512) return false;
    struct slice name = without_digest(ref);
    if (!name.n || name.p[0] == '/' || name.p[0] == ':' || name.p[name.n - 1] == '/' ||
        name.p[name.n - 1] == ':')
        return false;
    size_t colon = name.n; /* upper case is allowed in host and tag only */
    for (size_t i = name.n; i-- > 0 && name.p[i] != '/';)
        if (name.p[i] == ':') colon = i;
    const char *slash = memchr(name.p, '/', name.n);
    size_t host = slash ? (size_t)(slash - name.p) : 0;
    for (size_t i = 0; i < name.n; i++) {
        char ch = name.p[i];
        bool upper = ch >= 'A' && ch <= 'Z';
        bool ok = (ch >= 'a' && ch <= 'z') || (ch >= '0' && ch <= '9') || strchr("._-/:[]", ch);
        if (upper && (i < host || i > colon)) ok = true;
        if (!ok || (ch == '/' && i + 1 < name.n && name.p[i + 1] == '/')) return false;
    }
    return true;
}

/* The registry of a reference: docker.io when it names none. */
static const char *image_registry(struct arena *a, const char *ref) {
    const char *slash = strchr(ref, '/');
    if (!slash) return "docker.io";
    struct slice head = slice_from(ref, (size_t)(slash - ref));
    bool host =
        memchr(head.p, '.', head.n) || memchr(head.p, ':', head.n) || slice_is(head, "localhost");
    return host ? arena_strn(a, head) : "docker.io";
}

static struct slice bare_host(const char *key) {
    struct slice s = slice_of(key), head;
    if (slice_starts(s, "https://")) s = slice_from(s.p + 8, s.n - 8);
    if (slice_starts(s, "http://")) s = slice_from(s.p + 7, s.n - 7);
    slice_cut(&s, '/', &head);
    if (slice_is(head, "index.docker.io") || slice_is(head, "registry-1.docker.io"))
        return SLICE("docker.io");
    return head;
}

static int from_entry(struct arena *a, json_t *entry, const char **ret_user,
                      const char **ret_password) {
    const char *user = json_string_value(json_object_get(entry, "username"));
    const char *password = json_string_value(json_object_get(entry, "password"));
    const char *auth = json_string_value(json_object_get(entry, "auth"));
    if (user && password) {
        *ret_user = arena_str(a, user), *ret_password = arena_str(a, password);
        return 0;
    }
    OWN(buf_done) struct buf b = {0};
    if (!auth || buf_unbase64(&b, slice_of(auth)) < 0) return -ENOENT;
    struct slice rest = buf_view(&b), head;
    if (!slice_cut(&rest, ':', &head) || !rest.p) return -ENOENT;
    *ret_user = arena_strn(a, head), *ret_password = arena_strn(a, rest);
    explicit_bzero(b.p, b.n);
    return 0;
}

int image_credentials(struct arena *a, struct slice docker_config, const char *ref,
                      const char **ret_user, const char **ret_password) {
    json_t *root = json_loadb(docker_config.p, docker_config.n, JSON_REJECT_DUPLICATES, NULL);
    const char *want = image_registry(a, ref), *key;
    json_t *entry, *auths = json_object_get(root, "auths");
    int rc = -ENOENT;
    json_object_foreach(json_is_object(auths) ? auths : root, key, entry) {
        if (rc < 0 && slice_is(bare_host(key), want))
            rc = from_entry(a, entry, ret_user, ret_password);
    }
    json_decref(root);
    return rc;
}
