/* Topic scan: reads a topic from some point to its present end, as a read_committed reader sees it.
 *
 * Threads    runs on the caller's thread.
 * Ownership  what is scanned is borrowed for the call.
 * Failure    TOPIC_SCAN_FAILED, or false, with a message: not everything was read.
 */
#ifndef CONSUMERS_TAKEOVER_TOPIC_SCAN_H
#define CONSUMERS_TAKEOVER_TOPIC_SCAN_H

#include "consumers/partition/audit_positions.h"
#include "workflows/base/buffer.h"
#include "workflows/model/id.h"

struct settings;
struct rd_kafka_message_s;

struct scanned_message
{
    int32_t partition;
    int64_t offset;
    int64_t timestamp_us; /* Unix; -1 unknown */
    struct span key, value;
    struct rd_kafka_message_s *message;
};

/* False ends the scan early, which is no failure. */
typedef bool topic_scan_fn(void *owner, const struct scanned_message *scanned);

/* In slices, for a caller that does other things meanwhile. It ends where the topic ended when the scan came there
 * first, and not before every transaction that was open then has ended: one hides from a read_committed reader what
 * others committed after its beginning, and who publishes what he did not see here would publish it twice.
 *
 * `from`: where each partition is begun; without positions, by the records' timestamps: `since_us`, Unix microseconds;
 * 0: from the beginning. */
struct topic_scan;
struct topic_scan *topic_scan_open(const struct settings *settings, const char *topic,
                                   const struct audit_positions *from, int64_t since_us, struct buffer *reterr);
void topic_scan_close(struct topic_scan *scan);

enum topic_scan_state
{
    TOPIC_SCAN_MORE,
    TOPIC_SCAN_END,
    TOPIC_SCAN_FAILED,
};
/* Goes on until the time is `until_us`, monotonic, or `see` answers false, or the end. */
enum topic_scan_state topic_scan_step(struct topic_scan *scan, int64_t until_us, topic_scan_fn *see, void *owner,
                                      struct buffer *reterr);
/* Nothing is left but what an open transaction hides. */
bool topic_scan_is_held_up(const struct topic_scan *scan);

/* The whole topic in one call, or what was published since `from_us` (Unix microseconds; 0: all of it), and it waits,
 * bounded, for open transactions.
 * *ret_since_us: everything that was published since then, and not before `from_us`, is still on the topic; 0: all there
 * ever was. Partitions lose their oldest records each in its own time. */
bool topic_scan_all(const struct settings *settings, const char *topic, int64_t from_us, topic_scan_fn *see,
                    void *owner, int64_t *ret_since_us, struct buffer *reterr);

/* At most so many messages would be seen: transactions' markers are counted as well. */
bool topic_scan_count(const struct settings *settings, const char *topic, int64_t from_us, int64_t *ret,
                      struct buffer *reterr);

/* The id of the CloudEvent in the value. */
bool topic_scan_event_id(const struct scanned_message *scanned, struct id *ret);

/* The time of the CloudEvent in the value, Unix microseconds. */
bool topic_scan_event_time(const struct scanned_message *scanned, int64_t *ret_us);

/* Whether an event of ours stands for what was committed at this time: of one that PostgreSQL has lost the id comes
 * again, the time does not. */
bool topic_scan_is_of(const struct scanned_message *scanned, int64_t changed_at_us);

/* The last header of a name, null when there is none. */
struct span topic_scan_header(const struct scanned_message *scanned, const char *name);
bool topic_scan_header_number(const struct scanned_message *scanned, const char *name, int64_t *ret);

#endif
