/* Library: which librdkafka this process runs with, which need not be the one it was built with.
 *
 * Threads    any.
 */
#ifndef CONSUMERS_KAFKA_LIBRARY_H
#define CONSUMERS_KAFKA_LIBRARY_H

const char *library_version(void);

#endif
