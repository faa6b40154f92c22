/* Face: models and embeddings as they are looked at, the counters of their use, and the log of verifications. Counters
 * commute: they are added to, never read (PROTOCOL B8).
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

struct face_embedding_row
{
    struct field_int id, user_id, model_id;
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

#endif
