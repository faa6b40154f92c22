/* Face: users with their embeddings, at most one of them primary per model; models as they are looked at; the counters
 * of their use, and the log of verifications. Counters commute: they are added to, never read (PROTOCOL B8).
 *
 * Threads    const data.
 */
#ifndef WORKFLOWS_FACE_FACE_H
#define WORKFLOWS_FACE_FACE_H

#include "workflows/decision.h"

struct face_model_row
{
    struct field_int id;
    int name;
};

struct face_user_row /* the root of an aggregate; its embeddings are the children */
{
    struct field_int id, version, created_at, modified_at;
    struct span modified_by;
};

struct face_embedding_row
{
    struct field_int id, user_id, model_id, created_at, modified_at;
    struct field_number confidence; /* null, as the vector, in rows from before embeddings had one */
    bool is_primary, validated;
    struct span modified_by;
    const float *vector; /* of new rows only: it is never loaded */
};

struct face_counter_row /* of a model, of an embedding */
{
    struct field_int id, verification_count, successful_verifications, last_used;
};

struct face_verification_log_row
{
    struct field_int id, model_id, embedding_id, user_id, verified_at;
    int result;
};

/* Marks the user as changed, which raises its version. The row is made when this is the first change. */
void face_user_touch(struct rows *rows, int64_t user_id);

#endif
