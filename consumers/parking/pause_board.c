#include "consumers/parking/pause_board.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/base/topic_name.h"

enum
{
    TARGET_TEXT_MAX = TOPIC_NAME_MAX + 16, /* topic/partition */
    OBEYED_MAX = 65536,                    /* partitions of a process */
};

enum board_scope
{
    BOARD_ALL,
    BOARD_TOPIC,
    BOARD_PARTITION,
};

struct board_pause
{
    enum board_scope scope;
    char target[TARGET_TEXT_MAX];
};

struct pause_board
{
    pthread_mutex_t mutex;
    _Atomic(uint64_t) version;
    int64_t epoch;
    struct board_pause *pauses;
    int count;
    struct pause_obeyed *obeyed;
    int obeyed_count, obeyed_room;
};

struct pause_board *pause_board_new(void)
{
    struct pause_board *board = calloc(1, sizeof(*board));

    if (board)
        pthread_mutex_init(&board->mutex, NULL);
    return board;
}

void pause_board_free(struct pause_board *board)
{
    if (board == NULL)
        return;
    pthread_mutex_destroy(&board->mutex);
    free(board->pauses);
    free(board->obeyed);
    free(board);
}

/* False: the scope is not about partitions. */
static bool read_pause(struct board_pause *pause, const char *scope, const char *target)
{
    static const char *const scopes[] = {
        [BOARD_ALL] = "all", [BOARD_TOPIC] = "topic", [BOARD_PARTITION] = "partition"
    };

    for (int i = 0; i < (int)(sizeof(scopes) / sizeof(*scopes)); i++)
        if (strcmp(scope, scopes[i]) == 0)
        {
            pause->scope = (enum board_scope)i;
            snprintf(pause->target, sizeof(pause->target), "%s", target);
            return true;
        }
    return false;
}

void pause_board_set(struct pause_board *board, int64_t epoch, const PGresult *rows, int scope_column,
                     int target_column)
{
    struct board_pause *pauses = calloc((size_t)PQntuples(rows) + 1, sizeof(*pauses));
    int count = 0;

    if (pauses == NULL)
        return;
    for (int row = 0; row < PQntuples(rows); row++)
        count += read_pause(&pauses[count], PQgetvalue(rows, row, scope_column), PQgetvalue(rows, row, target_column));
    pthread_mutex_lock(&board->mutex);
    bool same = atomic_load(&board->version) > 0 && board->epoch == epoch && board->count == count &&
                (count == 0 || memcmp(board->pauses, pauses, (size_t)count * sizeof(*pauses)) == 0);
    struct board_pause *former = same ? pauses : board->pauses;
    if (!same)
    {
        board->pauses = pauses;
        board->count = count;
        board->epoch = epoch;
        atomic_fetch_add(&board->version, 1);
    }
    pthread_mutex_unlock(&board->mutex);
    free(former);
}

uint64_t pause_board_version(const struct pause_board *board)
{
    return atomic_load(&board->version);
}

bool pause_board_covers(struct pause_board *board, const char *topic, int32_t partition, int64_t *ret_epoch)
{
    char whole[TARGET_TEXT_MAX];
    bool covers = false;

    snprintf(whole, sizeof(whole), "%s/%d", topic, partition);
    pthread_mutex_lock(&board->mutex);
    *ret_epoch = board->epoch;
    for (int i = 0; i < board->count && !covers; i++)
    {
        const struct board_pause *pause = &board->pauses[i];
        covers = pause->scope == BOARD_ALL || (pause->scope == BOARD_TOPIC && strcmp(pause->target, topic) == 0) ||
                 (pause->scope == BOARD_PARTITION && strcmp(pause->target, whole) == 0);
    }
    pthread_mutex_unlock(&board->mutex);
    return covers;
}

static bool make_room(struct pause_board *board)
{
    if (board->obeyed_count < board->obeyed_room)
        return true;
    if (board->obeyed_room >= OBEYED_MAX)
        return false;
    int room = board->obeyed_room == 0 ? 64 : 2 * board->obeyed_room;
    struct pause_obeyed *larger = realloc(board->obeyed, (size_t)room * sizeof(*larger));
    if (larger == NULL)
        return false;
    board->obeyed = larger;
    board->obeyed_room = room;
    return true;
}

bool pause_board_note_obeyed(struct pause_board *board, const struct pause_obeyed *obeyed)
{
    pthread_mutex_lock(&board->mutex);
    bool noted = make_room(board);
    if (noted)
        board->obeyed[board->obeyed_count++] = *obeyed;
    pthread_mutex_unlock(&board->mutex);
    return noted;
}

struct pause_obeyed *pause_board_take_obeyed(struct pause_board *board, int *ret_count)
{
    pthread_mutex_lock(&board->mutex);
    struct pause_obeyed *obeyed = board->obeyed;
    *ret_count = board->obeyed_count;
    board->obeyed = NULL;
    board->obeyed_count = board->obeyed_room = 0;
    pthread_mutex_unlock(&board->mutex);
    return obeyed;
}
