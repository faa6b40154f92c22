#include "consumers/partition/arrears.h"

#include <stdlib.h>

struct arrears *arrears_new(int64_t published, struct audit_positions *from)
{
    struct arrears *arrears = calloc(1, sizeof(*arrears));

    if (arrears == NULL)
        return NULL;
    arrears->published = arrears->next = published;
    arrears->from = *from;
    *from = AUDIT_POSITIONS_NONE;
    return arrears;
}

void arrears_free(struct arrears *arrears)
{
    if (arrears == NULL)
        return;
    audit_positions_done(&arrears->from);
    free(arrears->rows);
    free(arrears);
}
