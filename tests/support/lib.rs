//! Starts whole systems for the end-to-end tests.
