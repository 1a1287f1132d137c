//! The HTTP client for Rust programs and for the command line.
