/* Names: character rules by table, then what upstream says about them. */
#include "api/values/names.h"

#include <string.h>

#include "base/limits.h"
#include "base/own.h"
#include "base/slice.h"

#define LABEL_FMT "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
#define SUBDOMAIN_FMT LABEL_FMT "(\\." LABEL_FMT ")*"
#define QUALIFIED_FMT "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"

#define LABEL_MESSAGE                                                                              \
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "   \
    "must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex "     \
    "used for validation is '" LABEL_FMT "')"
#define SUBDOMAIN_MESSAGE                                                                          \
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "   \
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used "  \
    "for validation is '" SUBDOMAIN_FMT "')"
#define DNS_1035_MESSAGE                                                                           \
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an "   \
    "alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or "           \
    "'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
#define QUALIFIED_MESSAGE                                                                          \
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "    \
    "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "         \
    "validation is '" QUALIFIED_FMT "')"
#define LABEL_VALUE_MESSAGE                                                                        \
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or "    \
    "'.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or "             \
    "'my_value',  or '12345', regex used for validation is "                                       \
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
#define CONFIG_KEY_MESSAGE                                                                         \
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. "           \
    "'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
#define ENV_MESSAGE                                                                                \
    "a valid environment variable name must consist only of printable ASCII characters other "     \
    "than '='"
#define HTTP_HEADER_MESSAGE                                                                        \
    "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', "   \
    "regex used for validation is '[-A-Za-z0-9]+')"
#define WILDCARD_MESSAGE                                                                           \
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, "      \
    "which must consist of lower case alphanumeric characters, '-' or '.' and end with an "        \
    "alphanumeric character (e.g. '*.example.com', regex used for validation is "                  \
    "'\\*\\." SUBDOMAIN_FMT "')"

/* Messages as they are collected. */
struct notes {
    struct arena *a; /* NULL: only count */
    const char **v;
    size_t n;
};

static void note(struct notes *notes, const char *prefix, const char *message) {
    if (notes->n >= NAME_MESSAGES_MAX) return;
    notes->v[notes->n++] =
        notes->a && *prefix ? arena_printf(notes->a, "%s%s", prefix, message) : message;
}

static bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_lower_alnum(char c) { return is_lower(c) || is_digit(c); }
static bool is_alnum(char c) { return is_lower_alnum(c) || (c >= 'A' && c <= 'Z'); }

/* [ends]([ends or inner]*[ends])? */
static bool spans(struct slice s, bool (*ends)(char), const char *inner) {
    if (s.n == 0 || !ends(s.p[0]) || !ends(s.p[s.n - 1])) return false;
    for (size_t i = 0; i < s.n; i++)
        if (!ends(s.p[i]) && !strchr(inner, s.p[i])) return false;
    return true;
}

static bool is_subdomain(struct slice s) {
    struct slice part;
    if (s.n == 0 || s.p[s.n - 1] == '.') return false;
    while (slice_cut(&s, '.', &part))
        if (!spans(part, is_lower_alnum, "-")) return false;
    return true;
}

static void check_label(struct notes *notes, const char *s) {
    size_t n = strlen(s);
    if (n > LIMIT_LABEL_BYTES) note(notes, "", "must be no more than 63 characters");
    if (!spans(slice_from(s, n), is_lower_alnum, "-")) note(notes, "", LABEL_MESSAGE);
}

static void check_subdomain(struct notes *notes, const char *s) {
    size_t n = strlen(s);
    if (n > LIMIT_NAME_BYTES) note(notes, "", "must be no more than 253 characters");
    if (!is_subdomain(slice_from(s, n))) note(notes, "", SUBDOMAIN_MESSAGE);
}

static void check_1035(struct notes *notes, const char *s) {
    size_t n = strlen(s);
    if (n > LIMIT_LABEL_BYTES) note(notes, "", "must be no more than 63 characters");
    if (!spans(slice_from(s, n), is_lower_alnum, "-") || !is_lower(s[0]))
        note(notes, "", DNS_1035_MESSAGE);
}

static void check_qualified(struct notes *notes, const char *s) {
    struct slice name = slice_of(s);
    const char *slash = strchr(s, '/');
    if (slash && strchr(slash + 1, '/')) {
        note(notes, "a qualified name ",
             QUALIFIED_MESSAGE
             " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')");
        return;
    }
    if (slash) {
        struct slice prefix = slice_from(s, (size_t)(slash - s));
        name = slice_of(slash + 1);
        if (prefix.n == 0) note(notes, "prefix part ", "must be non-empty");
        if (prefix.n > LIMIT_NAME_BYTES)
            note(notes, "prefix part ", "must be no more than 253 characters");
        if (prefix.n && !is_subdomain(prefix)) note(notes, "prefix part ", SUBDOMAIN_MESSAGE);
    }
    if (name.n == 0) note(notes, "name part ", "must be non-empty");
    if (name.n > LIMIT_LABEL_BYTES) note(notes, "name part ", "must be no more than 63 characters");
    if (!spans(name, is_alnum, "-_.")) note(notes, "name part ", QUALIFIED_MESSAGE);
}

