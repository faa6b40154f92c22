/* Pauses as the verbs print them: who paused what, why, until when, and what waits.
 *
 * Threads    the verb's.
 * Failure    the buffer's.
 */
#ifndef WORKER_CLI_PAUSE_SHOWN_H
#define WORKER_CLI_PAUSE_SHOWN_H

#include <libpq-fe.h>

#include "workflows/base/buffer.h"

/* "type ticket.escalate", "everything". */
void pause_shown_name(const char *scope, const char *target, struct buffer *into);
/* A row of pause_list (worker/admin/pause.h), as an object of JSON or as a line. */
void pause_shown_json(const PGresult *rows, int row, struct buffer *into);
void pause_shown_text(const PGresult *rows, int row, struct buffer *into);

#endif
