#include "workflows/assignee.h"

static bool is_given(struct field_int id)
{
    return id.set || int_is_cleared(id);
}

struct field_int assignment_of_id(struct field_int id)
{
    return id.set && id.value != NOBODY ? id : INT_NULL;
}

struct assignment assignment_read(struct field_int person, struct field_int group)
{
    return (struct assignment){
        .person_given = is_given(person),
        .group_given = is_given(group),
        .person = assignment_of_id(person),
        .group = assignment_of_id(group),
    };
}

struct assignment assignment_of_someone(struct field_int person, struct field_int group)
{
    struct assignment assignment = assignment_read(person, group);
    assignment.person_given = assignment.person.set;
    assignment.group_given = assignment.group.set;
    return assignment;
}

bool assignment_is_given(struct field_int person, struct field_int group)
{
    return is_given(person) || is_given(group);
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
