-- Who may do what. Run it as a superuser, in the database of the schema, after every `migrate up`:
--
--     psql -v ON_ERROR_STOP=1 -f schema/roles.sql
--
-- It can be run any number of times, also while workers run. Only a table that is not the owner's yet is locked: the
-- first time, run it before the workers start. It sets no passwords and lets nobody in: pg_hba.conf does, or
-- \password interlock_worker.
--
--   interlock_owner    runs the migrations; no worker connects as this role
--   interlock_worker   `interlock run`: adds inbox and audit rows, changes aggregates, deletes nothing that is recorded
--   interlock_reader   `interlock audit list`, reports: reads, except the data of commands (the bytes of those that
--                      wait, and what the audit keeps of them as metadata)
--   interlock_payload_reader   as interlock_reader, with the data of commands; `interlock audit verify`
--   interlock_operator as interlock_reader; acts on dead letters, parked commands and pauses, each time with an action
--   interlock_pruner   `interlock prune`: may call the function that deletes what can never be needed again
--
-- A person gets a role of their own that is a member of one or more of these: an action names that role.
\set ON_ERROR_STOP on
BEGIN;
SET LOCAL search_path = pg_catalog;

DO $$
DECLARE wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['interlock_owner', 'interlock_worker', 'interlock_reader', 'interlock_payload_reader',
                                    'interlock_operator', 'interlock_pruner'] LOOP
        IF to_regrole(wanted) IS NULL THEN
            EXECUTE format('CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION', wanted);
        END IF;
    END LOOP;
    -- Others may live in this database: their rights are left alone. The owner makes the schema again after `down`.
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO interlock_owner, interlock_worker, interlock_reader, '
                   'interlock_payload_reader, interlock_operator, interlock_pruner', current_database());
    EXECUTE format('GRANT CREATE ON DATABASE %I TO interlock_owner', current_database());
END $$;

-- A session that hangs in a transaction keeps rows and fences locked. The worker sets its own times from its settings
-- (database.*); these are for whoever connects as one of these roles by hand.
ALTER ROLE interlock_worker SET idle_in_transaction_session_timeout = '10s';
ALTER ROLE interlock_worker SET lock_timeout = '2s';
ALTER ROLE interlock_worker SET statement_timeout = '4s';
ALTER ROLE interlock_worker SET synchronous_commit = 'on';
ALTER ROLE interlock_worker SET search_path = pg_catalog;
ALTER ROLE interlock_reader SET idle_in_transaction_session_timeout = '1min';
ALTER ROLE interlock_reader SET statement_timeout = '1min';
ALTER ROLE interlock_reader SET lock_timeout = '5s';
ALTER ROLE interlock_reader SET default_transaction_read_only = 'on';
ALTER ROLE interlock_reader SET search_path = pg_catalog, interlock;
ALTER ROLE interlock_payload_reader SET idle_in_transaction_session_timeout = '1min';
ALTER ROLE interlock_payload_reader SET statement_timeout = '1min';
ALTER ROLE interlock_payload_reader SET lock_timeout = '5s';
ALTER ROLE interlock_payload_reader SET default_transaction_read_only = 'on';
ALTER ROLE interlock_payload_reader SET search_path = pg_catalog, interlock;
ALTER ROLE interlock_operator SET idle_in_transaction_session_timeout = '1min';
ALTER ROLE interlock_operator SET statement_timeout = '1min';
ALTER ROLE interlock_operator SET lock_timeout = '5s';
ALTER ROLE interlock_operator SET search_path = pg_catalog, interlock;
ALTER ROLE interlock_pruner SET idle_in_transaction_session_timeout = '1min';
ALTER ROLE interlock_pruner SET statement_timeout = '10min';
ALTER ROLE interlock_pruner SET lock_timeout = '5s';
ALTER ROLE interlock_pruner SET search_path = pg_catalog;
ALTER ROLE interlock_owner SET idle_in_transaction_session_timeout = '10min';
ALTER ROLE interlock_owner SET search_path = pg_catalog;

-- Reports must not take the sessions that workers need: those have no limit but the server's.
ALTER ROLE interlock_reader CONNECTION LIMIT 20;
ALTER ROLE interlock_payload_reader CONNECTION LIMIT 5;
ALTER ROLE interlock_operator CONNECTION LIMIT 10;
ALTER ROLE interlock_pruner CONNECTION LIMIT 2;
ALTER ROLE interlock_owner CONNECTION LIMIT 5;

-- An object of a later migration is nobody's until this file has said whose.
ALTER DEFAULT PRIVILEGES FOR ROLE interlock_owner REVOKE ALL ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE interlock_owner REVOKE ALL ON TYPES FROM PUBLIC;

-- From here on the schema must exist. Everything is taken away first, so that this file says all there is.
REVOKE ALL ON SCHEMA interlock FROM PUBLIC, interlock_worker, interlock_reader,
    interlock_payload_reader, interlock_operator, interlock_pruner;
