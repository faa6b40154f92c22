/* Kafka threads: under ThreadSanitizer the C11 thread functions that librdkafka uses are made of POSIX ones here. The
 * sanitizer knows only those; a thread that thrd_create of glibc began makes it crash at the first malloc.
 *
 * Threads    any.
 */
#ifndef TESTS_UNIT_KAFKA_THREADS_H
#define TESTS_UNIT_KAFKA_THREADS_H

#if defined(__SANITIZE_THREAD__)

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <threads.h>

struct kafka_thread
{
    thrd_start_t run;
    void *argument;
};

static void *kafka_thread_run(void *opaque)
{
    struct kafka_thread thread = *(struct kafka_thread *)opaque;

    free(opaque);
    return (void *)(intptr_t)thread.run(thread.argument);
}

int thrd_create(thrd_t *ret, thrd_start_t run, void *argument)
{
    struct kafka_thread *thread = malloc(sizeof(*thread));

    if (thread == NULL)
        return thrd_nomem;
    *thread = (struct kafka_thread){ run, argument };
    if (pthread_create(ret, NULL, kafka_thread_run, thread) == 0)
        return thrd_success;
    free(thread);
    return thrd_error;
}

int thrd_join(thrd_t thread, int *ret_result)
{
    void *result = NULL;

    if (pthread_join(thread, &result) != 0)
        return thrd_error;
    if (ret_result)
        *ret_result = (int)(intptr_t)result;
    return thrd_success;
}

#endif

#endif
