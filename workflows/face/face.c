#include "workflows/face/face.h"

void face_user_touch(struct rows *rows, int64_t user_id)
{
    if (rows_read(rows, &entity_face_user, id_of(user_id)))
        rows_edit(rows, &entity_face_user, id_of(user_id));
    else
        rows_insert(rows, &entity_face_user, id_of(user_id));
}
