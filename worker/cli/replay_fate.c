#include "worker/cli/replay_fate.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "worker/base/shown.h"

enum
{
    TRIED_MAX = 10000, /* each is compared with those before it */
};

/* --- trying ------------------------------------------------------------------------------------------------------ */

static struct span span_of_bytes(const struct buffer *bytes)
{
    return bytes->size > 0 ? buffer_span(bytes) : SPAN_NULL;
}

static void place(struct replay_fates *fates, const struct replay_missing *missing)
{
    struct partition *partition = &fates->partitions[fates->count];
    struct delivery *delivery = &fates->deliveries[fates->count];

    *partition = (struct partition){ .topic = span_of(missing->topic), .number = missing->partition };
    *delivery = (struct delivery){ .partition = partition,
                                   .key = missing->has_key ? buffer_span(&missing->key) : SPAN_NULL,
                                   .headers = span_of_bytes(&missing->headers),
                                   .value = span_of_bytes(&missing->value),
                                   .offset = missing->offset };
    fates->tried[fates->count++] = delivery;
}

bool replay_fates_try(struct replay_fates *fates, const struct settings *settings, const struct replay_missing *missing,
                      int count, struct buffer *fault)
{
    size_t room = (size_t)count + 1;

    *fates = (struct replay_fates){ .partitions = calloc(room, sizeof(*fates->partitions)),
                                    .deliveries = calloc(room, sizeof(*fates->deliveries)),
                                    .tried = calloc(room, sizeof(struct delivery *)),
                                    .of = calloc(room, sizeof(*fates->of)) };
    if (!fates->partitions || !fates->deliveries || !fates->tried || !fates->of)
    {
        buffer_add_text(fault, "out of memory");
        return false;
    }
    for (int i = 0; i < count; i++)
    {
        bool tries = missing[i].has_bytes && fates->count < TRIED_MAX;
        fates->of[i] = tries ? fates->count : -1;
        if (tries)
            place(fates, &missing[i]);
    }
    if (fates->count > 0)
        fates->results = trials_run(settings, "replay", fates->tried, fates->count, true, fault);
    return fates->count == 0 || fates->results != NULL;
}

void replay_fates_done(struct replay_fates *fates)
{
    trials_free(fates->results, fates->count);
    free(fates->partitions);
    free(fates->deliveries);
    free(fates->tried);
    free(fates->of);
    *fates = (struct replay_fates){ 0 };
}

/* --- words ------------------------------------------------------------------------------------------------------- */

/* `decision` in JSON, and what people read, before what the trial says. */
static const struct
{
    const char *name, *text;
} words[] = {
    [TRIAL_NOT_RUN] = { "undecided", "not decided here" },
    [TRIAL_READ] = { "undecided", "not decided here" },
    [TRIAL_DECIDED] = { "decided", "would be " },
    [TRIAL_WAITS] = { "waits", "would be parked until its notbefore" },
    [TRIAL_REPEATED] = { "undecided", "not decided here" },
    [TRIAL_UNREADABLE] = { "undecided", "could not be decided here: " },
    [TRIAL_UNDECIDED] = { "undecided", "could not be decided here: " },
    [TRIAL_ENDS] = { "ends", "ends the program: " },
};
static const char untried_text[] = "not decided here: too many are missing at once";

static const struct trial_result *result_of(const struct replay_fates *fates, int index)
{
    int at = fates->of ? fates->of[index] : -1;

    assert(at < fates->count);
    return at >= 0 && fates->results ? &fates->results[at] : NULL;
}

static bool has_change(const struct trial_result *result)
{
    return result->kind == TRIAL_DECIDED && result->has_versions && result->version_from != result->version_to;
}

void replay_fates_add_text(const struct replay_fates *fates, int index, struct buffer *into)
{
    const struct trial_result *result = result_of(fates, index);
    char versions[64];

    if (result == NULL)
    {
        buffer_add_text(into, untried_text);
        return;
    }
    buffer_add_text(into, words[result->kind].text);
    shown_add(into, span_of(result->says));
    if (!has_change(result))
        return;
    snprintf(versions, sizeof(versions), ", version %lld->%lld", (long long)result->version_from,
             (long long)result->version_to);
    buffer_add_text(into, versions);
}

void replay_fates_add_json(const struct replay_fates *fates, int index, struct buffer *into)
{
    const struct trial_result *result = result_of(fates, index);

    buffer_add_text(into, ",\"decision\":");
    buffer_add_json_string(into, span_of(words[result ? result->kind : TRIAL_NOT_RUN].name));
    buffer_add_text(into, ",\"says\":");
    buffer_add_json_string(into, span_of(result ? result->says : untried_text));
    if (result == NULL || !has_change(result))
    {
        buffer_add_text(into, ",\"version\":null");
        return;
    }
    buffer_add_text(into, ",\"version\":{\"from\":");
    buffer_add_int64(into, result->version_from);
    buffer_add_text(into, ",\"to\":");
    buffer_add_int64(into, result->version_to);
    buffer_add_byte(into, '}');
}
