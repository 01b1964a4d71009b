/*
 * Request bodies in protobuf as the JSON they stand for, by the field numbers in the type tables.
 * Some clients (kubectl create, client-go's typed clients) send nothing else. Envelope: "k8s\0" and
 * a runtime.Unknown message (apimachinery pkg/runtime/serializer/protobuf). Answers stay JSON:
 * those clients accept it.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

/* Appends the JSON. 400 for anything malformed, 415 for a kind that the tables do not have. */
int protobuf_to_json(struct slice body, struct buf *out, struct err *err);
