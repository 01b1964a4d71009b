#include "image/reference.h"

#include <string.h>

enum { HEX_DIGITS = 64, REPOSITORY_MAX = 255, TAG_MAX = 128 };

bool image_digest_valid(const char *digest) {
    if (!str_starts(digest, "sha256:") || strlen(digest) != 7 + HEX_DIGITS) return false;
    return strspn(digest + 7, "0123456789abcdef") == HEX_DIGITS;
}

static bool is_tag(const char *s) {
    static const char chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    size_t n = strlen(s);
    return n > 0 && n <= TAG_MAX && s[0] != '.' && s[0] != '-' && strspn(s, chars) == n;
}

static bool is_repository(const char *s) {
    static const char chars[] = "abcdefghijklmnopqrstuvwxyz0123456789_.-/";
    size_t n = strlen(s);
    if (!n || n > REPOSITORY_MAX || strspn(s, chars) != n) return false;
    if (strchr("/._-", s[0]) || strchr("/._-", s[n - 1])) return false;
    return !strstr(s, "//") && !strstr(s, "..") && !strstr(s, "/.") && !strstr(s, "./");
}

static bool is_host(const char *s) {
    static const char chars[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:[]";
    size_t n = strlen(s);
    if (!n || n > REPOSITORY_MAX || strspn(s, chars) != n) return false;
    return !strchr(".-:]", s[0]) && !strstr(s, "..");
}

/* The first component is a host when it looks like one: a dot, a port, or localhost. */
static bool starts_with_host(const char *s, const char *slash) {
    size_t n = (size_t)(slash - s);
    return memchr(s, '.', n) || memchr(s, ':', n) || (n == 9 && strncmp(s, "localhost", 9) == 0);
}

int image_reference_parse(struct arena *a, const char *text, struct image_reference *ret,
                          struct err *err) {
    struct image_reference r = {0};
    char *rest = arena_str(a, text ? text : ""), *at = strchr(rest, '@');
    if (at) {
        *at = 0;
        r.digest = at + 1;
        if (!image_digest_valid(r.digest))
            return err_set(err, ERR_INVALID, "image \"%s\": the digest is not valid", text);
    }
    char *slash = strchr(rest, '/'), *colon = strrchr(rest, ':');
    if (colon && (!slash || colon > strrchr(rest, '/'))) {
        *colon = 0;
        r.tag = colon + 1;
        if (!is_tag(r.tag))
            return err_set(err, ERR_INVALID, "image \"%s\": the tag is not valid", text);
    }
    if (slash && starts_with_host(rest, slash)) {
        *slash = 0;
        r.host = rest;
        rest = slash + 1;
    } else
        r.host = "docker.io";
    if (str_eq(r.host, "index.docker.io")) r.host = "docker.io";
    r.repository = str_eq(r.host, "docker.io") && !strchr(rest, '/')
                       ? arena_printf(a, "library/%s", rest)
                       : rest;
    if (!is_host(r.host) || !is_repository(r.repository))
        return err_set(err, ERR_INVALID, "image \"%s\": the name is not valid", text);
    if (!r.tag && !r.digest) r.tag = "latest";
    *ret = r;
    return 0;
}

const char *image_reference_name(struct arena *a, const struct image_reference *r) {
    if (r->tag) return arena_printf(a, "%s/%s:%s", r->host, r->repository, r->tag);
    return arena_printf(a, "%s/%s@%s", r->host, r->repository, r->digest);
}
