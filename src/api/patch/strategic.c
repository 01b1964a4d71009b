/* Works on private copies: the document is changed in place, the patch is used up on the way. */
#include "api/patch/strategic.h"

#include <string.h>

#include "api/patch/patch.h"
#include "api/table.h"
#include "base/limits.h"
#include "base/own.h"

#define PATCH_KEY "$patch"
#define RETAIN_KEY "$retainKeys"
#define ORDER_PREFIX "$setElementOrder/"
#define DELETE_PREFIX "$deleteFromPrimitiveList/"

/* What the schema says about one field. An unknown field has no type: objects merge by key, lists
 * are replaced. */
struct merge_rule {
    const struct api_type *type; /* of the value, or of a list's elements */
    bool merge;                  /* a list that is merged */
    bool replace;                /* an object that is replaced */
    const char *key;             /* merge key of a list of objects; NULL for primitives */
};

static struct merge_rule rule_of(const struct api_type *type, const char *name) {
    struct merge_rule rule = {0};
    const struct api_field *f = type ? api_field_find(type, slice_of(name), NULL) : NULL;
    if (!f) return rule;
    rule.type = f->type;
    rule.merge = f->flags & API_MERGE;
    rule.replace = f->flags & API_REPLACE;
    rule.key = f->merge_key;
    return rule;
}

static int merge_map(const struct api_type *type, json_t *original, json_t *patch, struct err *err);

static bool is_directive(const char *key) {
    return strcmp(key, PATCH_KEY) == 0 || strcmp(key, RETAIN_KEY) == 0 ||
           str_starts(key, ORDER_PREFIX) || str_starts(key, DELETE_PREFIX);
}

static const char *patch_directive(const json_t *v) {
    return json_is_object(v) ? json_string_value(json_object_get(v, PATCH_KEY)) : NULL;
}

/* A part of the patch that meets nothing in the document: nulls and directives go. */
static void settle(json_t *v) {
    json_t *item;
    if (json_is_object(v)) {
        const char *key;
        void *next;
        json_object_foreach_safe(v, next, key, item) {
            if (json_is_null(item) || is_directive(key))
                json_object_del(v, key);
            else
                settle(item);
        }
        return;
    }
    for (size_t i = json_array_size(v); i-- > 0;) {
        item = json_array_get(v, i);
        if (patch_directive(item))
            json_array_remove(v, i);
        else
            settle(item);
    }
}

/* Merging is quadratic in the length of the lists. */
static int lists_check(const json_t *x, const json_t *y, struct err *err) {
    if (json_array_size(x) + json_array_size(y) <= LIMIT_PATCH_LIST_ITEMS) return 0;
    return err_set(err, ERR_TOO_LARGE, "lists of more than %d items cannot be merged",
                   LIMIT_PATCH_LIST_ITEMS);
}

/* Elements are the same when their merge keys are, or without a key when they are equal. */
static bool same(const json_t *x, const json_t *y, const char *key) {
    if (!key) return json_equal(x, y);
    const json_t *p = json_object_get(x, key), *q = json_object_get(y, key);
    return p && q && json_equal(p, q);
}

static ssize_t list_find(const json_t *list, const json_t *item, const char *key) {
    size_t n = json_array_size(list);
    for (size_t i = 0; i < n; i++)
        if (same(json_array_get(list, i), item, key)) return (ssize_t)i;
    return -1;
}

/* Puts `list` into the order of `order`; elements that are not there follow in their own order.
 * Returns a new list. */
static json_t *list_sort(const json_t *list, const json_t *order, const char *key) {
    json_t *sorted = json_array(), *item;
    size_t i;
    json_array_foreach(order, i, item) {
        ssize_t at = list_find(list, item, key);
        if (at >= 0 && list_find(sorted, item, key) < 0)
            json_array_append(sorted, json_array_get(list, (size_t)at));
    }
    json_array_foreach(list, i, item) {
        if (list_find(sorted, item, key) < 0) json_array_append(sorted, item);
    }
    return sorted;
}

/*
 * The order of a merged list: what the patch names stands in the patch's order, what only the
 * server has keeps its order, and the two are interleaved so that a server-only element stays in
 * front of an element that it stood in front of before.
 */
static json_t *list_order(const json_t *merged, const json_t *wanted, const json_t *before,
                          const char *key) {
    OWN(json_decref_p) json_t *named = json_array();
    OWN(json_decref_p) json_t *others = json_array();
    json_t *item, *result = json_array();
    size_t i;
    json_array_foreach(merged, i, item) {
        json_array_append(list_find(wanted, item, key) >= 0 ? named : others, item);
    }
    OWN(json_decref_p) json_t *left = list_sort(others, before, key);
    OWN(json_decref_p) json_t *right = list_sort(named, wanted, key);
    size_t l = 0, r = 0, left_n = json_array_size(left), right_n = json_array_size(right);
    while (l < left_n || r < right_n) {
        bool take_left = r == right_n;
        if (l < left_n && r < right_n) {
            ssize_t li = list_find(before, json_array_get(left, l), key);
            ssize_t ri = list_find(before, json_array_get(right, r), key);
            take_left = li >= 0 && ri >= 0 && li < ri;
        }
        json_array_append(result,
                          take_left ? json_array_get(left, l++) : json_array_get(right, r++));
    }
    return result;
}

