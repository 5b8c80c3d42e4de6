-- The tables and functions of Hodei, in the first schema of the search_path that exists. Applying
-- this file again changes nothing (`psql -f schema.sql`, `hodei db apply`, and every start of a
-- hodei-server that finds the schema old or incomplete). PostgreSQL 15 to 18, no extension.
-- hodei/store/schema.sql is a symbolic link to this file, so that the wheel contains it. After a
-- change run `tools/catalog`, which writes down what must stand (hodei/store/catalog.json).
--
-- WHAT EACH TABLE IS FOR
--   jobs              One row for each job, until retention deletes it: its spec and its state.
--                     `lease` is the fence: the number of the one claim that may speak for the job
--                     now, NULL when nobody may.
--   job_queue         The jobs that wait: a small table. `waiting` says why a row is not ready. The
--                     index that claims use holds only ready rows.
--   leases            One narrow row for each claim in flight: whose it is, until when its offer
--                     stands, how far its log has come.
--   workers           The agents, whether they are there, and the hash of their credential (never
--                     the credential).
--   worker_bootstrap_tokens
--                     One-time tokens, minted by `hodei token create` or by INSERT.
--   api_keys          Who may call servers, and as what: the hash of each key's secret (never the
--                     key). Rows stay: while there is one, a call without a key is no admin's.
--   project_grants    Into which projects roles of this database may enqueue by hodei_enqueue.
--   secrets           Values that jobs are given, encrypted: each version of each. The keys are in
--                     files of the servers.
--   domain_events     The audit: every change of state, written in the transaction of the change
--                     and never updated. Retention drops it by whole days.
--   job_logs          What jobs wrote, in chunks of bytes under their lease. Retention drops it by
--                     whole days.
--   provider_configs  Where workers are made on demand; docs/workers-on-demand.md has the keys.
--   hodei_listening   Since when at least one server has listened without a gap: the silence of a
--                     worker counts from then.
--   hodei_servers     The servers that are there, as they say themselves: for people. A row that
--                     is not renewed is deleted after an hour.
--   hodei_schema      The version of this file that was applied, and what a restore has lost.
--
-- A JOB'S STATES
--
--   hodei_create_jobs
--       │
--       ▼        accept: a slot of a worker took it
--    PENDING ────────────────────────────────────────► RUNNING
--     │   ▲                                             │   │
--     │   └────── it failed or was lost, and runs again ┘   │ result
--     │                                                     ├───► SUCCEEDED   exit code 0
--     ├── it was rejected, or its queue_timeout passed ─────┼───► FAILED      `reason` says why
--     └── it was cancelled while it waited ─────────────────┴───► CANCELLED   somebody asked for it
--
--   A claim and a release leave the job PENDING.
--
-- A JOB'S LIFE
--   hodei_create_jobs  inserts the job (PENDING), its job_queue row and JobCreated in one
--                      transaction, and notifies servers.
--   claim              deletes the job_queue row, inserts the leases row and sets jobs.lease:
--                      JobAssigned.
--   accept             A slot of the worker took the job: RUNNING, attempts + 1: JobStatusChanged.
--   result             The worker says under its lease how the attempt ended: SUCCEEDED, FAILED or
--                      CANCELLED; the leases row is deleted and jobs.lease is NULL:
--                      JobStatusChanged. Where `retries` or `on_lost` say so the job becomes
--                      PENDING again with a job_queue row: JobStatusChanged, JobRetried.
--   release            An offer that is not accepted by accept_by returns to the queue:
--                      JobUnassigned. It spends no attempt.
--   cancel             A queued job becomes CANCELLED at once: JobStatusChanged. For one in flight
--                      JobCancelRequested is written, and its worker's result follows.
--   rescue             A worker is lost: its leases end, and its jobs run again or fail by policy.
--
-- THE RULES THAT EVERY STATEMENT KEEPS (their numbers are those of docs/architecture.md)
--   * A job is PENDING if and only if it has a job_queue row, or a lease that is not accepted
--     (rule 3).
--   * A final state never changes (rule 2).
--   * A statement that speaks under a lease tests `jobs.lease = <that lease>` in its own WHERE on
--     jobs. After a wait for a row lock PostgreSQL checks the WHERE again against the new version
--     of that row only: a test on a joined table would see the old snapshot (rule 1).
--   * jobs.updated_at is the time of the job's last event, and it strictly increases:
--     greatest(clock_timestamp(), updated_at + 1 µs), taken under the row's lock (rule 4).
--
-- LOCK ORDER   job_queue → jobs → leases → workers; several rows of one table in the order of their
-- key (claims: SKIP LOCKED). The INSERT of a new row may stand outside of this order: a result and
-- a release insert a job_queue row while they hold the job. They wait for nobody: a job with a
-- lease has no job_queue row on which another statement could hold a lock.

BEGIN READ WRITE;  -- all of it or nothing, whatever a role's default_transaction_read_only says

-- Nothing of what follows depends on the settings of a database, role or session, and nothing stays
-- set after the COMMIT.
SET LOCAL idle_in_transaction_session_timeout = 0;
SET LOCAL statement_timeout = 0;
SET LOCAL client_encoding = 'UTF8';
SET LOCAL standard_conforming_strings = on;
SET LOCAL client_min_messages = warning;
SET LOCAL DateStyle = 'ISO';
SET LOCAL TimeZone = 'UTC';
SET LOCAL quote_all_identifiers = off;
SET LOCAL default_tablespace = '';  -- a partitioned table is refused where one is set
SET LOCAL lock_timeout = '5s';  -- whatever waits behind our ALTER must not wait for long

DO $$
BEGIN
    IF current_setting('server_encoding') <> 'UTF8' THEN
        RAISE EXCEPTION 'the encoding of database "%" is %, and Hodei needs UTF8',
            current_database(), current_setting('server_encoding')
            USING ERRCODE = 'feature_not_supported';
    ELSIF current_schema() IS NULL THEN
        RAISE EXCEPTION 'no schema of the search_path (%) exists: create it first',
            current_setting('search_path')
            USING ERRCODE = 'invalid_schema_name';
    ELSIF current_schema() = '$user' THEN
        RAISE EXCEPTION
            'a schema with the name $user is another one for each role: use another name'
            USING ERRCODE = 'invalid_schema_name';
    END IF;
    IF current_setting('transaction_timeout', true) IS NOT NULL THEN  -- since PostgreSQL 17
        PERFORM set_config('transaction_timeout', '0', true);
    END IF;
    -- From here on names are looked for only in the schema to which new tables go: the tables of
    -- another Hodei, in a schema behind it on the path, are left alone.
    PERFORM set_config('search_path', format('%I, pg_temp', current_schema()), true);
    PERFORM pg_advisory_xact_lock(hashtext('hodei schema'));  -- several may apply this file at once
END $$;

-- ────────────── UPGRADE AND REPAIR: a fresh database skips this section ──────────────

-- Each statement of this section finds out by itself whether it has anything to do; only the
-- function hodei_ms is always made. What must be done with the tables in place stands in the last
-- section.

DO $$
BEGIN
    -- A lease number is never given twice. Where the sequence was lost and the events were not, it
    -- begins anew at the microseconds since 1970: more than were ever drawn.
    IF to_regclass('hodei_lease_seq') IS NULL AND to_regclass('domain_events') IS NOT NULL THEN
        EXECUTE format(
            'CREATE SEQUENCE hodei_lease_seq AS bigint START %s',
            trunc(extract(epoch FROM clock_timestamp()) * 1000000));
    END IF;
END $$;

ALTER TABLE IF EXISTS hodei_schema
    ADD COLUMN IF NOT EXISTS revision integer NOT NULL DEFAULT 1,
    ADD COLUMN IF NOT EXISTS cluster_id uuid NOT NULL DEFAULT gen_random_uuid(),
    ADD COLUMN IF NOT EXISTS lives_in text,                  -- since revision 6
    ADD COLUMN IF NOT EXISTS lost_leases int8multirange NOT NULL DEFAULT '{}',
    ADD COLUMN IF NOT EXISTS restored_at timestamptz;

-- Milliseconds of a spec's seconds, for what older releases stored unchecked. It never raises an
-- error, and its result is within what can be used.
CREATE OR REPLACE FUNCTION hodei_ms(seconds jsonb) RETURNS bigint
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    RETURN CASE
        WHEN jsonb_typeof(seconds) = 'number'
        THEN least(greatest(round(seconds::numeric * 1000), 0), 31536000000)::bigint
    END;
END $$;

DO $$  -- since revision 4; a live job of an older one gets the values of its columns from its spec
BEGIN
    IF to_regclass('jobs') IS NOT NULL
        AND NOT EXISTS (
            SELECT FROM pg_attribute a
            WHERE a.attrelid = to_regclass('jobs')
              AND a.attname = 'lone_losses'
              AND NOT a.attisdropped)
    THEN
        ALTER TABLE jobs
            ADD COLUMN timeout_ms bigint,
            ADD COLUMN start_timeout_ms bigint,
            ADD COLUMN silence_timeout_ms bigint,
            ADD COLUMN queue_timeout_ms bigint,
            ADD COLUMN grace_ms bigint,
            ADD COLUMN retries integer,
            ADD COLUMN lone_losses integer NOT NULL DEFAULT 0;
        UPDATE jobs j
        SET timeout_ms = hodei_ms(j.spec -> 'timeout'),
            start_timeout_ms = hodei_ms(j.spec -> 'start_timeout'),
            silence_timeout_ms = hodei_ms(j.spec -> 'silence_timeout'),
            queue_timeout_ms = hodei_ms(j.spec -> 'queue_timeout'),
            grace_ms = hodei_ms(j.spec -> 'grace'),
            retries = least(hodei_ms(j.spec -> 'retries') / 1000, 1000)::integer
        WHERE j.completed_at IS NULL;
    END IF;
END $$;

ALTER TABLE IF EXISTS jobs
    ADD COLUMN IF NOT EXISTS leftover_unknown integer;       -- since revision 4

DO $$
BEGIN
    -- What the releases before said. What somebody else has set stays.
    IF EXISTS (
        SELECT FROM pg_class c
        WHERE c.oid = to_regclass('jobs') AND 'fillfactor=70' = ANY (c.reloptions))
    THEN
        ALTER TABLE jobs SET (fillfactor = 40);
    END IF;
END $$;

ALTER TABLE IF EXISTS job_queue
    ADD COLUMN IF NOT EXISTS expires_at timestamptz,         -- since revision 2
    ADD COLUMN IF NOT EXISTS unseen_ms bigint,               -- since revision 4
    ADD COLUMN IF NOT EXISTS project text NOT NULL DEFAULT 'default';  -- since revision 6
-- The rows that are there are of the default project. What the release before inserts from now on
-- says no project, and is filed (hodei/store/job_queue.py).
ALTER TABLE IF EXISTS job_queue ALTER COLUMN project SET DEFAULT '';

ALTER TABLE IF EXISTS leases
    ADD COLUMN IF NOT EXISTS stopping_at timestamptz,        -- since revision 2
    ADD COLUMN IF NOT EXISTS log_at timestamptz,
    ADD COLUMN IF NOT EXISTS end_by timestamptz,
    ADD COLUMN IF NOT EXISTS silence_s double precision,
    ADD COLUMN IF NOT EXISTS start_by timestamptz,
    ADD COLUMN IF NOT EXISTS expires_at timestamptz,         -- since revision 4
    ADD COLUMN IF NOT EXISTS secrets jsonb;                  -- since revision 6

