/* Formats of strings (OpenAPI's, as upstream knows them). */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "api/custom/schema.h"
#include "base/own.h"
#include "base/times.h"

static bool digits(struct slice s, size_t from, size_t n) {
    if (from + n > s.n) return false;
    for (size_t i = from; i < from + n; i++)
        if (s.p[i] < '0' || s.p[i] > '9') return false;
    return true;
}

static bool all_of(struct slice s, const char *set) {
    for (size_t i = 0; i < s.n; i++)
        if (!s.p[i] || !strchr(set, s.p[i])) return false;
    return true;
}

#define HEX "0123456789abcdefABCDEF"
#define ALNUM "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

static bool is_date(struct slice s) {
    static const int days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (s.n != 10 || s.p[4] != '-' || s.p[7] != '-') return false;
    if (!digits(s, 0, 4) || !digits(s, 5, 2) || !digits(s, 8, 2)) return false;
    int month = (s.p[5] - '0') * 10 + s.p[6] - '0', day = (s.p[8] - '0') * 10 + s.p[9] - '0';
    return month >= 1 && month <= 12 && day >= 1 && day <= days[month - 1];
}

static bool is_date_time(struct slice s) {
    int64_t ns;
    char text[64] = "";
    if (s.n < 11 || s.n >= sizeof text) return false;
    memcpy(text, s.p, s.n);
    if (text[10] == 't' || text[10] == ' ') text[10] = 'T';
    return is_date(slice_from(s.p, 10)) && time_parse(text, &ns) == 0;
}

static bool is_address(int family, struct slice s) {
    unsigned char out[16];
    char text[64] = "";
    if (s.n >= sizeof text) return false;
    memcpy(text, s.p, s.n);
    return inet_pton(family, text, out) == 1;
}

static bool is_ipv4(struct slice s) { return is_address(AF_INET, s); }
static bool is_ipv6(struct slice s) { return is_address(AF_INET6, s); }

static bool is_cidr(struct slice s) {
    struct slice rest = s, head = {0};
    uint64_t bits;
    slice_cut(&rest, '/', &head);
    if (!rest.p || slice_u64(rest, &bits) < 0) return false;
    return (is_ipv4(head) && bits <= 32) || (is_ipv6(head) && bits <= 128);
}

static bool is_mac(struct slice s) {
    if (s.n != 17) return false;
    for (size_t i = 0; i < s.n; i++) {
        bool separator = i % 3 == 2;
        if (separator ? s.p[i] != s.p[2] : !all_of(slice_from(s.p + i, 1), HEX)) return false;
    }
    return s.p[2] == ':' || s.p[2] == '-';
}

static bool is_uuid(struct slice s) {
    static const unsigned char places[] = {8, 13, 18, 23};
    size_t at = 0;
    if (s.n == 32) return all_of(s, HEX);
    if (s.n != 36) return false;
    for (size_t i = 0; i < s.n; i++) {
        if (at < sizeof places && i == places[at]) {
            at++;
            if (s.p[i] != '-') return false;
        } else if (!all_of(slice_from(s.p + i, 1), HEX)) {
            return false;
        }
    }
    return true;
}

static bool is_hostname(struct slice s) {
    struct slice left = s, label;
    if (!s.n || s.n > 255) return false;
    while (slice_cut(&left, '.', &label)) {
        if (!label.n || label.n > 63 || label.p[0] == '-' || label.p[label.n - 1] == '-')
            return false;
        if (!all_of(label, ALNUM "-")) return false;
    }
    return true;
}

static bool is_email(struct slice s) {
    const char *at = s.n ? memrchr(s.p, '@', s.n) : NULL;
    if (!at || at == s.p) return false;
    size_t n = (size_t)(at - s.p);
    return is_hostname(slice_from(at + 1, s.n - n - 1)) && !memchr(s.p, ' ', n);
}

static bool is_uri(struct slice s) {
    struct slice rest = s, scheme = {0};
    slice_cut(&rest, ':', &scheme);
    if (s.n && s.p[0] == '/') return !memchr(s.p, ' ', s.n);
    if (!rest.p || !scheme.n || !all_of(scheme, ALNUM "+-.")) return false;
    return !memchr(s.p, ' ', s.n) && !(scheme.p[0] >= '0' && scheme.p[0] <= '9');
}

static bool is_byte(struct slice s) {
    OWN(buf_done) struct buf b = {0};
    return buf_unbase64(&b, s) == 0;
}

/* Go's durations ("1h30m") and upstream's "3 days". */
static bool is_duration(struct slice s) {
    static const char *const units[] = {"ns",      "us",     "µs",      "ms",    "s",     "sec",
                                        "m",       "min",    "h",       "hr",    "d",     "hours",
                                        "days",    "day",    "w",       "week",  "weeks", "hour",
                                        "minutes", "minute", "seconds", "second"};
    size_t i = s.n && (s.p[0] == '-' || s.p[0] == '+'), parts = 0;
    if (slice_is(s, "0")) return true;
    while (i < s.n) {
        size_t from = i, unit;
        while (i < s.n && ((s.p[i] >= '0' && s.p[i] <= '9') || s.p[i] == '.')) i++;
        if (i == from) return false;
        while (i < s.n && s.p[i] == ' ') i++;
        unit = i;
        while (i < s.n && s.p[i] != '.' && s.p[i] != ' ' && !(s.p[i] >= '0' && s.p[i] <= '9')) i++;
        bool known = false;
        for (size_t u = 0; u < ARRAY_LEN(units); u++)
            known = known || slice_is(slice_from(s.p + unit, i - unit), units[u]);
        if (!known) return false;
        parts++;
    }
    return parts > 0;
}

static bool is_object_id(struct slice s) { return s.n == 24 && all_of(s, HEX); }
static bool is_hex_color(struct slice s) {
    return s.n && s.p[0] == '#' && (s.n == 4 || s.n == 7) &&
           all_of(slice_from(s.p + 1, s.n - 1), HEX);
}

bool schema_format_valid(const char *format, struct slice text) {
    static const struct {
        const char *name;
        bool (*valid)(struct slice s);
    } formats[] = {
        {"date", is_date},
        {"date-time", is_date_time},
        {"datetime", is_date_time},
        {"ipv4", is_ipv4},
        {"ipv6", is_ipv6},
        {"cidr", is_cidr},
        {"mac", is_mac},
        {"uuid", is_uuid},
        {"uuid3", is_uuid},
        {"uuid4", is_uuid},
        {"uuid5", is_uuid},
        {"hostname", is_hostname},
        {"email", is_email},
        {"uri", is_uri},
        {"byte", is_byte},
        {"duration", is_duration},
        {"bsonobjectid", is_object_id},
        {"hexcolor", is_hex_color},
    };
    for (size_t i = 0; i < ARRAY_LEN(formats); i++)
        if (str_eq(formats[i].name, format)) return formats[i].valid(text);
    return true;
}
