/* Assignment: the person and group that a command may name, by the members assigned_person_id and assigned_group_id.
 *
 * Absent: kept as it is. JSON null or 1: nobody (DOMAIN.md, "Nobody"), stored as null. Else: that person or group. In
 * creations and escalations null and 1 are as if absent: assignment_of_someone.
 *
 * Threads    values; no state.
 */
#ifndef WORKFLOWS_ASSIGNEE_H
#define WORKFLOWS_ASSIGNEE_H

#include "workflows/parameters/parameters.h"

struct assignment
{
    bool person_given, group_given;
    struct field_int person, group; /* nobody is null */
};

enum
{
    NOBODY = 1,
};

/* `person` and `group` of clearable parameters. */
struct assignment assignment_read(struct field_int person, struct field_int group);

/* The same where nobody says nothing. */
struct assignment assignment_of_someone(struct field_int person, struct field_int group);

/* Tells whether either member was there, whomever it names. */
bool assignment_is_given(struct field_int person, struct field_int group);

/* Null for nobody. */
struct field_int assignment_of_id(struct field_int id);

/* Tells whether it names a person or a group, nobody not counted. */
bool assignment_names_someone(const struct assignment *assignment);

/* Tells whether setting it would change the pair; sets it. */
bool assignment_changes(const struct assignment *assignment, struct field_int person, struct field_int group);
void assignment_set(const struct assignment *assignment, struct field_int *person, struct field_int *group);

#endif
