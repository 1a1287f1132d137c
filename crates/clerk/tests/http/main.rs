//! The HTTP contract, over a real clerk with an in-memory broker and store.

#[cfg(test)]
mod access;
#[cfg(test)]
mod change;
#[cfg(test)]
mod errors;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod lists;
#[cfg(test)]
mod queues;
#[cfg(test)]
mod read;
#[cfg(test)]
mod sockets;
#[cfg(test)]
mod submit;
#[cfg(test)]
mod support;
