-- API keys: what is kept of each, which is not enough to use it. Revoked keys stay.

create table api_keys (
    id         text    not null primary key,
    hash       blob    not null,
    tenant     text    not null,
    role       text    not null,
    queues     text    not null,
    note       text,
    created_at integer not null,
    revoked_at integer
) without rowid;
