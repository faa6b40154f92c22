/* Delivery pool: deliveries with the bytes of their messages. The bytes are copied out of librdkafka's fetch buffers,
 * because one held message would otherwise keep a whole fetched block (up to 8 MiB) alive: what is in flight is what is
 * counted.
 *
 * Memory is taken in blocks, kept for the next messages, and given back to the system at the end: at 40,000 messages a
 * second malloc and a free on another thread would cost more than the copy.
 *
 * Threads    delivery_pool_make, delivery_pool_copy: the poll thread. delivery_pool_give_back: the publisher.
 * Locks      one, around the list of what was given back; taken once per chain.
 * Ownership  a made delivery belongs to the thread that it is handed to, until it is given back.
 * Failure    delivery_pool_make answers NULL when memory is out.
 */
#ifndef CONSUMERS_MESSAGE_DELIVERY_POOL_H
#define CONSUMERS_MESSAGE_DELIVERY_POOL_H

#include "worker/delivery.h"

struct delivery_pool;
struct rd_kafka_message_s;
struct rd_kafka_headers_s;

struct delivery_pool *delivery_pool_new(void);
void delivery_pool_free(struct delivery_pool *delivery_pool); /* everything made must have been given back */

/* Copies a message. Sets the delivery's key, value, offset, lane_hash, times; ownership and sequence are the caller's.
 */
struct delivery *delivery_pool_make(struct delivery_pool *delivery_pool, struct rd_kafka_message_s *message,
                                    int64_t now_us);
/* The same from its parts, without offset and times; headers may be NULL. */
struct delivery *delivery_pool_copy(struct delivery_pool *delivery_pool, struct span key, struct span value,
                                    const struct rd_kafka_headers_s *headers);

/* Frees the event of every delivery of the chain (by `next`) and takes the delivery pool back. */
void delivery_pool_give_back(struct delivery_pool *delivery_pool, struct delivery *chain);

/* Bytes of key, value and headers. */
size_t delivery_size(const struct delivery *delivery);
/* The same with the event that answers it, while there is one: what it counts for in in_flight_bytes. */
size_t delivery_bytes(const struct delivery *delivery);
/* Bytes that a message of any size takes besides. */
size_t delivery_room(void);

/* The header with which a parked command comes back (PROTOCOL L4): its token as text. */
#define DELIVERY_RETURN_HEADER "interlock.return"
/* Behind it, of one that was a dead letter: the times it was redriven (workflows/describe/dead_letter_headers.h), and
 * that it comes back without having been tried. */
#define DELIVERY_UNTRIED_HEADER "interlock.untried"

/* Headers, in order; false after the last one. A null header value has value.at NULL. */
bool delivery_header(const struct delivery *delivery, size_t *cursor, struct span *ret_name, struct span *ret_value);

/* The same of headers as a delivery keeps them, wherever they were kept meanwhile. */
bool delivery_header_of(struct span headers, size_t *cursor, struct span *ret_name, struct span *ret_value);

/* The last header of a name (bytes equal), or a null span. */
struct span delivery_header_last(const struct delivery *delivery, const char *name);

/* The lanes' decode function: envelope_decode on a delivery. */
delivery_decode_fn delivery_decode;

#endif
