//! The words of Clerkwork: job, state machine, outcome, retry policy, clock. Pure: no I/O.
