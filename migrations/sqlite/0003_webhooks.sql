-- Webhooks: one row for each job that has one and is done, written in the transaction that ends it.
--
-- `state`: 0 pending, 1 delivered, 2 failed, 3 stopped. `due_at` is when a pending one is to be sent,
-- as clients see it; `look_at` is when a clerk looks at it: the same, or later while one has claimed
-- it or its host has its fill.

create table webhooks (
    job_id      blob    not null primary key,
    state       integer not null,
    attempts    integer not null,
    last_status integer,
    due_at      integer not null,
    look_at     integer not null
) without rowid;

create index webhooks_look on webhooks (look_at) where state = 0;

-- Whatever ends a job: so that the statement which stores most successes stays one.
create trigger jobs_webhook after update of state on jobs
when new.webhook is not null and new.state >= 10 and old.state < 10
begin
    insert into webhooks (job_id, state, attempts, due_at, look_at)
    values (new.id, 0, 0, new.finished_at, new.finished_at)
    on conflict do nothing;
end;

-- What signs a tenant's webhooks; a secret that was retired signs for one more day.
create table webhook_secrets (
    tenant     text    not null,
    secret     blob    not null,
    made_at    integer not null,
    retired_at integer
);
create unique index webhook_secrets_current on webhook_secrets (tenant) where retired_at is null;
create index webhook_secrets_tenant on webhook_secrets (tenant);
