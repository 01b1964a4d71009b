/* LimitRange: defaults that follow from its bounds, validation. */
#include <string.h>

#include "api/kinds/kinds.h"
#include "api/values/quantity.h"

/* Containers: what is not said of the default comes from the maximum, and so on. */
static void limitrange_defaults(struct arena *a, void *obj) {
    struct core_v1_limit_range *l = obj;
    for (size_t i = 0; i < l->spec.limits.n; i++) {
        struct core_v1_limit_range_item *item = &l->spec.limits.v[i];
        if (!str_eq(item->type, "Container")) continue;
        str_map_fill(a, &item->default_, &item->max);
        str_map_fill(a, &item->default_request, &item->default_);
        str_map_fill(a, &item->default_request, &item->min);
    }
}

static void names_validate(const struct str_map *map, const char *type, const char *path,
                           struct api_causes *causes) {
    static const char *const compute[] = {"cpu", "memory", "ephemeral-storage", "storage"};
    bool claims = str_eq(type, "PersistentVolumeClaim");
    for (size_t i = 0; i < map->n; i++) {
        const char *name = map->v[i].key, *at = path_of(causes, "%s[%s]", path, name);
        bool known = str_starts(name, "hugepages-") || strchr(name, '/');
        for (size_t j = 0; j < ARRAY_LEN(compute); j++) known |= str_eq(name, compute[j]);
        name_validate(causes, at, NAME_QUALIFIED, name);
        if ((str_eq(type, "Pod") || str_eq(type, "Container")) && !known)
            cause_invalid(causes, at, name, "must be a standard limit type or fully qualified");
        if (claims && !str_eq(name, "storage") && !strchr(name, '/'))
            cause_invalid(causes, at, name, "must be a standard limit type or fully qualified");
    }
}

/* One value must not be greater than another. */
static void order_validate(const struct str_map *small, const struct str_map *large,
                           const char *small_name, const char *large_name, const char *path,
                           struct api_causes *causes) {
    for (size_t i = 0; i < small->n; i++) {
        const char *name = small->v[i].key, *x = str_or(small->v[i].value, "0");
        const char *y = str_map_get(large, name);
        if (y && quantity_cmp(x, y) > 0)
            cause_invalid(causes, path_of(causes, "%s[%s]", path, name), x,
                          path_of(causes, "%s value %s is greater than %s value %s", small_name, x,
                                  large_name, y));
    }
}

static void ratios_validate(const struct core_v1_limit_range_item *item, const char *path,
                            struct api_causes *causes) {
    const struct str_map *ratios = &item->max_limit_request_ratio;
    for (size_t i = 0; i < ratios->n; i++) {
        const char *name = ratios->v[i].key, *ratio = str_or(ratios->v[i].value, "0");
        const char *min = str_map_get(&item->min, name), *max = str_map_get(&item->max, name);
        const char *at = path_of(causes, "%s.maxLimitRequestRatio[%s]", path, name);
        if (quantity_cmp(ratio, "1") < 0)
            cause_invalid(causes, at, ratio, path_of(causes, "ratio %s is less than 1", ratio));
        if (!min || !max || quantity_milli(min) <= 0) continue;
        double most = (double)quantity_milli(max) / (double)quantity_milli(min);
        if ((double)quantity_milli(ratio) / 1000 > most)
            cause_invalid(causes, at, ratio,
                          path_of(causes, "ratio %s is greater than max/min = %f", ratio, most));
    }
}

static void item_validate(const struct core_v1_limit_range_item *item, const char *path,
                          struct api_causes *causes) {
    const struct {
        const char *field;
        const struct str_map *map;
    } maps[] = {{"max", &item->max},
                {"min", &item->min},
                {"default", &item->default_},
                {"defaultRequest", &item->default_request},
                {"maxLimitRequestRatio", &item->max_limit_request_ratio}};
    bool pod = str_eq(item->type, "Pod");
    for (size_t i = 0; i < ARRAY_LEN(maps); i++) {
        const char *at = path_of(causes, "%s.%s", path, maps[i].field);
        if (pod && (i == 2 || i == 3) && maps[i].map->n)
            cause_forbidden(causes, at, "may not be specified when `type` is 'Pod'");
        else
            names_validate(maps[i].map, item->type, at, causes);
    }
    if (str_eq(item->type, "PersistentVolumeClaim") && !str_map_get(&item->min, "storage") &&
        !str_map_get(&item->max, "storage"))
        cause_required(causes, path_of(causes, "%s.limits", path),
                       "either minimum or maximum storage value is required, but neither was "
                       "provided");
    const char *request = path_of(causes, "%s.defaultRequest", path);
    const char *limit = path_of(causes, "%s.default", path);
    order_validate(&item->min, &item->max, "min", "max", path_of(causes, "%s.min", path), causes);
    order_validate(&item->min, &item->default_request, "min", "default request", request, causes);
    order_validate(&item->default_request, &item->max, "default request", "max", request, causes);
    order_validate(&item->default_request, &item->default_, "default request", "default limit",
                   request, causes);
    order_validate(&item->min, &item->default_, "min", "default", limit, causes);
    order_validate(&item->default_, &item->max, "default", "max", limit, causes);
    ratios_validate(item, path, causes);
}

static void limitrange_validate(const void *obj, const void *old, const char *subresource,
                                struct api_causes *causes) {
    const struct core_v1_limit_range *l = obj;
    static const char *const types[] = {"Container", "PersistentVolumeClaim", "Pod"};
    OWN(map_done) struct map seen = {0};
    for (size_t i = 0; i < l->spec.limits.n; i++) {
        const struct core_v1_limit_range_item *item = &l->spec.limits.v[i];
        const char *path = path_of(causes, "spec.limits[%zu]", i);
        const char *type = path_of(causes, "%s.type", path);
        if (!str_empty(item->type) && !strchr(item->type, '/'))
            choice_validate(item->type, types, ARRAY_LEN(types), type, causes);
        else if (!str_empty(item->type))
            name_validate(causes, type, NAME_QUALIFIED, item->type);
        if (!str_empty(item->type) && map_seen(&seen, slice_of(item->type)))
            cause_duplicate(causes, type, item->type);
        item_validate(item, path, causes);
    }
}

static const struct api_column columns[] = {
    COLUMN_NAME,
    {"Created At", "date", "", "When the object was created.", 0},
};

static void limitrange_row(struct arena *a, const void *obj, int64_t now_ns,
                           struct api_cell *cells) {
    const struct core_v1_limit_range *l = obj;
    cells[0] = cell_text(l->metadata.name);
    cells[1] = cell_text(l->metadata.creation_timestamp);
}

static const struct api_behavior limitrange_behavior = {
    .group = "",
    .kind = "LimitRange",
    .defaults = limitrange_defaults,
    .validate = limitrange_validate,
    .columns = columns,
    .n_columns = ARRAY_LEN(columns),
    .row = limitrange_row,
};
API_BEHAVIOR(limitrange_behavior);
