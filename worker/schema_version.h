/* Schema version: the number of the newest migration that this program was built with, written by schema/embed.cmake. A
 * worker waits for a schema that is older.
 *
 * Threads    a constant.
 */
#ifndef WORKER_SCHEMA_VERSION_H
#define WORKER_SCHEMA_VERSION_H

extern const int schema_newest;

#endif
