-- What operators see and do: dead letters with identity, state and cause, pauses, and who did what, and why. Whatever
-- comes back, comes back by parking: a redriven letter, a replayed command and a paused one are parked commands with
-- another reason.

-- --- actions ---------------------------------------------------------------------------------------------------------

-- One row for every act of a person on the pool, written in the transaction that acts. `actor` is claimed; `db_user` is
-- vouched for by PostgreSQL, because no role may write that column.
CREATE TABLE interlock.operator_action (
    id       bigint      NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    before   timestamptz,
    expected bigint      CHECK (expected >= 0),
    db_user  text COLLATE "C" NOT NULL DEFAULT session_user,
    verb     text COLLATE "C" NOT NULL CHECK (length(verb) BETWEEN 1 AND 64),
    actor    text COLLATE "C" NOT NULL CHECK (length(actor) BETWEEN 1 AND 128),
    host     text COLLATE "C" NOT NULL CHECK (length(host) <= 255),
    version  text COLLATE "C" NOT NULL CHECK (length(version) <= 64),
    reason   text COLLATE "C" NOT NULL CHECK (length(reason) BETWEEN 1 AND 1024),
    filter   jsonb       NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(filter) = 'object')
);
COMMENT ON COLUMN interlock.operator_action.filter IS 'what was asked for; never the data of a command';
COMMENT ON COLUMN interlock.operator_action.before IS 'what came later was left alone; null: no such bound';
COMMENT ON COLUMN interlock.operator_action.expected IS 'how many the dry run had counted; null: it was not said';

-- What an action did to each of its subjects: a letter topic/partition/offset, a command, a pause, a table, a migration.
CREATE TABLE interlock.operator_item (
    action_id bigint      NOT NULL REFERENCES interlock.operator_action (id),
    at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    subject   text COLLATE "C" NOT NULL CHECK (length(subject) BETWEEN 1 AND 512),
    outcome   text COLLATE "C" NOT NULL CHECK (length(outcome) BETWEEN 1 AND 128)
);
CREATE INDEX operator_item_by_action ON interlock.operator_item (action_id, at);
CREATE INDEX operator_item_by_subject ON interlock.operator_item (subject, at);

CREATE TRIGGER operator_action_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON interlock.operator_action
    FOR EACH STATEMENT EXECUTE FUNCTION interlock.refuse_change();
CREATE TRIGGER operator_item_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON interlock.operator_item
    FOR EACH STATEMENT EXECUTE FUNCTION interlock.refuse_change();

-- The actions whose events are not on the audit topic yet.
CREATE TABLE interlock.operator_outbox (
    action_id  bigint PRIMARY KEY REFERENCES interlock.operator_action (id),
    claimed_at timestamptz
);
COMMENT ON COLUMN interlock.operator_outbox.claimed_at IS 'a worker publishes its event since then; null: none does';
-- The set-up of a pool, before its first worker, is no news for the readers of its audit topic.
CREATE FUNCTION interlock.note_action() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO interlock.operator_outbox (action_id)
        SELECT NEW.id WHERE EXISTS (SELECT FROM interlock.partition_owner);
    RETURN NULL;
END $$;
CREATE TRIGGER operator_action_noted AFTER INSERT ON interlock.operator_action
    FOR EACH ROW EXECUTE FUNCTION interlock.note_action();

-- For functions that act for a role without rights of its own: the action must be of this transaction.
CREATE FUNCTION interlock.require_action(action bigint) RETURNS void LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM interlock.operator_action a WHERE a.id = action
                   AND a.xmin = pg_current_xact_id_if_assigned()::xid) THEN
        RAISE EXCEPTION 'action % is not of this transaction', action USING ERRCODE = 'insufficient_privilege',
            HINT = 'Every change by an operator has a row of operator_action in its own transaction.';
    END IF;
END $$;

-- For the verbs that show people what there is: a time as one reads it, how long ago it was, an action in words.
CREATE FUNCTION interlock.clock(at timestamptz) RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog AS
    $$ SELECT to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.MS"Z"') $$;
CREATE FUNCTION interlock.ago(at timestamptz) RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    SELECT CASE WHEN s < 120 THEN s || ' s' WHEN s < 7200 THEN s / 60 || ' min' WHEN s < 172800 THEN s / 3600 || ' h'
        ELSE s / 86400 || ' d' END || ' ago' FROM (SELECT greatest(extract(epoch FROM clock_timestamp() - at), 0)::bigint AS s) t
    $$;
CREATE FUNCTION interlock.action_words(action bigint) RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    SELECT 'action ' || a.id || ' (' || a.verb || ' by ' || a.actor || ', ' || interlock.ago(a.at) || ')'
        FROM interlock.operator_action a WHERE a.id = action $$;