ALTER TABLE IF EXISTS workers                                -- since revision 4
    ADD COLUMN IF NOT EXISTS server_id uuid,
    ADD COLUMN IF NOT EXISTS lost_at timestamptz,
    ADD COLUMN IF NOT EXISTS job_user text,
    ADD COLUMN IF NOT EXISTS about jsonb NOT NULL DEFAULT '{}',  -- since revision 5
    ADD COLUMN IF NOT EXISTS connected_at timestamptz,
    ADD COLUMN IF NOT EXISTS drained_at timestamptz,
    ADD COLUMN IF NOT EXISTS drained_by text,
    ADD COLUMN IF NOT EXISTS projects text[] NOT NULL DEFAULT '{}',  -- since revision 6
    ADD COLUMN IF NOT EXISTS credential_since timestamptz,
    ADD COLUMN IF NOT EXISTS next_credential_sha256 bytea,
    ADD COLUMN IF NOT EXISTS previous_credential_sha256 bytea;

ALTER TABLE IF EXISTS worker_bootstrap_tokens                -- since revision 6
    ADD COLUMN IF NOT EXISTS on_behalf_of text;

ALTER TABLE IF EXISTS provider_configs                       -- since revision 6
    ADD COLUMN IF NOT EXISTS status_reason text NOT NULL DEFAULT '',
    ADD COLUMN IF NOT EXISTS engine_id text,
    ADD COLUMN IF NOT EXISTS reconciler_id uuid,
    ADD COLUMN IF NOT EXISTS reconciler_until timestamptz,
    ADD COLUMN IF NOT EXISTS failures integer NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS failed_at timestamptz,
    ADD COLUMN IF NOT EXISTS seen jsonb NOT NULL DEFAULT '{}';

ALTER TABLE IF EXISTS hodei_listening                        -- since revision 4
    ADD COLUMN IF NOT EXISTS checked_at timestamptz,
    ADD COLUMN IF NOT EXISTS check_took_s double precision NOT NULL DEFAULT 0;

ALTER TABLE IF EXISTS hodei_servers                          -- since revision 6
    ADD COLUMN IF NOT EXISTS certificate_expires_at timestamptz,
    ADD COLUMN IF NOT EXISTS secret_keys jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN IF NOT EXISTS anonymous_role text NOT NULL DEFAULT 'none';

-- Since revision 3 events and logs lie in a partition for each day. The table of an older revision
-- is renamed to the partition of today, which hodei_make_days attaches from the beginning of time.
DO $$
DECLARE
    today text := to_char(clock_timestamp() AT TIME ZONE 'UTC', '_YYYYMMDD');
    parent text;
    name text;
BEGIN
    FOREACH parent IN ARRAY ARRAY['domain_events', 'job_logs'] LOOP
        IF (SELECT c.relkind FROM pg_class c WHERE c.oid = to_regclass(parent)) = 'r' THEN
            EXECUTE format('ALTER TABLE %I RENAME TO %I', parent, parent || today);
            EXECUTE format('ALTER TABLE %I DROP CONSTRAINT %I', parent || today, parent || '_pkey');
            FOR name IN
                SELECT c.conname
                FROM pg_constraint c
                WHERE c.conrelid = to_regclass(parent || today) AND c.contype = 'n'
            LOOP
                EXECUTE format(
                    'ALTER TABLE %I RENAME CONSTRAINT %I TO %I',
                    parent || today, name, name || '_before');
            END LOOP;
        END IF;
    END LOOP;
    IF to_regclass('domain_events') IS NULL
        AND to_regclass('domain_events' || today) IS NOT NULL
    THEN
        DROP VIEW IF EXISTS job_events;
        EXECUTE format('ALTER TABLE %I ALTER id DROP IDENTITY', 'domain_events' || today);
        ALTER INDEX domain_events_of_aggregate RENAME TO domain_events_of_aggregate_before;
        ALTER INDEX domain_events_of_correlation RENAME TO domain_events_of_correlation_before;
        ALTER INDEX domain_events_by_time RENAME TO domain_events_by_time_before;
        CREATE SEQUENCE domain_events_id_seq AS bigint;
        EXECUTE format(
            'SELECT setval(''domain_events_id_seq'','
            ' (SELECT coalesce(max(id), 0) + 1 FROM %I), false)',
            'domain_events' || today);
        EXECUTE format(
            'ALTER TABLE %I ALTER id SET DEFAULT nextval(''domain_events_id_seq'')',
            'domain_events' || today);
    END IF;
    IF to_regclass('job_logs') IS NULL AND to_regclass('job_logs' || today) IS NOT NULL THEN
        EXECUTE format(
            'ALTER TABLE %I ADD COLUMN IF NOT EXISTS late boolean NOT NULL DEFAULT false',
            'job_logs' || today);
        EXECUTE format(
            'ALTER TABLE %I ADD COLUMN stored_at timestamptz NOT NULL DEFAULT now()',
            'job_logs' || today);
        EXECUTE format(
            'ALTER TABLE %I ALTER stored_at SET DEFAULT clock_timestamp()',
            'job_logs' || today);
    END IF;
END $$;

DO $$
BEGIN
    -- Where the sequence was lost and the events were not, it goes on behind them.
    IF to_regclass('domain_events_id_seq') IS NULL AND to_regclass('domain_events') IS NOT NULL THEN
        EXECUTE format(
            'CREATE SEQUENCE domain_events_id_seq AS bigint START %s',
            (SELECT coalesce(max(e.id), 0) + 1 FROM domain_events e));
    END IF;
END $$;

DROP FUNCTION IF EXISTS  -- of revision 3 and before
    hodei_spec_text(jsonb, text, integer, text, text),
    hodei_spec_number(jsonb, text, numeric, numeric, boolean, boolean),
    hodei_spec_list(jsonb, text),
    hodei_spec_codes(jsonb, text),
    hodei_spec_map(jsonb, text, integer, text, text, integer);

-- ───────────────────────── tables, in the order in which data meets them ─────────────────────────

CREATE TABLE IF NOT EXISTS hodei_schema (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    -- Raised when programs of the version before can no longer work on it.
    version integer NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Raised by every other change: programs of neighbouring revisions work side by side.
    revision integer NOT NULL DEFAULT 1,
    -- Names this database to the workers: their containers carry it.
    cluster_id uuid NOT NULL DEFAULT gen_random_uuid(),
    -- What hodei_lives_in() said when this id was drawn or adopted: a copy of the database has the
    -- id of its original, and lives elsewhere.
    lives_in text,
    -- Numbers of claims that a restore to an earlier time has taken out of this database: workers
    -- may still hold them (`hodei db restored`).
    lost_leases int8multirange NOT NULL DEFAULT '{}',
    restored_at timestamptz                 -- when that was last
);

CREATE SEQUENCE IF NOT EXISTS hodei_lease_seq AS bigint;

CREATE TABLE IF NOT EXISTS jobs (
    id uuid PRIMARY KEY,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    state text NOT NULL DEFAULT 'PENDING' CHECK (state IN (
        'PENDING',      -- created, or given back -> RUNNING, FAILED, CANCELLED
        'RUNNING',      -- accepted by a worker   -> SUCCEEDED, FAILED, CANCELLED, PENDING
        'SUCCEEDED',    -- final: exit code 0
        'FAILED',       -- final: `reason` says why
        'CANCELLED')),  -- final: somebody asked for it
    spec jsonb NOT NULL,                    -- as hodei_normalise_spec returns it
    attempts integer NOT NULL DEFAULT 0,    -- accepted ones; for people, never a fence
    failures integer NOT NULL DEFAULT 0,    -- attempts that failed: spec.retries allows as many
    losses integer NOT NULL DEFAULT 0,      -- attempts lost with their worker: ten end the job
    priority integer NOT NULL DEFAULT 0,
    correlation_id text NOT NULL,
    actor text NOT NULL,
    project text NOT NULL DEFAULT 'default',  -- never changes; a boundary of the API, not of SQL
    queue text NOT NULL DEFAULT 'default',
    run_at timestamptz,                     -- not to be run before; NULL: at once
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),  -- time of its last event
    started_at timestamptz,                 -- when its last attempt was accepted
    completed_at timestamptz,
    lease bigint,                           -- the fence; NULL: nobody speaks for this job
    worker_id uuid,                         -- of the last claim
    cancel_requested_at timestamptz,
    cancel_actor text,
    reason text,                            -- why FAILED or CANCELLED: hodei/protocol/words.py
    message text,                           -- the reason in words
    exit_code integer,
    signal integer,
    peak_memory_bytes bigint,
    cpu_us bigint,
    log_bytes bigint NOT NULL DEFAULT 0,    -- kept of the last attempt
    -- Bytes that the last attempt wrote and that were not kept: they were beyond the log limit, or
    -- the worker's disk was full.
    log_dropped_bytes bigint NOT NULL DEFAULT 0,
    -- Whether every chunk that the worker of the last attempt counted is stored.
    logs_complete boolean,
    -- Processes of the last attempt that were alive after its own process: these were killed …
    leftover_processes integer,
    -- … and these were left alive, because they may have been another job's.
    leftover_unknown integer,
    retry_of uuid,
    -- What statements read of the spec, in the type in which they use it. NULL: the spec has none.
    timeout_ms bigint,
    start_timeout_ms bigint,
    silence_timeout_ms bigint,
    queue_timeout_ms bigint,
    grace_ms bigint,
    retries integer,
    -- Attempts that were lost when their worker had no other job: three end the job.
    lone_losses integer NOT NULL DEFAULT 0,
    CONSTRAINT jobs_final_has_its_time
        CHECK ((state IN ('SUCCEEDED', 'FAILED', 'CANCELLED')) = (completed_at IS NOT NULL)),
    CONSTRAINT jobs_running_has_its_lease CHECK (state <> 'RUNNING' OR lease IS NOT NULL),
    CONSTRAINT jobs_final_has_no_lease CHECK (completed_at IS NULL OR lease IS NULL)
) WITH (fillfactor = 40);
-- Claim, accept and result update a row on its page, which has room for a second version of each of
-- its rows: no index gets an entry then, and none is on the state. A page of 70 % was too small for
-- a batch of neighbours that is claimed at once: each second update went to another page.

-- For `job list`, and the recent jobs of the on-call guide.
CREATE INDEX IF NOT EXISTS jobs_newest_first ON jobs (created_at DESC, id DESC);
-- For the lists and counts of one project. Whoever has only the default one pays nothing for it.
CREATE INDEX IF NOT EXISTS jobs_of_project ON jobs (project, created_at DESC, id DESC)
    WHERE project <> 'default';
-- For `job list --correlation-id`.
CREATE INDEX IF NOT EXISTS jobs_by_correlation ON jobs (correlation_id, created_at);

CREATE TABLE IF NOT EXISTS job_queue (
    job_id uuid PRIMARY KEY,
    priority integer NOT NULL DEFAULT 0,
    -- The age by which claims are ordered. A released offer keeps it; a job that becomes ready
    -- later gets a new one.
    enqueued_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    labels jsonb NOT NULL DEFAULT '{}',     -- that its worker must have
    waiting text CHECK (waiting IN (
        'RUN_AT',                           -- its run_at has not come
        'BACKOFF')),                        -- it failed or was lost, and runs again later
    ready_at timestamptz,                   -- when `waiting` ends
    expires_at timestamptz,                 -- when its queue_timeout, counted from ready_at, ends
    -- spec.queue_timeout of a row that no sweep has seen yet: the timeout counts from then, because
    -- the transaction that inserts a row may be open for long.
    unseen_ms bigint,
    project text NOT NULL DEFAULT '',       -- of the job; '': as its row in jobs says
    CONSTRAINT job_queue_waits_until CHECK ((waiting IS NULL) = (ready_at IS NULL))
) WITH (
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0);

