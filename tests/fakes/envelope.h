/* Shared by the tests of the envelope: a registry of three types, messages without Kafka, and assertions about the
 * result. The registry replaces the real one, so that these tests do not move with the workflows.
 *
 * Threads    one: the test.
 */
#ifndef TESTS_FAKES_ENVELOPE_H
#define TESTS_FAKES_ENVELOPE_H

#include "consumers/message/envelope.h"
#include "workflows/workflow.h"

struct thing
{
    struct field_int thing_id, level;
};

extern const struct workflow envelope_change; /* "thing.change"; "thing.bulk" and "thing.count" are the others */

struct header
{
    const char *name;
    struct span value;
};

struct message
{
    struct span key, value;
    struct header headers[16]; /* ends with name NULL */
};

struct decoded
{
    enum decode_result result;
    struct command command;
    const char *dead_reason;
    char dead_message[160];
};

extern struct arena envelope_arena;

int envelope_setup(void **state);
int envelope_teardown(void **state);

/* The beginning and the end of a good command in structured mode. */
#define HEAD "{\"specversion\":\"1.0\",\"id\":\"c-1\",\"source\":\"/helpdesk\",\"type\":\"thing.change\""
#define DATA ",\"data\":{\"thing_id\":42}}"

extern const char envelope_full[]; /* with every attribute */

/* A message in binary mode with every attribute, and changes to it. */
struct message envelope_binary(const char *data);
void envelope_set_header(struct message *message, const char *name, struct span value);
void envelope_drop_header(struct message *message, const char *name);

/* For struct envelope_source; the owner is a struct message. */
bool envelope_find_header(void *owner, const char *name, struct span *ret_value);
bool envelope_next_header(void *owner, size_t *cursor, struct span *ret_name, struct span *ret_value);

struct decoded envelope_decode_message(const struct message *message);
struct decoded envelope_decode_text(const char *value);

void assert_good(const struct decoded *decoded);
void assert_dead(const struct decoded *decoded, const char *reason);
void assert_refused(const struct decoded *decoded, enum reason reason, const char *pointer);
void assert_text_refused(const char *value, const char *pointer);
void assert_text_dead(const char *value, const char *reason);

#endif
