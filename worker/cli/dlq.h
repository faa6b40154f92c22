/* Dlq: the parts of `interlock dlq` (verbs.h), and what they share.
 *
 * Threads    main.
 * Failure    as in verbs.h: an exit code, with the reason said.
 */
#ifndef WORKER_CLI_DLQ_H
#define WORKER_CLI_DLQ_H

#include "consumers/admin/letter_bytes.h"
#include "worker/admin/letters.h"
#include "worker/cli/operator.h"

extern const char dlq_usage[];

/* argv[0] is "dlq show" and so on. */
int dlq_show(struct invocation *invocation);
int dlq_redrive(struct invocation *invocation);

/* The operands as letters. False: one of them is no letter; said. */
bool dlq_take_letters(struct invocation *invocation, struct letter_filter *filter);

/* By this a letter's message is found. */
void dlq_place_letter(const PGresult *rows, int row, struct letter_bytes *into);

/* "4 min ago" */
void dlq_add_age(struct buffer *into, int64_t age_s);
/* A field as people may see it; "-" for null. */
void dlq_add_shown(struct buffer *into, const char *text);
/* A field in JSON: a number as it is, a text quoted, null for null. */
void dlq_add_json(struct buffer *into, const char *name, const char *text, bool is_number, bool first);
/* The columns of a letter, as members of an object. */
void dlq_add_json_letter(struct buffer *into, const PGresult *rows, int row);

#endif
