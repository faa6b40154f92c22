#include "workflows/document/keys.h"

enum
{
    INSERTION_RUN = 16, /* runs of this length are sorted by insertion, then merged */
};

void document_keys_collect(const struct node *nodes, const struct node *object, struct document_key *keys)
{
    const struct node *child = object + 1;
    for (uint32_t i = 0; i < object->count; i++)
    {
        size_t size = child->key.size < 8 ? child->key.size : 8;
        uint64_t prefix = 0;
        for (size_t at = 0; at < size; at++)
            prefix |= (uint64_t)(unsigned char)child->key.at[at] << (56 - 8 * at);
        keys[i] = (struct document_key){ prefix, (uint32_t)(child - nodes) };
        child = &nodes[child->next];
    }
}

/* Names hold no NUL, so a shorter name's zeros sort before any byte of a longer one. */
static int compare(const struct node *nodes, struct document_key a, struct document_key b)
{
    if (a.prefix != b.prefix)
        return a.prefix < b.prefix ? -1 : 1;
    struct span left = nodes[a.node].key;
    struct span right = nodes[b.node].key;
    size_t common = left.size < right.size ? left.size : right.size;
    int order = common > 8 ? memcmp(left.at + 8, right.at + 8, common - 8) : 0;
    return order ? order : (left.size > right.size) - (left.size < right.size);
}

static void sort_by_insertion(const struct node *nodes, struct document_key *keys, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++)
    {
        struct document_key key = keys[i];
        uint32_t place = i;
        for (; place > 0 && compare(nodes, keys[place - 1], key) > 0; place--)
            keys[place] = keys[place - 1];
        keys[place] = key;
    }
}

static void merge(const struct node *nodes, const struct document_key *left, uint32_t left_count,
                  const struct document_key *right, uint32_t right_count, struct document_key *into)
{
    while (left_count && right_count)
    {
        if (compare(nodes, *left, *right) <= 0)
        {
            *into++ = *left++;
            left_count--;
        }
        else
        {
            *into++ = *right++;
            right_count--;
        }
    }
    memcpy(into, left, left_count * sizeof(*left));
    memcpy(into + left_count, right, right_count * sizeof(*right));
}

struct document_key *document_keys_sort(const struct node *nodes, struct document_key *keys,
                                        struct document_key *scratch, uint32_t count)
{
    for (uint32_t start = 0; start < count; start += INSERTION_RUN)
        sort_by_insertion(nodes, keys + start, count - start < INSERTION_RUN ? count - start : INSERTION_RUN);
    for (uint32_t run = INSERTION_RUN; run < count; run *= 2)
    {
        for (uint32_t start = 0; start < count; start += 2 * run)
        {
            uint32_t left = count - start < run ? count - start : run;
            uint32_t rest = count - start - left;
            merge(nodes, keys + start, left, keys + start + left, rest < run ? rest : run, scratch + start);
        }
        struct document_key *sorted = scratch;
        scratch = keys;
        keys = sorted;
    }
    return keys;
}

const struct node *document_keys_duplicate(const struct node *nodes, const struct document_key *sorted, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++)
    {
        if (compare(nodes, sorted[i - 1], sorted[i]) == 0)
            return &nodes[sorted[i].node];
    }
    return NULL;
}
