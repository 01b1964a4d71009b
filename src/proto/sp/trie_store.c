#include "proto/sp/trie_store.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "base/own.h"

/* Arrays grow by an eighth: what stands empty counts as well, and the kernel moves large ones by
 * their page tables. */
static void *grow(struct sp_trie *t, void *p, uint32_t *cap, uint32_t need, size_t size) {
    if (need <= *cap) return p;
    size_t want = MAX_OF((size_t)*cap + *cap / 8 + 8, (size_t)need);
    void *grown = want > UINT32_MAX ? NULL : realloc(p, want * size);
    if (!grown) abort();
    t->bytes += (want - *cap) * size;
    *cap = (uint32_t)want;
    return grown;
}

/* The two large arrays move to addresses of their own once they are large, where huge pages hold
 * them (a match touches a dozen places, and most of its time was spent looking up their pages) and
 * where they grow without moving. */
enum { HUGE_PAGE = 2 << 20, HUGE_FROM = 4 * HUGE_PAGE, RESERVE_FACTOR = 16 };

static void *reserve(size_t bytes) {
    char *p = mmap(NULL, bytes + HUGE_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);
    if (p == MAP_FAILED) return NULL;
    size_t before = (HUGE_PAGE - (uintptr_t)p % HUGE_PAGE) % HUGE_PAGE;
    if (before) munmap(p, before);
    munmap(p + before + bytes, HUGE_PAGE - before);
    madvise(p + before, bytes, MADV_HUGEPAGE);
    return p + before;
}

static void array_free(void *p, size_t reserved) {
    if (reserved)
        munmap(p, reserved);
    else
        free(p);
}

