/* JSON field: the fields that json.* commands may change, by aggregate and name.
 *
 * Threads    const data.
 */
#ifndef WORKFLOWS_JSON_FIELD_H
#define WORKFLOWS_JSON_FIELD_H

#include "workflows/decision.h"

struct json_field
{
    enum aggregate_kind kind;
    const char *name;
    const struct entity *entity; /* the root's */
    size_t offset;               /* of a struct span in its row */
    bool array;                  /* it holds an array, and no command makes it anything else; else an object */
};

/* The field, or NULL when it is not on the list. */
const struct json_field *json_field_find(enum aggregate_kind kind, struct span name);

/* For identify: the aggregate, when the field is on the list. */
bool json_field_identify(struct aggregate aggregate, struct span name, struct arena *arena, struct aggregate *ret,
                         struct span *reterr);

/* The field's present text, or NULL with the refusal made: it names a child row, which belongs to another aggregate. */
const struct span *json_field_read(const struct json_field *field, const struct rows *rows, struct decision *decision);

/* NULL when the value may be the whole of the field, else a sentence. */
const char *json_field_accept(const struct json_field *field, const struct node *value);

/* Sets the field of the decision's aggregate, unless the text is too large or too deep for one. */
void json_field_set(const struct json_field *field, struct rows *rows, struct decision *decision, struct span text);

/* The same where the text differs from the present one, else unchanged. */
void json_field_change(const struct json_field *field, struct rows *rows, struct decision *decision,
                       struct span present, struct span text);

#endif
