/* Workflow: one command type. A table row {type, parameters, needs, decide}; adding one is one file and one line in
 * registry.c. Everything here is pure: no I/O, no clock, no randomness.
 *
 * Threads    const data; functions keep no state.
 */
#ifndef WORKFLOWS_WORKFLOW_H
#define WORKFLOWS_WORKFLOW_H

#include "workflows/model/rows.h"
#include "workflows/parameters/parameters.h"
#include "workflows/retry_kind.h"

/* The result of decide. The engine adds versions, status, person and group (from the root row before and after),
 * `also`, times and authors. */
struct decision
{
    enum outcome outcome;
    enum reason reason;     /* when rejected */
    struct buffer metadata; /* JSON object text of what else to audit, or empty. The engine clears it before decide, and
                               adds the old and new of what changed. */
    int64_t now_us;         /* in: the command's changed_at, Unix microseconds (PROTOCOL R4) */
    struct arena *arena;    /* in: for texts that rows keep */
    struct aggregate aggregate; /* in: the command's; out: set by commands that create it under a drawn id */
    enum operation
        operation; /* out: what is audited where the rows decide it; OPERATION_NONE: what the workflow says */
};

enum workflow_flag
{
    WORKFLOW_BULK = 1,     /* several aggregates: `expectedversion` is refused (PROTOCOL B9) */
    WORKFLOW_COUNTERS = 2, /* raises no version, refuses `expectedversion` (PROTOCOL B8) */
    WORKFLOW_CREATES = 4,  /* its aggregate may be absent: the engine does not answer not_found for it */
    WORKFLOW_CHILD = 8, /* about one child row, whose id it puts into the metadata: what of it changed follows there */
};

/* Which lock times of DOMAIN.md a workflow uses; values are settings. */
enum lock_class
{
    LOCK_ATTENDANCE,
    LOCK_FACE_VERIFICATION,
    LOCK_BEHAVIOUR,
    LOCK_EMBEDDING,
    LOCK_JOB_WORKFLOW,
    LOCK_PARENT_WITH_CHILDREN,
    LOCK_STATUS_CHANGE,
    LOCK__COUNT,
};

/* Which member of the data names the aggregate, for data that is refused: who waits for an event under its key is to
 * hear of the refusal. An id or a uuid by the kind, an array of ids (the smallest counts); kind AGGREGATE_NONE: a key
 * like ticket/42. */
struct workflow_naming
{
    enum aggregate_kind kind;
    const char *member;
    const char *otherwise; /* the member that counts where the first is not there or null; or NULL */
    size_t offset;         /* NAMED: of the member, a struct field_int, in the decoded data */
};

/* By an id that is a member of the decoded data: such a workflow needs no `identify`. */
#define NAMED(kind, data, member) \
    { \
        (kind), #member, NULL, offsetof(struct data, member) \
    }

struct workflow
{
    const char *type; /* "ticket.escalate" */
    struct workflow_naming named;
    const char *description;
    const struct parameter *parameters;
    size_t parameters_size;
    /* The audited operation. If the operation of an applied command follows from the rows (outcomes.h), the engine
     * audits the one that the rows show: a root row made, else a status changed, else an assignment, else
     * FIELD_UPDATE. */
    enum operation operation;
    unsigned flags;
    enum lock_class lock_class;

    /* Optional: the aggregate that the data names, where that is more than an id (NAMED); AGGREGATE_NONE when it is
     * created under an id yet to be drawn. Also the place for checks across parameters: false refuses with
     * invalid_data, *reterr as in parameters_decode. */
    bool (*identify)(const void *parameters, struct arena *arena, struct aggregate *ret, struct span *reterr);

    /* Optional: the audited operation where the data decides it. */
    enum operation (*name_operation)(const void *parameters);

    /* Wants the rows it reads or writes. */
    void (*needs)(const struct command *command, struct rows *rows);

    /* Optional: further looks that depend on loaded rows. One more round trip where any command wants one. */
    void (*look)(const struct command *command, struct rows *rows);

    /* Reads rows, edits rows. The engine has already answered not_found for the command's own root (unless
     * WORKFLOW_CREATES) and stale_object. Bulk commands see their other roots absent as rows_read == NULL. */
    void (*decide)(const struct command *command, struct rows *rows, struct decision *decision);
};

const struct workflow *workflow_find(struct span type);

/* The aggregate of decoded data, as `identify` says; without one, the id that `named` is about. */
static inline bool workflow_identify(const struct workflow *workflow, const void *parameters, struct arena *arena,
                                     struct aggregate *ret, struct span *reterr)
{
    if (workflow->identify)
        return workflow->identify(parameters, arena, ret, reterr);
    const struct field_int *id = (const void *)((const char *)parameters + workflow->named.offset);
    if (id->set)
        *ret = (struct aggregate){ workflow->named.kind, id_of(id->value) };
    return true;
}

/* The aggregate that the data names, whatever else is wrong with the data; AGGREGATE_NONE: no well-formed one. */
struct aggregate workflow_named_aggregate(const struct workflow *workflow, const struct document *document,
                                          const struct node *data);

/* The policy that delays the workflow's own transient failures: a busy row, a deadlock, a time-out. The registry says
 * which; a workflow that is not in it has the default. */
enum retry_kind workflow_retry(const struct workflow *workflow);
const char *retry_kind_name(enum retry_kind kind);

/* All of them, in the order of the registry; ends with NULL. */
extern const struct workflow *const workflows[];

#endif
