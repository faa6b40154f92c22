DROP INDEX interlock.parked_command_blocking;
