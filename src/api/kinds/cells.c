/* Table cells as kubectl users know them. */
#include <arpa/inet.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "api/kinds/kinds.h"
#include "base/times.h"

struct api_cell cell_text(const char *s) {
    return (struct api_cell){.kind = CELL_STRING, .s = s ? s : ""};
}

struct api_cell cell_or_none(const char *s) {
    return cell_text(str_or(s, NONE_TEXT));
}

struct api_cell cell_int(int64_t i) {
    return (struct api_cell){.kind = CELL_INT, .i = i};
}

struct api_cell cell_age(struct arena *a, const struct meta_v1_object_meta *meta, int64_t now_ns) {
    return cell_text(time_since(a, meta->creation_timestamp, now_ns));
}

/* "3m20s": two units, the second one left out when zero. */
static const char *two_units(struct arena *a, int64_t big, char big_unit, int64_t small,
                             char small_unit) {
    if (small == 0) return arena_printf(a, "%" PRId64 "%c", big, big_unit);
    return arena_printf(a, "%" PRId64 "%c%" PRId64 "%c", big, big_unit, small, small_unit);
}

const char *human_duration(struct arena *a, int64_t duration_ns) {
    int64_t seconds = duration_ns / 1000000000;
    if (seconds < -1) return "<invalid>";
    if (duration_ns < 0) return "0s";
    int64_t minutes = seconds / 60, hours = minutes / 60, days = hours / 24;
    if (seconds < 120) return two_units(a, seconds, 's', 0, 0);
    if (minutes < 10) return two_units(a, minutes, 'm', seconds % 60, 's');
    if (minutes < 180) return two_units(a, minutes, 'm', 0, 0);
    if (hours < 8) return two_units(a, hours, 'h', minutes % 60, 'm');
    if (hours < 48) return two_units(a, hours, 'h', 0, 0);
    if (days < 8) return two_units(a, days, 'd', hours % 24, 'h');
    if (days < 365 * 2) return two_units(a, days, 'd', 0, 0);
    if (days < 365 * 8) return two_units(a, days / 365, 'y', days % 365, 'd');
    return two_units(a, days / 365, 'y', 0, 0);
}

const char *time_since(struct arena *a, const char *timestamp, int64_t now_ns) {
    int64_t at;
    if (str_empty(timestamp) || time_parse(timestamp, &at) < 0) return UNKNOWN_TEXT;
    return human_duration(a, now_ns - at);
}

void text_join(struct buf *text, const char *sep, const char *more) {
    if (text->p) buf_str(text, sep);
    buf_str(text, more);
}

const char *text_copy(struct arena *a, const struct buf *text, const char *empty) {
    return text->p ? arena_strn(a, buf_view(text)) : empty;
}

const char *labels_text(struct arena *a, const struct str_map *labels) {
    OWN(buf_done) struct buf text = {0};
    for (size_t i = 0; i < labels->n; i++)
        text_join(&text, ",",
                  arena_printf(a, "%s=%s", labels->v[i].key, str_or(labels->v[i].value, "")));
    return text_copy(a, &text, NONE_TEXT);
}

static const char *requirement_text(struct arena *a,
                                    const struct meta_v1_label_selector_requirement *r) {
    if (str_eq(r->operator, "Exists")) return str_or(r->key, "");
    if (str_eq(r->operator, "DoesNotExist")) return arena_printf(a, "!%s", str_or(r->key, ""));
    OWN(buf_done) struct buf values = {0};
    for (size_t i = 0; i < r->values.n; i++) text_join(&values, ",", str_or(r->values.v[i], ""));
    return arena_printf(a, "%s %s (%s)", str_or(r->key, ""),
                        str_eq(r->operator, "In") ? "in" : "notin", text_copy(a, &values, ""));
}

const char *label_selector_text(struct arena *a, const struct meta_v1_label_selector *selector) {
    if (!selector || (selector->match_labels.n == 0 && selector->match_expressions.n == 0))
        return NONE_TEXT;
    OWN(buf_done) struct buf text = {0};
    if (selector->match_labels.n) text_join(&text, ",", labels_text(a, &selector->match_labels));
    for (size_t i = 0; i < selector->match_expressions.n; i++)
        text_join(&text, ",", requirement_text(a, &selector->match_expressions.v[i]));
    return text_copy(a, &text, "");
}

const char *container_names_text(struct arena *a, const struct core_v1_pod_spec *spec) {
    OWN(buf_done) struct buf text = {0};
    for (size_t i = 0; i < spec->containers.n; i++)
        text_join(&text, ",", str_or(spec->containers.v[i].name, ""));
    return text_copy(a, &text, "");
}

const char *container_images_text(struct arena *a, const struct core_v1_pod_spec *spec) {
    OWN(buf_done) struct buf text = {0};
    for (size_t i = 0; i < spec->containers.n; i++)
        text_join(&text, ",", str_or(spec->containers.v[i].image, ""));
    return text_copy(a, &text, "");
}

bool ip_is_v4(const char *s) {
    struct in_addr v4;
    return s && inet_pton(AF_INET, s, &v4) == 1;
}

bool ip_valid(const char *s) {
    struct in6_addr v6;
    return ip_is_v4(s) || (s && inet_pton(AF_INET6, s, &v6) == 1);
}

const char *path_of(struct api_causes *causes, const char *fmt, ...) {
    if (causes->path_bytes > LIMIT_PATHS_BYTES) return "";
    va_list ap;
    va_start(ap, fmt);
    const char *text = arena_vprintf(causes->a, fmt, ap);
    va_end(ap);
    causes->path_bytes += strlen(text) + 1;
    if (causes->path_bytes > LIMIT_PATHS_BYTES)
        cause_printf(causes, "FieldValueTooMany", text,
                     "Too many: the paths of all fields are longer than %d bytes",
                     LIMIT_PATHS_BYTES);
    return text;
}
