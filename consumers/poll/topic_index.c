#include "consumers/poll/topic_index.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "worker/base/memory.h"

void topic_index_clear(struct topic_index *index)
{
    for (int i = 0; i < index->count; i++)
        free(index->topics[i].at);
    index->count = 0;
}

static struct topic_numbers *add_topic(struct topic_index *index, rd_kafka_topic_t *handle, topic_index_entry_fn *entry,
                                       const void *owner)
{
    const char *name = rd_kafka_topic_name(handle), *topic;
    int32_t partition;
    int count = 0;

    if (index->count == TOPIC_INDEX_MAX)
        topic_index_clear(index);
    for (int i = 0; entry(owner, i, &topic, &partition); i++)
        if (strcmp(topic, name) == 0 && partition >= count)
            count = partition + 1;
    assert(index->count < TOPIC_INDEX_MAX);
    struct topic_numbers *numbers = &index->topics[index->count];
    numbers->at = malloc(((size_t)count + 1) * sizeof(int));
    /* Without the index its message would pass for one of a former assignment, and be lost. */
    if (numbers->at == NULL)
        die_out_of_memory("the index of a topic");
    numbers->handle = handle;
    numbers->count = count;
    for (int i = 0; i < count; i++)
        numbers->at[i] = -1;
    for (int i = 0; entry(owner, i, &topic, &partition); i++)
        if (strcmp(topic, name) == 0)
            numbers->at[partition] = i;
    index->count++;
    return numbers;
}

int topic_index_find(struct topic_index *index, rd_kafka_topic_t *handle, int32_t partition,
                     topic_index_entry_fn *entry, const void *owner)
{
    struct topic_numbers *numbers = NULL;

    for (int i = 0; i < index->count && numbers == NULL; i++)
        if (index->topics[i].handle == handle)
            numbers = &index->topics[i];
    if (numbers == NULL && handle)
        numbers = add_topic(index, handle, entry, owner);
    return numbers && partition >= 0 && partition < numbers->count ? numbers->at[partition] : -1;
}
