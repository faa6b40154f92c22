/* Verbs: the functions behind `interlock VERB`. main.c reads the command line and the settings, then calls one function
 * of this list; adding a verb is one file, one declaration here and one row in main.c.
 *
 * Threads    a verb runs on the main thread and may start others; it ends them before it returns.
 * Ownership  everything in the invocation is borrowed and lives until the verb returns. argv is the verb's to reorder.
 * Failure    the verb says the failure and the remedy on standard error, and returns the exit code: 0 done, or looked
 *            and all is well; 1 not done (usage errors included), or could not look; 2 stopped by force; 3 looked, and
 *            there is something. Standard output is for results only.
 */
#ifndef WORKER_CLI_VERBS_H
#define WORKER_CLI_VERBS_H

#include "worker/base/topic_name.h"
#include "worker/settings/settings.h"

struct invocation
{
    const struct settings *settings; /* NULL for verbs that need none (see main.c) */
    const char *config_file;         /* --config; NULL: none */
    bool json;                       /* --output json */
    int argc;                        /* argv[0] is the verb; --config and --output are taken out; argv[argc] is NULL */
    char **argv;
};

int verb_run(struct invocation *invocation);
int verb_migrate(struct invocation *invocation);
int verb_topics(struct invocation *invocation);
int verb_publish(struct invocation *invocation);
int verb_audit(struct invocation *invocation);
int verb_action(struct invocation *invocation);
int verb_explain(struct invocation *invocation);
int verb_replay(struct invocation *invocation);
int verb_dlq(struct invocation *invocation);
int verb_check(struct invocation *invocation);
int verb_describe(struct invocation *invocation);
int verb_sweep(struct invocation *invocation);
int verb_prune(struct invocation *invocation);
int verb_parked(struct invocation *invocation);
int verb_pause(struct invocation *invocation);
int verb_resume(struct invocation *invocation);
int verb_status(struct invocation *invocation);
int verb_health(struct invocation *invocation);
int verb_version(struct invocation *invocation);

/* `audit verify`: argv[0] is "audit verify". */
int verify_run(struct invocation *invocation);

/* limits.c, for `run`, before any thread starts: as many open files as the settings may need, and stacks that do not
 * follow `ulimit -s`. False: the system does not allow it, with a message for the operator. */
bool limits_prepare(const struct settings *settings, struct buffer *reterr);

/* --- for the verbs ----------------------------------------------------------------------------------------------- */

/* One option of a verb. With `ret_value` it takes a value ("--limit 5" or "--limit=5"), else it is a switch. */
struct verb_option
{
    const char *name; /* "--limit" */
    const char **ret_value;
    bool *ret_switch;
};

/* Takes the options of the table (ends with name NULL) out of argv; argv[0] and the operands remain. "--"
 * ends the options, --help prints `usage` and ends the program. False: an option that is unknown, given twice, or lacks
 * its value; the message and `usage` are printed already. */
bool verb_parse_options(struct invocation *invocation, const struct verb_option *options, const char *usage);

/* Prints the message and the usage on standard error; returns the exit code 1. */
int verb_usage_error(const char *usage, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Prints "interlock VERB: message" on standard error; returns the exit code 1. */
int verb_fail(const struct invocation *invocation, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* One of the verbs behind a verb: `dlq list`. The tables end with name NULL. */
struct verb_part
{
    const char *name;
    char *whole_name; /* for messages: argv[0] of the part */
    int (*run)(struct invocation *invocation);
};

/* Runs the part that the first operand names. --help prints the usage. */
int verb_run_part(struct invocation *invocation, const struct verb_part *parts, const char *usage);

enum
{
    VERB_TIME_TEXT_MAX = 40,
};

/* A time, or how long ago, as RFC 3339 into `into`; *text NULL: nothing to do. False: it is neither; said. */
bool verb_read_time(const char *verb, const char *option, const char **text, char into[VERB_TIME_TEXT_MAX]);

/* The same with the message in `fault`, which is emptied and freed. */
int verb_fail_with(const struct invocation *invocation, struct buffer *fault);

/* Whether the text is a number of at most so many digits, and nothing else. */
bool verb_is_number(const char *text, size_t digits_max);

/* The command topic that a verb publishes to: `named`, or the first one of the settings, copied into `into`. */
const char *verb_command_topic(const struct invocation *invocation, const char *named, char into[TOPIC_NAME_MAX + 1]);

/* One line on standard error; text from outside is escaped (worker/base/shown.h), as in all that follow.
 */
void verb_tell(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Writes the buffer to standard output; returns 0, or 1 when it was out of memory or could not be written. */
int verb_print(const struct invocation *invocation, const struct buffer *buffer);

#endif
