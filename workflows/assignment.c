#include "workflows/assignment.h"

static bool is_named(const struct command *command, const char *member)
{
    return command->data && document_member(&command->document, command->data, member);
}

struct field_int assignment_of_id(struct field_int id)
{
    return id.set && id.value != NOBODY ? id : INT_NULL;
}

struct assignment assignment_read(const struct command *command, struct field_int person, struct field_int group)
{
    return (struct assignment){
        .person_given = person.set || is_named(command, "assigned_person_id"),
        .group_given = group.set || is_named(command, "assigned_group_id"),
        .person = assignment_of_id(person),
        .group = assignment_of_id(group),
    };
}

bool assignment_names_someone(const struct assignment *assignment)
{
    return assignment->person.set || assignment->group.set;
}

static bool differs(struct field_int a, struct field_int b)
{
    return a.set != b.set || (a.set && a.value != b.value);
}

bool assignment_changes(const struct assignment *assignment, struct field_int person, struct field_int group)
{
    return (assignment->person_given && differs(assignment->person, person)) ||
           (assignment->group_given && differs(assignment->group, group));
}

void assignment_set(const struct assignment *assignment, struct field_int *person, struct field_int *group)
{
    if (assignment->person_given)
        *person = assignment->person;
    if (assignment->group_given)
        *group = assignment->group;
}
