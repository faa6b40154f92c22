/* Describe schemas: the bodies of the schemas that JSON Schema and AsyncAPI share. Private to describe.c.
 *
 * Threads    no state.
 * Failure    out of memory shows in buffer_failed.
 */
#ifndef WORKFLOWS_DESCRIBE_SCHEMAS_H
#define WORKFLOWS_DESCRIBE_SCHEMAS_H

#include "workflows/workflow.h"

/* The members of a schema object without its braces, so that the caller may put "$schema" in front. */
void describe_add_command(const struct workflow *workflow, struct buffer *into);
void describe_add_event(struct buffer *into);
void describe_add_operator_event(struct buffer *into);

/* An object schema with its braces. */
void describe_add_dead_letter_headers(struct buffer *into);

#endif
