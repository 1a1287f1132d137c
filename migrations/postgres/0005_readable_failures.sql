-- Failures that were stored before halves of surrogate pairs were taken out of them, too: one of them made a whole query
-- fail.
create or replace view jobs_readable as
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
    input_type, input_size, output_type, output_size,
    case
        when failure ~* '\\u(0000|d[89a-f])'
            -- An escape begins with an odd number of backslashes: with an even one it is a backslash and a u. Whole pairs
            -- of surrogates are set aside as \x, which JSON does not know, while what no database can show is replaced.
            then regexp_replace(regexp_replace(regexp_replace(
                failure,
                '(?<!\\)((?:\\\\)*)\\u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})', '\1\\x\2\3', 'gi'),
                '(?<!\\)((?:\\\\)*)\\u(?:0000|d[89a-f][0-9a-f]{2})', '\1\\ufffd', 'gi'),
                '(?<!\\)((?:\\\\)*)\\x([0-9a-f]{4})', '\1\\u\2\\u', 'gi')::json
        else failure::json
    end as failure,
    retry_of, retried_as, timeout_s, start_within_s, retry_delay_s, webhook, trace_parent
from jobs;
