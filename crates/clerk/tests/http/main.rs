//! The HTTP contract, over a real clerk with an in-memory broker and store.

#[cfg(test)]
mod access;
#[cfg(test)]
mod asker;
#[cfg(test)]
mod assignment;
#[cfg(test)]
mod batch;
#[cfg(test)]
mod bombs;
#[cfg(test)]
mod change;
#[cfg(test)]
mod cors;
#[cfg(test)]
mod described;
#[cfg(test)]
mod errors;
#[cfg(test)]
mod forms;
#[cfg(test)]
mod guesses;
#[cfg(test)]
mod half_closes;
#[cfg(test)]
mod hands;
#[cfg(test)]
mod health;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod idempotency;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod large;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod lists;
#[cfg(test)]
mod neighbours;
#[cfg(test)]
mod openapi;
#[cfg(test)]
mod questions;
#[cfg(test)]
mod queues;
#[cfg(test)]
mod read;
#[cfg(test)]
mod refused;
#[cfg(test)]
mod repeats;
#[cfg(test)]
mod served;
#[cfg(test)]
mod sockets;
#[cfg(test)]
mod stream;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod submit;
#[cfg(test)]
mod support;
#[cfg(test)]
mod webhooks;
#[cfg(test)]
mod workers;
#[cfg(test)]
mod ws;
#[cfg(test)]
mod ws_client;
#[cfg(test)]
mod ws_keys;
#[cfg(test)]
mod ws_limits;
