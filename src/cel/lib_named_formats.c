/* format.NAME().validate(text): optional.none(), or what is wrong (KEP-2876's format library). */
#include <string.h>

#include "api/values/names.h"
#include "base/own.h"
#include "base/regex.h"
#include "cel/internal.h"

struct named_format {
    const char *name;
    enum name_rule rule;
    bool prefix; /* a name that the system completes may end with a dash */
    bool (*valid)(struct cel_run *run, struct slice s); /* instead of a rule */
    const char *problem;
};

static bool pattern_matches(struct cel_run *run, const char *pattern, struct slice s) {
    struct regex *re = NULL;
    return regex_compile(run->a, slice_of(pattern), &re, NULL) == 0 && regex_matches(re, s);
}

static bool uuid(struct cel_run *run, struct slice s) {
    return pattern_matches(
        run, "^[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}$",
        s);
}

static bool base64(struct cel_run *run, struct slice s) {
    OWN(buf_done) struct buf b = {0};
    return buf_unbase64(&b, s) == 0;
}

static bool date(struct cel_run *run, struct slice s) {
    int64_t seconds;
    int32_t ns;
    if (s.n != 10) return false;
    const char *full = arena_printf(run->a, "%.*sT00:00:00Z", (int)s.n, s.p);
    return cel_parse_timestamp(slice_of(full), &seconds, &ns);
}

static bool date_time(struct cel_run *run, struct slice s) {
    int64_t seconds;
    int32_t ns;
    return cel_parse_timestamp(s, &seconds, &ns);
}

static bool uri(struct cel_run *run, struct slice s) {
    return pattern_matches(run, "^([a-zA-Z][-a-zA-Z0-9+.]*:[^\\s]+|/[^\\s]*)$", s);
}

static const struct named_format formats[] = {
    {"dns1123Label", NAME_DNS_LABEL, false, NULL, NULL},
    {"dns1123Subdomain", NAME_DNS_SUBDOMAIN, false, NULL, NULL},
    {"dns1035Label", NAME_DNS_1035_LABEL, false, NULL, NULL},
    {"dns1123LabelPrefix", NAME_DNS_LABEL, true, NULL, NULL},
    {"dns1123SubdomainPrefix", NAME_DNS_SUBDOMAIN, true, NULL, NULL},
    {"dns1035LabelPrefix", NAME_DNS_1035_LABEL, true, NULL, NULL},
    {"qualifiedName", NAME_QUALIFIED, false, NULL, NULL},
    {"labelValue", NAME_LABEL_VALUE, false, NULL, NULL},
    {"uri", NAME_DNS_LABEL, false, uri, "does not match the URI format"},
    {"uuid", NAME_DNS_LABEL, false, uuid, "does not match the UUID format"},
    {"byte", NAME_DNS_LABEL, false, base64, "invalid base64"},
    {"date", NAME_DNS_LABEL, false, date, "invalid date"},
    {"datetime", NAME_DNS_LABEL, false, date_time, "invalid datetime"},
};

static const struct named_format *find(struct slice name) {
    for (size_t i = 0; i < ARRAY_LEN(formats); i++)
        if (slice_is(name, formats[i].name)) return &formats[i];
    return NULL;
}

static struct cel_value made(struct cel_run *run, const char *name) {
    struct cel_opaque o = {.kind = CEL_FORMAT, .format = name};
    return cel_opaque(run, &o);
}

static struct cel_value named(struct cel_run *run, const struct cel_value *args) {
    const struct named_format *f = find(cel_slice(args[0]));
    if (!f) return cel_optional(run->a, NULL);
    struct cel_value v = made(run, f->name);
    return cel_optional(run->a, &v);
}

static struct cel_value validate(struct cel_run *run, const struct cel_value *args) {
    const struct named_format *f = find(slice_of(args[0].opaque->format));
    const char *messages[NAME_MESSAGES_MAX];
    struct slice s = cel_slice(args[1]);
    size_t n = 0;
    if (f->valid) {
        messages[0] = f->problem;
        n = !f->valid(run, s);
    } else {
        char *text = arena_strn(run->a, s);
        if (f->prefix && s.n && text[s.n - 1] == '-') text[s.n - 1] = 'a';
        n = memchr(text, 0, s.n) ? 1 : name_messages(run->a, f->rule, text, messages);
        if (memchr(text, 0, s.n)) messages[0] = "must not contain NUL";
    }
    if (n == 0) return cel_optional(run->a, NULL);
    struct cel_value *v = ARENA_ARRAY(run->a, struct cel_value, n);
    for (size_t i = 0; i < n; i++) v[i] = cel_text(messages[i]);
    struct cel_value list = cel_list(run->a, v, n);
    return cel_optional(run->a, &list);
}

#define FORMAT(symbol, name)                                                                       \
    static struct cel_value symbol##_format(struct cel_run *run, const struct cel_value *args) {   \
        return made(run, name);                                                                    \
    }
FORMAT(label, "dns1123Label")
FORMAT(subdomain, "dns1123Subdomain")
FORMAT(label_1035, "dns1035Label")
FORMAT(label_prefix, "dns1123LabelPrefix")
FORMAT(subdomain_prefix, "dns1123SubdomainPrefix")
FORMAT(label_1035_prefix, "dns1035LabelPrefix")
FORMAT(qualified, "qualifiedName")
FORMAT(label_value, "labelValue")
FORMAT(uri, "uri")
FORMAT(uuid, "uuid")
FORMAT(byte, "byte")
FORMAT(date, "date")
FORMAT(datetime, "datetime")

static const struct cel_function functions[] = {
    {"format.named(string) optional<format>", named, COST_ONE},
    {"format.dns1123Label() format", label_format, COST_ONE},
    {"format.dns1123Subdomain() format", subdomain_format, COST_ONE},
    {"format.dns1035Label() format", label_1035_format, COST_ONE},
    {"format.dns1123LabelPrefix() format", label_prefix_format, COST_ONE},
    {"format.dns1123SubdomainPrefix() format", subdomain_prefix_format, COST_ONE},
    {"format.dns1035LabelPrefix() format", label_1035_prefix_format, COST_ONE},
    {"format.qualifiedName() format", qualified_format, COST_ONE},
    {"format.labelValue() format", label_value_format, COST_ONE},
    {"format.uri() format", uri_format, COST_ONE},
    {"format.uuid() format", uuid_format, COST_ONE},
    {"format.byte() format", byte_format, COST_ONE},
    {"format.date() format", date_format, COST_ONE},
    {"format.datetime() format", datetime_format, COST_ONE},
    {"format|validate(string) optional<list<string>>", validate, COST_SIZES},
};
const struct cel_library cel_lib_named_formats = {functions, ARRAY_LEN(functions)};