-- --- dead letters ----------------------------------------------------------------------------------------------------

ALTER TABLE interlock.dead_letter
    ADD COLUMN state_at       timestamptz,
    ADD COLUMN identity       uuid,
    ADD COLUMN action_id      bigint REFERENCES interlock.operator_action (id),
    ADD COLUMN bytes          integer CHECK (bytes >= 0),
    ADD COLUMN attempts       integer CHECK (attempts >= 0),
    ADD COLUMN redrives       integer NOT NULL DEFAULT 0 CHECK (redrives >= 0),
    ADD COLUMN state          text COLLATE "C" NOT NULL DEFAULT 'open'
        CONSTRAINT dead_letter_state CHECK (state IN ('open', 'redriving', 'resolved', 'replaced', 'discarded')),
    ADD COLUMN key            text COLLATE "C",
    ADD COLUMN command_source text COLLATE "C",
    ADD COLUMN command_id     text COLLATE "C",
    ADD COLUMN command_type   text COLLATE "C",
    ADD COLUMN says           text;

COMMENT ON COLUMN interlock.dead_letter.identity IS 'that of the inbox, of a letter that can be read as a command';
COMMENT ON COLUMN interlock.dead_letter.state IS
    'open; redriving: it waits as a parked command; resolved: answered; replaced: by another letter, or an edited copy; discarded';
COMMENT ON COLUMN interlock.dead_letter.action_id IS 'the last action that changed the state';
COMMENT ON COLUMN interlock.dead_letter.key IS 'the Kafka key as text, where it is one';
COMMENT ON COLUMN interlock.dead_letter.bytes IS 'of the message''s value';
COMMENT ON COLUMN interlock.dead_letter.says IS 'a sentence for people, as in the letter''s header';

CREATE INDEX dead_letter_by_state ON interlock.dead_letter (state, first_failed_at DESC);
CREATE INDEX dead_letter_by_identity ON interlock.dead_letter (identity) WHERE identity IS NOT NULL;
CREATE INDEX dead_letter_by_action ON interlock.dead_letter (action_id) WHERE action_id IS NOT NULL;

-- Written at the second try, when the worker has survived reading it.
ALTER TABLE interlock.crash_suspect
    ADD COLUMN identity       uuid,
    ADD COLUMN command_source text COLLATE "C",
    ADD COLUMN command_id     text COLLATE "C",
    ADD COLUMN command_type   text COLLATE "C";

-- --- pauses ----------------------------------------------------------------------------------------------------------

CREATE TABLE interlock.pause (
    id          integer     NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    keeps_order boolean     NOT NULL DEFAULT true,
    action_id   bigint      NOT NULL REFERENCES interlock.operator_action (id),
    resumed_by  bigint      REFERENCES interlock.operator_action (id),
    paused_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    ends_at     timestamptz,
    resumed_at  timestamptz,
    scope       text COLLATE "C" NOT NULL
        CONSTRAINT pause_scope CHECK (scope IN ('all', 'topic', 'partition', 'type', 'tenant', 'key')),
    target      text COLLATE "C" NOT NULL CHECK (length(target) <= 512 AND (target = '') = (scope = 'all')),
    CONSTRAINT pause_end CHECK (resumed_at IS NOT NULL OR resumed_by IS NULL)
);
COMMENT ON COLUMN interlock.pause.target IS 'a topic, topic/partition, a command type, a tenant, or the key of an aggregate';
COMMENT ON COLUMN interlock.pause.keeps_order IS 'commands of other types or tenants go behind a paused one of their aggregate';
COMMENT ON COLUMN interlock.pause.ends_at IS 'by PostgreSQL''s clock; null: until it is resumed';
COMMENT ON COLUMN interlock.pause.resumed_by IS 'null with resumed_at: it ended by itself';
CREATE INDEX pause_in_force ON interlock.pause (id) WHERE resumed_at IS NULL;

-- Every batch reads this number with its fence: another number than last time means that the pauses have to be read.
-- 0: there has never been one.
ALTER TABLE interlock.parking ADD COLUMN pause_epoch bigint NOT NULL DEFAULT 0;

CREATE FUNCTION interlock.note_pause() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE interlock.parking SET pause_epoch = pause_epoch + 1;
    RETURN NULL;
END $$;
CREATE TRIGGER pause_noted AFTER INSERT OR UPDATE ON interlock.pause
    FOR EACH STATEMENT EXECUTE FUNCTION interlock.note_pause();

-- --- parked commands -------------------------------------------------------------------------------------------------

