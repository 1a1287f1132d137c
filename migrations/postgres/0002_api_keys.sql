-- API keys: what is kept of each, which is not enough to use it. Revoked keys stay.

create table api_keys (
    id         text   not null primary key collate "C",
    hash       bytea  not null,
    tenant     text   not null collate "C",
    role       text   not null,
    queues     text   not null,
    note       text,
    created_at bigint not null,
    revoked_at bigint
);
