#include "workflows/job/job.h"

#include "workflows/document/text.h"

void jobneed_want_root(const struct command *command, struct rows *rows)
{
    rows_want(rows, &entity_jobneed, command->aggregate.id);
}

const struct jobneed_row *jobneed_read_root(const struct rows *rows, struct decision *decision, int64_t id,
                                            const char *pointer)
{
    const struct jobneed_row *root = rows_read(rows, &entity_jobneed, id_of(id));
    if (!root)
    {
        decision_refuse_row(decision, REASON_NOT_FOUND, pointer + 1, id);
        return NULL;
    }
    if (root->parent_id.set)
    {
        decision_refuse_parameter(decision, pointer, "is a checkpoint: name its parent, or use job.update_checkpoint");
        decision_add_int(decision, "parent_id", root->parent_id.value);
        return NULL;
    }
    return root;
}

static bool is_tour(const struct jobneed_row *jobneed)
{
    return jobneed->identifier == IDENTIFIER_INTERNALTOUR || jobneed->identifier == IDENTIFIER_EXTERNALTOUR;
}

int jobneed_autoclose_checkpoints(struct rows *rows, struct decision *decision, int64_t root_id)
{
    const struct json_member closed = { SPAN_LITERAL("autoclosed_by_server"), SPAN_LITERAL("true") };
    int count = 0;
    for (const struct jobneed_row *child = rows_first_child(rows, &entity_jobneed, id_of(root_id)); child;
         child = rows_next_child(rows, &entity_jobneed, child))
    {
        struct span other_info;
        if (child->status != JOBNEED_ASSIGNED || !is_tour(child))
            continue;
        if (!json_text_merge(decision->arena, child->other_info, &closed, 1, &other_info))
        {
            decision_refuse_parameter(decision, "/jobneed_id", "other_info of a checkpoint is not a JSON object");
            decision_add_int(decision, "checkpoint_id", child->id.value);
            return -1;
        }
        struct jobneed_row *edited = rows_edit(rows, &entity_jobneed, id_of(child->id.value));
        edited->status = JOBNEED_AUTOCLOSED;
        edited->other_info = other_info;
        count++;
    }
    return count;
}
