#include "workflows/workflow.h"

static const struct aggregate none = { AGGREGATE_NONE, { 0, 0 } };

/* The smallest id of an array; 0: there is none. */
static int64_t smallest_id(const struct document *document, const struct node *array)
{
    int64_t smallest = 0;
    for (const struct node *child = document_first(document, array); child;
         child = document_next(document, array, child))
    {
        if (child->kind == NODE_INTEGER && child->integer > 0 && (smallest == 0 || child->integer < smallest))
            smallest = child->integer;
    }
    return smallest;
}

static struct aggregate read_aggregate(const struct document *document, enum aggregate_kind kind,
                                       const struct node *node)
{
    struct aggregate aggregate = { kind, id_of(0) };
    if (kind == AGGREGATE_NONE)
        return node->kind == NODE_STRING && aggregate_parse(node->text, &aggregate) ? aggregate : none;
    if (aggregate_has_uuid(kind))
        return node->kind == NODE_STRING && id_parse_uuid(node->text, &aggregate.id) ? aggregate : none;
    int64_t id = node->kind == NODE_INTEGER ? node->integer
                 : node->kind == NODE_ARRAY ? smallest_id(document, node)
                                            : 0;
    aggregate.id = id_of(id);
    return id > 0 ? aggregate : none;
}

struct aggregate workflow_named_aggregate(const struct workflow *workflow, const struct document *document,
                                          const struct node *data)
{
    const struct workflow_naming *named = &workflow->named;
    if (data->kind != NODE_OBJECT || !named->member)
        return none;
    const struct node *node = document_member(document, data, named->member);
    if ((!node || node->kind == NODE_NULL) && named->otherwise)
        node = document_member(document, data, named->otherwise);
    return node ? read_aggregate(document, named->kind, node) : none;
}
