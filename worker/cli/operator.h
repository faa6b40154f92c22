/* Operator: the options that every verb of an operator has (struct intent), and the way from a dry run to the act.
 * Without --execute such a verb says what it would do and prints the command that does this and nothing else, with
 * --before and --expect. With it, the verb counts once more under lock and acts in one PostgreSQL transaction with its action
 * (worker/admin/operator_action.h).
 *
 *     operator_parse      the verb's options and the common ones; the word of operators.env
 *     operator_connect    a session; operator_note_now: the time of the dry run
 *     operator_add_to_do  dry run: the command to type
 *     operator_agrees     execution: whether the count is the expected one
 *     operator_begin_act  execution: the action's row, in the caller's transaction
 *
 * Threads    main.
 * Ownership  texts of the command line are borrowed; operator_done frees the rest.
 * Failure    false, -1 or NULL. operator_parse has said why on standard error; the others say it in *reterr.
 */
#ifndef WORKER_CLI_OPERATOR_H
#define WORKER_CLI_OPERATOR_H

#include <libpq-fe.h>

#include "worker/admin/operator_action.h"
#include "worker/cli/verbs.h"

/* Exit codes of the operators' verbs. */
enum operator_exit
{
    OPERATOR_DONE = 0,      /* or looked, and all is well */
    OPERATOR_NOT_DONE = 1,  /* usage, refused, could not look */
    OPERATOR_STOPPED = 2,   /* by force or a deadline; the rest is listed */
    OPERATOR_SOMETHING = 3, /* looked, or did, and there is something */
};

struct intent
{
    bool execute, all;
    const char *reason, *as, *before, *expect; /* as given; NULL: not given */
    char before_text[VERB_TIME_TEXT_MAX];      /* `before`, or the time of operator_note_now, in RFC 3339 */
    char actor[4 * OPERATOR_NAME_MAX + 1];
    int64_t expected;     /* -1: not given */
    struct buffer words;  /* the command line without the common options, quoted for a shell */
    struct buffer filter; /* the verb's options and operands, a JSON object: what was asked for */
};

#define INTENT_EMPTY ((struct intent){ .expected = -1 })

/* As verb_parse_options, with --execute --reason --as --before --expect --all besides `own` (at most 24 options). An
 * execution without a reason, --all without --expect, and what operator_may_act refuses, are refused. */
bool operator_parse(struct invocation *invocation, struct intent *intent, const struct verb_option *own,
                    const char *usage);
void operator_done(struct intent *intent);

/* Where the setting operators.env is not empty: a dry run says it, and an execution on a terminal asks for the word. False:
 * another answer; said. */
bool operator_may_act(const struct invocation *invocation, bool executes);

/* `filtered`: the command line says which ones are meant. False: it does not and has no --all either, or has both; said.
 */
bool operator_check_filter(struct invocation *invocation, const struct intent *intent, bool filtered,
                           const char *usage);

/* A session with search_path, encoding and statement_timeout set; read-only unless it writes. */
PGconn *operator_connect(const struct invocation *invocation, bool writes, struct buffer *reterr);

/* As verb_fail_with; where a right is missing, also the role that has it. */
int operator_fail_with(const struct invocation *invocation, bool acts, struct buffer *fault);

/* The end of a verb: prints `out` where all is `good`, else says the fault. Frees both; returns the exit code. */
int operator_end(const struct invocation *invocation, bool acts, bool good, struct buffer *out, struct buffer *fault);

/* Sets before_text to PostgreSQL's time, unless --before gave one. */
bool operator_note_now(struct intent *intent, PGconn *connection, struct buffer *reterr);

/* "interlock dlq redrive ... --before T --expect N --execute --reason "..."", one line without its end. */
void operator_add_to_do(struct buffer *into, const struct invocation *invocation, const struct intent *intent,
                        int64_t count);

/* Whether `count` is what --expect says, or --expect was not given. */
bool operator_agrees(const struct intent *intent, int64_t count, struct buffer *reterr);

/* The action's row, in the caller's transaction. Returns its id. `verb`: "dlq redrive". */
int64_t operator_begin_act(const struct intent *intent, PGconn *connection, const char *verb, struct buffer *reterr);

#endif
