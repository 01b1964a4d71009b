/*
 * What the rules of a schema can cost (KEP-2876): bounds of sizes from the schema and from how much
 * one request can carry, and the limits of a rule and of a definition.
 */
#pragma once

#include "api/custom/custom.h"

/* Of one rule at all the places where it may run; of all rules of one schema. */
#define RULES_COST_RULE_MAX 10000000.0
#define RULES_COST_SCHEMA_MAX 100000000.0

/* The most bytes of a text, elements of a list or map that an object can have there; 0: the schema
 * says nothing about the size of such values. */
uint64_t rules_size_max(const struct schema *s);
/* How many values of s one request can carry. */
double rules_places_max(const struct schema *s);
/* "COST exceeds budget by factor of …", as upstream words it. cost is named, as in "estimated rule
 * cost". */
const char *rules_cost_text(struct arena *a, const char *name, double cost, double max);
