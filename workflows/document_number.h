/* Document number: the text of a JSON number to an integer or a double. Private to document.c.
 *
 * Threads    no state.
 * Failure    0, and the failure says why (its position is left to the caller).
 */
#ifndef WORKFLOWS_DOCUMENT_NUMBER_H
#define WORKFLOWS_DOCUMENT_NUMBER_H

#include "workflows/document.h"

/* Fills kind and value of the node from the number at the start of `text`; returns its length. */
size_t document_number_parse(struct arena *arena, struct span text, struct node *node, struct document_failure *reterr);

#endif
