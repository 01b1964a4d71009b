/* What the tests of kinds share. Single quotes in documents stand for double ones. */
#pragma once

#include "api/registry.h"
#include "api/values/names.h"
#include "base/own.h"
#include "base/test.h"

#define TEST_NOW_NS 1700000000000000000LL /* 2023-11-14T22:13:20Z */

/* "v1 Pod": decodes strictly and applies all defaults. */
struct api_object *test_load(struct arena *a, const char *api_version, const char *kind,
                             const char *json);
/* All causes as "field: message" lines, sorted as they were found. */
const char *test_causes(struct arena *a, const char *api_version, const char *kind,
                        const struct api_object *o, const struct api_object *old);
struct validation {
    const char *api_version, *kind, *json, *causes;
};
/* Each has just these causes when it is made. */
void test_validations(const struct validation *cases, size_t n);
/* The cells of the object's row, joined by "|". */
const char *test_row(struct arena *a, const char *api_version, const char *kind,
                     const struct api_object *o);
