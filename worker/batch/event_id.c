#include "worker/batch/event_id.h"

#include <assert.h>

#include "worker/base/digest.h"
#include "workflows/base/digits.h"
#include "workflows/base/hex.h"

/* a2746ba5-dd78-4d20-8806-dba05a7c318d: drawn once for this project. Another one would give every event another id. */
static const uint8_t namespace_id[16] = { 0xa2, 0x74, 0x6b, 0xa5, 0xdd, 0x78, 0x4d, 0x20,
                                          0x88, 0x06, 0xdb, 0xa0, 0x5a, 0x7c, 0x31, 0x8d };

bool event_id_make(const uint8_t identity[16], struct span topic, int32_t partition, int64_t offset,
                   uint8_t ret[EVENT_ID_SIZE])
{
    char identity_text[33];
    hex_print(identity, 16, identity_text);
    identity_text[32] = '/';
    char position[2 * DIGITS_MAX + 2] = "/"; /* of /partition/offset */
    size_t size = 1 + digits_print(partition, position + 1);
    position[size++] = '/';
    size += digits_print(offset, position + size);
    assert(size <= sizeof(position) && topic.at); /* two positions with one id would be one event */
    const struct span parts[] = {
        { (const char *)namespace_id, sizeof(namespace_id) },
        { identity_text, sizeof(identity_text) },
        topic,
        { position, size },
    };
    uint8_t digest[DIGEST_SHA1_SIZE];
    if (!digest_sha1(parts, 4, digest))
    {
        memset(ret, 0, EVENT_ID_SIZE);
        return false;
    }
    memcpy(ret, digest, EVENT_ID_SIZE);
    ret[6] = (uint8_t)((ret[6] & 0x0f) | 0x50); /* version 5 */
    ret[8] = (uint8_t)((ret[8] & 0x3f) | 0x80); /* the RFC's variant */
    return true;
}