REVOKE ALL ON ALL TABLES IN SCHEMA interlock FROM PUBLIC, interlock_worker, interlock_reader,
    interlock_payload_reader, interlock_operator, interlock_pruner;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA interlock FROM PUBLIC, interlock_worker, interlock_reader,
    interlock_payload_reader, interlock_operator, interlock_pruner;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA interlock FROM PUBLIC, interlock_worker, interlock_reader,
    interlock_payload_reader, interlock_operator, interlock_pruner;

-- The owner owns, whoever ran the first migration. Objects that it owns already are not locked: workers use them.
DO $$
DECLARE thing record;
BEGIN
    IF EXISTS (SELECT FROM pg_namespace n WHERE n.nspname = 'interlock' AND n.nspowner <> 'interlock_owner'::regrole) THEN
        ALTER SCHEMA interlock OWNER TO interlock_owner;
    END IF;
    FOR thing IN SELECT c.oid::regclass AS name, c.relkind FROM pg_class c
        WHERE c.relnamespace = 'interlock'::regnamespace AND c.relkind IN ('r', 'p', 'S')
            AND c.relowner <> 'interlock_owner'::regrole
            -- A sequence of an identity column goes with its table.
            AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                AND d.deptype IN ('a', 'i') AND c.relkind = 'S')
    LOOP
        EXECUTE format('ALTER %s %s OWNER TO interlock_owner',
                       CASE thing.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, thing.name);
    END LOOP;
    FOR thing IN SELECT p.oid::regprocedure AS name FROM pg_proc p WHERE p.pronamespace = 'interlock'::regnamespace
        -- An extension's functions are its own.
        AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
    LOOP
        EXECUTE format('ALTER FUNCTION %s OWNER TO interlock_owner', thing.name);
    END LOOP;
    FOR thing IN SELECT t.oid::regtype AS name FROM pg_type t
        WHERE t.typnamespace = 'interlock'::regnamespace AND t.typtype = 'e' LOOP
        EXECUTE format('ALTER TYPE %s OWNER TO interlock_owner', thing.name);
    END LOOP;
END $$;

GRANT USAGE ON SCHEMA interlock TO interlock_worker, interlock_reader, interlock_payload_reader, interlock_operator;
GRANT SELECT ON ALL TABLES IN SCHEMA interlock TO interlock_worker;

-- Reports need what became of commands, and the rows; not the data of commands: the bytes of those that wait, and the
-- metadata of audit rows. xmax says which transaction holds a row; a dry run that decides commands loads rows with their
-- ctid, as a worker does. Nobody who reads needs what makes a return or an owner genuine, nor the vectors of faces. By
-- rule, so that a column of a later migration is not forgotten here.
DO $$
DECLARE target record;
BEGIN
    FOR target IN
        SELECT a.attrelid::regclass AS name, string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) AS columns,
            string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)
                FILTER (WHERE a.attname NOT IN ('value', 'headers', 'kafka_key', 'metadata')) AS without_payload
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        WHERE c.relnamespace = 'interlock'::regnamespace AND c.relkind IN ('r', 'p') AND (a.attnum > 0 OR a.attname IN ('xmax', 'ctid'))
            AND NOT a.attisdropped AND a.attname NOT IN ('token', 'owner_token', 'vector')
        GROUP BY a.attrelid
    LOOP
        EXECUTE format('GRANT SELECT (%s) ON %s TO interlock_reader, interlock_operator', target.without_payload, target.name);
        EXECUTE format('GRANT SELECT (%s) ON %s TO interlock_payload_reader', target.columns, target.name);
    END LOOP;
END $$;

-- Tables that only grow. UPDATE, DELETE and TRUNCATE of these are granted to nobody.
GRANT INSERT ON interlock.inbox, interlock.audit_event, interlock.audit_also, interlock.dead_letter,
    interlock.partition_rewind, interlock.consumer_group, interlock.ticket_history,
    interlock.face_verification_log, interlock.behavioural_event TO interlock_worker;

GRANT INSERT, UPDATE (fence, owner_token, published, crashes, crash_offset, topic_id, topic_fence, owner_slot)
    ON interlock.partition_owner TO interlock_worker;
GRANT INSERT, UPDATE (fence, owner_token, published, audit_topic, audit_from, committed, end_offset, pause_epoch)
    ON interlock.partition_published TO interlock_worker;
GRANT INSERT, DELETE, UPDATE (attempts, noted_at, identity, command_source, command_id, command_type)
    ON interlock.crash_suspect TO interlock_worker;

-- A parked command lives until it is applied: then its inbox row names the new position, and it is gone.
GRANT INSERT, DELETE, UPDATE (due_at, next_at, returned_at, returned_offset, returned_partition_id, returned_fence,
    returns, parkings, blocks, reason, pause_id) ON interlock.parked_command TO interlock_worker;
-- The letter of a command that came back changes with its answer; so does the action that brought it back. A pause ends by
-- itself.
GRANT UPDATE (state, state_at, action_id, redrives, identity, command_source, command_id, command_type)
    ON interlock.dead_letter TO interlock_worker;
