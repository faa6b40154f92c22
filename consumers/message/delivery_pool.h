/* Parcels: deliveries with the bytes of their messages. The bytes are copied out of librdkafka's fetch buffers, because
 * one held message would otherwise keep a whole fetched block (up to 8 MiB) alive: what is in flight is what is
 * counted.
 *
 * Memory is taken in blocks, kept for the next messages, and given back to the system at the end: at 40,000 messages a
 * second malloc and a free on another thread would cost more than the copy.
 *
 * Threads    parcels_make, parcels_copy: the poll thread. parcels_give_back: the publisher.
 * Locks      one, around the list of what was given back; taken once per chain.
 * Ownership  a made delivery belongs to whoever it is handed to, until it is given back.
 * Failure    parcels_make answers NULL when memory is out.
 */
#ifndef CONSUMERS_MESSAGE_DELIVERY_POOL_H
#define CONSUMERS_MESSAGE_DELIVERY_POOL_H

#include "worker/delivery.h"

struct parcels;
struct rd_kafka_message_s;
struct rd_kafka_headers_s;

struct parcels *parcels_new(void);
void parcels_free(struct parcels *parcels); /* everything made must have been given back */

/* Copies a message. Sets the delivery's key, value, offset, lane_hash, times; ownership and sequence are the caller's.
 */
struct delivery *parcels_make(struct parcels *parcels, struct rd_kafka_message_s *message, int64_t now_us);
/* The same from its parts, without offset and times; headers may be NULL. */
struct delivery *parcels_copy(struct parcels *parcels, struct span key, struct span value,
                              const struct rd_kafka_headers_s *headers);

/* Frees the event of every delivery of the chain (by `next`) and takes the parcels back. */
void parcels_give_back(struct parcels *parcels, struct delivery *chain);

/* Bytes of key, value and headers. */
size_t parcel_size(const struct delivery *delivery);
/* The same with the event that answers it, while there is one: what it counts for in in_flight_bytes. */
size_t parcel_bytes(const struct delivery *delivery);
/* Bytes that a message takes besides, whatever its size. */
size_t parcel_room(void);

/* The header with which a parked command comes back (PROTOCOL L4): its token as text. */
#define PARCEL_RETURN_HEADER "interlock.return"

/* Headers, in order; false behind the last one. A null header value has value.at NULL. */
bool parcel_header(const struct delivery *delivery, size_t *cursor, struct span *ret_name, struct span *ret_value);

/* The same of headers as a delivery keeps them, wherever they were kept meanwhile. */
bool parcel_header_of(struct span headers, size_t *cursor, struct span *ret_name, struct span *ret_value);

/* The last header of a name (bytes equal), or a null span. */
struct span parcel_header_last(const struct delivery *delivery, const char *name);

/* The lanes' decode function: envelope_decode on a parcel. */
delivery_decode_fn parcel_decode;

#endif
