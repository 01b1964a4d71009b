/*
 * Which fields an object has, and which of them differ between two: walks over canonical JSON by
 * its shape. Identity (apiVersion, kind, metadata.name, …) is never part of a set.
 */
#pragma once

#include "api/managed/fields.h"
#include "api/managed/shape.h"

/* Which part of an object a write is about; the rest is not looked at. */
enum fields_part {
    FIELDS_ALL,
    FIELDS_MAIN,        /* all but status */
    FIELDS_STATUS,      /* status, labels and annotations */
    FIELDS_STATUS_ONLY, /* status: of custom resources */
};

/* Differences of an ordinary write: changed has what is new or different, removed the topmost
 * places of what is gone. */
void fields_compare(struct arena *a, struct shape shape, enum fields_part part, struct slice before,
                    struct slice after, struct fields *ret_changed, struct fields *ret_removed);

/* The fields of an applied configuration. 400 when it does not fit the shape. */
int fields_of_config(struct arena *a, struct shape shape, enum fields_part part, struct slice json,
                     struct fields *ret, struct err *err);

/* The fields of an object that is stored; what does not fit the shape is left out. */
void fields_of_object(struct arena *a, struct shape shape, struct slice json, struct fields *ret);

/* Text of the keys of a list item, as in k:…; false when it has none of them. */
bool fields_item_key(struct arena *a, struct shape list, struct slice item, struct slice *ret);
