-- The rows that every measurement begins with. Tickets have a site, a category and a client, so that an escalation
-- that names nobody consults the matrix.
INSERT INTO interlock.ticket (id, status, priority, category, site_id, client_id, asset_id, assigned_person_id, comments)
    SELECT id, 'OPEN', 'MEDIUM', 'category-' || id % 3, 1 + id % 20, 1 + id % 5, 1 + id % 1000, 2 + id % 500,
        'reported by phone, see the history'
    FROM generate_series(1, :tickets) id;
INSERT INTO interlock.escalation_matrix (site_id, category, client_id, level, assigned_person_id, interval_minutes)
    SELECT site, 'category-' || category, client, level, 2 + (site * 7 + level * 11) % 500, 60 * level
    FROM generate_series(1, 20) site, generate_series(0, 2) category, generate_series(1, 5) client,
        generate_series(1, 5) level;
SELECT setval('interlock.ticket_id_seq', :tickets) \gset
VACUUM (FREEZE, ANALYZE) interlock.ticket;
VACUUM (FREEZE, ANALYZE) interlock.escalation_matrix;
