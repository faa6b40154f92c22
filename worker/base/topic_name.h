/* Topic name: how long Kafka lets one be.
 *
 * Threads    a constant.
 */
#ifndef WORKER_BASE_TOPIC_NAME_H
#define WORKER_BASE_TOPIC_NAME_H

enum
{
    TOPIC_NAME_MAX = 249, /* bytes, without a NUL */
};

#endif