ALTER TABLE interlock.parked_command
    ADD COLUMN action_id    bigint REFERENCES interlock.operator_action (id),
    ADD COLUMN cancelled_by bigint REFERENCES interlock.operator_action (id),
    ADD COLUMN released_by  bigint REFERENCES interlock.operator_action (id),
    ADD COLUMN pause_id     integer REFERENCES interlock.pause (id),
    ADD COLUMN tenant       text COLLATE "C",
    DROP CONSTRAINT parked_command_reason;
ALTER TABLE interlock.parked_command
    ADD CONSTRAINT parked_command_reason
        CHECK (reason IN ('notbefore', 'held', 'behind', 'paused', 'redriven', 'replayed'));

COMMENT ON COLUMN interlock.parked_command.action_id IS 'that brought it back (redriven, replayed)';
COMMENT ON COLUMN interlock.parked_command.cancelled_by IS 'it returns to be rejected as cancelled';
COMMENT ON COLUMN interlock.parked_command.released_by IS 'it waits for its turn in its aggregate only: for no time of its own and for no pause';
COMMENT ON COLUMN interlock.parked_command.pause_id IS 'the pause that it waits for';

CREATE INDEX parked_command_paused ON interlock.parked_command (pause_id, place) WHERE pause_id IS NOT NULL;
CREATE INDEX parked_command_by_action ON interlock.parked_command (action_id) WHERE action_id IS NOT NULL;

-- Puts a command back that the pool is to decide: a dead letter, or one that was lost. Its inbox row says `parked` from
-- here on. A command that is answered, or parked already, is refused: the result is then what it is, else 'parked'.
CREATE FUNCTION interlock.put_back(action bigint, why text, of_identity uuid, of_body_digest uuid, in_partition integer,
    at_offset bigint, under_fence bigint, due timestamptz, of_aggregate text, of_source text, of_id text, of_type text,
    of_tenant text, with_key bytea, with_headers bytea, with_value bytea)
RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE known interlock.inbox;
BEGIN
    PERFORM interlock.require_action(action);
    IF why NOT IN ('redriven', 'replayed') THEN
        RAISE EXCEPTION 'a command is put back as redriven or replayed, not as %', why
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT * INTO known FROM interlock.inbox i WHERE i.identity = of_identity FOR UPDATE;
    IF FOUND AND known.parked THEN
        RETURN 'already parked';
    ELSIF FOUND AND EXISTS (SELECT FROM interlock.audit_event a WHERE a.partition_id = known.partition_id
                            AND a.kafka_offset = known.kafka_offset AND a.command_source = of_source
                            AND a.command_id = of_id) THEN
        RETURN 'already answered';
    ELSIF FOUND THEN
        -- Put aside without an answer. Its row begins again: what is parked moves (schema/0014).
        DELETE FROM interlock.inbox i WHERE i.identity = of_identity;
    END IF;
    INSERT INTO interlock.inbox (identity, body_digest, kafka_offset, fence, partition_id, parked)
        VALUES (of_identity, of_body_digest, at_offset, under_fence, in_partition, true);
    INSERT INTO interlock.parked_command (identity, kafka_offset, fence, partition_id, due_at, blocks, waits, reason,
            aggregate, command_source, command_id, command_type, tenant, kafka_key, headers, value, action_id)
        VALUES (of_identity, at_offset, under_fence, in_partition, due, true, false, why, of_aggregate, of_source, of_id,
            of_type, of_tenant, with_key, with_headers, with_value, action);
    RETURN 'parked';
END $$;

-- Takes back what an action put back and what has not returned yet. Its inbox row goes with it, so that the command is
-- again what it was: a dead letter, or one that was lost. The result: whether there was such a one.
CREATE FUNCTION interlock.take_back(action bigint, of_identity uuid) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM interlock.require_action(action);
    DELETE FROM interlock.parked_command p WHERE p.identity = of_identity AND p.returned_at IS NULL AND p.returns = 0
        AND p.reason IN ('redriven', 'replayed');
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    DELETE FROM interlock.inbox i WHERE i.identity = of_identity AND i.parked;
    UPDATE interlock.dead_letter d SET state = 'open', state_at = clock_timestamp(), action_id = action
        WHERE d.identity = of_identity AND d.state = 'redriving';
    RETURN true;
END $$;

-- --- workers and partitions ------------------------------------------------------------------------------------------