/* Takes {"$patch": …} elements out of the patch and does what they say. *replace: the rest of the
 * patch is the whole list. */
static int list_directives(json_t *original, json_t *patch, const char *key, bool *replace,
                           struct err *err) {
    *replace = false;
    for (size_t i = 0; i < json_array_size(patch);) {
        json_t *item = json_array_get(patch, i);
        const char *directive = patch_directive(item);
        if (!directive) {
            i++;
            continue;
        }
        if (strcmp(directive, "replace") == 0)
            *replace = true;
        else if (strcmp(directive, "delete") == 0) {
            if (!json_object_get(item, key))
                return err_set(err, ERR_BAD_REQUEST,
                               "delete patch type with no merge key \"%s\" defined", key);
            for (ssize_t at; (at = list_find(original, item, key)) >= 0;)
                json_array_remove(original, (size_t)at);
        } else
            return err_set(err, ERR_BAD_REQUEST, "unsupported %s in a list: \"%s\"", PATCH_KEY,
                           directive);
        json_array_remove(patch, i);
    }
    return 0;
}

static int list_merge_objects(const struct merge_rule *rule, json_t *original, json_t *patch,
                              struct err *err) {
    size_t i;
    json_t *item;
    json_array_foreach(patch, i, item) {
        if (!json_is_object(item) || !json_object_get(item, rule->key))
            return err_set(err, ERR_BAD_REQUEST, "map: %s does not contain declared merge key: %s",
                           json_is_object(item) ? "an element" : "an element of another type",
                           rule->key);
        ssize_t at = list_find(original, item, rule->key);
        if (at >= 0) {
            int r = merge_map(rule->type, json_array_get(original, (size_t)at), item, err);
            if (r < 0) return r;
            continue;
        }
        json_t *copy = json_deep_copy(item);
        settle(copy);
        json_array_append_new(original, copy);
    }
    return 0;
}

/* Merges a list into the document's list, in place. */
static int merge_list(const struct merge_rule *rule, json_t *original, json_t *patch,
                      struct err *err) {
    OWN(json_decref_p) json_t *before = json_copy(original);
    const char *key = rule->key;
    size_t i;
    json_t *item;
    int r = lists_check(original, patch, err);
    if (r < 0) return r;
    if (key) {
        bool replace;
        r = list_directives(original, patch, key, &replace, err);
        if (r < 0) return r;
        if (replace) {
            settle(patch);
            json_array_clear(original);
            return json_array_extend(original, patch);
        }
        r = list_merge_objects(rule, original, patch, err);
        if (r < 0) return r;
    } else {
        json_array_foreach(patch, i, item) {
            if (json_is_object(item) || json_is_array(item))
                return err_set(err, ERR_BAD_REQUEST, "a list of primitives got an object or list");
            if (list_find(original, item, NULL) < 0) json_array_append(original, item);
        }
    }
    OWN(json_decref_p) json_t *ordered = list_order(original, patch, before, key);
    json_array_clear(original);
    return json_array_extend(original, ordered);
}

/* $setElementOrder/FIELD: merges FIELD of the patch, then puts the result into that order. */
static int apply_order(const struct api_type *type, json_t *original, json_t *patch,
                       const char *field, const json_t *order, struct err *err) {
    if (!json_is_array(order))
        return err_set(err, ERR_BAD_REQUEST, ORDER_PREFIX "%s is not a list", field);
    struct merge_rule rule = rule_of(type, field);
    json_t *list = json_object_get(original, field), *change = json_object_get(patch, field);
    if ((list && !json_is_array(list)) || (change && !json_is_array(change))) return 0;
    size_t i;
    json_t *item;
    int r = lists_check(list, order, err);
    if (r == 0) r = lists_check(change, order, err);
    if (r < 0) return r;
    json_array_foreach(change, i, item) {
        if (!patch_directive(item) && list_find(order, item, rule.key) < 0)
            return err_set(err, ERR_BAD_REQUEST,
                           "The order in patch list of %s doesn't match " ORDER_PREFIX "%s", field,
                           field);
    }
    if (!list && !change) return 0;
    OWN(json_decref_p) json_t *before = list ? json_copy(list) : json_array();
    if (!list) {
        list = json_array();
        json_object_set_new(original, field, list);
    }
    if (change && rule.merge) {
        r = merge_list(&rule, list, change, err);
        if (r < 0) return r;
    } else if (change) {
        settle(change);
        json_array_clear(list);
        json_array_extend(list, change);
    }
    json_object_set_new(original, field, list_order(list, order, before, rule.key));
    json_object_del(patch, field);
    return 0;
}

