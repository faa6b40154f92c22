/* Job: the rows of jobs (plans) and jobneeds (their occurrences, and the checkpoints below them), and what the job
 * workflows share.
 *
 * Threads    const data; functions keep no state.
 * Ownership  texts of rows live in the batch's arena or in the message.
 */
#ifndef WORKFLOWS_JOB_JOB_H
#define WORKFLOWS_JOB_JOB_H

#include "workflows/decision.h"

struct job_row
{
    struct field_int id, version, parent_id, asset_id, question_set_id, client_id, geofence_id, person_id, starts_at,
        ends_at, created_at, modified_at, seq, grace_minutes, plan_minutes, expiry_minutes, from_minute, until_minute,
        utc_offset_minutes;
    int identifier;
    struct span name, modified_by, other_info;
};

struct jobneed_row
{
    struct field_int id, version, parent_id, job_id, asset_id, question_set_id, site_id, client_id, assigned_person_id,
        assigned_group_id, performed_by, starts_at, expires_at, started_at, ended_at, created_at, modified_at, seq,
        grace_minutes, attachment_count;
    bool alerts, mail_sent, dynamic;
    int status, identifier, type;
    struct span modified_by, remarks, other_info;
};

static inline struct aggregate job_aggregate(int64_t id)
{
    return (struct aggregate){ AGGREGATE_JOB, id_of(id) };
}

static inline struct aggregate jobneed_aggregate(int64_t id)
{
    return (struct aggregate){ AGGREGATE_JOBNEED, id_of(id) };
}

/* For workflows that are about a root alone: its row. */
void jobneed_want_root(const struct command *command, struct rows *rows);

/* The root jobneed, or NULL with the refusal made: not_found, or invalid_data for a checkpoint. `pointer` is the
 * parameter that names it. */
const struct jobneed_row *jobneed_read_root(const struct rows *rows, struct decision *decision, int64_t id,
                                            const char *pointer);

/* DOMAIN.md, race 2: every ASSIGNED checkpoint that is a tour's becomes AUTOCLOSED. Returns how many, or -1 with the
 * refusal made. The root is the caller's to edit. */
int jobneed_autoclose_checkpoints(struct rows *rows, struct decision *decision, int64_t root_id);

/* The system ticket of a jobneed, at most one whoever raises it: what it takes, for needs; then the ticket itself,
 * unless there is one. */
void jobneed_want_ticket(struct rows *rows, struct field_int jobneed_id);
void jobneed_raise_ticket(struct rows *rows, struct decision *decision, const struct jobneed_row *root);

#endif
