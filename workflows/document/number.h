/* Document number: the text of a JSON number to an integer or a double, and to the one text that all numbers of its
 * value have. Private to document.c and workflows/document/canonical.c.
 *
 * Threads    no state.
 * Failure    0, and the failure says why (its position is left to the caller).
 */
#ifndef WORKFLOWS_DOCUMENT_NUMBER_H
#define WORKFLOWS_DOCUMENT_NUMBER_H

#include "workflows/document/node.h"

/* Fills kind and value of the node from the number at the start of `text`; returns its length. */
size_t document_number_parse(struct arena *arena, struct span text, struct node *node, struct document_failure *reterr);

/* Prints the number exactly, in one way for each value: 1.0, 10e-1 and 1 are 1, and 9007199254740993 stays what it is.
 * (Numbers with an exponent beyond 10^15 are printed as written.) Returns whether that is how it is written. */
bool document_number_print(struct span text, struct buffer *into);

#endif
