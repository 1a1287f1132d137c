//! Version 1 of the five messages.
