-- The way of the replaced system: read, compute in the program, write back; no lock, no transaction around the two.
\set id random(1, :tickets)
SELECT level FROM interlock.ticket WHERE id = :id \gset
\set next :level + 1
UPDATE interlock.ticket SET level = :next, version = version + 1 WHERE id = :id;
