-- The record of every job. Times are Unix milliseconds, ids are UUIDs of 16 bytes; the columns agree
-- with PostgreSQL's.

create table jobs (
    id                  blob    not null primary key,
    tenant              text    not null,
    queue               text    not null,
    state               integer not null,
    rev                 integer not null,
    attempt             integer not null,
    failures            integer not null default 0,
    doubts              integer not null default 0,
    timeout_s           integer not null,
    start_within_s      integer,
    max_attempts        integer not null,
    retry_delay_s       integer not null,
    webhook             text,
    tags                text    not null,
    trace_parent        text,
    trace_state         text,
    input_type          text    not null,
    input_size          integer not null,
    created_at          integer not null,
    due_at              integer not null,
    wake_at             integer,
    started_at          integer,
    finished_at         integer,
    cancel_requested_at integer,
    clerk               integer,
    number              integer,
    worker              text,
    held                boolean not null default false,
    unlisted            boolean not null default false,
    output_type         text,
    output_size         integer,
    failure             text,
    retry_of            blob,
    retried_as          blob,
    deleted_at          integer,
    input               blob,
    output              blob
);

-- What happens later: delays, retries, leases, checks.
create index jobs_wake on jobs (wake_at) where wake_at is not null;
-- The backlog, in its order.
create index jobs_backlog on jobs (queue, due_at, id) where state = 1;
-- What is out: counted for operators, doubted at a start.
create index jobs_out on jobs (queue, id) where state in (2, 3);
create index jobs_tenant on jobs (tenant, id);

-- Inputs (part 0) and outputs (part 1) that are too large for the row; never changed.
create table bytes (
    job_id blob    not null,
    part   integer not null,
    bytes  blob    not null,
    primary key (job_id, part)
);

create table tags (
    tenant text not null,
    tag    text not null,
    job_id blob not null,
    primary key (tenant, tag, job_id)
) without rowid;
create index tags_job on tags (job_id);

-- Attempts that ended while their job went on.
create table attempts (
    job_id      blob    not null,
    attempt     integer not null,
    worker      text,
    started_at  integer,
    finished_at integer,
    failure     text,
    primary key (job_id, attempt)
) without rowid;

-- Idempotency keys, by the day (counted from 1970) on which they were claimed.
create table keys (
    key         blob    not null primary key,
    fingerprint blob    not null,
    job_id      blob    not null,
    day         integer not null
) without rowid;
create index keys_day on keys (day);

create table clerks (
    id           integer not null primary key autoincrement,
    name         text    not null,
    seen_at      integer not null,
    watermark    integer not null,
    watermark_at integer not null,
    fenced       boolean not null default false,
    closed_at    integer
);

create table workers (
    id      text    not null primary key,
    seq     integer not null,
    seen_at integer not null,
    in_hand text    not null,
    about   text    not null
) without rowid;

-- Cancels of dispatched jobs, for the workers that have them.
create table cancels (
    seq       integer not null primary key autoincrement,
    job_id    blob    not null,
    attempt   integer not null,
    queue     text    not null,
    asked_at  integer not null,
    unique (job_id, attempt)
);

create table queues (
    name        text    not null primary key,
    paused      boolean not null default false,
    declared_at integer not null
) without rowid;

create table secrets (
    id    integer not null primary key,
    bytes blob    not null
);