static size_t huge_pages(size_t bytes) { return (bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE; }

static void *grow_large(struct sp_trie *t, void *p, size_t *reserved, uint32_t *cap, uint32_t need,
                        size_t size) {
    size_t old = *cap * size;
    if (need <= *cap || need * size < HUGE_FROM) return grow(t, p, cap, need, size);
    size_t want = huge_pages(MAX_OF(need * size, old + old / 16));
    if (want > *reserved) {
        size_t room = RESERVE_FACTOR * want;
        char *fresh = reserve(room);
        if (!fresh || mprotect(fresh, want, PROT_READ | PROT_WRITE) < 0) abort();
        if (old) memcpy(fresh, p, old);
        array_free(p, *reserved);
        p = fresh;
        *reserved = room;
    } else if (mprotect(p, want, PROT_READ | PROT_WRITE) < 0) {
        abort();
    }
    t->bytes += want / size * size - old;
    *cap = (uint32_t)(want / size);
    return p;
}

size_t trie_growth(size_t need, uint32_t cap, size_t size) {
    if (need <= cap) return 0;
    size_t more = (need - cap + cap / 8 + 8) * size;
    return need * size < HUGE_FROM ? more : more + HUGE_PAGE;
}

void trie_arrays_free(struct sp_trie *t) {
    array_free(t->nodes, t->nodes_reserved);
    array_free(t->words, t->words_reserved);
}

/* ---- Nodes ---- */

uint32_t trie_node_new(struct sp_trie *t, uint32_t parent, const void *label, size_t label_n) {
    uint32_t id = t->free_node;
    if (id) {
        t->free_node = t->nodes[id].parent;
    } else {
        t->nodes = grow_large(t, t->nodes, &t->nodes_reserved, &t->nodes_cap, t->nodes_n + 1,
                              sizeof *t->nodes);
        id = t->nodes_n++;
    }
    t->nodes[id] = (struct trie_node){.parent = parent, .label_n = (uint8_t)label_n};
    if (label_n) memcpy(t->nodes[id].label, label, label_n);
    return id;
}

void trie_node_free(struct sp_trie *t, uint32_t node) {
    t->nodes[node] = (struct trie_node){.parent = t->free_node};
    t->free_node = node;
}

/* ---- Blocks: the bytes of all children, ascending, then their indices; the largest is a table of
 * 256 indices ---- */

static const uint16_t block_caps[TRIE_BLOCK_CLASSES] = {2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 256};
enum { TABLE_CLASS = TRIE_BLOCK_CLASSES - 1, SORTED_MAX = 64 };

static unsigned block_class(unsigned n) {
    unsigned c = 0;
    while (block_caps[c] < n) c++;
    return c;
}
static uint32_t key_words(unsigned class) {
    return class == TABLE_CLASS ? 0 : (block_caps[class] + 3u) / 4;
}
static uint32_t block_words(unsigned class) { return key_words(class) + block_caps[class]; }

static uint32_t block_new(struct sp_trie *t, unsigned class) {
    uint32_t at = t->free_block[class];
    if (at) {
        t->free_block[class] = t->words[at];
    } else {
        if (t->words_n == 0) t->words_n = 1; /* 0 means none */
        at = t->words_n;
        uint32_t words = block_words(class);
        t->words = grow_large(t, t->words, &t->words_reserved, &t->words_cap, at + words,
                              sizeof *t->words);
        t->words_n += words;
    }
    memset(t->words + at, 0, block_words(class) * sizeof *t->words);
    return at;
}

static void block_free(struct sp_trie *t, unsigned class, uint32_t at) {
    t->words[at] = t->free_block[class];
    t->free_block[class] = at;
}

/* Where the byte stands in a sorted block, or would stand. */
static unsigned key_place(const uint8_t *keys, unsigned n, uint8_t byte) {
    unsigned i = 0;
    while (i < n && keys[i] < byte) i++;
    return i;
}

/* The place that holds the child's index; NULL: no such child. */
static uint32_t *child_place(const struct sp_trie *t, const struct trie_node *node, uint8_t byte) {
    if (node->n_children > SORTED_MAX) {
        uint32_t *place = t->words + node->children + byte;
        return *place ? place : NULL;
    }
    uint32_t *block = t->words + node->children;
    const uint8_t *found = memchr(block, byte, node->n_children);
    if (!found) return NULL;
    return block + key_words(block_class(node->n_children)) + (found - (const uint8_t *)block);
}

uint32_t trie_child(const struct sp_trie *t, const struct trie_node *node, uint8_t byte) {
    if (node->n_children == 0) return 0;
    if (node->n_children == 1)
        return t->nodes[node->children].label[0] == byte ? node->children : 0;
    const uint32_t *place = child_place(t, node, byte);
    return place ? *place : 0;
}

uint32_t trie_child_after(const struct sp_trie *t, const struct trie_node *node, int byte) {
    if (node->n_children == 0) return 0;
    if (node->n_children == 1) return t->nodes[node->children].label[0] > byte ? node->children : 0;
    const uint32_t *block = t->words + node->children;
    if (node->n_children > SORTED_MAX) {
        for (int i = byte + 1; i < 256; i++)
            if (block[i]) return block[i];
        return 0;
    }
    unsigned i = 0;
    const uint8_t *keys = (const uint8_t *)block;
    while (i < node->n_children && keys[i] <= byte) i++;
    return i < node->n_children ? block[key_words(block_class(node->n_children)) + i] : 0;
}

/* Children as a plain list, to move them from one size of block to another. */
struct children {
    uint8_t keys[256];
    uint32_t refs[256];
    unsigned n;
};

static void children_take(struct sp_trie *t, const struct trie_node *node, struct children *ret) {
    ret->n = node->n_children;
    if (ret->n == 0) return;
    if (ret->n == 1) {
        ret->keys[0] = t->nodes[node->children].label[0];
        ret->refs[0] = node->children;
        return;
    }
    unsigned class = block_class(ret->n);
    const uint32_t *block = t->words + node->children;
    if (class == TABLE_CLASS) {
        for (unsigned i = 0, k = 0; i < 256; i++)
            if (block[i]) {
                ret->keys[k] = (uint8_t)i;
                ret->refs[k++] = block[i];
            }
    } else {
        memcpy(ret->keys, block, ret->n);
        memcpy(ret->refs, block + key_words(class), ret->n * sizeof *block);
    }
    block_free(t, class, node->children);
}

static void children_put(struct sp_trie *t, uint32_t id, const struct children *c) {
    uint32_t at = c->n == 0 ? 0 : c->refs[0];
    if (c->n > 1) {
        unsigned class = block_class(c->n);
        at = block_new(t, class);
        uint32_t *block = t->words + at;
        if (class == TABLE_CLASS) {
            for (unsigned i = 0; i < c->n; i++) block[c->keys[i]] = c->refs[i];
        } else {
            memcpy(block, c->keys, c->n);
            memcpy(block + key_words(class), c->refs, c->n * sizeof *block);
        }
    }
    t->nodes[id].children = at;
    t->nodes[id].n_children = (uint16_t)c->n;
}

void trie_child_add(struct sp_trie *t, uint32_t node, uint8_t byte, uint32_t child) {
    struct trie_node *at = &t->nodes[node];
    if (at->n_children > SORTED_MAX) {
        t->words[at->children + byte] = child;
        at->n_children++;
        return;
    }
    struct children c;
    children_take(t, at, &c);
    unsigned i = key_place(c.keys, c.n, byte);
    memmove(c.keys + i + 1, c.keys + i, c.n - i);
    memmove(c.refs + i + 1, c.refs + i, (c.n - i) * sizeof c.refs[0]);
    c.keys[i] = byte;
    c.refs[i] = child;
    c.n++;
    children_put(t, node, &c);
}

void trie_child_replace(struct sp_trie *t, uint32_t node, uint8_t byte, uint32_t child) {
    struct trie_node *at = &t->nodes[node];
    if (at->n_children == 1) {
        at->children = child;
        return;
    }
    uint32_t *place = child_place(t, at, byte);
    if (place) *place = child;
}

void trie_child_remove(struct sp_trie *t, uint32_t node, uint8_t byte) {
    struct trie_node *at = &t->nodes[node];
    if (at->n_children > SORTED_MAX + 1) {
        t->words[at->children + byte] = 0;
        at->n_children--;
        return;
    }
    struct children c;
    children_take(t, at, &c);
    unsigned i = key_place(c.keys, c.n, byte);
    c.n--;
    memmove(c.keys + i, c.keys + i + 1, c.n - i);
    memmove(c.refs + i, c.refs + i + 1, (c.n - i) * sizeof c.refs[0]);
    children_put(t, node, &c);
}

/* ---- Sets ---- */

static struct trie_list *list_of(const struct sp_trie *t, uint32_t set) {
    return t->lists[set & ~TRIE_SET_LIST];
}

static uint32_t list_place(const struct trie_list *l, uint32_t subscriber) {
    uint32_t low = 0, high = l->n;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (l->v[middle] < subscriber)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

size_t trie_set_view(const struct sp_trie *t, uint32_t set, uint32_t *one, const uint32_t **ret) {
    if (set & TRIE_SET_LIST) {
        *ret = list_of(t, set)->v;
        return list_of(t, set)->n;
    }
    if (set) *one = set - 1;
    *ret = one;
    return set ? 1 : 0;
}

bool trie_set_has(const struct sp_trie *t, uint32_t set, uint32_t subscriber) {
    if (!(set & TRIE_SET_LIST)) return set == subscriber + 1;
    const struct trie_list *l = list_of(t, set);
    uint32_t at = list_place(l, subscriber);
    return at < l->n && l->v[at] == subscriber;
}

static size_t list_bytes(uint32_t cap) { return sizeof(struct trie_list) + cap * sizeof(uint32_t); }

static struct trie_list *list_resize(struct sp_trie *t, struct trie_list *l, uint32_t cap) {
    t->bytes -= l ? list_bytes(l->cap) : 0;
    t->bytes += list_bytes(cap);
    struct trie_list *grown = realloc(l, list_bytes(cap));
    if (!grown) abort();
    if (!l) grown->n = 0;
    grown->cap = cap;
    return grown;
}

static uint32_t list_new(struct sp_trie *t, uint32_t subscriber) {
    uint32_t at;
    if (t->free_lists_n) {
        at = t->free_lists[--t->free_lists_n];
    } else {
        t->lists = grow(t, t->lists, &t->lists_cap, t->lists_n + 1, sizeof *t->lists);
        at = t->lists_n++;
    }
    t->lists[at] = list_resize(t, NULL, 2);
    t->lists[at]->v[t->lists[at]->n++] = subscriber;
    return at | TRIE_SET_LIST;
}

bool trie_set_add(struct sp_trie *t, uint32_t *set, uint32_t subscriber) {
    if (trie_set_has(t, *set, subscriber)) return false;
    if (*set == 0) {
        *set = subscriber + 1;
        return true;
    }
    if (!(*set & TRIE_SET_LIST)) *set = list_new(t, *set - 1);
    struct trie_list *l = list_of(t, *set);
    if (l->n == l->cap)
        l = t->lists[*set & ~TRIE_SET_LIST] = list_resize(t, l, l->cap + l->cap / 2 + 1);
    uint32_t at = list_place(l, subscriber);
    memmove(l->v + at + 1, l->v + at, (l->n - at) * sizeof l->v[0]);
    l->v[at] = subscriber;
    l->n++;
    return true;
}

bool trie_set_remove(struct sp_trie *t, uint32_t *set, uint32_t subscriber) {
    if (!trie_set_has(t, *set, subscriber)) return false;
    if (!(*set & TRIE_SET_LIST)) {
        *set = 0;
        return true;
    }
    struct trie_list *l = list_of(t, *set);
    uint32_t at = list_place(l, subscriber), index = *set & ~TRIE_SET_LIST;
    l->n--;
    memmove(l->v + at, l->v + at + 1, (l->n - at) * sizeof l->v[0]);
    if (l->n == 1) {
        *set = l->v[0] + 1;
        t->bytes -= list_bytes(l->cap);
        free(l);
        t->lists[index] = NULL;
        t->free_lists =
            grow(t, t->free_lists, &t->free_lists_cap, t->free_lists_n + 1, sizeof *t->free_lists);
        t->free_lists[t->free_lists_n++] = index;
    } else if (l->n < l->cap / 4) {
        t->lists[index] = list_resize(t, l, l->cap / 2);
    }
    return true;
}

/* ---- Subscribers ---- */

void trie_subscriber_need(struct sp_trie *t, uint32_t subscriber) {
    uint32_t before = t->subscribers_n;
    if (subscriber < before) return;
    t->subscribers =
        grow(t, t->subscribers, &t->subscribers_n, subscriber + 1, sizeof *t->subscribers);
    memset(t->subscribers + before, 0, (t->subscribers_n - before) * sizeof *t->subscribers);
}

static int compare_u32(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Nodes that the subscriber has left meanwhile go, and those that stand there twice. */
static void forget_stale(struct sp_trie *t, uint32_t subscriber) {
    struct trie_subscriber *s = &t->subscribers[subscriber];
    qsort(s->nodes, s->n, sizeof *s->nodes, compare_u32);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        uint32_t node = s->nodes[i];
        if (kept > 0 && s->nodes[kept - 1] == node) continue;
        if (trie_set_has(t, t->nodes[node].set, subscriber)) s->nodes[kept++] = node;
    }
    s->n = kept;
}

void trie_subscriber_joined(struct sp_trie *t, uint32_t subscriber, uint32_t node) {
    struct trie_subscriber *s = &t->subscribers[subscriber];
    if (s->n == s->cap && s->n > 2 * s->count + 8) forget_stale(t, subscriber);
    s->nodes = grow(t, s->nodes, &s->cap, s->n + 1, sizeof *s->nodes);
    s->nodes[s->n++] = node;
    s->count++;
}