GRANT INSERT (action_id, subject, outcome) ON interlock.operator_item TO interlock_worker;
GRANT DELETE, UPDATE (claimed_at) ON interlock.operator_outbox TO interlock_worker;
GRANT UPDATE (resumed_at) ON interlock.pause TO interlock_worker;
GRANT INSERT, DELETE, UPDATE ON interlock.worker_seen TO interlock_worker;
GRANT UPDATE (kafka_offset, fence, partition_id, parked) ON interlock.inbox TO interlock_worker;
GRANT UPDATE (parked) ON interlock.parking TO interlock_worker;
GRANT EXECUTE ON FUNCTION interlock.clear_parking(), interlock.merge_audit_indexes() TO interlock_worker;

-- Aggregates: every column but those that are written once. By rule and not by list, so that a column of a later
-- migration is not forgotten here: a worker that lacks a right stops taking work.
GRANT INSERT ON interlock.ticket, interlock.jobneed, interlock.attendance, interlock.behaviour_profile,
    interlock.face_embedding_counter TO interlock_worker;
DO $$
DECLARE target record;
BEGIN
    FOR target IN
        SELECT a.attrelid::regclass AS name, string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) AS columns
        FROM pg_attribute a
        WHERE a.attrelid IN ('interlock.ticket'::regclass, 'interlock.job'::regclass, 'interlock.jobneed'::regclass,
                             'interlock.attendance'::regclass, 'interlock.behaviour_profile'::regclass,
                             'interlock.face_model'::regclass, 'interlock.face_embedding'::regclass,
                             'interlock.face_user'::regclass,
                             'interlock.face_embedding_counter'::regclass)
            AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
            AND a.attname NOT IN ('id', 'created_at', 'jobneed_id')
        GROUP BY a.attrelid
    LOOP
        EXECUTE format('GRANT UPDATE (%s) ON %s TO interlock_worker', target.columns, target.name);
    END LOOP;
END $$;

-- A face user is made by the first of its embeddings, and stays when the last one goes.
GRANT INSERT ON interlock.face_user TO interlock_worker;
GRANT INSERT, DELETE ON interlock.face_embedding TO interlock_worker;
GRANT EXECUTE ON FUNCTION interlock.draw_face_embedding_ids(integer) TO interlock_worker;

-- Checkpoints and geofence assignments of a plan are made and removed by commands; roots by the planning side.
GRANT INSERT, DELETE ON interlock.job TO interlock_worker;
GRANT EXECUTE ON FUNCTION interlock.draw_job_ids(integer) TO interlock_worker;

GRANT USAGE ON ALL SEQUENCES IN SCHEMA interlock TO interlock_worker;
GRANT EXECUTE ON FUNCTION interlock.draw_ticket_ids(integer), interlock.draw_jobneed_ids(integer) TO interlock_worker;

GRANT EXECUTE ON FUNCTION interlock.clock(timestamptz), interlock.ago(timestamptz), interlock.action_words(bigint)
    TO interlock_reader, interlock_payload_reader, interlock_operator;

-- A partition's owner and its batches meet at advisory locks, and whoever holds one of those stops them. PostgreSQL lets
-- everybody take any; in this database only who needs them. Another program of this database that uses advisory locks is
-- granted them by name.
DO $$
DECLARE thing record;
BEGIN
    FOR thing IN SELECT p.oid::regprocedure AS name FROM pg_proc p
        WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.proname ~ '^pg_(try_)?advisory_(xact_)?lock' LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC, interlock_reader, interlock_payload_reader, '
                       'interlock_operator, interlock_pruner', thing.name);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO interlock_owner, interlock_worker', thing.name);
    END LOOP;
END $$;

-- Rows that nothing needs again, and no others, are pruned by a function that looks for itself.
GRANT USAGE ON SCHEMA interlock TO interlock_pruner;
GRANT EXECUTE ON FUNCTION interlock.prune_rows(text, boolean, text[], integer[], bigint[], interval, tid, tid)
    TO interlock_pruner;

-- The actions of operators. Who did it is not theirs to write (operator_action.db_user, at), and each change of a dead letter or
-- of a parked command by the functions needs an action of the same transaction.
GRANT INSERT (verb, actor, host, version, reason, filter, expected, before) ON interlock.operator_action
    TO interlock_operator, interlock_pruner;
GRANT INSERT (action_id, subject, outcome) ON interlock.operator_item TO interlock_operator, interlock_pruner;
GRANT SELECT (id) ON interlock.operator_action TO interlock_pruner;
GRANT UPDATE (state, state_at, action_id, identity) ON interlock.dead_letter TO interlock_operator;
GRANT UPDATE (due_at, next_at, pause_id, action_id, cancelled_by, released_by) ON interlock.parked_command
    TO interlock_operator;
GRANT INSERT (scope, target, keeps_order, ends_at, action_id), UPDATE (resumed_at, resumed_by) ON interlock.pause
    TO interlock_operator;
GRANT EXECUTE ON FUNCTION interlock.try_repair_lock(), interlock.take_back(bigint, uuid),
    interlock.put_back(bigint, text, uuid, uuid, integer, bigint, bigint, timestamptz, text, text, text, text, text, bytea,
        bytea, bytea) TO interlock_operator;

-- The list of migrations is the owner's.
REVOKE ALL ON interlock.schema_migration_log FROM interlock_worker;
COMMIT;
