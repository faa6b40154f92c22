/* Trial: a command's data before the parameter table and the rules across parameters, without rows.
 *
 * Ownership  what is decoded lives in the arena.
 * Failure    asserts of cmocka.
 */
#ifndef TESTS_UNIT_TRIAL_H
#define TESTS_UNIT_TRIAL_H

/* cmocka wants these first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

#include "workflows/workflow.h"

/* Decodes as the envelope does. The refusal, or a null span. */
static inline struct span trial_refusal(struct arena *arena, const struct workflow *workflow, struct span data,
                                        bool identify)
{
    struct document document;
    struct document_failure failure;
    struct span reterr = SPAN_NULL;
    struct aggregate aggregate = { AGGREGATE_NONE, id_of(0) };
    if (!document_parse(arena, data, &document, &failure))
        fail_msg("%s: %s in %.200s", workflow->type, failure.what, data.at);
    void *parameters = arena_take_zeroed(arena, workflow->parameters_size);
    if (parameters_decode(workflow->parameters, &document, document.nodes, arena, parameters, &reterr) && identify)
        workflow->identify(parameters, arena, &aggregate, &reterr);
    assert_false(arena_failed(arena));
    return reterr;
}

static inline void trial_assert_refused(struct arena *arena, const struct workflow *workflow, struct span data,
                                        struct span pointer)
{
    struct span refusal = trial_refusal(arena, workflow, data, true);
    if (!refusal.at)
        fail_msg("%s: accepted at %.*s: %.300s", workflow->type, (int)pointer.size, pointer.at, data.at);
    json_t *said = json_loadb(refusal.at, refusal.size, 0, NULL);
    const char *parameter = json_string_value(json_object_get(said, "parameter"));
    if (!parameter || !span_is(pointer, parameter) || !json_string_length(json_object_get(said, "message")))
        fail_msg("%s: expected %.*s, refused by %s for %.300s", workflow->type, (int)pointer.size, pointer.at,
                 refusal.at, data.at);
    json_decref(said);
}

#endif
