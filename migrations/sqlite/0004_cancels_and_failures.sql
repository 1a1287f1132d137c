-- A worker that connects is told the cancels of its queues: they are found without reading the others.
create index cancels_queue on cancels (queue, seq);