static int apply_orders(const struct api_type *type, json_t *original, json_t *patch,
                        struct err *err) {
    const char *key;
    json_t *v;
    OWN(json_decref_p) json_t *fields = json_copy(patch); /* patch loses fields meanwhile */
    json_object_foreach(fields, key, v) {
        if (!str_starts(key, ORDER_PREFIX)) continue;
        int r = apply_order(type, original, patch, key + strlen(ORDER_PREFIX), v, err);
        if (r < 0) return r;
        json_object_del(patch, key);
    }
    return 0;
}

/* $retainKeys: of the document only these stay; the patch may not set others. */
static int apply_retain(json_t *original, json_t *patch, struct err *err) {
    OWN(json_decref_p) json_t *keep = json_incref(json_object_get(patch, RETAIN_KEY));
    if (!keep) return 0;
    json_object_del(patch, RETAIN_KEY);
    const char *key;
    void *next;
    json_t *v;
    if (!json_is_array(keep)) return err_set(err, ERR_BAD_REQUEST, RETAIN_KEY " is not a list");
    json_object_foreach(patch, key, v) {
        OWN(json_decref_p) json_t *name = json_string(key);
        if (!json_is_null(v) && !is_directive(key) && list_find(keep, name, NULL) < 0)
            return err_set(err, ERR_BAD_REQUEST, RETAIN_KEY " does not name the key \"%s\"", key);
    }
    json_object_foreach_safe(original, next, key, v) {
        OWN(json_decref_p) json_t *name = json_string(key);
        if (list_find(keep, name, NULL) < 0) json_object_del(original, key);
    }
    return 0;
}

static int apply_primitive_deletes(json_t *original, const char *field, const json_t *values,
                                   struct err *err) {
    json_t *list = json_object_get(original, field);
    if (!json_is_array(values))
        return err_set(err, ERR_BAD_REQUEST, DELETE_PREFIX "%s is not a list", field);
    for (size_t i = json_array_size(list); i-- > 0;)
        if (list_find(values, json_array_get(list, i), NULL) >= 0) json_array_remove(list, i);
    return 0;
}

static int merge_field(const struct api_type *type, json_t *original, const char *key, json_t *v,
                       struct err *err) {
    json_t *at = json_object_get(original, key);
    struct merge_rule rule = rule_of(type, key);
    if (json_is_object(at) && json_is_object(v) && !rule.replace)
        return merge_map(rule.type, at, v, err);
    if (json_is_array(at) && json_is_array(v) && rule.merge) return merge_list(&rule, at, v, err);
    settle(v);
    return json_object_set(original, key, v);
}

/* $patch in an object. *done: nothing else is to be merged. */
static int apply_directive(json_t *original, json_t *patch, bool *done, struct err *err) {
    json_t *directive = json_object_get(patch, PATCH_KEY);
    *done = false;
    if (!directive) return 0;
    const char *name = json_string_value(directive);
    bool replace = name && strcmp(name, "replace") == 0;
    if (!name || (!replace && strcmp(name, "delete") != 0 && strcmp(name, "merge") != 0))
        return err_set(err, ERR_BAD_REQUEST, "Unknown patch type found: \"%s\"", name ? name : "");
    *done = strcmp(name, "merge") != 0;
    json_object_del(patch, PATCH_KEY);
    if (*done) json_object_clear(original);
    if (!replace) return 0;
    settle(patch);
    return json_object_update(original, patch);
}

static int merge_map(const struct api_type *type, json_t *original, json_t *patch,
                     struct err *err) {
    bool done;
    int r = apply_directive(original, patch, &done, err);
    if (r < 0 || done) return r;
    r = apply_retain(original, patch, err);
    if (r == 0) r = apply_orders(type, original, patch, err);
    if (r < 0) return r;
    const char *key;
    void *next;
    json_t *v;
    json_object_foreach_safe(patch, next, key, v) {
        if (str_starts(key, DELETE_PREFIX))
            r = apply_primitive_deletes(original, key + strlen(DELETE_PREFIX), v, err);
        else if (json_is_null(v))
            json_object_del(original, key);
        else
            r = merge_field(type, original, key, v, err);
        if (r < 0) return err_wrap(err, "%s", key);
    }
    return 0;
}

int patch_strategic(const struct api_type *type, json_t *doc, const json_t *patch, json_t **ret,
                    struct err *err) {
    if (!json_is_object(doc) || !json_is_object(patch))
        return err_set(err, ERR_BAD_REQUEST, "Invalid JSON document");
    if (json_depth(patch, LIMIT_JSON_DEPTH) > LIMIT_JSON_DEPTH)
        return err_set(err, ERR_BAD_REQUEST, "a patch may nest at most %d levels",
                       LIMIT_JSON_DEPTH);
    OWN(json_decref_p) json_t *result = json_deep_copy(doc);
    OWN(json_decref_p) json_t *change = json_deep_copy(patch);
    if (!result || !change) abort();
    int r = merge_map(type, result, change, err);
    if (r < 0) return r;
    *ret = TAKE(result);
    return 0;
}
