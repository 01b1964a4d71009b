/*
 * Private to the subscription trie: its packed arrays of nodes, child blocks and sets of
 * subscribers. Everything is named by an index, since arrays move when they grow; an index 0 means
 * none (node 0 is the root and nobody's child).
 */
#pragma once

#include "proto/sp/trie.h"

enum { TRIE_LABEL_BYTES = 9, TRIE_BLOCK_CLASSES = 12 };

/* 24 bytes. The label is the piece of the prefix between the parent and here; longer pieces are
 * chains of nodes. */
struct trie_node {
    uint32_t set;      /* see trie_set_… */
    uint32_t parent;   /* of a free node: the next free one */
    uint32_t children; /* one child: its index; more: a block */
    uint16_t n_children;
    uint8_t label_n; /* at least 1 but at the root */
    uint8_t label[TRIE_LABEL_BYTES];
};

struct trie_list { /* of subscribers, ascending */
    uint32_t n, cap;
    uint32_t v[];
};

struct trie_subscriber {
    uint32_t *nodes; /* where it subscribed; holds nodes that it has left since, too */
    uint32_t n, cap;
    uint32_t count; /* live subscriptions */
    uint32_t mark;  /* the last match that took it */
};

struct sp_trie {
    struct trie_node *nodes;
    uint32_t nodes_n, nodes_cap, free_node;
    size_t nodes_reserved; /* bytes of addresses; 0: on the heap */
    uint32_t *words;       /* child blocks */
    uint32_t words_n, words_cap, free_block[TRIE_BLOCK_CLASSES];
    size_t words_reserved;
    struct trie_list **lists;
    uint32_t lists_n, lists_cap;
    uint32_t *free_lists; /* unused places of `lists` */
    uint32_t free_lists_n, free_lists_cap;
    struct trie_subscriber *subscribers;
    uint32_t subscribers_n;
    uint32_t *found; /* the result of a match that met several sets */
    size_t found_n, found_cap;
    uint32_t one, mark;
    size_t bytes, limit_bytes, subscriptions, prefixes;
};

/* ---- Nodes and their children ---- */

void trie_arrays_free(struct sp_trie *t); /* of nodes and blocks */
/* At most so many bytes more are held when an array is to have room for `need`. */
size_t trie_growth(size_t need, uint32_t cap, size_t size);

uint32_t trie_node_new(struct sp_trie *t, uint32_t parent, const void *label, size_t label_n);
void trie_node_free(struct sp_trie *t, uint32_t node);
uint32_t trie_child(const struct sp_trie *t, const struct trie_node *node, uint8_t byte);
uint32_t trie_child_after(const struct sp_trie *t, const struct trie_node *node, int byte);
void trie_child_add(struct sp_trie *t, uint32_t node, uint8_t byte, uint32_t child);
void trie_child_replace(struct sp_trie *t, uint32_t node, uint8_t byte, uint32_t child);
void trie_child_remove(struct sp_trie *t, uint32_t node, uint8_t byte);

/* ---- Sets: 0 is the empty one, below TRIE_SET_LIST one subscriber + 1, else a list ---- */

#define TRIE_SET_LIST UINT32_C(0x80000000)
bool trie_set_has(const struct sp_trie *t, uint32_t set, uint32_t subscriber);
bool trie_set_add(struct sp_trie *t, uint32_t *set, uint32_t subscriber); /* false: was there */
bool trie_set_remove(struct sp_trie *t, uint32_t *set, uint32_t subscriber);
/* *one gets a single subscriber; the result is valid until the set changes. */
size_t trie_set_view(const struct sp_trie *t, uint32_t set, uint32_t *one, const uint32_t **ret);

/* ---- Subscribers ---- */

void trie_subscriber_need(struct sp_trie *t, uint32_t subscriber); /* there is a row for it */
void trie_subscriber_joined(struct sp_trie *t, uint32_t subscriber, uint32_t node);
