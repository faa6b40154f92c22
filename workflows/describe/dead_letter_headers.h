/* Dead letter headers: the names of the headers that we put on a dead letter (CONTRACT.md), for those who write, find
 * and describe such messages.
 *
 * Threads    constants.
 */
#ifndef WORKFLOWS_DESCRIBE_DEAD_LETTER_HEADERS_H
#define WORKFLOWS_DESCRIBE_DEAD_LETTER_HEADERS_H

#define DEAD_LETTER_TOPIC "__dlq.errors.topic"
#define DEAD_LETTER_PARTITION "__dlq.errors.partition"
#define DEAD_LETTER_OFFSET "__dlq.errors.offset"
#define DEAD_LETTER_GROUP "__dlq.errors.group"
#define DEAD_LETTER_MESSAGE "__dlq.errors.message"
#define DEAD_LETTER_REASON "interlock.reason"
#define DEAD_LETTER_FIRST_FAILED_AT "interlock.first-failed-at"
#define DEAD_LETTER_ATTEMPTS "interlock.attempts"
#define DEAD_LETTER_REDRIVE_COUNT "interlock.redrive-count"

/* Headers of a letter that was cut because it was too long for the topic. */
#define DEAD_LETTER_TRUNCATED "interlock.truncated"
#define DEAD_LETTER_LENGTH "interlock.length"
#define DEAD_LETTER_SHA256 "interlock.sha256"

/* Those that every letter has, and those of a letter that was cut. */
#define DEAD_LETTER_HEADERS \
    DEAD_LETTER_TOPIC, DEAD_LETTER_PARTITION, DEAD_LETTER_OFFSET, DEAD_LETTER_GROUP, DEAD_LETTER_MESSAGE, \
        DEAD_LETTER_REASON, DEAD_LETTER_FIRST_FAILED_AT, DEAD_LETTER_ATTEMPTS, DEAD_LETTER_REDRIVE_COUNT
#define DEAD_LETTER_CUT_HEADERS DEAD_LETTER_TRUNCATED, DEAD_LETTER_LENGTH, DEAD_LETTER_SHA256

#endif
