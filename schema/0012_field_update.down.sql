-- The word stays in the type: an audit record is never changed, and the rows that have it were published with it. A
-- program from before never writes it.
SELECT 1;
