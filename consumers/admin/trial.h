/* Trials: what commands would become, dead letters or lost ones, without writing anything. A child process decodes and decides
 * each on the rows of now, in a read-only transaction that is rolled back; what ends the child ends no worker, and the
 * next child goes on with the one after it. Standard error says where it is (worker/base/progress.h).
 *
 * Commands of one aggregate are decided after those that are tried before them, as they would come back.
 *
 * Threads    runs on the caller's thread, which is the only one: it forks.
 * Ownership  the results are shared with the children until trials_free.
 * Failure    NULL, with a message: no child could be made.
 */
#ifndef CONSUMERS_ADMIN_TRIAL_H
#define CONSUMERS_ADMIN_TRIAL_H

#include "worker/delivery.h"
#include "workflows/base/buffer.h"

struct settings;

enum
{
    TRIAL_TEXT_MAX = 300,
};

enum trial_kind
{
    TRIAL_NOT_RUN,
    TRIAL_READ,       /* it can be read, and was not to be decided */
    TRIAL_DECIDED,    /* `says`: applied, unchanged, rejected: REASON */
    TRIAL_WAITS,      /* its notbefore has not come */
    TRIAL_REPEATED,   /* the command of an earlier letter of the list */
    TRIAL_UNREADABLE, /* `says`: the reason */
    TRIAL_UNDECIDED,  /* `says`: the reason: PostgreSQL refused to tell */
    TRIAL_ENDS,       /* it ends the program; `says`: how, and in what */
};

struct trial_result
{
    enum trial_kind kind;
    const char *step; /* static: "reading", "decide" */
    bool has_versions;
    int64_t version_from, version_to;
    bool has_names; /* those that follow; texts are NUL-terminated, empty where there are none */
    uint8_t identity[DIGEST_SIZE], body_digest[DIGEST_SIZE];
    char aggregate[AGGREGATE_KEY_MAX];
    char source[TRIAL_TEXT_MAX], id[TRIAL_TEXT_MAX], type[TRIAL_TEXT_MAX], tenant[TRIAL_TEXT_MAX];
    char says[TRIAL_TEXT_MAX];
};

/* `verb`: whose progress it is. `decides`: else they are only read. The deliveries have their partitions. */
struct trial_result *trials_run(const struct settings *settings, const char *verb, struct delivery *const *deliveries,
                                int count, bool decides, struct buffer *reterr);
void trials_free(struct trial_result *results, int count);

#endif
