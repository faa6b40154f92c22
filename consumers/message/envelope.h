/* Envelope: a Kafka message's bytes turned into a command: CloudEvents 1.0, structured or binary (CONTRACT.md).
 *
 * Threads    any; keeps no state (digests: see worker/base/digest.h).
 * Ownership  the command's spans point into the message or the arena; both must outlive it.
 * Failure    PROTOCOL R2: with identity and type readable, any other fault is a refusal in the command, and gets
 *            an event; without them, and for size, depth, duplicate keys and encoding, the message is dead, and the
 *            reason is one of a fixed list. Out of memory is neither: DECODE_MEMORY, try again.
 */
#ifndef CONSUMERS_MESSAGE_ENVELOPE_H
#define CONSUMERS_MESSAGE_ENVELOPE_H

#include "consumers/message/envelope_source.h"
#include "worker/delivery.h"

/* `ret_message` gets a sentence for people when the message is dead. Dead reasons: tombstone, too_large, too_deep,
 * duplicate_key, bad_encoding, not_json, not_an_object, not_a_cloudevent, missing_id, missing_source, missing_type,
 * id_too_long, source_too_long, type_too_long. */
enum decode_result envelope_decode(const struct envelope_source *source, struct arena *arena, struct command *ret,
                                   const char **ret_dead_reason, char *ret_message, size_t message_size);

/* PROTOCOL L1: of the Kafka key; without one, of `subject`; without one, of source and id. Only a message without a
 * key is parsed for it. */
uint64_t envelope_lane_hash(const struct envelope_source *source);

#endif
