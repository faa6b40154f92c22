#include "workflows/assignee.h"

static bool is_given(struct field_int id)
{
    return id.set || int_is_cleared(id);
}

struct field_int assignee_of_id(struct field_int id)
{
    return id.set && id.value != NOBODY ? id : INT_NULL;
}

struct assignee assignee_read(struct field_int person, struct field_int group)
{
    return (struct assignee){
        .person_given = is_given(person),
        .group_given = is_given(group),
        .person = assignee_of_id(person),
        .group = assignee_of_id(group),
    };
}

struct assignee assignee_of_someone(struct field_int person, struct field_int group)
{
    struct assignee assignee = assignee_read(person, group);
    assignee.person_given = assignee.person.set;
    assignee.group_given = assignee.group.set;
    return assignee;
}

bool assignee_is_given(struct field_int person, struct field_int group)
{
    return is_given(person) || is_given(group);
}

bool assignee_names_someone(const struct assignee *assignee)
{
    return assignee->person.set || assignee->group.set;
}

static bool differs(struct field_int a, struct field_int b)
{
    return a.set != b.set || (a.set && a.value != b.value);
}

bool assignment_changes(const struct assignee *assignee, struct field_int person, struct field_int group)
{
    return (assignee->person_given && differs(assignee->person, person)) ||
           (assignee->group_given && differs(assignee->group, group));
}

void assignee_set(const struct assignee *assignee, struct field_int *person, struct field_int *group)
{
    if (assignee->person_given)
        *person = assignee->person;
    if (assignee->group_given)
        *group = assignee->group;
}
