/* Limits of what a command's data may hold, each named once. A value beyond one is refused with invalid_data; a JSON
 * field that would grow beyond its own with too_large.
 */
#ifndef WORKFLOWS_MODEL_LIMITS_H
#define WORKFLOWS_MODEL_LIMITS_H

enum
{
    WORD_SIZE_MAX = 128,        /* categories, actions, authors, JSON keys: bytes; they are indexed or shown in lists */
    TEXT_SIZE_MAX = 16 * 1024,  /* comments, remarks */
    INT32_LIMIT = 2147483647,   /* of integer columns */
    BULK_MAX = 500,             /* aggregates in one command: PROTOCOL B7 */
    CHECKPOINTS_MAX = 500,      /* of one jobneed in one command */
    JOB_CHILDREN_MAX = 5000,    /* checkpoints and geofence assignments of one job: a command on one loads them all */
    EMBEDDINGS_MAX = 5000,      /* of one face user: a command on one loads them all, without their vectors */
    JSON_FIELD_MAX = 64 * 1024, /* bytes of one JSON field in its shortest form (document/text.h) */
    JSON_LENGTH_MAX = 10 * 1000, /* elements that json.append keeps at most */
    JSON_DEPTH_MAX = 32,         /* objects and arrays in one another in a JSON field */
    JSON_OPERATIONS_MAX = 100,   /* of one json.apply */
    JSON_PATH_MAX = 1024,        /* bytes of a JSON pointer */
};

#endif
