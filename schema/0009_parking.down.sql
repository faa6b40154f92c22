DROP TABLE interlock.parked_command;
