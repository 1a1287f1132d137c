-- Webhooks: one row for each job that has one and is done, written in the transaction that ends it.
--
-- `state`: 0 pending, 1 delivered, 2 failed, 3 stopped. `due_at` is when a pending one is to be sent,
-- as clients see it; `look_at` is when a clerk looks at it: the same, or later while one has claimed
-- it or its host has its fill. Partitioned like `jobs`.

create table webhooks (
    job_id      uuid     not null primary key,
    state       smallint not null,
    attempts    integer  not null,
    last_status smallint,
    due_at      bigint   not null,
    look_at     bigint   not null
) partition by range (job_id);

create index webhooks_look on webhooks (look_at) where state = 0;

-- The days that are there.
do $$
declare
    day record;
begin
    for day in
        select substr(child.relname, 6) as suffix,
            pg_get_expr(child.relpartbound, child.oid) as bounds
        from pg_inherits
        join pg_class as child on child.oid = inhrelid
        where inhparent = 'jobs'::regclass and child.relname ~ '^jobs_d[0-9]+$'
    loop
        execute format('create table webhooks_%s partition of webhooks %s', day.suffix, day.bounds);
    end loop;
end
$$;

-- What signs a tenant's webhooks; a secret that was retired signs for one more day.
create table webhook_secrets (
    tenant     text   not null collate "C",
    secret     bytea  not null,
    made_at    bigint not null,
    retired_at bigint
);
create unique index webhook_secrets_current on webhook_secrets (tenant) where retired_at is null;
create index webhook_secrets_tenant on webhook_secrets (tenant);
