/*
 * The layout of a type table, for generic code only (codec, patch, OpenAPI, tests); everything else
 * uses the structs of api/types.h. Tables are constant and made by tools/schemac.
 */
#pragma once

#include "api/type.h"

enum api_form {
    API_STRING,
    API_BYTES, /* base64 text */
    API_QUANTITY,
    API_TIME,
    API_MICROTIME,
    API_DURATION,
    API_BOOL,
    API_INT32,
    API_INT64,
    API_DOUBLE,
    API_INT_OR_STRING,
    API_RAW, /* any JSON value, kept as canonical text */
    API_OBJECT
};
/* API_BYTES … API_DURATION are texts too: const char * in C. */
static inline bool api_form_is_text(enum api_form f) { return f <= API_DURATION; }

enum api_shape {
    API_ONE,
    API_LIST,        /* { T *v; size_t n; } */
    API_MAP,         /* str_map, or { struct T_pair *v; size_t n; } for objects */
    API_MAP_OF_LISTS /* str_list_map */
};

enum {                         /* api_field.flags */
       API_POINTER = 1,        /* absent and zero differ */
       API_ALWAYS = 2,         /* written even when zero or empty */
       API_REQUIRED = 4,       /* zero or empty is invalid */
       API_IMMUTABLE = 8,      /* may not change on update */
       API_SECRET = 16,        /* never logged */
       API_ATOMIC = 32,        /* x-kubernetes-list-type / map-type: atomic */
       API_SET = 64,           /* x-kubernetes-list-type: set */
       API_LIST_MAP = 128,     /* x-kubernetes-list-type: map, by list_keys */
       API_MERGE = 256,        /* patch strategy merge, by merge_key (NULL: primitive values) */
       API_REPLACE = 512,      /* patch strategy replace */
       API_RETAIN_KEYS = 1024, /* patch strategy retainKeys */
       API_UNIQUE = 2048,      /* two elements with the same (first) list key are invalid */
       API_EXPECTED = 4096,    /* listed as required in OpenAPI; checked elsewhere, if at all */
       API_INLINE = 8192       /* of API_RAW: all members that no other field names, as JSON text
                                  without braces; the type has API_TYPE_INLINE */
};

/* Formats of strings; what each accepts is what apimachinery's validation accepts. */
enum api_format {
    API_FORMAT_NONE,
    API_FORMAT_DNS1123LABEL,
    API_FORMAT_DNS1123SUBDOMAIN,
    API_FORMAT_DNS1035LABEL,
    API_FORMAT_PATHSEGMENT,
    API_FORMAT_LABELKEY,
    API_FORMAT_LABELS,      /* a str_map: keys and values */
    API_FORMAT_ANNOTATIONS, /* a str_map: keys and total size */
    API_FORMAT_QUALIFIEDNAME,
    API_FORMAT_CONFIGKEY,
    API_FORMAT_CONFIGKEYS, /* a str_map: keys */
    API_FORMAT_PORTNAME,
    API_FORMAT_PORT, /* an int_or_string: number or port name */
    API_FORMAT_ENVNAME,
    API_FORMAT_IP
};

struct api_rule {
    const char *const *enums;
    unsigned n_enums;
    enum api_format format;
    bool has_min, has_max;
    int64_t min, max;
    unsigned max_length;
    const char *pattern; /* POSIX extended regular expression, whole value */
};

struct api_field {
    const char *name; /* as in JSON */
    uint8_t name_n;
    uint8_t form;  /* enum api_form of a value or element */
    uint8_t shape; /* enum api_shape */
    uint16_t flags;
    uint32_t offset;
    const struct api_type *type; /* API_OBJECT only */
    const struct api_rule *rule; /* or NULL */
    const char *default_text;    /* JSON text or bare string; NULL: none. "{}": an empty object */
    const char *merge_key;
    const char *const *list_keys; /* NULL-terminated */
    const char *doc;
    uint16_t number; /* protobuf field number; 0: not on that wire */
    uint16_t embed;  /* protobuf number of the embedded message that number is in; 0: none */
    uint16_t embed2; /* protobuf number, inside that message, of a second one around it; 0: none */
};

enum {                        /* api_type.flags */
       API_TYPE_ATOMIC = 1,   /* x-kubernetes-map-type: atomic */
       API_TYPE_DEFAULTS = 2, /* it, or a type below it, has constant defaults */
       API_TYPE_RULES = 4,    /* it, or a type below it, has something to validate */
       API_TYPE_INLINE = 8    /* one of its fields is API_INLINE */
};

struct api_type {
    const char *name;        /* Pod */
    const char *schema_name; /* io.k8s.api.core.v1.Pod */
    size_t size;
    const struct api_field *fields;
    unsigned n_fields;
    unsigned flags;
    const char *doc;
};

/* Generic views of the lists and maps that the structs hold. */
struct api_list {
    void *v;
    size_t n;
};
enum { API_PAIR_VALUE = sizeof(const char *) }; /* offset of the value in a struct T_pair */

extern const struct api_type *const api_type_table[];
extern const size_t api_type_table_n;
struct api_kind;
extern const struct api_kind *const api_kind_table[];
extern const size_t api_kind_table_n;

/* The field called name, or NULL. hint (may be NULL) is where to look first: the index that
 * follows the last hit, since documents mostly keep the order of the schema. */
const struct api_field *api_field_find(const struct api_type *t, struct slice name, unsigned *hint);

static inline void *api_at(void *obj, const struct api_field *f) { return (char *)obj + f->offset; }
static inline const void *api_at_const(const void *obj, const struct api_field *f) {
    return (const char *)obj + f->offset;
}
/* Bytes of one list element (API_LIST) or pair (API_MAP) of this field. */
size_t api_element_size(const struct api_field *f);
/* One member, shallowly: what it points to is shared. */
void api_field_assign(void *to, const void *from, const struct api_field *f);