-- For CLAIM (hodei/store/claims.py).
CREATE INDEX IF NOT EXISTS job_queue_ready
    ON job_queue (priority DESC, enqueued_at, job_id) WHERE waiting IS NULL;
-- For DUE, START_TIMEOUTS and EXPIRED (hodei/store/job_queue.py).
CREATE INDEX IF NOT EXISTS job_queue_waiting ON job_queue (ready_at) WHERE waiting IS NOT NULL;
CREATE INDEX IF NOT EXISTS job_queue_unseen ON job_queue (job_id) WHERE unseen_ms IS NOT NULL;
CREATE INDEX IF NOT EXISTS job_queue_expires
    ON job_queue (expires_at) WHERE expires_at IS NOT NULL;
-- For FILE (hodei/store/job_queue.py).
CREATE INDEX IF NOT EXISTS job_queue_unfiled ON job_queue (job_id) WHERE project = '';

CREATE TABLE IF NOT EXISTS leases (
    lease bigint PRIMARY KEY,
    job_id uuid NOT NULL UNIQUE,            -- a job has one claim at a time
    worker_id uuid NOT NULL,
    attempt integer NOT NULL,               -- the number of the attempt that an accept begins
    enqueued_at timestamptz NOT NULL,       -- of the queue row, for the case that the offer returns
    expires_at timestamptz,                 -- likewise
    offered_at timestamptz NOT NULL,
    accept_by timestamptz NOT NULL,         -- renewed while the worker lists the offer as waiting
    accepted_at timestamptz,
    log_seq bigint NOT NULL DEFAULT 0,      -- number of the next chunk
    log_bytes bigint NOT NULL DEFAULT 0,
    cancel_delivered_at timestamptz,        -- the worker said that it knows of the cancel
    missing_since timestamptz,              -- since when its worker's heartbeats do not list it
    stopping_at timestamptz,                -- the worker said that TERM is on its way
    log_at timestamptz,                     -- when its last chunk was stored
    -- When the sweep ends the attempt: its timeout, the grace and a margin after its accept.
    end_by timestamptz,
    silence_s double precision,             -- spec.silence_timeout
    -- The same for its start_timeout; NULL once the process runs.
    start_by timestamptz,
    -- The versions of the secrets that its offer had, by name; NULL: none.
    secrets jsonb
) WITH (
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 2000,
    autovacuum_vacuum_cost_delay = 0);

-- For heartbeats and the sweeps of lost workers.
CREATE INDEX IF NOT EXISTS leases_by_worker ON leases (worker_id);

CREATE TABLE IF NOT EXISTS workers (
    id uuid PRIMARY KEY,
    name text NOT NULL DEFAULT '',
    state text NOT NULL DEFAULT 'REGISTERING' CHECK (state IN (
        -- Each may become TERMINATED. A worker whose credential holds comes back from it.
        'REGISTERING',  -- token redeemed, no stream yet   -> READY, BUSY, DRAINING
        'READY',        -- connected, a slot is free       -> BUSY, DRAINING, UNREACHABLE
        'BUSY',         -- connected, all slots are taken  -> READY, DRAINING, UNREACHABLE
        'DRAINING',     -- gets no new jobs                -> READY, BUSY, UNREACHABLE
        'UNREACHABLE',  -- silent for 30 s, keeps its jobs -> READY, BUSY, DRAINING
        'TERMINATED')), -- lost, stopped or revoked        -> READY, BUSY, DRAINING
    last_heartbeat timestamptz,
    current_job_id uuid,                    -- the job that it has run longest
    slots integer NOT NULL DEFAULT 0,
    busy_slots integer NOT NULL DEFAULT 0,
    labels jsonb NOT NULL DEFAULT '{}',
    version text NOT NULL DEFAULT '',
    credential_sha256 bytea,                -- of the secret that the worker made
    revoked_at timestamptz,
    draining boolean NOT NULL DEFAULT false,  -- an operator asked for it; it outlives reconnects
    session bigint NOT NULL DEFAULT 0,      -- number of its stream; only the newest speaks for it
    instance uuid,                          -- the process that holds the stream
    connected boolean NOT NULL DEFAULT false,
    lost_at timestamptz,                    -- when an attempt was last lost with it
    job_user text,                          -- of its jobs; 'root' for user 0; NULL: unknown
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),  -- time of its last event
    server_id uuid,                         -- the server to which it last opened its stream
    about jsonb NOT NULL DEFAULT '{}',      -- its host and settings, in its own words; for people
    connected_at timestamptz,               -- when it last opened its stream; NULL: never, unknown
    drained_at timestamptz,                 -- when an operator drained it; NULL: nobody did
    drained_by text,                        -- which operator
    projects text[] NOT NULL DEFAULT '{}',  -- whose jobs alone it takes; empty: of all
    credential_since timestamptz,           -- when its credential last changed; NULL: never
    next_credential_sha256 bytea,           -- announced by the worker: counts once it connects so
    previous_credential_sha256 bytea        -- counts for a day after the change
) WITH (fillfactor = 50);

CREATE TABLE IF NOT EXISTS worker_bootstrap_tokens (
    token uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    worker_id uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',  -- nil: any worker
    expires_at timestamptz NOT NULL DEFAULT clock_timestamp() + interval '1 hour',
    consumed_at timestamptz,
    consumed_by uuid,
    revoked_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_by text NOT NULL DEFAULT 'sql:' || session_user,
    on_behalf_of text                       -- what a caller with a key said of itself, or NULL
);

CREATE SEQUENCE IF NOT EXISTS domain_events_id_seq AS bigint;

-- Events and logs lie in a partition for each day (UTC): hodei_make_days makes them ahead, and
-- hodei/store/retention.py drops them.
CREATE TABLE IF NOT EXISTS domain_events (
    id bigint NOT NULL DEFAULT nextval('domain_events_id_seq'),
    occurred_at timestamptz NOT NULL,       -- strictly increasing within an aggregate
    event_type text NOT NULL,
    aggregate_id text NOT NULL,             -- id of a job or worker; fingerprint of a token
    correlation_id text NOT NULL,
    actor text NOT NULL,
    worker_id uuid,
    payload jsonb NOT NULL,                 -- its keys, by event_type: docs/events.md
    PRIMARY KEY (id, occurred_at)
) PARTITION BY RANGE (occurred_at);

CREATE INDEX IF NOT EXISTS domain_events_of_aggregate
    ON domain_events (aggregate_id, occurred_at);
CREATE INDEX IF NOT EXISTS domain_events_of_correlation
    ON domain_events (correlation_id, occurred_at);
CREATE INDEX IF NOT EXISTS domain_events_by_time ON domain_events USING brin (occurred_at);

-- On-call engineers read a job's story here. It is a view of jobs, and not of domain_events alone,
-- so that `DROP TABLE jobs CASCADE` takes it along: the guide's clean script then finds nothing for
-- its `DROP TABLE IF EXISTS job_events`, and no drop of it can touch the audit.
DO $$
BEGIN
    IF to_regclass('job_events') IS NULL THEN
        CREATE VIEW job_events AS
            SELECT j.id AS job_id, e.event_type, e.payload, e.occurred_at
            FROM jobs j JOIN domain_events e ON e.aggregate_id = j.id::text;
    END IF;
END $$;

CREATE TABLE IF NOT EXISTS job_logs (
    job_id uuid NOT NULL,
    lease bigint NOT NULL,
    seq bigint NOT NULL,
    attempt integer NOT NULL,
    stream smallint NOT NULL CONSTRAINT job_logs_stream_check CHECK (stream IN (
        1,                                  -- stdout
        2,                                  -- stderr
        3)),                                -- a notice of Hodei's own, not the job's bytes
    byte_offset bigint NOT NULL,            -- of data's first byte within its stream
    first_line bigint NOT NULL,             -- line number of that byte, from 1
    read_at timestamptz NOT NULL,           -- when the worker read it
    data bytea NOT NULL,
    late boolean NOT NULL DEFAULT false,    -- it came when its lease no longer held
    stored_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Attempts follow each other by their lease. The cursor on the leases row keeps a chunk from
    -- being stored twice.
    PRIMARY KEY (job_id, lease, seq, stored_at)
) PARTITION BY RANGE (stored_at);

CREATE TABLE IF NOT EXISTS api_keys (       -- since revision 6
    id text PRIMARY KEY CHECK (id ~ '^[0-9a-z]{12}$'),
    name text NOT NULL CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9._@/+-]{0,62}$'),
    role text NOT NULL CHECK (role IN (
        'viewer', 'submitter', 'operator', 'admin', 'registrar')),
    project text,                           -- the only one that it reaches; NULL: all
    secret_sha256 bytea NOT NULL CHECK (length(secret_sha256) = 32),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_by text NOT NULL DEFAULT 'sql:' || session_user,
    expires_at timestamptz,                 -- NULL: never
    revoked_at timestamptz,
    used_at timestamptz                     -- the hour in which a server last saw it
);