-- Written by each worker every 5 s. A row whose seen_at is old is of a worker that ended.
CREATE TABLE interlock.worker_seen (
    slot       integer     PRIMARY KEY CHECK (slot >= 0),
    pid        integer     NOT NULL,
    started_at timestamptz NOT NULL,
    seen_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    ready      boolean     NOT NULL,
    host       text COLLATE "C" NOT NULL,
    version    text COLLATE "C" NOT NULL,
    http       text COLLATE "C",
    waits_for  text
) WITH (fillfactor = 50);
COMMENT ON COLUMN interlock.worker_seen.http IS 'where its endpoint listens, host:port; null: nowhere';
COMMENT ON COLUMN interlock.worker_seen.waits_for IS 'why it is not ready; null: it is';

ALTER TABLE interlock.partition_owner
    ADD COLUMN owner_slot integer,
    ADD COLUMN owned      boolean NOT NULL GENERATED ALWAYS AS (owner_token IS NOT NULL) STORED;
COMMENT ON COLUMN interlock.partition_owner.owned IS 'it has an owner, for those who may not see the token';
COMMENT ON COLUMN interlock.partition_owner.owner_slot IS 'of the last owner; null: not known';

ALTER TABLE interlock.partition_published
    ADD COLUMN committed    bigint,
    ADD COLUMN end_offset   bigint,
    ADD COLUMN pause_epoch  bigint NOT NULL DEFAULT 0,
    ADD COLUMN pruned_below bigint NOT NULL DEFAULT 0 CHECK (pruned_below >= 0);
COMMENT ON COLUMN interlock.partition_published.committed IS 'in Kafka, when it was written last';
COMMENT ON COLUMN interlock.partition_published.end_offset IS 'the end of the partition that a reader can get to, when it was written last';
COMMENT ON COLUMN interlock.partition_published.pause_epoch IS 'its owner obeys all pauses up to this parking.pause_epoch, and has nothing in flight that they concern';
COMMENT ON COLUMN interlock.partition_published.pruned_below IS 'inbox rows of lower positions may have been pruned';

-- As schema/0014 has it, and it says how far: what a replay misses below that may have been answered.
CREATE OR REPLACE FUNCTION interlock.prune_rows(target text, executes boolean, topics text[], partitions integer[],
    log_starts bigint[], older_than interval, first tid, behind tid)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    owners text := '(SELECT w.id, w.topic, w.partition, p.published FROM interlock.partition_owner w '
        'JOIN interlock.partition_published p ON p.partition_id = w.id)';
    written text := CASE target WHEN 'inbox' THEN 'NOT t.parked AND t.recorded_at'
        WHEN 'dead_letter' THEN 't.first_failed_at' END;
    rest text;
    gone bigint;
BEGIN
    IF written IS NULL THEN
        RAISE EXCEPTION 'nothing of % is ever pruned: inbox and dead_letter are', target
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF older_than IS NULL OR older_than < interval '1 day' THEN
        RAISE EXCEPTION 'rows younger than 24 hours are never pruned: give a greater age than %', older_than
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    rest := owners || ' o, unnest($1, $2, $3) AS s (topic, partition, log_start) WHERE o.topic = s.topic '
        'AND o.partition = s.partition AND t.partition_id = o.id AND t.kafka_offset < least(o.published, s.log_start) '
        'AND t.ctid >= $4 AND t.ctid < $5 AND ' || written || ' < now() - $6';
    IF executes THEN
        EXECUTE format('WITH gone AS (DELETE FROM interlock.%I t USING %s RETURNING t.partition_id, t.kafka_offset), '
            'reached AS (UPDATE interlock.partition_published p SET pruned_below = greatest(p.pruned_below, g.behind) '
            'FROM (SELECT partition_id, max(kafka_offset) + 1 AS behind FROM gone GROUP BY 1) g '
            'WHERE p.partition_id = g.partition_id) SELECT count(*) FROM gone', target, rest)
            INTO gone USING topics, partitions, log_starts, first, behind, older_than;
    ELSE
        EXECUTE format('SELECT count(*) FROM interlock.%I t, %s', target, rest) INTO gone
            USING topics, partitions, log_starts, first, behind, older_than;
    END IF;
    RETURN gone;
END $$;

-- The lock of `audit verify --repair`, for a role that may take no advisory lock (schema/roles.sql): this one stops
-- nothing but another repair. Held until the session ends.
CREATE FUNCTION interlock.try_repair_lock() RETURNS boolean LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS 'SELECT pg_try_advisory_lock(4285556, 0)';

REVOKE ALL ON FUNCTION interlock.note_action(), interlock.note_pause(), interlock.require_action(bigint),
    interlock.try_repair_lock(), interlock.clock(timestamptz), interlock.ago(timestamptz), interlock.action_words(bigint), interlock.take_back(bigint, uuid),
    interlock.put_back(bigint, text, uuid, uuid, integer, bigint, bigint, timestamptz, text, text, text, text, text, bytea,
        bytea, bytea) FROM PUBLIC;
