/* Describe: what can be sent and what comes back, printed from the tables that decode it: JSON Schema 2020-12,
 * AsyncAPI 3.0, and a list of types.
 *
 * Threads    no state.
 * Ownership  the caller's buffer; a schema is one JSON text without white space, and without a newline at its end.
 * Failure    out of memory shows in buffer_failed.
 */
#ifndef WORKFLOWS_DESCRIBE_DESCRIBE_H
#define WORKFLOWS_DESCRIBE_DESCRIBE_H

#include "workflows/base/buffer.h"

/* The schema of a command of one type, or, for a null span, of all types and the audit event: $defs has one entry a
 * type, "interlock.audit" for the event, "interlock.operator" for an act of an operator, and the root takes any command. False: there is no such type. */
bool describe_json_schema(struct span type, struct buffer *into);

/* AsyncAPI 3.0: the command topics (one name, or several separated by commas), the audit topic, and the dead letters.
 * The pattern of dead letter topics follows the command topics: `dlq_topic` is one name or several likewise. */
void describe_asyncapi(const char *commands_topic, const char *audit_topic, const char *dlq_topic, struct buffer *into);

/* The types with what they do, their operation and parameters. JSON: an array of objects {type, description, operation,
 * creates, bulk, expectedversion, parameters: [{name, kind, required, description}]}; else lines for people. */
void describe_types(bool json, struct buffer *into);

#endif