CREATE TABLE IF NOT EXISTS project_grants (  -- since revision 6
    role text NOT NULL,                     -- of this database; its members have the grant, too
    project text NOT NULL CHECK (project ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$'),
    granted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    granted_by text NOT NULL DEFAULT 'sql:' || session_user,
    PRIMARY KEY (role, project)
);

CREATE TABLE IF NOT EXISTS secrets (        -- since revision 6
    project text NOT NULL,
    name text NOT NULL CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$'),
    version bigint NOT NULL CHECK (version > 0),
    key_id text NOT NULL,                   -- of the key that encrypts it: not the key
    sealed bytea NOT NULL,                  -- nonce and ciphertext, bound to the three above
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_by text NOT NULL DEFAULT 'sql:' || session_user,
    -- When a newer version came, or the secret was removed: it is deleted once no lease names it.
    ended_at timestamptz,
    PRIMARY KEY (project, name, version)
);

-- The version that offers get.
CREATE UNIQUE INDEX IF NOT EXISTS secrets_current ON secrets (project, name) WHERE ended_at IS NULL;

CREATE TABLE IF NOT EXISTS provider_configs (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name text NOT NULL,
    provider_type text NOT NULL,            -- Docker
    config jsonb NOT NULL DEFAULT '{}',
    status text NOT NULL DEFAULT 'ACTIVE',  -- ACTIVE, PAUSED, DEGRADED; others are ignored
    priority integer NOT NULL DEFAULT 0,    -- of two that could serve a job the higher one does
    max_workers integer NOT NULL DEFAULT 10,
    tags jsonb NOT NULL DEFAULT '[]',
    metadata jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    status_reason text NOT NULL DEFAULT '', -- why it makes no workers now; empty: it would
    engine_id text,                         -- of the first engine that was reached; no other does
    -- The one server that looks after this row, and until when unless it says so again.
    reconciler_id uuid,
    reconciler_until timestamptz,
    failures integer NOT NULL DEFAULT 0,    -- workers that did not come up, one after the other
    failed_at timestamptz,                  -- the last of them
    seen jsonb NOT NULL DEFAULT '{}'        -- what that server saw there last; for people
);

CREATE TABLE IF NOT EXISTS hodei_listening (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    listening_since timestamptz NOT NULL,
    last_beat timestamptz NOT NULL,
    checked_at timestamptz,                 -- when a server last looked for stray jobs
    check_took_s double precision NOT NULL DEFAULT 0
) WITH (fillfactor = 10);

CREATE TABLE IF NOT EXISTS hodei_servers (
    id uuid PRIMARY KEY,                    -- of the process
    address text NOT NULL DEFAULT '',       -- on which it listens, as its --grpc says
    host text NOT NULL DEFAULT '',
    version text NOT NULL DEFAULT '',
    lost_after_s double precision NOT NULL DEFAULT 60,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_beat timestamptz NOT NULL DEFAULT clock_timestamp(),
    certificate_expires_at timestamptz,     -- of the one that it serves now; NULL: plain text
    secret_keys jsonb NOT NULL DEFAULT '[]',  -- ids of the keys with which it decrypts secrets
    anonymous_role text NOT NULL DEFAULT 'none'  -- of calls without an API key
) WITH (fillfactor = 50);

-- ───────────────────────── days: partitions of events and logs ─────────────────────────

-- Makes the partitions of today and of `ahead` days after it, as far as they are missing, and
-- returns how many it made. Rows that came while there was none lie in the default partition
-- (servers warn of it) and are moved. It uses ATTACH, not CREATE … PARTITION OF: inserts go on
-- meanwhile. A day that cannot be made is left out: its rows lie in the default partition. It works
-- with the rights of the tables' owner, so that a server needs no right to create tables: a role
-- with EXECUTE on it can do no more than this.
CREATE OR REPLACE FUNCTION hodei_make_days(ahead integer DEFAULT 8) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    parent record;
    day timestamp;
    part text;
    today timestamp := date_trunc('day', clock_timestamp() AT TIME ZONE 'UTC');
    starts_at timestamptz;
    ends_at timestamptz;
    bounds text;
    stray boolean;
    made integer := 0;
BEGIN
    IF ahead IS NULL OR ahead NOT BETWEEN 0 AND 60 THEN
        RAISE EXCEPTION 'ahead: expected 0 to 60 days, got %', ahead
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    FOR parent IN
        SELECT * FROM (VALUES
            ('domain_events', 'occurred_at'),
            ('job_logs', 'stored_at')) AS p (name, key)
    LOOP
        IF to_regclass(parent.name || '_default') IS NULL THEN
            EXECUTE format(
                'CREATE TABLE %I PARTITION OF %I DEFAULT', parent.name || '_default', parent.name);
        ELSIF NOT EXISTS (
            SELECT FROM pg_inherits i WHERE i.inhrelid = to_regclass(parent.name || '_default'))
        THEN
            EXECUTE format(
                'ALTER TABLE %I ATTACH PARTITION %I DEFAULT',
                parent.name, parent.name || '_default');
        END IF;
        FOR day IN
            SELECT generate_series(today, today + make_interval(days => ahead), interval '1 day')
        LOOP
            part := parent.name || to_char(day, '_YYYYMMDD');
            CONTINUE WHEN EXISTS (
                SELECT FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid
                WHERE c.oid = to_regclass(part));
            starts_at := day AT TIME ZONE 'UTC';
            ends_at := (day + interval '1 day') AT TIME ZONE 'UTC';
            BEGIN
                IF to_regclass(part) IS NULL THEN
                    EXECUTE format(
                        'CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS'
                        ' INCLUDING STORAGE)',
                        part, parent.name);
                ELSE  -- it was detached, or is of an older revision: then it holds all before, too
                    EXECUTE format(
                        'SELECT EXISTS (SELECT FROM %I WHERE %I < %L)', part, parent.key, starts_at)
                        INTO stray;
                    IF stray THEN
                        EXECUTE format(
                            'ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (MINVALUE) TO (%L)',
                            parent.name, part, ends_at);
                        CONTINUE;
                    END IF;
                END IF;
                bounds := format(
                    '%I >= %L AND %I < %L', parent.key, starts_at, parent.key, ends_at);
                EXECUTE format(
                    'SELECT EXISTS (SELECT FROM %I WHERE %s)', parent.name || '_default', bounds)
                    INTO stray;
                IF stray THEN
                    EXECUTE format(
                        'LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', parent.name || '_default');
                    EXECUTE format(
                        'WITH moved AS (DELETE FROM %I WHERE %s RETURNING *)'
                        ' INSERT INTO %I SELECT * FROM moved',
                        parent.name || '_default', bounds, part);
                END IF;
                EXECUTE format(
                    'ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                    parent.name, part, starts_at, ends_at);
                made := made + 1;
            EXCEPTION  -- something else has its name, or a hand has made a partition with this day
                WHEN duplicate_object OR datatype_mismatch OR invalid_object_definition
                    OR invalid_table_definition OR undefined_column OR wrong_object_type
                THEN
                    RAISE WARNING '% cannot be made: %', part, SQLERRM;
            END;
        END LOOP;
    END LOOP;
    RETURN made;
END $$;
REVOKE ALL ON FUNCTION hodei_make_days(integer) FROM PUBLIC;

DO $$
BEGIN
    PERFORM hodei_make_days();
END $$;

-- Drops the partition of a day that is over, with the rights of the tables' owner, and returns
-- NULL. Where a job that is not deleted yet has events or logs in it, it returns that job's id and
-- drops nothing. The caller bounds how long a lock may be waited for.
CREATE OR REPLACE FUNCTION hodei_drop_day(parent text, day date) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    part text := parent || to_char(day, '_YYYYMMDD');
    of_job text := CASE parent
        WHEN 'domain_events' THEN 'd.aggregate_id = j.id::text'
        WHEN 'job_logs' THEN 'd.job_id = j.id'
    END;
    holder uuid;
BEGIN
    IF of_job IS NULL THEN
        RAISE EXCEPTION 'parent: expected domain_events or job_logs, got "%"', parent
            USING ERRCODE = 'invalid_parameter_value';
    ELSIF day IS NULL OR day >= (clock_timestamp() AT TIME ZONE 'UTC')::date THEN
        RAISE EXCEPTION 'day: expected one that is over (UTC), got %', day
            USING ERRCODE = 'invalid_parameter_value';
    ELSIF NOT EXISTS (
        SELECT FROM pg_inherits i
        WHERE i.inhrelid = to_regclass(part) AND i.inhparent = to_regclass(parent))
    THEN
        RETURN NULL;
    END IF;
    EXECUTE format(
        'SELECT j.id FROM jobs j'
        ' WHERE j.created_at < %L AND EXISTS (SELECT FROM %I d WHERE %s)'
        ' LIMIT 1',
        (day + 1)::timestamp AT TIME ZONE 'UTC', part, of_job)
        INTO holder;
    IF holder IS NULL THEN
        EXECUTE format('DROP TABLE %I', part);
    END IF;
    RETURN holder;
END $$;
REVOKE ALL ON FUNCTION hodei_drop_day(text, date) FROM PUBLIC;

-- ───────────────────────── tokens: minted by anybody, on the record ─────────────────────────

-- A token's name in lists, logs and events: the first 12 hex digits of its SHA-256. The token
-- cannot be found from them.
CREATE OR REPLACE FUNCTION hodei_token_fingerprint(token uuid) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
    RETURN left(encode(sha256(convert_to(token::text, 'UTF8')), 'hex'), 12);
END $$;

-- A worker's credential changes when the worker connects with the next one, or when a token gives
-- its id another one: by servers of this release or of the one before, or by hand. After the latter
-- nothing of the time before counts.
CREATE OR REPLACE FUNCTION hodei_credential_changed() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.previous_credential_sha256 := CASE
        WHEN NEW.credential_sha256 = OLD.next_credential_sha256 THEN OLD.credential_sha256
    END;
    NEW.next_credential_sha256 := NULL;
    NEW.credential_since := clock_timestamp();
    RETURN NEW;
END $$;

CREATE OR REPLACE TRIGGER credential_changed BEFORE UPDATE OF credential_sha256 ON workers
    FOR EACH ROW WHEN (OLD.credential_sha256 IS DISTINCT FROM NEW.credential_sha256)
    EXECUTE FUNCTION hodei_credential_changed();

-- On-call engineers mint a token by INSERT: a trigger writes TokenCreated for every way in.
CREATE OR REPLACE FUNCTION hodei_token_created() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO domain_events (
        occurred_at, event_type, aggregate_id, correlation_id, actor, payload)
    VALUES (
        clock_timestamp(),
        'TokenCreated',
        hodei_token_fingerprint(NEW.token),
        hodei_token_fingerprint(NEW.token),
        NEW.created_by,
        jsonb_strip_nulls(jsonb_build_object(
            'token_id', hodei_token_fingerprint(NEW.token),
            'expires_at', NEW.expires_at,
            'on_behalf_of', left(NEW.on_behalf_of, 200))));
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER token_created AFTER INSERT ON worker_bootstrap_tokens
    FOR EACH ROW EXECUTE FUNCTION hodei_token_created();

-- ───────────────────────── enqueue ─────────────────────────

-- Ids that are ordered by time (RFC 9562, version 7): 48 bits of milliseconds, the rest random. No
-- order of jobs relies on them.
CREATE OR REPLACE FUNCTION hodei_uuid7() RETURNS uuid
LANGUAGE plpgsql VOLATILE PARALLEL SAFE AS $$
BEGIN
    RETURN encode(
        set_bit(
            set_bit(
                overlay(
                    uuid_send(gen_random_uuid())
                    PLACING substring(
                        int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
                    FROM 1 FOR 6),
                52, 1),
            53, 1),
        'hex')::uuid;
END $$;

CREATE OR REPLACE FUNCTION hodei_refuse(what text) RETURNS void
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RAISE EXCEPTION '%', what USING ERRCODE = 'invalid_parameter_value';
END $$;

-- Returns the spec without the keys that are null, or refuses what is no JSON object.
CREATE OR REPLACE FUNCTION hodei_spec_object(given jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF given IS NULL OR jsonb_typeof(given) <> 'object' THEN
        PERFORM hodei_refuse(
            format('spec: expected a JSON object, got %s', coalesce(jsonb_typeof(given), 'null')));
    END IF;
    RETURN coalesce((SELECT jsonb_object_agg(e.key, e.value) FROM jsonb_each(given) e
                     WHERE jsonb_typeof(e.value) <> 'null'), '{}');
END $$;

-- Checks one text value of a spec: its length, its control characters, its shape.
CREATE OR REPLACE FUNCTION hodei_spec_text(
    spec jsonb, key text, longest integer, pattern text, shape text, controls boolean
) RETURNS void
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    given jsonb := spec -> key;
    value text := spec ->> key;
BEGIN
    IF given IS NULL THEN
        RETURN;
    ELSIF jsonb_typeof(given) <> 'string' THEN
        PERFORM hodei_refuse(
            format(
                '%s: expected %s, got %s',
                key, coalesce(nullif(shape, ''), 'a string'), jsonb_typeof(given)));
    ELSIF value = '' OR length(value) > longest THEN
        PERFORM hodei_refuse(
            format('%s: expected 1 to %s characters, got %s', key, longest, length(value)));
    ELSIF NOT controls AND value ~ E'[\u0001-\u001f\u007f-\u009f]' THEN
        PERFORM hodei_refuse(format('%s: expected text without control characters', key));
    ELSIF value !~ pattern THEN
        PERFORM hodei_refuse(format('%s: expected %s, got "%s"', key, shape, left(value, 80)));
    END IF;
END $$;

-- Returns the spec with one number in its stored form: between its bounds, and rounded to `places`
-- decimals. With places 0 the number is not rounded: it must be whole. With places 3 it is seconds,
-- which may be given as text.
CREATE OR REPLACE FUNCTION hodei_spec_number(
    spec jsonb, key text, at_least numeric, at_most numeric, places integer
) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    given jsonb := spec -> key;
    value numeric;
    got text := jsonb_typeof(spec -> key);
    -- <made>
    duration constant text :=
        '^(?:([0-9]{1,9}(?:[.][0-9]{1,9})?)|(?:([0-9]{1,9}(?:[.][0-9]{1,9})?)w)?(?:([0-9]{1,9}(?:[.][0-9]{1,9})?)d)?(?:([0-9]{1,9}(?:[.][0-9]{1,9})?)h)?(?:([0-9]{1,9}(?:[.][0-9]{1,9})?)m)?(?:([0-9]{1,9}(?:[.][0-9]{1,9})?)s)?(?:([0-9]{1,9}(?:[.][0-9]{1,9})?)ms)?)$';
    units constant numeric[] := ARRAY[1, 604800, 86400, 3600, 60, 1, 0.001];
    examples constant text := '90, "90s" or "1h30m"';
    -- </made>
    expected text := CASE WHEN places > 0 THEN 'seconds' ELSE 'a whole number' END
        || ' from ' || at_least || ' to ' || at_most
        || CASE WHEN places > 0 THEN ', as ' || examples ELSE '' END;
BEGIN
    IF given IS NULL THEN
        RETURN spec;
    ELSIF jsonb_typeof(given) = 'number' THEN
        value := given::numeric;
        got := left(trim_scale(value)::text, 80);
    ELSIF jsonb_typeof(given) = 'string' AND places > 0 THEN
        SELECT sum(p.number::numeric * p.unit) INTO value
        FROM unnest(regexp_match(spec ->> key, duration), units) AS p (number, unit);
        got := '"' || left(spec ->> key, 80) || '"';
    END IF;
    IF value IS NULL OR value < at_least OR value > at_most
        OR (places = 0 AND value <> trunc(value))
    THEN
        PERFORM hodei_refuse(format('%s: expected %s, got %s', key, expected, got));
    END IF;
    RETURN spec || jsonb_build_object(key, trim_scale(round(value, places)));
END $$;

-- Checks a program with its arguments: a list of strings, the first of them not blank.
CREATE OR REPLACE FUNCTION hodei_spec_arguments(spec jsonb, key text, longest integer) RETURNS void
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    length integer;
BEGIN
    IF jsonb_typeof(spec -> key) <> 'array' THEN
        PERFORM hodei_refuse(
            format('%s: expected a list of strings, got %s', key, jsonb_typeof(spec -> key)));
    ELSIF EXISTS (
        SELECT FROM jsonb_array_elements(spec -> key) e WHERE jsonb_typeof(e) <> 'string')
    THEN
        PERFORM hodei_refuse(format('%s: expected a list of strings', key));
    ELSIF coalesce(trim(spec -> key ->> 0, E' \t\r\n'), '') = '' THEN
        PERFORM hodei_refuse(format('%s: expected a program to run, got an empty one', key));
    END IF;
    SELECT max(octet_length(a)) INTO length FROM jsonb_array_elements_text(spec -> key) a;
    IF length > longest THEN
        PERFORM hodei_refuse(
            format(
                '%s: expected arguments of at most %s bytes, got one of %s',
                key, longest, length));
    END IF;
END $$;

-- Checks a list of texts of one shape.
CREATE OR REPLACE FUNCTION hodei_spec_texts(
    spec jsonb, key text, most integer, longest integer, pattern text, shape text
) RETURNS void
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    given jsonb := spec -> key;
    wrong jsonb;
BEGIN
    IF jsonb_typeof(given) <> 'array' THEN
        PERFORM hodei_refuse(
            format('%s: expected a list of strings, got %s', key, jsonb_typeof(given)));
    ELSIF jsonb_array_length(given) > most THEN
        PERFORM hodei_refuse(
            format(
                '%s: expected at most %s entries, got %s', key, most, jsonb_array_length(given)));
    END IF;
    SELECT e.value INTO wrong
    FROM jsonb_array_elements(given) WITH ORDINALITY AS e (value, place)
    WHERE CASE jsonb_typeof(e.value)
          WHEN 'string' THEN
              length(e.value #>> '{}') NOT BETWEEN 1 AND longest
              OR e.value #>> '{}' ~ E'[\u0001-\u001f\u007f-\u009f]'
              OR e.value #>> '{}' !~ pattern
          ELSE true END
    ORDER BY e.place
    LIMIT 1;
    IF jsonb_typeof(wrong) = 'string' THEN
        PERFORM hodei_refuse(
            format('%s: expected %s, got "%s"', key, shape, left(wrong #>> '{}', 80)));
    ELSIF wrong IS NOT NULL THEN
        PERFORM hodei_refuse(
            format('%s: expected a list of strings, got %s in it', key, jsonb_typeof(wrong)));
    END IF;
END $$;

-- Returns the program that runs a script without an interpreter: the one that its #! line names,
-- with the rest of that line as one argument, as Linux does; else the shell. A script that neither
-- the kernel nor a shell would read as it is meant is refused.
CREATE OR REPLACE FUNCTION hodei_spec_interpreter(script text) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    first text := split_part(script, E'\n', 1);
    line text := trim(substr(first, 3), E' \t');
    word text := split_part(translate(line, E'\t', ' '), ' ', 1);
    rest text := trim(substr(line, length(word) + 1), E' \t');
BEGIN
    IF ascii(script) = 65279 THEN
        PERFORM hodei_refuse(
            'script: expected text without a byte order mark (U+FEFF) at its beginning,'
            || ' or an interpreter that takes it');
    ELSIF right(first, 1) = E'\r' THEN
        PERFORM hodei_refuse('script: expected lines that end with LF, got CR LF; convert it,'
            || ' or name an interpreter that takes it');
    ELSIF left(first, 2) <> '#!' THEN
        RETURN '["/bin/sh"]';
    ELSIF line = '' THEN
        PERFORM hodei_refuse('script: expected a program behind #!, got none');
    ELSIF rest = '' THEN
        RETURN jsonb_build_array(word);
    END IF;
    RETURN jsonb_build_array(word, rest);
END $$;

-- Returns the spec with its list of exit codes in the stored form: whole numbers from 1 to 255.
CREATE OR REPLACE FUNCTION hodei_spec_exit_codes(spec jsonb, key text) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    expected text := key || ': expected a list of exit codes from 1 to 255';
    wrong jsonb;
BEGIN
    IF spec -> key IS NULL THEN
        RETURN spec;
    ELSIF jsonb_typeof(spec -> key) <> 'array' THEN
        PERFORM hodei_refuse(format('%s, got %s', expected, jsonb_typeof(spec -> key)));
    ELSIF jsonb_array_length(spec -> key) > 255 THEN
        PERFORM hodei_refuse(
            format(
                '%s: expected at most 255 entries, got %s',
                key, jsonb_array_length(spec -> key)));
    END IF;
    SELECT e.code INTO wrong
    FROM jsonb_array_elements(spec -> key) WITH ORDINALITY AS e (code, place)
    WHERE CASE jsonb_typeof(e.code)
          WHEN 'number' THEN
              e.code::numeric <> trunc(e.code::numeric) OR e.code::numeric NOT BETWEEN 1 AND 255
          ELSE true END
    ORDER BY e.place
    LIMIT 1;
    IF wrong IS NOT NULL THEN
        PERFORM hodei_refuse(
            format(
                '%s, got %s in it',
                expected,
                CASE jsonb_typeof(wrong)
                WHEN 'number' THEN left(trim_scale(wrong::numeric)::text, 80)
                ELSE jsonb_typeof(wrong) END));
    END IF;
    RETURN spec || jsonb_build_object(key, (
        SELECT coalesce(jsonb_agg(trunc(e.code::numeric) ORDER BY e.place), '[]')
        FROM jsonb_array_elements(spec -> key) WITH ORDINALITY AS e (code, place)));
END $$;

-- Checks a map of strings: their number, the shape of their names, and the length of a value or,
-- where `longest` is 0, of NAME=VALUE in bytes; a value may then be {"secret": "name"}.
CREATE OR REPLACE FUNCTION hodei_spec_map(
    spec jsonb, key text, most integer, pattern text, shape text, longest integer,
    longest_pair integer, controls boolean
) RETURNS void
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    entry record;
    value text;
    size integer;
    -- <made>
    secret_name constant text := '^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$';
    -- </made>
BEGIN
    IF spec -> key IS NULL THEN
        RETURN;
    ELSIF jsonb_typeof(spec -> key) <> 'object' THEN
        PERFORM hodei_refuse(
            format('%s: expected an object of strings, got %s', key, jsonb_typeof(spec -> key)));
    END IF;
    SELECT count(*) INTO size FROM jsonb_object_keys(spec -> key);
    IF size > most THEN
        PERFORM hodei_refuse(format('%s: expected at most %s entries, got %s', key, most, size));
    END IF;
    FOR entry IN SELECT e.key AS name, e.value AS given FROM jsonb_each(spec -> key) e LOOP
        value := entry.given #>> '{}';
        size := octet_length(entry.name) + 1 + octet_length(value);
        IF entry.name !~ pattern THEN
            PERFORM hodei_refuse(
                format('%s: expected %s, got "%s"', key, shape, left(entry.name, 80)));
        ELSIF longest = 0 AND jsonb_typeof(entry.given) = 'object' THEN
            IF entry.given - 'secret' <> '{}'
                OR jsonb_typeof(entry.given -> 'secret') IS DISTINCT FROM 'string'
                OR entry.given ->> 'secret' !~ secret_name
            THEN
                PERFORM hodei_refuse(
                    format(
                        '%s.%s: expected a string, or the name of a secret as {"secret": "name"}',
                        key, entry.name));
            END IF;
        ELSIF jsonb_typeof(entry.given) <> 'string' THEN
            PERFORM hodei_refuse(
                format(
                    '%s.%s: expected a string, got %s',
                    key, entry.name, jsonb_typeof(entry.given)));
        ELSIF longest = 0 AND size > longest_pair THEN
            PERFORM hodei_refuse(
                format(
                    '%s.%s: expected NAME=VALUE of at most %s bytes, got %s',
                    key, entry.name, longest_pair, size));
        ELSIF longest > 0 AND length(value) > longest THEN
            PERFORM hodei_refuse(
                format(
                    '%s.%s: expected at most %s characters, got %s',
                    key, entry.name, longest, length(value)));
        ELSIF NOT controls AND value ~ E'[\u0001-\u001f\u007f-\u009f]' THEN
            PERFORM hodei_refuse(
                format('%s.%s: expected text without control characters', key, entry.name));
        END IF;
    END LOOP;
END $$;

-- Returns the names of the secrets that a spec needs, each once; its keys are checked.
CREATE OR REPLACE FUNCTION hodei_spec_secrets(spec jsonb) RETURNS text[]
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN ARRAY(
        SELECT e.value ->> 'secret'
        FROM jsonb_each(coalesce(spec -> 'env', '{}')) e
        WHERE jsonb_typeof(e.value) = 'object'
        UNION
        SELECT spec ->> 'registry_secret'
        WHERE spec ? 'registry_secret');
END $$;

-- Returns a spec in its stored form, or refuses one that no job can have. The stored form has no
-- nulls, no `id` and no `actor` (they have columns), seconds rounded to milliseconds, `interpreter`
-- as a list, and always a `command`; of a container job also a start_timeout and the label that
-- keeps it from workers without containers; of a job with secrets such a label, too. A spec that is
-- in this form already is returned as it is. hodei/domain/spec.py gives the same answers.
-- tools/spec-sql makes the lines between the marks from hodei/domain/spec_keys.py.
CREATE OR REPLACE FUNCTION hodei_normalise_spec(given jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    spec jsonb := hodei_spec_object(given);
    stranger text;
    at timestamptz;
    secrets integer;
    -- <made>
    known constant text[] := ARRAY[
        'id', 'name', 'command', 'script', 'interpreter',
        'env', 'workdir', 'stdin', 'stdin_base64', 'timeout',
        'grace', 'priority', 'labels', 'retries', 'on_lost',
        'correlation_id', 'actor', 'run_at', 'log_limit', 'queue_timeout',
        'start_timeout', 'silence_timeout', 'final_exit_codes', 'umask', 'term',
        'image', 'entrypoint', 'pull', 'memory', 'cpus',
        'pids', 'network', 'volumes', 'user', 'read_only',
        'tmpfs', 'shm_size', 'platform', 'registry_secret'];
    of_images constant text[] := ARRAY[
        'entrypoint', 'pull', 'memory', 'cpus', 'pids',
        'network', 'volumes', 'user', 'read_only', 'tmpfs',
        'shm_size', 'platform', 'registry_secret'];
    executor constant text := 'hodei/executor';
    with_secrets constant text := 'hodei/secrets';
    with_secrets_value constant text := 'yes';
    most_secrets constant integer := 32;
    image_start_timeout constant integer := 600;
    most_bytes constant integer := 262144;
    longest_argument constant integer := 131071;
    run_at_shape constant text :=
        'a time of the years 2000 to 2999 with its offset, as 2026-01-31T12:00:00Z';
    -- </made>
BEGIN
    SELECT min(k COLLATE "C") INTO stranger FROM jsonb_object_keys(spec) k WHERE k <> ALL (known);
    IF stranger IS NOT NULL THEN
        PERFORM hodei_refuse(format('%s: unknown key; known are %s', left(stranger, 80),
                                    array_to_string(known, ', ')));
    END IF;
    IF jsonb_typeof(spec -> 'labels') = 'object' THEN  -- these are derived anew each time
        spec := jsonb_set(spec, '{labels}', (spec -> 'labels') - executor - with_secrets);
    END IF;
    -- <made>
    IF spec ? 'id' THEN
        PERFORM hodei_spec_text(spec, 'id', 36,
            '^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$',
            'a UUID', false);
    END IF;
    IF spec ? 'name' THEN
        PERFORM hodei_spec_text(spec, 'name', 200,
            '',
            '', false);
    END IF;
    IF spec ? 'actor' THEN
        PERFORM hodei_spec_text(spec, 'actor', 200,
            '',
            '', false);
    END IF;
    IF spec ? 'correlation_id' THEN
        PERFORM hodei_spec_text(spec, 'correlation_id', 200,
            '',
            '', false);
    END IF;
    IF spec ? 'workdir' THEN
        PERFORM hodei_spec_text(spec, 'workdir', 4096,
            '^/',
            'an absolute path', true);
    END IF;
    IF spec ? 'on_lost' THEN
        PERFORM hodei_spec_text(spec, 'on_lost', 5,
            '^(rerun|fail)$',
            '"rerun" or "fail"', false);
    END IF;
    IF spec ? 'timeout' THEN
        spec := hodei_spec_number(spec, 'timeout', 0.001, 31536000, 3);
    END IF;
    IF spec ? 'queue_timeout' THEN
        spec := hodei_spec_number(spec, 'queue_timeout', 0.001, 31536000, 3);
    END IF;
    IF spec ? 'start_timeout' THEN
        spec := hodei_spec_number(spec, 'start_timeout', 0.001, 31536000, 3);
    END IF;
    IF spec ? 'silence_timeout' THEN
        spec := hodei_spec_number(spec, 'silence_timeout', 0.001, 31536000, 3);
    END IF;
    IF spec ? 'grace' THEN
        spec := hodei_spec_number(spec, 'grace', 0, 600, 3);
    END IF;
    IF spec ? 'priority' THEN
        spec := hodei_spec_number(spec, 'priority', -1000, 1000, 0);
    END IF;
    IF spec ? 'retries' THEN
        spec := hodei_spec_number(spec, 'retries', 0, 1000, 0);
    END IF;
    IF spec ? 'log_limit' THEN
        spec := hodei_spec_number(spec, 'log_limit', 0, 1000000000000, 0);
    END IF;
    IF spec ? 'final_exit_codes' THEN
        spec := hodei_spec_exit_codes(spec, 'final_exit_codes');
    END IF;
    IF spec ? 'umask' THEN
        PERFORM hodei_spec_text(spec, 'umask', 20,
            '^0[0-7][0-7][0-7]$',
            'a text of four octal digits, as "0022"', false);
    END IF;
    IF spec ? 'term' THEN
        PERFORM hodei_spec_text(spec, 'term', 20,
            '^(TERM|INT|HUP|QUIT|USR1|USR2)$',
            'one of TERM, INT, HUP, QUIT, USR1, USR2', false);
    END IF;
    IF spec ? 'image' THEN
        PERFORM hodei_spec_text(spec, 'image', 512,
            '^([A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]+)?/)?[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*(:[A-Za-z0-9_][A-Za-z0-9._-]*)?(@[a-z0-9]+:[0-9a-fA-F]+)?$',
            'the name of an image, as busybox or registry.example:5000/team/tool:1.2', false);
    END IF;
    IF spec ? 'entrypoint' THEN
        PERFORM hodei_spec_text(spec, 'entrypoint', 4096,
            '',
            '', true);
    END IF;
    IF spec ? 'pull' THEN
        PERFORM hodei_spec_text(spec, 'pull', 10,
            '^(always|missing|never)$',
            '"always", "missing" or "never"', false);
    END IF;
    IF spec ? 'memory' THEN
        PERFORM hodei_spec_text(spec, 'memory', 16,
            '^([0-9]{1,15}[bB]?|[0-9]{1,12}[kK]|[0-9]{1,9}[mM]|[0-9]{1,6}[gG])$',
            'a number of bytes as text, as "512m" or "2g", at most 999999g', false);
    END IF;
    IF spec ? 'cpus' THEN
        PERFORM hodei_spec_text(spec, 'cpus', 8,
            '^[0-9]{1,4}([.][0-9]{1,3})?$',
            'a number of processors as text, as "1.5"', false);
    END IF;
    IF spec ? 'pids' THEN
        spec := hodei_spec_number(spec, 'pids', 1, 4194304, 0);
    END IF;
    IF spec ? 'network' THEN
        PERFORM hodei_spec_text(spec, 'network', 128,
            '^[A-Za-z0-9][A-Za-z0-9_.-]*$',
            'the name of a network', false);
    END IF;
    IF spec ? 'volumes' THEN
        PERFORM hodei_spec_texts(spec, 'volumes', 100, 8200,
            '^/[^:]*:/[^:]*(:(ro|rw))?$',
            '/SOURCE:/TARGET or /SOURCE:/TARGET:ro');
    END IF;
    IF spec ? 'user' THEN
        PERFORM hodei_spec_text(spec, 'user', 200,
            '^[^:]+(:[^:]+)?$',
            'USER or USER:GROUP, names or numbers', false);
    END IF;
    IF spec ? 'read_only' THEN
        IF jsonb_typeof(spec -> 'read_only') <> 'boolean' THEN
            PERFORM hodei_refuse(
                'read_only: expected true or false, got ' || jsonb_typeof(spec -> 'read_only'));
        END IF;
    END IF;
    IF spec ? 'tmpfs' THEN
        PERFORM hodei_spec_texts(spec, 'tmpfs', 100, 4200,
            '^/',
            '/PATH or /PATH:OPTIONS');
    END IF;
    IF spec ? 'shm_size' THEN
        PERFORM hodei_spec_text(spec, 'shm_size', 16,
            '^([0-9]{1,15}[bB]?|[0-9]{1,12}[kK]|[0-9]{1,9}[mM]|[0-9]{1,6}[gG])$',
            'a number of bytes as text, as "512m" or "2g", at most 999999g', false);
    END IF;
    IF spec ? 'platform' THEN
        PERFORM hodei_spec_text(spec, 'platform', 100,
            '^[a-z0-9]+(/[a-z0-9]+){1,2}$',
            'OS/ARCHITECTURE, as linux/arm64', false);
    END IF;
    IF spec ? 'registry_secret' THEN
        PERFORM hodei_spec_text(spec, 'registry_secret', 100,
            '^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$',
            'the name of a secret: up to 100 letters, digits, . _ -', false);
    END IF;
    IF spec ? 'env' THEN
        PERFORM hodei_spec_map(spec, 'env', 1000,
            '^[A-Za-z_][A-Za-z0-9_]*$', 'names of letters, digits and _',
            0, longest_argument, true);
    END IF;
    IF spec ? 'labels' THEN
        PERFORM hodei_spec_map(spec, 'labels', 32,
            '^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$', 'names of up to 63 letters, digits, . _ / -',
            255, longest_argument, false);
    END IF;
    IF spec ? 'run_at' THEN
        PERFORM hodei_spec_text(spec, 'run_at', 40,
            '^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.][0-9]{1,6})?)?(Z|[+-](0[0-9]|1[0-5]):[0-5][0-9])$',
            'a time of the years 2000 to 2999 with its offset, as 2026-01-31T12:00:00Z', false);
    END IF;
    -- </made>

    IF spec ? 'image' THEN
        IF spec ? 'umask' THEN
            PERFORM hodei_refuse('umask: expected no image with it');
        ELSIF spec ? 'entrypoint'
            AND (spec ? 'script' OR jsonb_typeof(spec -> 'command') = 'string')
        THEN
            PERFORM hodei_refuse(
                'entrypoint: expected a list of arguments with it, or nothing else to run');
        END IF;
        spec := jsonb_build_object('start_timeout', image_start_timeout) || spec
            || jsonb_build_object(
                'labels',
                coalesce(spec -> 'labels', '{}') || jsonb_build_object(executor, 'docker'));
    ELSIF spec ?| of_images THEN
        SELECT k.key INTO stranger
        FROM unnest(of_images) WITH ORDINALITY AS k (key, place)
        WHERE spec ? k.key
        ORDER BY k.place
        LIMIT 1;
        PERFORM hodei_refuse(format('%s: expected an image with it', stranger));
    END IF;

    IF spec ? 'registry_secret'
        OR spec ? 'env' AND jsonb_path_exists(spec, '$.env.* ? (@.type() == "object")')
    THEN
        secrets := cardinality(hodei_spec_secrets(spec));
        IF secrets > most_secrets THEN
            PERFORM hodei_refuse(format(
                'env: expected at most %s different secrets, got %s', most_secrets, secrets));
        END IF;
        spec := spec || jsonb_build_object(
            'labels',
            coalesce(spec -> 'labels', '{}')
            || jsonb_build_object(with_secrets, with_secrets_value));
    END IF;

    IF spec ? 'script' THEN
        IF jsonb_typeof(spec -> 'script') <> 'string'
            OR trim(spec ->> 'script', E' \t\r\n') = ''
        THEN
            PERFORM hodei_refuse(
                'script: expected the text of a script, got '
                || CASE jsonb_typeof(spec -> 'script')
                    WHEN 'string' THEN 'an empty one'
                    ELSE jsonb_typeof(spec -> 'script')
                END);
        END IF;
        IF jsonb_typeof(spec -> 'interpreter') = 'string' THEN
            spec := jsonb_set(spec, '{interpreter}', jsonb_build_array(spec -> 'interpreter'));
        ELSIF NOT spec ? 'interpreter' THEN
            spec := jsonb_set(spec, '{interpreter}', hodei_spec_interpreter(spec ->> 'script'));
        END IF;
        PERFORM hodei_spec_arguments(spec, 'interpreter', longest_argument);
        IF NOT spec ? 'command' THEN
            spec := jsonb_set(spec, '{command}', spec -> 'interpreter' || '["<script>"]');
        ELSIF spec -> 'command' <> spec -> 'interpreter' || '["<script>"]' THEN
            PERFORM hodei_refuse('command: expected either command or script, got both');
        END IF;
    ELSIF spec ? 'interpreter' THEN
        PERFORM hodei_refuse('interpreter: expected a script with it');
    ELSIF spec ? 'image' AND coalesce(spec -> 'command', '[]') = '[]' THEN
        spec := jsonb_set(spec, '{command}', '[]');  -- the image's own
    ELSIF NOT spec ? 'command' THEN
        PERFORM hodei_refuse('command: expected a command or a script, got neither');
    ELSIF jsonb_typeof(spec -> 'command') = 'string' THEN
        IF trim(spec ->> 'command', E' \t\r\n') = '' THEN
            PERFORM hodei_refuse('command: expected a program to run, got an empty one');
        END IF;
    ELSE
        PERFORM hodei_spec_arguments(spec, 'command', longest_argument);
    END IF;

    IF spec ?& ARRAY['stdin', 'stdin_base64'] THEN
        PERFORM hodei_refuse('stdin: expected either stdin or stdin_base64, got both');
    ELSIF spec ? 'stdin' AND jsonb_typeof(spec -> 'stdin') <> 'string' THEN
        PERFORM hodei_refuse(
            format('stdin: expected a string, got %s', jsonb_typeof(spec -> 'stdin')));
    ELSIF spec ? 'stdin_base64' AND (
        jsonb_typeof(spec -> 'stdin_base64') <> 'string'
        OR spec ->> 'stdin_base64'
            !~ '^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$')
    THEN
        PERFORM hodei_refuse('stdin_base64: expected base64 text');
    END IF;
    IF spec ? 'run_at' THEN  -- it has the right pattern: impossible days and far years are left
        BEGIN
            at := (spec ->> 'run_at')::timestamptz;
        EXCEPTION WHEN datetime_field_overflow OR invalid_datetime_format THEN
            at := NULL;
        END;
        IF at IS NULL OR at < '2000-01-01T00:00:00Z' OR at >= '3000-01-01T00:00:00Z' THEN
            PERFORM hodei_refuse(
                format('run_at: expected %s, got "%s"', run_at_shape, spec ->> 'run_at'));
        END IF;
    END IF;
    IF octet_length(spec::text) > most_bytes THEN
        PERFORM hodei_refuse(
            format(
                'spec: expected at most %s bytes of JSON, got %s',
                most_bytes, octet_length(spec::text)));
    END IF;
    RETURN spec - 'id' - 'actor';
END $$;

-- Creates jobs from normalised records [{"id", "actor", "spec", "project"}, …] in one transaction:
-- jobs, queue rows, JobCreated events, and one wake-up of servers. A job with the same id and the
-- same spec is the same job (`existed`); one with the same id and another spec is refused
-- (`conflict`), and so is one whose id a job of another project has, whatever its spec (`taken`):
-- nothing of them is stored. A record of the release before says no project: its job belongs to
-- `default`, and for `taken` it is told `conflict`. The API and hodei_enqueue both use this
-- function. The settings keep plans from flipping: a plan that was cached while jobs was small must
-- not scan it when it is large.
CREATE OR REPLACE FUNCTION hodei_create_jobs(records jsonb)
RETURNS TABLE (job_id uuid, outcome text)
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
#variable_conflict use_column
<<own>>                                     -- a column of others may have a variable's name
DECLARE
    created uuid[];
    ready boolean;
    begun timestamptz := clock_timestamp();
    said jsonb;                             -- by id, for whom the caller says that it acts
BEGIN
    IF jsonb_path_exists(records, '$[*].on_behalf_of') THEN
        SELECT jsonb_object_agg(r.id, r.on_behalf_of)
        INTO said
        FROM jsonb_to_recordset(records) AS r (id uuid, on_behalf_of text)
        WHERE r.on_behalf_of <> '';
    END IF;

    WITH wanted AS (
        -- Rows are in the order of their key, as locks are taken. `at` is in the order of the call,
        -- a microsecond apart, so that jobs of one priority run in that order whatever their ids
        -- are.
        SELECT DISTINCT ON (r.id)
               r.id,
               r.actor,
               r.spec,
               coalesce(r.project, 'default') AS project,
               (r.spec ->> 'run_at')::timestamptz AS run_at,
               begun + r.place * interval '1 microsecond' AS at,
               -- A job without a name gets the first word of its command, where that is a plain
               -- word: the rest of a command line may be a secret. (A regular expression takes 12
               -- µs.)
               split_part(
                   translate(
                       ltrim(
                           left(
                               CASE jsonb_typeof(r.spec -> 'command')
                                   WHEN 'array' THEN r.spec -> 'command' ->> 0
                                   ELSE r.spec ->> 'command'
                               END,
                               300),
                           E' \t\r\n'),
                       E'\t\r\n;&|<>', '        '),
                   ' ', 1) AS word
        FROM ROWS FROM (
                 jsonb_to_recordset(records) AS (id uuid, actor text, spec jsonb, project text))
             WITH ORDINALITY AS r (id, actor, spec, project, place)
        ORDER BY r.id, r.place
    ), new_jobs AS (
        INSERT INTO jobs (
            id, name, spec, priority, correlation_id, actor, project, run_at, created_at,
            updated_at, timeout_ms, start_timeout_ms, silence_timeout_ms, queue_timeout_ms,
            grace_ms, retries)
        SELECT w.id,
               CASE
                   WHEN w.spec ? 'name' THEN w.spec ->> 'name'
                   WHEN length(w.word) BETWEEN 1 AND 200
                       AND translate(
                           w.word,
                           'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+-',
                           '') = ''
                       THEN w.word
                   ELSE 'job'
               END,
               w.spec,
               coalesce((w.spec -> 'priority')::integer, 0),
               coalesce(w.spec ->> 'correlation_id', w.id::text),
               w.actor,
               w.project,
               w.run_at,
               w.at,
               w.at,
               ((w.spec -> 'timeout')::numeric * 1000)::bigint,
               ((w.spec -> 'start_timeout')::numeric * 1000)::bigint,
               ((w.spec -> 'silence_timeout')::numeric * 1000)::bigint,
               ((w.spec -> 'queue_timeout')::numeric * 1000)::bigint,
               ((w.spec -> 'grace')::numeric * 1000)::bigint,
               (w.spec -> 'retries')::integer
        FROM wanted w
        ON CONFLICT (id) DO NOTHING
        RETURNING id, name, priority, correlation_id, actor, project, spec, run_at, updated_at,
                  queue_timeout_ms
    ), queued AS (
        INSERT INTO job_queue (
            job_id, priority, enqueued_at, labels, waiting, ready_at, unseen_ms, project)
        SELECT n.id,
               n.priority,
               n.updated_at,
               coalesce(n.spec -> 'labels', '{}'),
               CASE WHEN n.run_at > n.updated_at THEN 'RUN_AT' END,
               CASE WHEN n.run_at > n.updated_at THEN n.run_at END,
               n.queue_timeout_ms,
               n.project
        FROM new_jobs n
        RETURNING job_queue.job_id, waiting
    ), events AS (
        INSERT INTO domain_events (
            occurred_at, event_type, aggregate_id, correlation_id, actor, payload)
        SELECT n.updated_at, 'JobCreated', n.id::text, n.correlation_id, n.actor,
               jsonb_build_object(
                   'job_id', n.id,
                   'name', n.name,
                   'new_state', 'PENDING',
                   'priority', n.priority)
               || CASE
                      WHEN said ? n.id::text
                          THEN jsonb_build_object('on_behalf_of', said -> n.id::text)
                      ELSE '{}'
                  END
        FROM new_jobs n
    )
    SELECT array_agg(q.job_id), bool_or(q.waiting IS NULL)
    INTO created, ready
    FROM queued q;

    IF ready THEN
        PERFORM pg_notify('hodei_work', '');
    END IF;

    -- A second statement: it sees a job that another transaction committed while the INSERT waited.
    RETURN QUERY
        SELECT r.id,
               CASE
                   WHEN j.project <> r.project THEN 'taken'
                   WHEN j.project <> coalesce(r.project, 'default') THEN 'conflict'
                   WHEN r.id = ANY (own.created) AND j.spec = r.spec THEN 'created'
                   WHEN j.spec = r.spec THEN 'existed'
                   ELSE 'conflict'
               END
        FROM jsonb_to_recordset(records) AS r (id uuid, spec jsonb, project text)
        JOIN jobs j ON j.id = r.id;
END $$;

-- Creates jobs as hodei_create_jobs does, each by itself: one whose id somebody else's transaction
-- is creating is `locked` once lock_timeout has passed, and nothing of it is stored. Servers call
-- it where hodei_create_jobs has met a lock: it takes several times as long.
CREATE OR REPLACE FUNCTION hodei_create_unlocked(records jsonb)
RETURNS TABLE (job_id uuid, outcome text)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    one jsonb;
BEGIN
    FOR one IN SELECT r.value FROM jsonb_array_elements(records) r LOOP
        BEGIN
            RETURN QUERY SELECT c.* FROM hodei_create_jobs(jsonb_build_array(one)) c;
        EXCEPTION WHEN lock_not_available THEN
            job_id := one ->> 'id';
            outcome := 'locked';
            RETURN NEXT;
        END;
    END LOOP;
END $$;

-- Returns the project into which the role that has logged in may enqueue: the one that is wanted,
-- or, where none is (NULL), its only one. It has the projects that are granted to it or to a role
-- that it is a member of, directly or through others; without any, only `default`. A superuser is a
-- member of those roles only that were granted to it.
CREATE OR REPLACE FUNCTION hodei_project_to_enqueue(wanted text) RETURNS text
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_variable
DECLARE
    granted text[] := ARRAY['default'];
BEGIN
    IF EXISTS (SELECT FROM project_grants) THEN
        WITH RECURSIVE mine AS (
            SELECT r.oid FROM pg_roles r WHERE r.rolname = session_user
            UNION
            SELECT m.roleid FROM mine JOIN pg_auth_members m ON m.member = mine.oid
        )
        SELECT coalesce(array_agg(DISTINCT g.project ORDER BY g.project), granted)
        INTO granted
        FROM mine
        JOIN pg_roles r ON r.oid = mine.oid
        JOIN project_grants g ON g.role = r.rolname;
    END IF;
    IF wanted IS NULL AND cardinality(granted) > 1 THEN
        RAISE EXCEPTION 'project: role "%" is granted several, %: name one, as in'
            ' hodei_enqueue(spec, project)', session_user, array_to_string(granted[:20], ', ')
            USING ERRCODE = 'invalid_parameter_value';
    ELSIF wanted <> ALL (granted) THEN
        RAISE EXCEPTION 'project: expected one that is granted to role "%" (%), got "%"',
            session_user, array_to_string(granted[:20], ', '), left(wanted, 80)
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN coalesce(wanted, granted[1]);
END $$;

-- Creates a job in a project, for a role that is granted several (project_grants); NULL: its only
-- one. Else as hodei_enqueue(spec).
CREATE OR REPLACE FUNCTION hodei_enqueue(spec jsonb, project text) RETURNS uuid
LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $$
#variable_conflict use_variable
DECLARE
    normal jsonb := hodei_normalise_spec(spec);
    id uuid := coalesce((spec ->> 'id')::uuid, hodei_uuid7());
    actor text := concat_ws(':', 'sql', session_user, spec ->> 'actor');
    outcome text;
    new_id ALIAS FOR id;
    its_project text := CASE  -- a call takes longer than to see that nobody has a grant
        WHEN project IS NULL AND NOT EXISTS (SELECT FROM project_grants) THEN 'default'
        ELSE hodei_project_to_enqueue(project)
    END;
    missing text;
BEGIN
    IF normal -> 'labels' ? 'hodei/secrets' THEN
        SELECT min(n.name COLLATE "C") INTO missing
        FROM unnest(hodei_spec_secrets(normal)) AS n (name)
        WHERE NOT EXISTS (
                SELECT FROM secrets s
                WHERE s.project = its_project AND s.name = n.name AND s.ended_at IS NULL)
          AND NOT EXISTS (SELECT FROM jobs j WHERE j.id = new_id);
        IF missing IS NOT NULL THEN
            PERFORM hodei_refuse(
                format(
                    'secret %s: project %s has none of this name; `hodei secret set` makes it',
                    missing, its_project));
        END IF;
    END IF;
    SELECT c.outcome INTO outcome
    FROM hodei_create_jobs(
        jsonb_build_array(
            jsonb_build_object(
                'id', id,
                'actor', actor,
                'spec', normal,
                'project', its_project))) c;
    IF outcome = 'conflict' THEN
        RAISE EXCEPTION 'id: job % exists with another spec', id USING ERRCODE = 'unique_violation';
    ELSIF outcome = 'taken' THEN
        RAISE EXCEPTION 'id: this id is taken, expected another one than %', id
            USING ERRCODE = 'unique_violation';
    END IF;
    RETURN id;
END $$;
REVOKE ALL ON FUNCTION hodei_enqueue(jsonb, text) FROM PUBLIC;

-- `SELECT hodei_enqueue('{"command": "echo hello"}')` creates a job inside the caller's own
-- transaction; a rollback takes it back. The caller needs EXECUTE on this function and nothing
-- else.
CREATE OR REPLACE FUNCTION hodei_enqueue(spec jsonb) RETURNS uuid
LANGUAGE plpgsql VOLATILE SECURITY DEFINER AS $$
BEGIN
    RETURN hodei_enqueue(spec, NULL);
END $$;
REVOKE ALL ON FUNCTION hodei_enqueue(jsonb) FROM PUBLIC;

-- ───────────────────────── which database this is ─────────────────────────

-- Returns where this database lives: PostgreSQL's system identifier and the oid of the database. A
-- role that may not read the first gets a question mark in its place.
CREATE OR REPLACE FUNCTION hodei_lives_in() RETURNS text
LANGUAGE plpgsql STABLE AS $$
DECLARE
    cluster text;
BEGIN
    BEGIN
        SELECT c.system_identifier::text INTO cluster FROM pg_control_system() c;
    EXCEPTION WHEN insufficient_privilege THEN
        cluster := '?';
    END;
    RETURN cluster || '/' || (
        SELECT d.oid FROM pg_database d WHERE d.datname = current_database());
END $$;

-- ───────────────────────── lease numbers ─────────────────────────

-- Moves the lease sequence past the live leases where it is behind them (after a restore, or a
-- switch-over of logical replication), and a sequence that a hand has moved near its end back to
-- the microseconds since 1970: more than were ever drawn before. Returns whether it had to. ALTER
-- SEQUENCE keeps others from drawing numbers until the end of this transaction.
--
-- A message to a worker carries numbers up to 2^62 (protocol/bounds.MOST_NUMBER): beyond, no job
-- would run any more. A lease from 2^61 on was set by a hand, and is not passed; a sequence at
-- three quarters of 2^62 is near its end.
CREATE OR REPLACE FUNCTION hodei_pass_live_leases() RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER AS $$
#variable_conflict use_variable
DECLARE
    most CONSTANT bigint := 2305843009213693952;
    near_end CONSTANT bigint := 3458764513820540928;
    moved boolean := false;
    at_end boolean;
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['hodei_lease_seq', 'domain_events_id_seq'] LOOP
        EXECUTE format('SELECT s.last_value >= %s FROM %I s', near_end, name) INTO at_end;
        CONTINUE WHEN NOT at_end;
        EXECUTE format('ALTER SEQUENCE %I OWNED BY NONE', name);
        EXECUTE format(
            'SELECT setval(%L, trunc(extract(epoch FROM clock_timestamp()) * 1000000)::bigint)'
            ' FROM %I s WHERE s.last_value >= %s',
            name, name, near_end);
        moved := true;
    END LOOP;
    IF NOT EXISTS (
        SELECT FROM hodei_lease_seq s
        WHERE s.last_value <= (
            SELECT max(l.lease) FROM leases l WHERE l.lease < most) - s.is_called::integer)
    THEN
        RETURN moved;
    END IF;
    ALTER SEQUENCE hodei_lease_seq OWNED BY NONE;
    PERFORM setval(
        'hodei_lease_seq',
        greatest(s.last_value, (SELECT max(l.lease) FROM leases l WHERE l.lease < most)))
    FROM hodei_lease_seq s;
    RETURN true;
END $$;
REVOKE ALL ON FUNCTION hodei_pass_live_leases() FROM PUBLIC;

-- ───────────────────────── how functions find names and read values ─────────────────────────

-- Each function of ours looks for names in our schema only, never on the path of its caller: that
-- path may have a temporary table in front of ours, or be empty (pg_restore). SET … FROM CURRENT
-- would write down the path of the role that applies this file. Functions that are called from
-- outside also set how values are read and written; the others run inside of them. Ours are listed:
-- a function of somebody else may have a name like theirs.
DO $$
DECLARE
    ours record;
BEGIN
    FOR ours IN
        SELECT p.oid::regprocedure AS function,
               p.proname IN (
                   'hodei_enqueue', 'hodei_normalise_spec', 'hodei_create_jobs', 'hodei_make_days',
                   'hodei_drop_day', 'hodei_token_created') AS reads_values
        FROM pg_proc p
        WHERE p.oid = ANY (ARRAY[
            'hodei_create_jobs(jsonb)',
            'hodei_create_unlocked(jsonb)',
            'hodei_credential_changed()',
            'hodei_drop_day(text, date)',
            'hodei_enqueue(jsonb)',
            'hodei_enqueue(jsonb, text)',
            'hodei_lives_in()',
            'hodei_make_days(integer)',
            'hodei_ms(jsonb)',
            'hodei_normalise_spec(jsonb)',
            'hodei_pass_live_leases()',
            'hodei_project_to_enqueue(text)',
            'hodei_refuse(text)',
            'hodei_spec_arguments(jsonb, text, integer)',
            'hodei_spec_exit_codes(jsonb, text)',
            'hodei_spec_interpreter(text)',
            'hodei_spec_map(jsonb, text, integer, text, text, integer, integer, boolean)',
            'hodei_spec_number(jsonb, text, numeric, numeric, integer)',
            'hodei_spec_object(jsonb)',
            'hodei_spec_secrets(jsonb)',
            'hodei_spec_text(jsonb, text, integer, text, text, boolean)',
            'hodei_spec_texts(jsonb, text, integer, integer, text, text)',
            'hodei_token_created()',
            'hodei_token_fingerprint(uuid)',
            'hodei_uuid7()'
        ]::regprocedure[])
    LOOP
        EXECUTE format(
            'ALTER FUNCTION %s SET search_path = %I, pg_temp', ours.function, current_schema());
        IF ours.reads_values THEN
            EXECUTE format(
                'ALTER FUNCTION %s SET DateStyle = ISO SET IntervalStyle = postgres'
                ' SET TimeZone = ''UTC'' SET standard_conforming_strings = on'
                ' SET bytea_output = hex',
                ours.function);
        END IF;
    END LOOP;
END $$;

-- ────────────── UPGRADE AND REPAIR of data, for which the tables must stand ──────────────

-- After a clean that dropped jobs or workers, leases without a job are deleted.
DELETE FROM leases l
WHERE NOT EXISTS (SELECT FROM jobs j WHERE j.id = l.job_id AND j.lease = l.lease);

-- Releases before revision 4 took limits under a millisecond and times beyond the year 3000, which
-- no server can use or show: the jobs that still wait with such a value become FAILED, REJECTED.
DO $$
BEGIN
    IF EXISTS (SELECT FROM hodei_schema s WHERE s.revision < 4) THEN
        WITH odd AS (
            SELECT q.job_id,
                   CASE
                       WHEN l.key IS NULL THEN 'run_at: expected a time of the years 2000 to 2999'
                       ELSE l.key || ': expected at least 0.001 s'
                   END AS message
            FROM job_queue q
            JOIN jobs j ON j.id = q.job_id AND j.state = 'PENDING' AND j.lease IS NULL
            LEFT JOIN LATERAL (
                SELECT min(k.key) AS key
                FROM unnest(ARRAY[
                    'timeout', 'queue_timeout', 'start_timeout', 'silence_timeout']) AS k (key)
                WHERE hodei_ms(j.spec -> k.key) < 1
            ) l ON true
            WHERE l.key IS NOT NULL
               OR j.run_at < '2000-01-01T00:00:00Z'
               OR j.run_at >= '3000-01-01T00:00:00Z'
        ), unqueued AS (
            DELETE FROM job_queue q
            USING odd o
            WHERE q.job_id = o.job_id
            RETURNING q.job_id, o.message
        ), rejected AS (
            UPDATE jobs j
            SET state = 'FAILED',
                reason = 'REJECTED',
                message = u.message,
                (updated_at, completed_at) = (
                    SELECT t.at, t.at
                    FROM (SELECT greatest(
                        clock_timestamp(), j.updated_at + interval '1 microsecond') AS at) t)
            FROM unqueued u
            WHERE j.id = u.job_id
            RETURNING j.id, j.correlation_id, j.updated_at, j.message
        )
        INSERT INTO domain_events (
            occurred_at, event_type, aggregate_id, correlation_id, actor, payload)
        SELECT r.updated_at, 'JobStatusChanged', r.id::text, r.correlation_id, 'system:schema',
               jsonb_build_object(
                   'job_id', r.id,
                   'old_state', 'PENDING',
                   'new_state', 'FAILED',
                   'reason', 'REJECTED',
                   'message', r.message)
        FROM rejected r;
    END IF;
END $$;

WITH this (version, revision) AS (
    VALUES (1, 6)
), raised AS (
    UPDATE hodei_schema s
    SET version = t.version,
        revision = t.revision,
        applied_at = clock_timestamp()
    FROM this t
    WHERE (s.version, s.revision) < (t.version, t.revision)
)
INSERT INTO hodei_schema (version, revision)  -- its key, which a conflict needs, may be gone
SELECT t.version, t.revision
FROM this t
WHERE NOT EXISTS (SELECT FROM hodei_schema s);

UPDATE hodei_schema s
SET lives_in = hodei_lives_in()
WHERE s.lives_in IS NULL;

COMMIT;
