#include "consumers/partition/audit_positions.h"

#include <stdlib.h>
#include <string.h>

enum
{
    PARTITIONS_MAX = 100000,
};

void audit_positions_done(struct audit_positions *positions)
{
    free(positions->at);
    *positions = AUDIT_POSITIONS_NONE;
}

static bool grow(struct audit_positions *positions, int count)
{
    if (count <= positions->count)
        return true;
    int64_t *at = count <= PARTITIONS_MAX ? realloc(positions->at, (size_t)count * sizeof(*at)) : NULL;
    if (at == NULL)
    {
        audit_positions_done(positions);
        return false;
    }
    memset(at + positions->count, 0, (size_t)(count - positions->count) * sizeof(*at));
    positions->at = at;
    positions->count = count;
    return true;
}

void audit_positions_raise(struct audit_positions *positions, int32_t partition, int64_t offset)
{
    if (partition >= 0 && offset >= 0 && grow(positions, partition + 1) && offset > positions->at[partition])
        positions->at[partition] = offset;
}

void audit_positions_lower(struct audit_positions *positions, const struct audit_positions *from)
{
    if (from->count < positions->count)
        positions->count = from->count; /* a partition that one of the two does not know is read from its beginning */
    for (int i = 0; i < positions->count; i++)
        if (from->at[i] < positions->at[i])
            positions->at[i] = from->at[i];
}

bool audit_positions_copy(struct audit_positions *positions, const struct audit_positions *from)
{
    positions->count = 0;
    if (from->count == 0 || !grow(positions, from->count))
        return from->count == 0;
    memcpy(positions->at, from->at, (size_t)from->count * sizeof(*from->at));
    return true;
}

void audit_positions_print(const struct audit_positions *positions, struct buffer *into)
{
    buffer_add_byte(into, '{');
    for (int i = 0; i < positions->count; i++)
    {
        if (i > 0)
            buffer_add_byte(into, ',');
        buffer_add_int64(into, positions->at[i]);
    }
    buffer_add_byte(into, '}');
}

void audit_positions_read(struct audit_positions *positions, const char *text)
{
    positions->count = 0;
    for (const char *at = text; *at == '{' || *at == ',';)
    {
        char *end;
        long long offset = strtoll(at + 1, &end, 10);
        if (end == at + 1 || !grow(positions, positions->count + 1))
            break;
        positions->at[positions->count - 1] = offset;
        at = end;
    }
}
