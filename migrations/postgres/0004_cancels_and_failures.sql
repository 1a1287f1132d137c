-- A worker that connects is told the cancels of its queues: they are found without reading the others.
create index cancels_queue on cancels (queue, seq);

-- Failures that were stored before NULs were taken out of them: one of them made a whole query fail.
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
        when position('\u0000' in failure) > 0
            -- An odd number of backslashes: with an even one it is a backslash and a u.
            then regexp_replace(failure, '(?<!\\)((?:\\\\)*)\\u0000', '\1\\ufffd', 'g')::json
        else failure::json
    end as failure,
    retry_of, retried_as, timeout_s, start_within_s, retry_delay_s, webhook, trace_parent
from jobs;
