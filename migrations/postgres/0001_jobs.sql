-- The record of every job. Times are Unix milliseconds; the columns agree with SQLite's.
--
-- `jobs` and what lies beside it are partitioned by the job's id, which begins with the time at
-- which the job was accepted: one day is one partition (`jobs_d20000` is day 20,000 since 1970).
-- The program makes the days ahead, so there is no default partition.
--
-- Updates of quick jobs must stay heap-only: no index may use a column that they change, not even in
-- its predicate. Hence `waiting_since`.

create table jobs (
    id                  uuid     not null primary key,
    tenant              text     not null collate "C",
    queue               text     not null collate "C",
    state               smallint not null,
    rev                 integer  not null,
    attempt             integer  not null,
    failures            integer  not null default 0,
    doubts              integer  not null default 0,
    timeout_s           integer  not null,
    start_within_s      integer,
    max_attempts        integer  not null,
    retry_delay_s       integer  not null,
    webhook             text,
    tags                text     not null,
    trace_parent        text,
    trace_state         text,
    input_type          text     not null,
    input_size          bigint   not null,
    created_at          bigint   not null,
    due_at              bigint   not null,
    wake_at             bigint,
    started_at          bigint,
    finished_at         bigint,
    cancel_requested_at bigint,
    clerk               bigint,
    number              bigint,
    worker              text,
    held                boolean  not null default false,
    unlisted            boolean  not null default false,
    output_type         text,
    output_size         bigint,
    failure             text,
    retry_of            uuid,
    retried_as          uuid,
    deleted_at          bigint,
    input               bytea,
    output              bytea,
    -- Since when it waits undispatched; null in every other state.
    waiting_since       bigint generated always as (case when state = 1 then due_at end) stored
) partition by range (id);

-- What happens later: delays, retries, leases, checks.
create index jobs_wake on jobs (wake_at) where wake_at is not null;
-- The backlog, in its order.
create index jobs_backlog on jobs (queue, waiting_since, id) where waiting_since is not null;
create index jobs_tenant on jobs (tenant, id);

-- Inputs (part 0) and outputs (part 1) that are too large for the row; never changed.
create table bytes (
    job_id uuid     not null,
    part   smallint not null,
    bytes  bytea    not null,
    primary key (job_id, part)
) partition by range (job_id);

create table tags (
    tenant text not null collate "C",
    tag    text not null collate "C",
    job_id uuid not null,
    primary key (tenant, tag, job_id)
) partition by range (job_id);

-- Attempts that ended while their job went on.
create table attempts (
    job_id      uuid    not null,
    attempt     integer not null,
    worker      text,
    started_at  bigint,
    finished_at bigint,
    failure     text,
    primary key (job_id, attempt)
) partition by range (job_id);

-- Idempotency keys: day d (counted from 1970) claims in table d modulo 3, so that the table of the
-- day before yesterday can be truncated.
create table keys_0 (
    key         bytea   not null primary key,
    fingerprint bytea   not null,
    job_id      uuid    not null,
    day         integer not null
);
create table keys_1 (like keys_0 including all);
create table keys_2 (like keys_0 including all);

create table clerks (
    id           bigint  not null primary key generated always as identity,
    name         text    not null,
    seen_at      bigint  not null,
    watermark    bigint  not null,
    watermark_at bigint  not null,
    fenced       boolean not null default false,
    closed_at    bigint
) with (fillfactor = 50);

create table workers (
    id      text   not null collate "C" primary key,
    seq     bigint not null,
    seen_at bigint not null,
    in_hand text   not null,
    about   text   not null
) with (fillfactor = 60);

-- Cancels of dispatched jobs, for the workers that have them.
create table cancels (
    seq      bigint  not null primary key generated always as identity,
    job_id   uuid    not null,
    attempt  integer not null,
    queue    text    not null,
    asked_at bigint  not null,
    unique (job_id, attempt)
);

create table queues (
    name        text    not null collate "C" primary key,
    paused      boolean not null default false,
    declared_at bigint  not null
);

create table secrets (
    id    smallint not null primary key,
    bytes bytea    not null
);

-- For people.
create view jobs_readable as
select
    id, tenant, queue,
    case state
        when 0 then 'scheduled' when 1 then 'queued' when 2 then 'dispatched' when 3 then 'running'
        when 10 then 'succeeded' when 11 then 'failed' when 12 then 'cancelled'
        when 13 then 'expired'
    end as state,
    rev, attempt, failures, max_attempts, doubts, tags,
    to_timestamp(created_at / 1000.0) as created_at,
    to_timestamp(due_at / 1000.0) as due_at,
    to_timestamp(wake_at / 1000.0) as wake_at,
    to_timestamp(started_at / 1000.0) as started_at,
    to_timestamp(finished_at / 1000.0) as finished_at,
    to_timestamp(cancel_requested_at / 1000.0) as cancel_requested_at,
    to_timestamp(deleted_at / 1000.0) as deleted_at,
    clerk, number, worker, held,
    input_type, input_size, output_type, output_size, failure::json as failure,
    retry_of, retried_as, timeout_s, start_within_s, retry_delay_s, webhook, trace_parent
from jobs;
