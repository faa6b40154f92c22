/* Search: which of the rows in arrears are on the audit topic or among the dead letters. One search for all partitions
 * that have any, in slices: each partition is known (ARREARS_KNOWN) when all of its rows were found, the others when
 * the search has come to the end (PROTOCOL R1).
 *
 * It begins where the last raise of `published` said that the events can only be (published.h), or, where nothing is
 * known of that, by the time at which the first of them was recorded. It must begin after the committed offsets were
 * read: then no earlier owner can publish any more, and what is hidden by open transactions is waited for.
 *
 * Threads    one owner, the publisher.
 * Ownership  holds a reference on every owned partition.
 * Failure    SEARCH_FAILED, with a message: nothing is known of the owned partitions that are not ARREARS_KNOWN.
 */
#ifndef CONSUMERS_TAKEOVER_SEARCH_H
#define CONSUMERS_TAKEOVER_SEARCH_H

#include "consumers/partition/arrears.h"
#include "consumers/partition/partition.h"

struct settings;
struct search;

enum search_state
{
    SEARCH_MORE,
    SEARCH_END,
    SEARCH_FAILED,
};

/* Owned partitions whose arrears are ARREARS_LOOKED_UP. NULL: no memory. */
struct search *search_new(const struct settings *settings, struct owned_partition *const *owned_partitions, int count);
void search_free(struct search *search);

/* Goes on until the time is `until_us`, monotonic, or the end. */
enum search_state search_step(struct search *search, int64_t until_us, struct buffer *reterr);

/* The partition's rows are about to go: nothing of it is looked for any more. `search` may be NULL. */
void search_forget(struct search *search, const struct owned_partition *owned);

/* Its progress, for people. */
void search_describe(const struct search *search, char *into, size_t size);

#endif
