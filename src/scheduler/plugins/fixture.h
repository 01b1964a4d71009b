/* Tests of plugins: snapshots made of JSON. */
#pragma once

#include "base/own.h"
#include "base/test.h"
#include "scheduler/place/plugin.h"
#include "scheduler/place/profiles.h"

/* Any object of sources.h, of which only that is read which its source keeps, or a Node; with
 * apiVersion and kind. */
void given(struct snapshot *s, const char *json);
/* A node of 4 CPUs, 8 GiB; labels and more end or begin with a comma, or are "". */
void given_node(struct snapshot *s, const char *name, const char *labels, const char *more);
/* A pod that runs there. */
void given_pod(struct snapshot *s, const char *uid, const char *json, const char *node);
/* The node it gets, or why none. Its uid is "new". */
void expect_placed(struct snapshot *s, const char *json, const char *want);
/* Configures; abort when it is wrong. Freed by fixture_done. */
void given_profiles(struct snapshot *s, const char *yaml);
/* What is said of a wrong configuration: "field: text". */
void expect_wrong(const char *yaml, const char *want);
void fixture_done(struct snapshot *s);

#define CLAIMING(name, claim)                                                                      \
    "{\"metadata\":{\"name\":\"" name "\",\"namespace\":\"d\"},\"spec\":{\"containers\":[{"        \
    "\"name\":\"c\"}],\"volumes\":[{\"name\":\"v\",\"persistentVolumeClaim\":{\"claimName\":"      \
    "\"" claim "\"}}]}}"
