-- R3: one batch, one transaction, set-based statements.
\set n :n + :size
SELECT bench_batch(:size::int, :tickets::int, :client_id + 1, :n::int8);
