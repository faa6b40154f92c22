DROP TABLE interlock.attendance, interlock.geofence_vertex, interlock.geofence, interlock.shift;
