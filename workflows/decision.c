#include "workflows/decision.h"

void decision_apply(struct decision *decision)
{
    decision->outcome = OUTCOME_APPLIED;
    decision->reason = REASON_NONE;
}

void decision_leave(struct decision *decision)
{
    decision->outcome = OUTCOME_UNCHANGED;
    decision->reason = REASON_NONE;
}

void decision_refuse(struct decision *decision, enum reason reason)
{
    decision->outcome = OUTCOME_REJECTED;
    decision->reason = reason;
    buffer_clear(&decision->metadata);
}

void decision_refuse_row(struct decision *decision, enum reason reason, const char *key, int64_t id)
{
    decision_refuse(decision, reason);
    decision_add_int(decision, key, id);
}

void decision_refuse_parameter(struct decision *decision, const char *pointer, const char *message)
{
    decision_refuse(decision, REASON_INVALID_DATA);
    decision_add_text(decision, "parameter", span_of(pointer));
    decision_add_text(decision, "message", span_of(message));
}

void decision_refuse_transition(struct decision *decision, const struct machine *machine, int from, int to)
{
    decision_refuse(decision, REASON_INVALID_TRANSITION);
    decision_add_text(decision, "from", names_word(machine->states, from));
    decision_add_text(decision, "to", names_word(machine->states, to));
}

bool decision_pass_transition(struct decision *decision, const struct machine *machine, int from, int to)
{
    enum transition transition = transition_check(machine, from, to);
    if (transition == TRANSITION_REFUSED)
        decision_refuse_transition(decision, machine, from, to);
    else if (transition == TRANSITION_SAME)
        decision_leave(decision);
    return transition == TRANSITION_ALLOWED;
}

/* The object is kept complete: a further member goes in place of the closing brace. */
static struct buffer *begin_member(struct decision *decision, const char *key)
{
    struct buffer *metadata = &decision->metadata;
    if (metadata->size)
        metadata->at[metadata->size - 1] = ',';
    else
        buffer_add_byte(metadata, '{');
    buffer_add_byte(metadata, '"');
    buffer_add_text(metadata, key);
    buffer_add_text(metadata, "\":");
    return metadata;
}

void decision_add_int(struct decision *decision, const char *key, int64_t value)
{
    struct buffer *metadata = begin_member(decision, key);
    buffer_add_int64(metadata, value);
    buffer_add_byte(metadata, '}');
}

void decision_add_text(struct decision *decision, const char *key, struct span text)
{
    struct buffer *metadata = begin_member(decision, key);
    buffer_add_json_string(metadata, text);
    buffer_add_byte(metadata, '}');
}

void decision_add_raw(struct decision *decision, const char *key, struct span json)
{
    struct buffer *metadata = begin_member(decision, key);
    buffer_add_span(metadata, json);
    buffer_add_byte(metadata, '}');
}