static void check_label_value(struct notes *notes, const char *s) {
    size_t n = strlen(s);
    if (n > LIMIT_LABEL_BYTES) note(notes, "", "must be no more than 63 characters");
    if (n && !spans(slice_from(s, n), is_alnum, "-_.")) note(notes, "", LABEL_VALUE_MESSAGE);
}

static void check_dots(struct notes *notes, const char *s) {
    if (str_eq(s, "."))
        note(notes, "", "must not be '.'");
    else if (str_eq(s, ".."))
        note(notes, "", "must not be '..'");
    else if (str_starts(s, ".."))
        note(notes, "", "must not start with '..'");
}

static void check_path_segment(struct notes *notes, const char *s) {
    if (str_eq(s, ".")) note(notes, "", "may not be '.'");
    if (str_eq(s, "..")) note(notes, "", "may not be '..'");
    if (strchr(s, '/')) note(notes, "", "may not contain '/'");
    if (strchr(s, '%')) note(notes, "", "may not contain '%'");
}

static bool only(const char *s, const char *others) {
    for (const char *p = s; *p; p++)
        if (!is_alnum(*p) && !strchr(others, *p)) return false;
    return *s != 0;
}

static void check_config_key(struct notes *notes, const char *s) {
    if (strlen(s) > LIMIT_NAME_BYTES) note(notes, "", "must be no more than 253 characters");
    if (!only(s, "-._")) note(notes, "", CONFIG_KEY_MESSAGE);
    check_dots(notes, s);
}

static void check_env(struct notes *notes, const char *s) {
    if (!*s) note(notes, "", "environment variable name must be non-empty");
    for (const char *p = s; *p; p++)
        if (*p < ' ' || *p > '~' || *p == '=') {
            note(notes, "", ENV_MESSAGE);
            break;
        }
}

static void check_port(struct notes *notes, const char *s) {
    size_t n = strlen(s), letters = 0;
    bool charset = n > 0;
    for (size_t i = 0; i < n; i++) {
        letters += is_lower(s[i]);
        charset &= is_lower_alnum(s[i]) || s[i] == '-';
    }
    if (n > 15) note(notes, "", "must be no more than 15 characters");
    if (!charset)
        note(notes, "", "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)");
    if (!letters) note(notes, "", "must contain at least one letter (a-z)");
    if (strstr(s, "--")) note(notes, "", "must not contain consecutive hyphens");
    if (n && (s[0] == '-' || s[n - 1] == '-'))
        note(notes, "", "must not begin or end with a hyphen");
}

static void check_http_header(struct notes *notes, const char *s) {
    if (!only(s, "-")) note(notes, "", HTTP_HEADER_MESSAGE);
}

static void check_wildcard(struct notes *notes, const char *s) {
    size_t n = strlen(s);
    if (n > LIMIT_NAME_BYTES) note(notes, "", "must be no more than 253 characters");
    if (!str_starts(s, "*.") || !is_subdomain(slice_from(s + 2, n - 2)))
        note(notes, "", WILDCARD_MESSAGE);
}

static void (*const rules[NAME_RULE_COUNT])(struct notes *notes, const char *s) = {
    [NAME_DNS_LABEL] = check_label,
    [NAME_DNS_SUBDOMAIN] = check_subdomain,
    [NAME_DNS_1035_LABEL] = check_1035,
    [NAME_QUALIFIED] = check_qualified,
    [NAME_LABEL_VALUE] = check_label_value,
    [NAME_PATH_SEGMENT] = check_path_segment,
    [NAME_CONFIG_KEY] = check_config_key,
    [NAME_ENV] = check_env,
    [NAME_PORT] = check_port,
    [NAME_HTTP_HEADER] = check_http_header,
    [NAME_WILDCARD_SUBDOMAIN] = check_wildcard,
};

size_t name_messages(struct arena *a, enum name_rule rule, const char *s,
                     const char *ret[NAME_MESSAGES_MAX]) {
    struct notes notes = {a, ret, 0};
    rules[rule](&notes, s ? s : "");
    return notes.n;
}
