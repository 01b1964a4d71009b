/* Sorting of decoded maps by key, so that equal objects have equal bytes. */
#include <string.h>

#include "api/codec/codec.h"

static const char *key_at(const char *v, size_t i, size_t size) {
    return *(const char *const *)(v + i * size);
}

/* Merges two sorted neighbours of `from` into `to`; stable. */
static void merge(const char *from, char *to, size_t low, size_t mid, size_t high, size_t size) {
    size_t i = low, j = mid;
    for (size_t k = low; k < high; k++) {
        bool left =
            i < mid && (j >= high || strcmp(key_at(from, i, size), key_at(from, j, size)) <= 0);
        memcpy(to + k * size, from + (left ? i++ : j++) * size, size);
    }
}

static void merge_sort(struct arena *a, struct api_list *map, size_t size) {
    char *from = map->v, *to = arena_array(a, map->n, size);
    for (size_t width = 1; width < map->n; width *= 2) {
        for (size_t low = 0; low < map->n; low += 2 * width) {
            size_t mid = low + width < map->n ? low + width : map->n;
            size_t high = low + 2 * width < map->n ? low + 2 * width : map->n;
            merge(from, to, low, mid, high, size);
        }
        char *swap = from;
        from = to;
        to = swap;
    }
    map->v = from;
}

void map_sort(struct arena *a, struct api_list *map, size_t pair_size,
              void (*on_duplicate)(void *user, const char *key), void *user) {
    bool ascending = true;
    for (size_t i = 1; i < map->n && ascending; i++)
        ascending = strcmp(key_at(map->v, i - 1, pair_size), key_at(map->v, i, pair_size)) < 0;
    if (ascending) return;
    merge_sort(a, map, pair_size);
    size_t kept = 0;
    char *v = map->v;
    for (size_t i = 0; i < map->n; i++) {
        const char *key = key_at(v, i, pair_size);
        if (kept && strcmp(key_at(v, kept - 1, pair_size), key) == 0) {
            if (on_duplicate) on_duplicate(user, key);
            kept--;
        }
        if (kept != i) memcpy(v + kept * pair_size, v + i * pair_size, pair_size);
        kept++;
    }
    map->n = kept;
}
