/* Assignee: the person and group that a command may name, by the members assigned_person_id and assigned_group_id.
 *
 * Absent: kept as it is. JSON null or 1: nobody (DOMAIN.md, "Nobody"), stored as null. Else: that person or group. In
 * creations and escalations null and 1 are as if absent: assignee_of_someone.
 *
 * Threads    values; no state.
 */
#ifndef WORKFLOWS_ASSIGNEE_H
#define WORKFLOWS_ASSIGNEE_H

#include "workflows/parameters/parameters.h"

struct assignee
{
    bool person_given, group_given;
    struct field_int person, group; /* nobody is null */
};

enum
{
    NOBODY = 1,
};

/* `person` and `group` of clearable parameters. */
struct assignee assignee_read(struct field_int person, struct field_int group);

/* The same where nobody says nothing. */
struct assignee assignee_of_someone(struct field_int person, struct field_int group);

/* Tells whether either member was there, whomever it names. */
bool assignee_is_given(struct field_int person, struct field_int group);

/* Null for nobody. */
struct field_int assignee_of_id(struct field_int id);

/* Tells whether it names a person or a group, nobody not counted. */
bool assignee_names_someone(const struct assignee *assignee);

/* Tells whether setting it would change the pair; sets it. */
bool assignment_changes(const struct assignee *assignee, struct field_int person, struct field_int group);
void assignee_set(const struct assignee *assignee, struct field_int *person, struct field_int *group);

#endif
