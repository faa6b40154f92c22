/* Ownership, private: what consumers/takeover/partition_owner.c (whose a partition is), published.c (what of it was
 * published) and arrears.c (what of it was not) share: the publisher's session of rare, short statements. Nobody else
 * includes it. */
#ifndef CONSUMERS_TAKEOVER_PARTITION_OWNER_PRIVATE_H
#define CONSUMERS_TAKEOVER_PARTITION_OWNER_PRIVATE_H

#include "consumers/takeover/partition_owner.h"
#include "worker/base/log.h"

enum
{
    RAISED_MAX = 512, /* partitions of one statement */
};

struct partition_owner
{
    const struct settings *settings;
    struct session *session;
    uint8_t mark[8]; /* the first half of our tokens, and nobody else's */
    char problem[320];
    struct log_rate holders_rate;

    /* The statement that raises `published` and is out: what the owned partitions will be known to have when it is
     * answered. */
    struct
    {
        int32_t partition_id;
        int64_t fence, reached;
    } raised[RAISED_MAX];
    int raised_count;
    int64_t next_raise_us;
    int64_t next_connect_us; /* a lost session is not tried more often than this */
};

/* Numbers as texts, the form session_run takes. */
struct number_text
{
    char at[24];
};

enum
{
    TOKEN_TEXT_SIZE = UUID_TEXT_SIZE + 1,
};

const char *partition_owner_print_number(struct number_text *text, int64_t number);
int64_t partition_owner_read_number(const PGresult *result, int row, int column);
void partition_owner_print_token(const uint8_t token[16], char into[TOKEN_TEXT_SIZE]);

/* Says why, and closes the session, which ends an open transaction. False. */
bool partition_owner_fail(struct partition_owner *owners, const char *what);

/* One statement that must succeed; NULL: it did not, and partition_owner_fail was called. `in_binary`: its result is.
 */
PGresult *partition_owner_run(struct partition_owner *owners, const char *sql, int count, const char *const *values,
                              const struct session_stop *stop);
PGresult *partition_owner_run_binary(struct partition_owner *owners, const char *sql, int count,
                                     const char *const *values, const struct session_stop *stop);

void partition_owner_clear(PGresult **result);
#define PARTITION_OWNER_RESULT __attribute__((cleanup(partition_owner_clear))) PGresult *

/* Lists for unnest. */
void partition_owner_add_element(struct buffer *list, const char *text);
void partition_owner_end_list(struct buffer *list);

/* published.c: within the takeover's transaction. `reached`: what is known to be published. *ret_published: what it is
 * now, and *ret_from where the events from there on are to be looked for. */
bool published_claim(struct partition_owner *owners, struct owned_partition *owned, int64_t reached,
                     const struct session_stop *stop, int64_t *ret_published, struct audit_positions *ret_from);

#endif
