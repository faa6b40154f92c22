/* Acls: the rights that Kafka must grant, in one table, and the kafka-acls.sh line that gives each. Read and Write
 * include Describe, and Write on any topic includes IdempotentWrite (Kafka 2.8 and later): neither has a line.
 *
 * Threads    any; no state.
 * Failure    out of memory shows in the buffer.
 */
#ifndef CONSUMERS_KAFKA_ACLS_H
#define CONSUMERS_KAFKA_ACLS_H

#include "workflows/base/buffer.h"

struct settings;

enum acl_role
{
    ACL_WORKER,
    ACL_PUBLISHER,
    ACL_READER,
    ACL_SWEEPER,
    ACL_OPERATOR,
};

enum acl_right
{
    ACL_READ,
    ACL_WRITE,
    ACL_DESCRIBE,
    ACL_CREATE,
    ACL_DESCRIBE_CONFIGS,
};

enum acl_resource
{
    ACL_COMMANDS, /* each topic of kafka.topics */
    ACL_AUDIT,
    ACL_DEAD_LETTERS,
    ACL_GROUP,
    ACL_TRANSACTIONAL_IDS,
    ACL_READER_GROUPS, /* whose names begin with ours and a dot */
};

/* Every line of every role, with a comment above each role. */
void acls_print(const struct settings *settings, bool json, struct buffer *into);

/* "no right to read topic t (to take commands): kafka-acls.sh ... --operation Read --topic t". `topic` names the one of
 * several; NULL for a resource that is no topic. */
void acls_add_missing(const struct settings *settings, enum acl_right right, enum acl_resource resource,
                      const char *topic, struct buffer *into);

#endif
