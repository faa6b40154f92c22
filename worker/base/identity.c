#include "worker/base/identity.h"

#include <string.h>

#include "worker/base/digest.h"

bool identity_make(struct span source, struct span id, uint8_t ret[DIGEST_SIZE])
{
    const struct span parts[] = { source, { "", 1 }, id };
    uint8_t digest[DIGEST_SHA256_SIZE];

    if (!digest_sha256(parts, 3, digest))
        return false;
    memcpy(ret, digest, DIGEST_SIZE);
    return true;
}
