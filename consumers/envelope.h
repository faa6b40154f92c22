/* Envelope: a Kafka message's bytes turned into a command: CloudEvents 1.0, structured or binary (DESIGN.md 4).
 *
 * Threads    any; keeps no state (digests: see worker/digest.h).
 * Ownership  the command's spans point into the message or the arena; both must outlive it.
 * Failure    PROTOCOL R2: with identity and type readable, whatever else is wrong is a refusal in the command, and gets
 *            an event; without them, and for size, depth, duplicate keys and encoding, the message is dead, and the
 *            reason is one of a fixed list. Out of memory is neither: DECODE_MEMORY, try again.
 */
#ifndef CONSUMERS_ENVELOPE_H
#define CONSUMERS_ENVELOPE_H

#include "worker/delivery.h"

/* What is read of a message; no Kafka in it, so that every case can be tested without one. */
struct envelope_source
{
    struct span key, value; /* null: none */
    /* `header` NULL: the message has no headers, and neither function is called. The last header of that name; false:
     * there is none. */
    bool (*header)(void *owner, const char *name, struct span *ret_value);
    /* The header at the cursor, which begins at 0 and is moved on; false: there are no more. */
    bool (*next_header)(void *owner, size_t *cursor, struct span *ret_name, struct span *ret_value);
    void *owner;
};

/* `ret_message` gets a sentence for people when the message is dead. Dead reasons: tombstone, too_large, too_deep,
 * duplicate_key, bad_encoding, not_json, not_an_object, not_a_cloudevent, missing_id, missing_source, missing_type,
 * id_too_long, source_too_long, type_too_long. */
enum decode_result envelope_decode(const struct envelope_source *source, struct arena *arena, struct command *ret,
                                   const char **ret_dead_reason, char *ret_message, size_t message_size);

/* PROTOCOL L1: of the Kafka key; without one, of `subject`; without one, of source and id. Only a message without a
 * key is parsed for it. */
uint64_t envelope_lane_hash(const struct envelope_source *source);

#endif
